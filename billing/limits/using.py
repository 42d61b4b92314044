"""Which limits apply to a session, and what is reserved and spent of them. Locks: hold, then limits, then wallet."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import F, Min

from billing.entitlement import LIMIT, Limit
from billing.limits import periods, sql
from billing.limits.models import LimitUsage, SpendLimit
from billing.limits.periods import zone_of
from fleetcharge.accounts.models import Organisation


def applicable(
    *,
    organisation_id: int | None,
    vehicle_id: int | None,
    driver_id: int | None,
    location_id: int | None,
    connector_id: int | None,
    at: datetime,
    zone: ZoneInfo,
) -> list[Limit]:
    """Every limit that a session of these, begun at `at`, is counted on. One query."""
    values: dict[str, Any] = {
        **periods.starts(at, zone), "zone": zone.key,
        "organisation": organisation_id, "vehicle": vehicle_id, "driver": driver_id, "location": location_id,
        "connector": connector_id, "uncounted": 0,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(sql.APPLICABLE, values)
        return [Limit(*row) for row in cursor.fetchall()]


def opened(limits: Sequence[Limit], *, organisation_id: int, uncounted: int = 0) -> list[dict[str, Any]]:
    """The usages behind these limits, opened where this is the first session of the period; for a hold's snapshot.

    `uncounted`: the session whose charge is written already, and counted by the caller.
    """
    of_periods = [limit for limit in limits if limit.period != periods.SESSION]
    ids = {limit.limit_id: limit.usage_id for limit in of_periods}
    if new := [limit for limit in of_periods if limit.usage_id is None]:
        ids |= _open(new, organisation_id, uncounted)
    return [
        {"id": ids[limit.limit_id], "scope": limit.scope, "period": limit.period} | _terms(limit)
        for limit in of_periods
    ]


def bounds(limit_ids: Sequence[int]) -> tuple[int | None, int | None]:
    """(paise, Wh) that these limits of single sessions allow as they are now; one that is removed bounds nothing."""
    rows = SpendLimit.objects.filter(pk__in=limit_ids) if limit_ids else SpendLimit.objects.none()
    terms = list(rows.values_list("amount_paise", "energy_wh"))
    money = [paise for paise, _ in terms if paise is not None]
    energy = [wh for _, wh in terms if wh is not None]
    return min(money, default=None), min(energy, default=None)


def left(usage_ids: Sequence[int]) -> tuple[int | None, int | None]:
    """(paise, Wh) that the hard limits behind these usages still leave, what is reserved counted; None: no bound."""
    hard = LimitUsage.objects.filter(pk__in=usage_ids, limit__is_hard=True) if usage_ids else LimitUsage.objects.none()
    money = hard.annotate(room=F("limit__amount_paise") - F("reserved_paise") - F("spent_paise"))
    energy = hard.annotate(room=F("limit__energy_wh") - F("reserved_wh") - F("spent_wh"))
    return tuple(rows.aggregate(least=Min("room"))["least"] for rows in (money, energy))


def reserve(usages: Sequence[dict[str, Any]], *, paise: int, wh: int) -> str:
    """Set money and energy aside on all of them, "" when done; else `limit:<scope>` of the first that has not enough.

    In a transaction that is undone when it is refused: the others are reserved by then.
    """
    if not usages:
        return ""
    with connection.cursor() as cursor:
        cursor.execute(sql.RESERVE, {"usages": [each["id"] for each in usages], "paise": paise, "wh": wh})
        refusing = {row[0] for row in cursor.fetchall()}
    refused = next((each for each in usages if each["id"] in refusing), None)
    return "" if refused is None else LIMIT + str(refused["scope"])


def spend(usage_ids: Iterable[int], *, paise: int, wh: int) -> None:
    """Count what was not reserved: a session without a hold, or a correction (less than nothing: given back)."""
    ids = list(usage_ids)
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(sql.SPEND, {"usages": ids, "paise": paise, "wh": wh})


def _open(limits: Sequence[Limit], organisation_id: int, uncounted: int) -> dict[int, int]:
    """By limit. What runs already in the period is counted in; whoever opens it at the same moment does so once."""
    name = Organisation.objects.values_list("time_zone", flat=True).get(pk=organisation_id)
    starts = {limit.period: limit.period_start for limit in limits}
    values: dict[str, Any] = {
        **{period: starts.get(period) for period in (periods.DAY, periods.WEEK, periods.MONTH)},
        "zone": zone_of(name).key, "limits": [limit.limit_id for limit in limits], "uncounted": uncounted,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(sql.LOCK_RUNNING, values)
        cursor.execute(sql.OPEN_USAGE, values)
        if made := [row[0] for row in cursor.fetchall()]:
            cursor.execute(sql.JOIN_RUNNING, values | {"usages": made})
        cursor.execute(sql.OPENED, values | {"starts": [limit.period_start for limit in limits]})
        return dict(cursor.fetchall())


def _terms(limit: Limit) -> dict[str, Any]:
    start = limit.period_start.isoformat() if limit.period_start else None
    return {
        "start": start, "is_hard": limit.is_hard, "amount_paise": limit.amount_paise, "energy_wh": limit.energy_wh,
    }  # fmt: skip
