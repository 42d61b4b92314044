"""The beginning of a session: recorded whatever the station says, completed when more arrives."""

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from billing.events import SessionStarted
from billing.models import ChargingSession
from billing.services import learning, ledger, messages, money, orphans, rematching, reused
from billing.services.adoption import adopt
from billing.services.afterwards import keep_start
from billing.services.authorisation import ACCEPTED, Decision, authorise, decide
from billing.services.ending import apply_stop, revise
from billing.services.messages import Said
from billing.services.places import find_connector
from fleetcharge.lib.events import publish
from stations import services as stations
from stations.models import Charger

Quality = ChargingSession.Quality
NOT_ASKED = Decision(False, "", None)


@dataclass(frozen=True)
class StartedSession:
    """`connector_id`: the plug (primary key) while the session runs, 0 once it has ended."""

    session_id: int
    transaction_ref: str
    is_new: bool
    decision: Decision
    connector_id: int = 0


@dataclass(frozen=True)
class Start:
    """A start, or any other message that shows a session we did not know (`is_reported` False).

    `connector_id` is the station's own number, station-wide for OCPP 1.6 (`evse_number` None).
    """

    charger_id: int
    evse_number: int | None
    connector_id: int
    id_token: str
    started_at: datetime
    received_at: datetime
    meter_start_wh: int | None
    start_key: str
    transaction_ref: str | None
    reservation_number: int | None
    remote_start_id: int | None
    is_reported: bool
    is_offline: bool
    is_time_ours: bool
    former_key: str = ""

    def __str__(self) -> str:
        return f"start of {self.started_at:%Y-%m-%d %H:%M:%S}Z"


@transaction.atomic
def start_session(
    *,
    charger_id: int,
    evse_number: int | None,
    connector_id: int,
    id_token: str,
    started_at: datetime,
    received_at: datetime,
    meter_start_wh: int | None,
    start_key: str,
    transaction_ref: str | None = None,
    reservation_number: int | None = None,
    remote_start_id: int | None = None,
    is_reported: bool = True,
    is_offline: bool = False,
    is_time_ours: bool = False,
    said: Said | None = None,
    former_key: str = "",
) -> StartedSession:
    """Record a start, also of an unknown token or hours late; the same `start_key` is the same session.

    Without `transaction_ref` the session gets a positive int32 (OCPP 1.6 transactionId); with that of a session that
    was over before, that one makes room. `is_reported` False: another message than the start shows the session, which
    is provisional until its start arrives. What a known session did not know yet (start, token, place) is completed and
    audited. A session without a token is not judged before one comes. `is_time_ours`: the station's clock is not
    believed, `started_at` is when we heard of it. `former_key`: what `start_key` was for the same start before its
    making changed.
    """
    start = Start(
        charger_id, evse_number, connector_id, id_token[:36], started_at, received_at, meter_start_wh, start_key,
        transaction_ref, reservation_number, remote_start_id, is_reported, is_offline,
        is_time_ours, former_key,
    )  # fmt: skip
    if said is not None and transaction_ref:
        messages.keep(charger_id=charger_id, transaction_ref=transaction_ref, said=said)
    cause = str(said or start)
    known = _started_before(start)
    has_made_room = False
    while known and reused.is_another(known, start, None if said is None else said.sequence):
        reused.make_room(known, start, cause)
        has_made_room, known = True, _started_before(start)
    if known:
        return _complete(known, start, cause)
    try:
        with transaction.atomic():
            session = _record(start)
    except IntegrityError:  # the same start on another socket was first
        known = _started_before(start)
        if known is None:
            raise
        return _complete(known, start, cause)
    if rematching.put_right(session, now=received_at, cause=cause):
        return _as_started(session, is_new=True)
    if has_made_room and (refused := reused.take_refused(session, received_at)):
        revise(session_id=refused[0], now=received_at)
        apply_stop(session, refused[1], received_at=received_at, cause=str(refused[1]))
    elif stop := orphans.take(session, received_at):
        apply_stop(session, stop, received_at=received_at, cause=str(stop))
    return _as_started(session, is_new=True)


@transaction.atomic
def note_message(*, charger_id: int, transaction_ref: str, said: Said) -> None:
    """Keep what a running transaction says besides samples (OCPP 2.x chargingState, seqNo)."""
    messages.keep(charger_id=charger_id, transaction_ref=transaction_ref, said=said)


@transaction.atomic
def show_flow(*, charger_id: int, transaction_ref: str, is_delivering: bool, at: datetime) -> None:
    """What flows, shown at the plug of a running session. One that has ended meanwhile takes no plug any more."""
    running = ChargingSession.objects.select_for_update(no_key=True).active()
    session = running.filter(charger_id=charger_id, transaction_ref=transaction_ref).first()
    if session is not None:
        stations.set_session(connector_id=session.connector_id, has_session=True, is_delivering=is_delivering, at=at)


def _started_before(start: Start) -> ChargingSession | None:
    """Without a lock: nearly always there is nothing to complete."""
    if _is_timeless(start):
        own = _with_its_key(start).select_related("id_token", "connector__evse")
        return own.filter(state=ChargingSession.State.ACTIVE).first() or _left_behind(own, start)
    same = Q(start_key__in=[key for key in (start.start_key, start.former_key) if key])
    if start.transaction_ref:
        same |= Q(charger_id=start.charger_id, transaction_ref=start.transaction_ref)
    return ChargingSession.objects.filter(same).select_related("id_token", "connector__evse").first()


def _is_timeless(start: Start) -> bool:
    """Nothing in it tells tomorrow's start from a repeat of today's (OCPP 1.6, a clock that stands still)."""
    return start.is_time_ours and start.transaction_ref is None


def _with_its_key(start: Start) -> QuerySet[ChargingSession]:
    named = Q(start_key__startswith=start.start_key)
    if start.former_key:
        named |= Q(start_key__startswith=start.former_key)
    return ChargingSession.objects.filter(named, charger_id=start.charger_id)


def _left_behind(own: QuerySet[ChargingSession], start: Start) -> ChargingSession | None:
    """The ended session at whose start the register stood there: it has moved on, and never says this again.

    A register of 0 proves nothing, as many count every session from there.
    """
    if not start.meter_start_wh:
        return None
    moved = own.filter(meter_start_wh=start.meter_start_wh, meter_last_wh__gt=start.meter_start_wh)
    recent = moved.filter(state=ChargingSession.State.ENDED, created_at__gt=start.received_at - orphans.REPEATED_FOR)
    return recent.order_by("pk").last()


def _key_of(start: Start) -> str:
    """Of a start without a time: another key than the sessions before it have, the same for its own repeats."""
    before = _with_its_key(start).order_by("pk").last() if _is_timeless(start) else None
    return f"{start.start_key}/{before.pk}" if before else start.start_key


def _complete(known: ChargingSession, start: Start, cause: str) -> StartedSession:
    session = learning.complete(known, start, cause)
    if start.id_token and start.id_token.lower() != session.id_token_uid.lower():  # another card, for this session
        decision = authorise(
            id_token=start.id_token, connector_id=session.connector_id, charger_id=start.charger_id, at=start.started_at
        )
        return StartedSession(session.pk, session.transaction_ref, False, decision, _running_at(session))
    return _as_started(session, is_new=False)


def _record(start: Start) -> ChargingSession:
    charger = Charger.objects.select_related("location__source").get(pk=start.charger_id)
    connector = find_connector(charger, start.evse_number, start.connector_id, start.received_at)
    decision = NOT_ASKED
    if start.id_token:
        decision = decide(
            id_token=start.id_token, connector_id=connector.pk, charger_id=charger.pk, at=start.started_at,
            is_start=True,
        )  # fmt: skip
    session = ChargingSession(
        organisation_id=decision.organisation_id or charger.organisation_id,
        source=charger.location.source,
        charger=charger,
        connector=connector,
        transaction_ref=start.transaction_ref or str(ledger.next_transaction_id()),
        start_key=_key_of(start),
        id_token_uid=start.id_token,
        id_token_id=decision.id_token_id,
        vehicle_id=decision.vehicle_id,
        driver_id=decision.driver_id,
        authorisation_reason=decision.reason,
        reservation_number=start.reservation_number,
        remote_start_id=start.remote_start_id,
        quality=Quality.BILLABLE if decision.is_accepted else Quality.REVIEW,
        is_start_reported=start.is_reported,
        is_meter_start_reported=start.meter_start_wh is not None,
        is_time_ours=start.is_time_ours,
        started_at=start.started_at,
        meter_start_wh=start.meter_start_wh,
        meter_last_wh=start.meter_start_wh,
    )
    session.save(force_insert=True)
    if adopt(session):
        session.save(update_fields=["energy_wh", "meter_last_wh", "metered_at"])
    stations.set_session(connector_id=connector.pk, has_session=True, is_delivering=False, at=start.started_at)
    if decision.is_accepted:
        money.hold_for(session, start.received_at, decision.limits)
    if start.id_token:
        keep_start(session=session, decision=decision, received_at=start.received_at, is_offline=start.is_offline)
    publish(
        SessionStarted(
            session.pk, session.organisation_id, connector.pk, charger.location_id, session.vehicle_id,
            session.started_at,
        )
    )  # fmt: skip
    return session


def _as_started(session: ChargingSession, *, is_new: bool) -> StartedSession:
    reason = session.authorisation_reason
    decision = Decision(
        reason == ACCEPTED, reason, session.organisation_id, session.vehicle_id, session.driver_id,
        session.id_token_id, session.id_token.valid_until if session.id_token else None,
    )  # fmt: skip
    return StartedSession(session.pk, session.transaction_ref, is_new, decision, _running_at(session))


def _running_at(session: ChargingSession) -> int:
    """0 when the session has ended: a late message must not make its connector look busy again."""
    return session.connector_id if session.state == ChargingSession.State.ACTIVE else 0
