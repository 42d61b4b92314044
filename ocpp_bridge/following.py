"""What became of an accepted start: the session that followed it, or the finding that none did."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from billing.models import ChargingSession
from ocpp_bridge import commands
from ocpp_bridge.models import Command

State = Command.State
EARLY = timedelta(seconds=5)  # clocks of two nodes; a session cannot begin before it was asked for
MEMORY = timedelta(hours=1)  # a start that is older than this explains no session any more
LATE = timedelta(minutes=2)  # where only the token tells: so long after ConnectionTimeOut a session is somebody's own
MAY_HAVE_STARTED = (State.SENT, State.ACCEPTED, State.TIMED_OUT, State.NO_SESSION)
REASON = "No session began in time."


@transaction.atomic
def session_started(*, session_id: int, now: datetime) -> bool:
    """Link a new session to the start that asked for it, late ones too; False when nobody asked."""
    session = ChargingSession.objects.select_related("connector__evse").get(pk=session_id)
    if session.charger_id is None or Command.objects.filter(session=session).exists():
        return False
    command = _start_behind(session, charger_id=session.charger_id, heard_at=now)
    if command is None:
        return False
    _link(command, session, now)
    return True


def _start_behind(session: ChargingSession, *, charger_id: int, heard_at: datetime) -> Command | None:
    """The newest start that explains it: of a start and its repetition, it is the repetition that worked."""
    asked = _unfollowed(charger_id).filter(sent_at__gte=heard_at - MEMORY, sent_at__lte=heard_at + EARLY)
    candidates = asked.order_by("-sent_at", "-created_at")
    return next((command for command in candidates if _explains(command, session, heard_at)), None)


def _unfollowed(charger_id: int) -> QuerySet[Command]:
    """Starts that may have begun a session; a refused one has not, whatever began after it."""
    starts = Command.objects.select_for_update().filter(charger_id=charger_id, action=Command.Action.REMOTE_START)
    return starts.filter(session=None, state__in=MAY_HAVE_STARTED)


def _explains(command: Command, session: ChargingSession, heard_at: datetime) -> bool:
    """OCPP 2.x says which start it was; in 1.6 the token at that plug, soon enough, must do."""
    if session.remote_start_id is not None:
        return bool(command.parameters.get("remote_start_id") == session.remote_start_id)
    patience = timedelta(seconds=settings.OCPP_CONNECTION_TIMEOUT_SECONDS) + LATE
    if command.sent_at is None or heard_at - command.sent_at > patience:
        return False
    evse_number = command.parameters.get("evse_number")
    is_there = not evse_number or evse_number == session.connector.evse.evse_number
    return is_there and str(command.parameters.get("id_token", "")).lower() == session.id_token_uid.lower()


def _link(command: Command, session: ChargingSession, now: datetime) -> None:
    command.session, command.session_due_at = session, None
    command.save(update_fields=["session", "session_due_at"])
    if command.state in (State.NO_SESSION, State.TIMED_OUT):  # the session is the better answer
        command.state, command.reason = State.ACCEPTED, "The session came late."
        command.save(update_fields=["state", "reason"])
        commands.tell(command, now)


@transaction.atomic
def sweep(*, now: datetime) -> int:
    """Starts whose time to become a session is over; returns how many became none (OCPP 1.6, ConnectionTimeOut)."""
    late = Command.objects.select_for_update(skip_locked=True).awaiting_session().filter(session_due_at__lte=now)
    count = 0
    for command in late.order_by("pk"):
        session = _session_of(command)
        if session is not None:
            _link(command, session, now)
            continue
        command.state, command.reason, command.session_due_at = State.NO_SESSION, REASON, None
        command.save(update_fields=["state", "reason", "session_due_at"])
        commands.tell(command, now)
        count += 1
    return count


def _session_of(command: Command) -> ChargingSession | None:
    """The session whose event was lost."""
    since = (command.sent_at or command.created_at) - EARLY
    candidates = ChargingSession.objects.filter(charger_id=command.charger_id, created_at__gte=since)
    taken = Command.objects.filter(charger_id=command.charger_id).exclude(session=None).values("session_id")
    for session in candidates.exclude(pk__in=taken).select_related("connector__evse").order_by("created_at"):
        starter = _start_behind(session, charger_id=command.charger_id, heard_at=session.created_at)
        if starter == command:  # else a later start's, and its to take
            return session
    return None
