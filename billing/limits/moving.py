"""A session that began in another period than was told: what limits count of it goes there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from billing.limits import correcting, periods, sql, using
from billing.limits.models import LimitUsage, SpendLimit
from billing.models import CDR, ChargingSession, Hold


@dataclass(frozen=True)
class Move:
    """Of one limit. `is_counted`: the period was opened just now, and has counted the session already."""

    out_of: int
    into: dict[str, Any]
    is_counted: bool


def follow(*, session: ChargingSession, before: datetime) -> None:
    """`before`: when it began as far as was known. The caller has locked and saved the session.

    Locks in the house's order: record, hold, limits.
    """
    if session.started_at == before:
        return
    zone = periods.zone_of(session.organisation.time_zone)
    if periods.starts(before, zone) == periods.starts(session.started_at, zone):
        return
    if not SpendLimit.objects.filter(organisation=session.organisation_id).exists():
        return
    cdr = CDR.objects.select_for_update(of=("self",), no_key=True).filter(session=session).first()
    if cdr is not None and cdr.captured_at is None:
        cdr = None  # locked, so that nobody charges it meanwhile
    if moves := _moves(session, _usages(session, before, is_captured=cdr is not None)):
        hold = _hold_of(session).select_for_update(of=("self",)).first()
        _shift(moves, _reserved(hold) | _spent(cdr))
        if hold is not None and hold.limits.get("usages"):
            _stand_on(hold, moves)


def _hold_of(session: ChargingSession) -> QuerySet[Hold]:
    return Hold.objects.filter(session_key=f"session:{session.pk}")


def _reserved(hold: Hold | None) -> dict[str, int]:
    if hold is None or hold.state != Hold.State.ACTIVE:
        return {"reserved_paise": 0, "reserved_wh": 0}
    return {"reserved_paise": hold.amount_paise, "reserved_wh": hold.energy_wh}


def _spent(cdr: CDR | None) -> dict[str, int]:
    """As it was corrected last."""
    if cdr is None:
        return {"spent_paise": 0, "spent_wh": 0}
    adjusted = ChargingSession.objects.values_list("adjusted_paise", flat=True).get(pk=cdr.session_id)
    last_wh = cdr.adjustments.order_by("-number").values_list("energy_wh", flat=True).first()
    return {
        "spent_paise": (cdr.total_paise or 0) + adjusted, "spent_wh": cdr.energy_wh if last_wh is None else last_wh,
    }  # fmt: skip


def _usages(session: ChargingSession, before: datetime, *, is_captured: bool) -> dict[int, int]:
    """Limit -> usage: those of its hold; of what is charged also those opened since, or that counted it without one."""
    limits = _hold_of(session).values_list("limits", flat=True).first() or {}
    held = [each["id"] for each in limits.get("usages") or []]
    named = dict(LimitUsage.objects.filter(pk__in=held).values_list("limit_id", "pk"))
    if not is_captured:
        return named
    told = correcting.limits_of(session, at=before)
    others = {
        limit.limit_id: limit.usage_id
        for limit in told
        if limit.usage_id is not None and (not named or limit.scope in correcting.LASTING)
    }
    return others | named


def _moves(session: ChargingSession, usages: Mapping[int, int]) -> list[Move]:
    """Where the limit's period is another one now; a limit that does not apply there keeps what it counted.

    Who opens a period locks what is held in it, in order: only then our own hold is locked.
    """
    limits = [
        limit
        for limit in correcting.limits_of(session, at=session.started_at)
        if limit.limit_id in usages and limit.period != periods.SESSION and limit.usage_id != usages[limit.limit_id]
    ]
    opened = using.opened(limits, organisation_id=session.organisation_id)
    return [
        Move(usages[limit.limit_id], into, is_counted=limit.usage_id is None)
        for limit, into in zip(limits, opened, strict=True)
    ]


def _shift(moves: list[Move], counted: dict[str, int]) -> None:
    signs = {move.out_of: 1 for move in moves} | {int(move.into["id"]): -1 for move in moves if not move.is_counted}
    correcting.locked(signs)
    values: dict[str, Any] = {"usages": list(signs), "signs": list(signs.values()), **counted}
    with connection.cursor() as cursor:
        cursor.execute(sql.SHIFT, values)


def _stand_on(hold: Hold, moves: list[Move]) -> None:
    """The hold names the usages that it is, or was, reserved on: a capture and its corrections count there."""
    changed = {move.out_of for move in moves} | {move.into["id"] for move in moves}
    stays = [each for each in hold.limits["usages"] if each["id"] not in changed]
    hold.limits = hold.limits | {"usages": [*stays, *(move.into for move in moves)]}
    hold.save(update_fields=["limits"])
