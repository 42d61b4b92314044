"""What a network said that a session will be given (OCPI 2.2.1, ActiveChargingProfile), in a line for people."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _

MOST_SHOWN = 4


def in_words(result: Mapping[str, Any] | None, heard_at: datetime) -> str:
    """`30 kW; 11 kW from 14:30`; what a network leaves out or nobody can read is said to be unknown."""
    steps = list(_steps(result or {}, heard_at))
    if not steps:
        return _("it named no power")
    first, *later = steps[:MOST_SHOWN]
    begun = [_("%(power)s from %(time)s") % {"power": power, "time": _clock(at)} for at, power in later]
    return "; ".join([first[1], *begun, *(["…"] if len(steps) > MOST_SHOWN else [])])


def _steps(result: Mapping[str, Any], heard_at: datetime) -> Iterator[tuple[datetime, str]]:
    """(when it begins, how much) of each period; without a beginning it counts from the answer."""
    active = result.get("profile")
    active = active if isinstance(active, dict) else {}
    profile = active.get("charging_profile")
    if not isinstance(profile, dict):
        return
    begins_at = _instant(active.get("start_date_time")) or _instant(profile.get("start_date_time")) or heard_at
    periods = profile.get("charging_profile_period")
    for period in periods if isinstance(periods, list) else []:
        try:
            seconds, limit = int(period["start_period"]), float(period["limit"])
            at = begins_at + timedelta(seconds=seconds)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        yield at, _power(limit, str(profile.get("charging_rate_unit")))


def _power(limit: float, unit: str) -> str:
    value, name = (limit / 1000, "kW") if unit == "W" else (limit, "A")
    return f"{value:.1f}".removesuffix(".0") + f" {name}"


def _instant(text: Any) -> datetime | None:
    try:
        found = parse_datetime(str(text)) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and timezone.is_naive(found) else found


def _clock(at: datetime) -> str:
    return date_format(timezone.localtime(at), "H:i")
