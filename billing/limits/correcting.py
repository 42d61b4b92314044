"""Counting on limits what no hold had reserved: a session without one, and what becomes known after the charge."""

from typing import Any

from django.db import connection

from billing.limits import periods, using
from billing.models import ChargingSession, Hold, SpendLimit


def count(*, session_id: int | None, paise: int, wh: int) -> None:
    """Add to what is spent (less than nothing: given back); one query for a fleet without limits.

    On the limits of the session's hold, or without one on those that apply to it now.
    """
    if session_id is None or (not paise and not wh):
        return
    session = ChargingSession.objects.filter(
        pk=session_id, organisation_id__in=SpendLimit.objects.values("organisation_id")
    ).select_related("organisation", "connector__evse").first()  # fmt: skip
    if session is not None:
        using.spend(_usages(session), paise=paise, wh=wh)


def _usages(session: ChargingSession) -> list[int]:
    held = Hold.objects.filter(session_key=f"session:{session.pk}").values_list("limits", flat=True).first()
    if held and held.get("usages"):
        return _existing([int(each["id"]) for each in held["usages"]])
    limits = using.applicable(
        organisation_id=session.organisation_id, vehicle_id=session.vehicle_id, driver_id=session.driver_id,
        location_id=session.connector.evse.location_id, connector_id=session.connector_id, at=session.started_at,
        zone=periods.zone_of(session.organisation.time_zone),
    )  # fmt: skip
    known: list[dict[str, Any]] = using.opened(limits, organisation_id=session.organisation_id)
    return [int(each["id"]) for each in known]


def _existing(ids: list[int]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM billing_limitusage WHERE id = ANY(%s)", [ids])
        return [row[0] for row in cursor.fetchall()]
