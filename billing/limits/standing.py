"""Where a fleet's limits stand now, for pages, the admin and the API; and those that are reached, for finance."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Prefetch

from billing.limits import periods, sql
from billing.models import BillingException, LimitUsage, SpendLimit
from billing.services.exceptions import open_exception
from fleetcharge.accounts.models import Organisation

LOOKED_AT_FOR = timedelta(days=32)
WHOSE = ("organisation", "vehicle", "driver", "location", "tariff")


@dataclass(frozen=True)
class Standing:
    """One limit now; `period_start` None and nothing used for the limit of a single session."""

    limit: SpendLimit
    period_start: date | None
    reserved_paise: int
    spent_paise: int
    reserved_wh: int
    spent_wh: int

    @property
    def left_paise(self) -> int | None:
        bound = self.limit.amount_paise
        return None if bound is None else max(0, bound - self.reserved_paise - self.spent_paise)


def of_organisation(organisation: Organisation, *, now: datetime) -> Sequence[Standing]:
    """All limits of a fleet as they stand; two queries."""
    limits = SpendLimit.objects.for_organisation(organisation).select_related(*WHOSE)
    rows = limits.prefetch_related(current_usages(now)).order_by("scope", "pk")
    return [_standing(limit, now) for limit in rows]


def current_usages(now: datetime) -> "Prefetch[Any, Any, Any]":
    """Of every limit the usages that may be the current one, as `limit.recent_usages`."""
    recent = LimitUsage.objects.filter(period_start__gte=(now - LOOKED_AT_FOR).date())
    return Prefetch("usages", queryset=recent, to_attr="recent_usages")


def usage_of(limit: SpendLimit, now: datetime) -> LimitUsage | None:
    """The current one of what `current_usages` brought."""
    starts = periods.starts(now, periods.zone_of(limit.organisation.time_zone))
    recent: list[LimitUsage] = getattr(limit, "recent_usages", [])
    return next((usage for usage in recent if usage.period_start == starts.get(limit.period)), None)


def report_reached(*, now: datetime, limit: int = 500) -> int:
    """One question to finance for each limit and period in which more was used than it allows; how many are new.

    A soft one lets charging go on; beyond a hard one only what was delivered already can be.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.REACHED, {"since": (now - LOOKED_AT_FOR).date(), "limit": limit})
        rows = cursor.fetchall()
    for _, limit_id, start, is_hard, excess_paise, excess_wh, organisation_id, scope in rows:
        open_exception(
            organisation_id=organisation_id, kind=BillingException.Kind.LIMIT_REACHED,
            reference=f"limit:{limit_id}:{start}", amount_paise=excess_paise, at=now,
            title=f"{'More was delivered than' if is_hard else 'Warning:'} the limit allows ({scope}, from {start})",
            details={"limit_id": limit_id, "excess_paise": excess_paise, "excess_wh": excess_wh},
        )  # fmt: skip
    return len(rows)


def _standing(limit: SpendLimit, now: datetime) -> Standing:
    usage = usage_of(limit, now)
    if usage is None:
        return Standing(limit, None, 0, 0, 0, 0)
    return Standing(
        limit, usage.period_start, usage.reserved_paise, usage.spent_paise, usage.reserved_wh, usage.spent_wh
    )
