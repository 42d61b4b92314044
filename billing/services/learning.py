"""What arrives later about a session we know already: its start, its token, its place. Completed once, and audited."""

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q

from billing.events import SessionStarted
from billing.limits import moving
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
LATE_PLACE = "The station named the plug after the start."
LATE_NUMBER = "The station said what it started for after the start."
NUMBERS = ("reservation_number", "remote_start_id")


@transaction.atomic
def complete(known: ChargingSession, start: "Start", cause: str) -> ChargingSession:
    """The session with all this message adds; nearly always that is nothing, and no lock is taken."""
    if not any(lacks(known, start) for lacks, _ in LESSONS):
        return known
    session = locked().select_related("id_token").get(pk=known.pk)
    for lacks, learn in LESSONS:
        if lacks(session, start):
            learn(session, start, cause)
    if session.state == ChargingSession.State.ENDED:
        figures.settle(session, now=start.received_at, reason=LATE_START, cause=cause)
    return session


def _lacks_start(session: ChargingSession, start: "Start") -> bool:
    return start.is_reported and not session.is_start_reported


def _lacks_token(session: ChargingSession, start: "Start") -> bool:
    return bool(start.id_token) and not session.id_token_uid


def _lacks_place(session: ChargingSession, start: "Start") -> bool:
    """OCPP 2.x need not name the EVSE before the cable is in (2.0.1 part 2, E01)."""
    is_named = start.evse_number is not None and start.connector_id >= 1
    return is_named and session.connector.evse.evse_number == stations.NOBODYS_PLUG


def _lacks_number(session: ChargingSession, start: "Start") -> bool:
    return bool(_numbers_for(session, start))


def _numbers_for(session: ChargingSession, start: "Start") -> dict[str, Any]:
    """What it was reserved or asked for by, as far as that is news."""
    return {
        name: getattr(start, name)
        for name in NUMBERS
        if getattr(session, name) is None and getattr(start, name) is not None
    }


def _learn_start(session: ChargingSession, start: "Start", cause: str) -> None:
    thought_to_begin_at = session.started_at
    values: dict[str, Any] = {
        "is_start_reported": True,
        "is_time_ours": start.is_time_ours or (session.is_time_ours and session.ended_at is not None),
        "started_at": start.started_at if session.ended_at is None else min(start.started_at, session.ended_at),
        **_numbers_for(session, start),
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
    _move(session, start, cause)
    adopt(session)
    session.save()
    moving.follow(session=session, before=thought_to_begin_at)


def _learn_place(session: ChargingSession, start: "Start", cause: str) -> None:
    """The promises and the power of that plug are looked at anew."""
    _move(session, start, cause, LATE_PLACE)
    session.save(update_fields=["connector"])
    if session.state == ChargingSession.State.ACTIVE:
        _announce(session)


def _learn_number(session: ChargingSession, start: "Start", cause: str) -> None:
    values = _numbers_for(session, start)
    corrections.apply(session, values, reason=LATE_NUMBER, cause=cause, at=start.received_at)
    session.save(update_fields=list(values))
    if session.state == ChargingSession.State.ACTIVE:
        _announce(session)


def _move(session: ChargingSession, start: "Start", cause: str, reason: str = LATE_START) -> None:
    """OCPP 2.x says the EVSE once; a session shown by another message may have been put at the wrong one."""
    if session.charger is None or start.evse_number is None or start.connector_id < 1:
        return
    found = find_connector(session.charger, start.evse_number, start.connector_id, start.received_at)
    old_id = session.connector_id
    if found.pk == old_id:
        return
    change = {"connector_id": (old_id, found.pk)}
    corrections.record(session, change, reason=reason, cause=cause, at=start.received_at)
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
        _announce(session)


def _announce(session: ChargingSession) -> None:
    publish(
        SessionStarted(
            session.pk, session.organisation_id, session.connector_id, session.connector.evse.location_id,
            session.vehicle_id, session.started_at,
        )
    )  # fmt: skip


# The place comes first: there a token is judged, and others look whether it was promised.
LESSONS = (
    (_lacks_place, _learn_place), (_lacks_start, _learn_start), (_lacks_number, _learn_number),
    (_lacks_token, _learn_token),
)  # fmt: skip
