"""Counting on limits what no hold had reserved: a session without one, and what becomes known after the charge."""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection

from billing.entitlement import Limit
from billing.limits import periods, using
from billing.models import ChargingSession, Hold, SpendLimit

LASTING = {SpendLimit.Scope.ORGANISATION, SpendLimit.Scope.VEHICLE, SpendLimit.Scope.DRIVER, SpendLimit.Scope.SITE}
"""Whose sessions stay the same: a vehicle may change its cost centre, a plug its tariff."""


def lock(*, session_id: int | None, is_captured: bool = False, is_written: bool = False) -> list[int]:
    """The usages on which more (or less) of this session is to be counted with `using.spend`, locked.

    Before the wallet is locked: hold, then limits, then wallet. Those of the session's hold, or without any those that
    apply to it, opened where need be; one query for a fleet without limits. `is_captured`: the hold is captured next,
    which moves its own usages: they are among these. `is_written`: the session's record is captured, but not counted.
    """
    if session_id is None:
        return []
    session = ChargingSession.objects.filter(
        pk=session_id, organisation_id__in=SpendLimit.objects.values("organisation_id")
    ).select_related("organisation", "connector__evse").first()  # fmt: skip
    if session is None:
        return []
    held = _held(session_id)
    ids = held | _opened_since(session) if held else _applicable(session, uncounted=session_id if is_written else 0)
    return locked(ids | (_held(session_id, is_active=True) if is_captured else set()))  # also those opened just now


def _held(session_id: int, *, is_active: bool = False) -> set[int]:
    """The usages of the session's hold; with `is_active` only if it is, and then it is locked."""
    rows = Hold.objects.filter(session_key=f"session:{session_id}")
    if is_active:
        rows = rows.filter(state=Hold.State.ACTIVE).select_for_update(of=("self",))
    limits = rows.values_list("limits", flat=True).first() or {}
    return {int(each["id"]) for each in limits.get("usages") or []}


def _applicable(session: ChargingSession, *, uncounted: int) -> set[int]:
    known = using.opened(
        limits_of(session, at=session.started_at), organisation_id=session.organisation_id, uncounted=uncounted
    )
    return {int(each["id"]) for each in known}


def _opened_since(session: ChargingSession) -> set[int]:
    """Of limits set after its hold was captured: they have counted what it had cost by then."""
    return {
        each.usage_id
        for each in limits_of(session, at=session.started_at)
        if each.usage_id is not None and each.scope in LASTING
    }


def limits_of(session: ChargingSession, *, at: datetime) -> list[Limit]:
    """Those that apply to it if it began then."""
    return using.applicable(
        organisation_id=session.organisation_id, vehicle_id=session.vehicle_id, driver_id=session.driver_id,
        location_id=session.connector.evse.location_id, connector_id=session.connector_id, at=at,
        zone=periods.zone_of(session.organisation.time_zone),
    )  # fmt: skip


def locked(ids: Iterable[int]) -> list[int]:
    """Those that still exist."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM billing_limitusage WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [list(ids)])
        return [row[0] for row in cursor.fetchall()]
