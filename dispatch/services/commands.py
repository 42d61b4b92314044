"""What is asked of plugs and sessions at every kind of network: sent once, answered or not, proven by the session."""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from billing.models import ChargingSession
from billing.services.authorisation import decide, group_of
from dispatch.events import SessionCommandChanged
from dispatch.models import Reservation, SessionCommand
from dispatch.services import wishing
from dispatch.services.reservations import token_of
from dispatch.services.wishing import CommandRefused
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish
from stations.cpo import registry
from stations.cpo.base import CommandReceipt, CPOError, StartRequest, StopRequest
from stations.models import Connector, CPOCommand
from vehicles.models import Vehicle

Kind, State = SessionCommand.Kind, SessionCommand.State
RELATED = ("connector__evse__location__source", "session__source")
ANSWER_WITHIN = timedelta(minutes=2)
SENT_WITHIN = timedelta(minutes=1)
"""A click that nobody could act on is not acted on later: the driver may be gone."""
SESSION_WITHIN = timedelta(minutes=5)
LATE = timedelta(hours=1)
"""A session that begins so long after its start was asked for is somebody's own."""
MAY_HAVE_BEGUN = (State.SENT, State.ACCEPTED, State.FAILED, State.TIMED_OUT, State.NO_SESSION)


def start_charging(
    *, vehicle_id: int, connector_id: int, actor: User | None, actor_label: str = "", now: datetime
) -> SessionCommand:
    """Begin charging for a vehicle; `send_command` asks the network after the commit.

    CommandRefused: no_token, not_supported, reserved (for another vehicle), in_progress, or what authorisation says.
    """
    vehicle = Vehicle.objects.get(pk=vehicle_id)
    connector = Connector.objects.select_related("evse__location__source").get(pk=connector_id)
    id_token = token_of(vehicle, now)
    _check_start(vehicle, connector, id_token, now)
    try:
        with transaction.atomic():
            command = SessionCommand.objects.create(
                organisation_id=vehicle.organisation_id, kind=Kind.START, connector=connector, vehicle=vehicle,
                id_token=id_token, created_by=actor, created_at=now,
            )  # fmt: skip
            audit(action="session.start", target=command, actor=actor, actor_label=actor_label,
                  after={"connector_id": connector_id})  # fmt: skip
    except IntegrityError:
        raise CommandRefused("in_progress", "A start at this plug is under way.") from None
    return command


def stop_charging(*, session_id: int, actor: User | None, actor_label: str = "", now: datetime) -> SessionCommand:
    """End a running session; `send_command` asks the network after the commit.

    CommandRefused: not_running, not_supported, in_progress.
    """
    session = ChargingSession.objects.select_related("connector", "source").get(pk=session_id)
    if session.state != ChargingSession.State.ACTIVE:
        raise CommandRefused("not_running", "This session is not running.")
    if registry.stopper_for(session.source) is None:
        raise CommandRefused("not_supported", "This network cannot be told to stop.")
    try:
        with transaction.atomic():
            command = SessionCommand.objects.create(
                organisation_id=session.organisation_id, kind=Kind.STOP, connector=session.connector, session=session,
                vehicle_id=session.vehicle_id, id_token=session.id_token_uid[:36], created_by=actor, created_at=now,
            )  # fmt: skip
            audit(action="session.stop", target=command, actor=actor, actor_label=actor_label,
                  after={"session_id": session_id})  # fmt: skip
    except IntegrityError:
        raise CommandRefused("in_progress", "This session is being stopped already.") from None
    return command


def _check_start(vehicle: Vehicle, connector: Connector, id_token: str, now: datetime) -> None:
    if not id_token:
        raise CommandRefused("no_token", "Neither the vehicle nor its driver has a token to charge with.")
    if registry.starter_for(connector.evse.location.source) is None:
        raise CommandRefused("not_supported", "This network cannot be told to start.")
    others = Reservation.objects.active().filter(evse_id=connector.evse_id, starts_at__lte=now, expires_at__gt=now)
    if others.exclude(vehicle=vehicle).exists():
        raise CommandRefused("reserved", "This place is reserved for another vehicle.")
    decision = decide(
        id_token=id_token, connector_id=connector.pk, charger_id=connector.evse.charger_id, at=now, is_start=True
    )
    if not decision.is_accepted:
        raise CommandRefused(decision.reason, f"This vehicle may not charge here: {decision.reason}.")


# --- the network --------------------------------------------------------------------------------------------------
def send_command(pk: int, now: datetime) -> bool:
    """Claim one command and ask its network, outside any transaction; False when it was sent, or is too old."""
    command = SessionCommand.objects.select_related(*RELATED).get(pk=pk)
    unsent = SessionCommand.objects.filter(pk=pk, state=State.REQUESTED)
    if command.created_at < now - SENT_WITHIN:
        _close(unsent, State.FAILED, "not sent in time", now)
        return False
    if not unsent.update(state=State.SENT, sent_at=now):
        return False
    try:
        receipt = _ask(command)
    except CPOError as error:
        receipt = CommandReceipt("failed", str(error))
    if receipt.reference:
        SessionCommand.objects.filter(pk=pk).update(reference=receipt.reference[:120])
    if receipt.state != "pending":
        answer_command(key=str(command.key), state=receipt.state, reason=receipt.reason, at=now)
    return True


def _ask(command: SessionCommand) -> CommandReceipt:
    if command.kind not in (Kind.START, Kind.STOP):
        return wishing.ask(command)
    source, key = command.connector.evse.location.source, str(command.key)
    if command.kind == Kind.START:
        starter, group_id = registry.starter_for(source), group_of(command.vehicle_id) if command.vehicle_id else ""
        request = StartRequest(command.connector, key, command.id_token, group_id=group_id)
        return starter.start(request) if starter else CommandReceipt("rejected", "not supported")
    session = command.session
    stopper = registry.stopper_for(session.source) if session else None
    if stopper is None or session is None:
        return CommandReceipt("rejected", "not supported")
    return stopper.stop(StopRequest(command.connector, session.transaction_ref, key, session.source))


ANSWERS = {
    "accepted": State.ACCEPTED, "rejected": State.REJECTED, "timed_out": State.TIMED_OUT,
    "no_session": State.NO_SESSION, "session_seen": State.DONE,
}  # fmt: skip


@transaction.atomic
def answer_command(
    *, key: str, state: str, reason: str, at: datetime, network_command_id: int | None = None,
    result: dict[str, Any] | None = None,
) -> bool:  # fmt: skip
    """The network's word; False when it changes nothing. Whatever it says, a session that follows counts.

    `network_command_id`: the CPOCommand whose result may tell more; `result`: what a charger of ours told.
    """
    command = SessionCommand.objects.select_for_update(of=("self",)).filter(key=key).first() if _is_key(key) else None
    if command is None or command.state in (State.DONE, State.REJECTED):
        return False
    new = ANSWERS.get(state, State.FAILED)
    if command.state == State.ACCEPTED and new != State.NO_SESSION:
        return False
    if new == State.ACCEPTED and command.kind not in (Kind.START, Kind.STOP):
        new = State.DONE  # nothing is to follow
    command.state, command.reason, command.answered_at = new, reason[:120], at
    if command.kind == Kind.OUTLOOK and network_command_id is not None:
        command.result = CPOCommand.objects.values_list("result", flat=True).get(pk=network_command_id)
    elif result is not None:
        command.result = result
    command.save(update_fields=["state", "reason", "answered_at", "result"])
    _tell(command, at)
    return True


def order_moved(*, reference: str, state: str, reason: str = "", at: datetime) -> None:
    """A UBC order that carries a start of ours moved on (values of UBCOrder.State), for the network's own reason."""
    words = {"confirmed": "accepted", "rejected": "rejected", "cancelled": "rejected", "failed": "failed"}
    starts = SessionCommand.objects.filter(kind=Kind.START, reference=reference).exclude(reference="")
    command = starts.order_by("-pk").first()
    if command is not None and state in words:
        answer_command(key=str(command.key), state=words[state], reason=reason or state, at=at)


def _is_key(key: str) -> bool:
    """Other askers have keys of other kinds."""
    parts = key.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(c in "0123456789abcdef" for c in "".join(parts))


# --- the session --------------------------------------------------------------------------------------------------
@transaction.atomic
def session_began(*, session_id: int, now: datetime) -> bool:
    """A session is the answer to the start that asked for it, late as it may be, and whatever was answered before."""
    session = ChargingSession.objects.select_related("connector").get(pk=session_id)
    asked = SessionCommand.objects.select_for_update(of=("self",)).filter(
        kind=Kind.START, session=None, state__in=MAY_HAVE_BEGUN, created_at__gte=now - LATE,
        connector__evse_id=session.connector.evse_id, organisation_id=session.organisation_id,
    )  # fmt: skip
    command = next((row for row in asked.order_by("-pk") if _explains(row, session)), None)
    if command is None:
        return False
    command.session, command.state, command.answered_at = session, State.DONE, command.answered_at or now
    command.save(update_fields=["session", "state", "answered_at"])
    _tell(command, now)
    return True


def _explains(command: SessionCommand, session: ChargingSession) -> bool:
    if session.vehicle_id is not None and session.vehicle_id == command.vehicle_id:
        return True
    return bool(command.id_token) and session.id_token_uid.lower() == command.id_token.lower()


def session_over(*, session_id: int, now: datetime) -> int:
    """Stops of a session that has ended are done; how many."""
    stops = SessionCommand.objects.filter(kind=Kind.STOP, session_id=session_id).exclude(state=State.DONE)
    return _close(stops, State.DONE, None, now)


@transaction.atomic
def _close(commands: QuerySet[SessionCommand], state: str, reason: str | None, now: datetime) -> int:
    """All of these have come to this; how many. Without a reason they keep the one they have."""
    rows = list(commands.select_for_update(of=("self",)).order_by("pk"))
    for row in rows:
        row.state, row.answered_at = state, now
        row.reason = row.reason if reason is None else reason
        row.save(update_fields=["state", "reason", "answered_at"])
        _tell(row, now)
    return len(rows)


def _tell(command: SessionCommand, at: datetime) -> None:
    publish(SessionCommandChanged(command.pk, command.organisation_id, command.state, command.reason, at))


# --- what an event missed -----------------------------------------------------------------------------------------
def unsent(now: datetime) -> QuerySet[SessionCommand]:
    return SessionCommand.objects.filter(state=State.REQUESTED, created_at__lt=now - timedelta(seconds=5))


def sweep(*, now: datetime) -> int:
    """Close commands that nobody answers, starts that no session followed, stops of sessions that ended; how many."""
    rows = SessionCommand.objects.all()
    silent = rows.filter(state=State.SENT, sent_at__lt=now - ANSWER_WITHIN)
    closed = _close(silent, State.TIMED_OUT, "no answer", now)
    idle = rows.filter(kind=Kind.START, state=State.ACCEPTED, session=None, answered_at__lt=now - SESSION_WITHIN)
    closed += _close(idle, State.NO_SESSION, "nobody plugged in, or nothing began", now)
    over = rows.filter(kind=Kind.STOP, state__in=(State.SENT, State.ACCEPTED, State.TIMED_OUT))
    for session_id in over.exclude(session__state=ChargingSession.State.ACTIVE).values_list("session_id", flat=True):
        closed += session_over(session_id=session_id, now=now)
    return closed
