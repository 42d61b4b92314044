"""What arrives later about a session we know already: its start, its token, its place. Completed once, and audited."""

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q

from billing.events import SessionStarted
from billing.models import CDR, ChargingSession
from billing.services import corrections, figures, money
from billing.services.adoption import adopt
from billing.services.afterwards import keep_start
from billing.services.authorisation import decide
from billing.services.ending import locked
from billing.services.places import find_connector
from fleetcharge.lib.events import publish
from stations import services as stations

if TYPE_CHECKING:
    from billing.services.starting import Start

LATE_START = "The start arrived after other messages of its session."
LATE_TOKEN = "The token arrived after the start."  # noqa: S105


@transaction.atomic
def complete(known: ChargingSession, start: "Start", cause: str) -> ChargingSession:
    """The session with all this message adds; nearly always that is nothing, and no lock is taken."""
    if not (_lacks_start(known, start) or _lacks_token(known, start)):
        return known
    session = locked().select_related("id_token").get(pk=known.pk)
    if _lacks_start(session, start):
        _learn_start(session, start, cause)
    if _lacks_token(session, start):
        _learn_token(session, start, cause)
    if session.state == ChargingSession.State.ENDED:
        figures.settle(session, now=start.received_at, reason=LATE_START, cause=cause)
    return session


def _lacks_start(session: ChargingSession, start: "Start") -> bool:
    return start.is_reported and not session.is_start_reported


def _lacks_token(session: ChargingSession, start: "Start") -> bool:
    return bool(start.id_token) and not session.id_token_uid


def _learn_start(session: ChargingSession, start: "Start", cause: str) -> None:
    values: dict[str, Any] = {
        "is_start_reported": True,
        "is_time_ours": start.is_time_ours or (session.is_time_ours and session.ended_at is not None),
        "started_at": start.started_at if session.ended_at is None else min(start.started_at, session.ended_at),
        "reservation_number": session.reservation_number or start.reservation_number,
        "remote_start_id": session.remote_start_id or start.remote_start_id,
    }
    if start.meter_start_wh is not None:
        last_wh = max(session.meter_last_wh or 0, start.meter_start_wh)
        values |= {
            "is_meter_start_reported": True,
            "meter_start_wh": start.meter_start_wh,
            "meter_last_wh": last_wh,
        }
        if session.state == ChargingSession.State.ACTIVE:
            values["energy_wh"] = last_wh - start.meter_start_wh
    corrections.apply(session, values, reason=LATE_START, cause=cause, at=start.received_at)
    _learn_place(session, start, cause)
    adopt(session)
    session.save()


def _learn_place(session: ChargingSession, start: "Start", cause: str) -> None:
    """OCPP 2.x says the EVSE once; a session shown by another message may have been put at the wrong one."""
    if session.charger is None or start.evse_number is None or start.connector_id < 1:
        return
    found = find_connector(session.charger, start.evse_number, start.connector_id, start.received_at)
    old_id = session.connector_id
    if found.pk == old_id:
        return
    change = {"connector_id": (old_id, found.pk)}
    corrections.record(session, change, reason=LATE_START, cause=cause, at=start.received_at)
    session.connector = found
    if session.state == ChargingSession.State.ACTIVE:
        is_taken = ChargingSession.objects.active().filter(Q(connector_id=old_id) & ~Q(pk=session.pk)).exists()
        if not is_taken:
            stations.set_session(connector_id=old_id, has_session=False, is_delivering=False, at=start.started_at)
        stations.set_session(connector_id=found.pk, has_session=True, is_delivering=False, at=start.started_at)


def _learn_token(session: ChargingSession, start: "Start", cause: str) -> None:
    """Judge the token as of the session's start, set money aside while it runs, and say whose session it is.

    A CDR that was priced for somebody else stays with them: finance sees the token on the session.
    """
    decision = decide(
        id_token=start.id_token, connector_id=session.connector_id, charger_id=start.charger_id,
        at=session.started_at, is_start=True,
    )  # fmt: skip
    values: dict[str, Any] = {
        "id_token_uid": start.id_token,
        "id_token_id": decision.id_token_id,
        "vehicle_id": decision.vehicle_id,
        "driver_id": decision.driver_id,
        "authorisation_reason": decision.reason,
    }
    if not CDR.objects.filter(session=session, rated_at__isnull=False).exists():
        values["organisation_id"] = decision.organisation_id or session.organisation_id
    corrections.apply(session, values, reason=LATE_TOKEN, cause=cause, at=start.received_at)
    quality = ChargingSession.Quality
    session.quality = quality.BILLABLE if decision.is_accepted else quality.REVIEW
    session.save()
    if session.state == ChargingSession.State.ACTIVE and decision.is_accepted:
        money.hold_for(session, start.received_at, decision.limits)
    keep_start(session=session, decision=decision, received_at=start.received_at, is_offline=start.is_offline)
    if session.state == ChargingSession.State.ACTIVE:
        publish(
            SessionStarted(
                session.pk, session.organisation_id, session.connector_id, session.connector.evse.location_id,
                session.vehicle_id, session.started_at,
            )
        )  # fmt: skip
