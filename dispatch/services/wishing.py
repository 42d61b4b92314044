"""What else can be asked of a plug or a session: free the cable, draw less, be ready by a time. Its network decides."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.dateparse import parse_datetime

from billing.models import ChargingSession
from dispatch.models import SessionCommand
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from stations.cpo import registry
from stations.cpo.base import CommandReceipt, LimitRequest, OutlookRequest, PreferRequest, UnlockRequest
from stations.models import EVSE, Connector, Source, StatusChange

Kind, State, Status = SessionCommand.Kind, SessionCommand.State, Connector.Status
EMPTY = (Status.AVAILABLE, Status.RESERVED)
STUCK_WITHIN = timedelta(hours=2)
"""So long after its session a vehicle of ours may still hang on a cable."""
LONGEST = timedelta(hours=36)
"""A session that hangs on a cable began no longer ago."""
OUTLOOK_SECONDS = 3600
WISHES: dict[str, Callable[[EVSE, Source | None], object | None]] = {
    Kind.LIMIT: registry.limiter_for,
    Kind.UNLIMIT: registry.limiter_for,
    Kind.OUTLOOK: registry.limiter_for,
    Kind.PREFER: registry.preferences_for,
}
"""Who can do what is asked of a session."""


class CommandRefused(Exception):
    """We do not even ask; `code` for machines, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def unlock(
    *, organisation_id: int, connector_id: int, actor: User | None, actor_label: str = "", reason: str = "",
    now: datetime,
) -> SessionCommand:  # fmt: skip
    """Free a cable: at chargers of one's own, elsewhere where a vehicle of ours charges or has just charged.

    CommandRefused: not_supported, not_yours (nobody of ours hangs there, or somebody else may), in_progress.
    """
    connector = Connector.objects.select_related("evse__location__source", "evse__charger").get(pk=connector_id)
    if registry.unlocker_for(connector.evse) is None:
        raise CommandRefused("not_supported", "This network cannot be told to unlock.")
    session = last_session(organisation_id, connector, now)
    if session is None and not is_own(connector, organisation_id):
        raise CommandRefused("not_yours", "None of your vehicles has charged here in the last two hours.")
    if session is not None and not is_own(connector, organisation_id) and is_taken_since(session):
        raise CommandRefused("not_yours", "Somebody else has been at this plug since your vehicle charged here.")
    command = SessionCommand(
        organisation_id=organisation_id, kind=Kind.UNLOCK, connector=connector, session=session,
        vehicle_id=session.vehicle_id if session else None, created_by=actor, created_at=now,
    )  # fmt: skip
    return _record(command, actor, actor_label, reason, {"connector_id": connector_id})


def wish(
    *, session_id: int, kind: str, parameters: dict[str, Any], actor: User | None, actor_label: str = "", now: datetime
) -> SessionCommand:
    """Something about a running session: Kind LIMIT (`max_power_w`), UNLIMIT, OUTLOOK (`seconds`) or PREFER.

    PREFER says `style` and perhaps `departure_at` (ISO 8601) and `energy_wh`. CommandRefused: not_running,
    not_supported, in_progress.
    """
    session = ChargingSession.objects.select_related("connector__evse", "source").get(pk=session_id)
    if session.state != ChargingSession.State.ACTIVE:
        raise CommandRefused("not_running", "This session is not running.")
    if WISHES[kind](session.connector.evse, session.source) is None:
        raise CommandRefused("not_supported", "This network does not take that here.")
    command = SessionCommand(
        organisation_id=session.organisation_id, kind=kind, connector=session.connector, session=session,
        vehicle_id=session.vehicle_id, parameters=parameters, created_by=actor, created_at=now,
    )  # fmt: skip
    return _record(command, actor, actor_label, "", {"session_id": session_id, **parameters})


def last_session(organisation_id: int, connector: Connector, now: datetime) -> ChargingSession | None:
    """The fleet's own at this plug: running, or over for less than two hours."""
    mine = ChargingSession.objects.filter(may_hang(now), organisation_id=organisation_id, connector=connector)
    return mine.order_by("-started_at").first()


def is_taken_since(session: ChargingSession) -> bool:
    """Whether another vehicle may hang on the cable: after its end a session of anybody began, or the plug filled."""
    if session.state == ChargingSession.State.ACTIVE or session.ended_at is None:
        return False
    others = ChargingSession.objects.filter(connector=session.connector_id, started_at__gt=session.started_at)
    changes = StatusChange.objects.filter(connector=session.connector_id, at__gt=session.ended_at)
    is_filled = Q(new=Status.CHARGING) | Q(old__in=EMPTY, new=Status.OCCUPIED)
    return others.exclude(pk=session.pk).exists() or changes.filter(is_filled).exists()


def may_hang(now: datetime) -> Q:
    """Sessions whose vehicle may be at the plug; each half has an index over plugs."""
    has_just_ended = Q(started_at__gt=now - LONGEST, ended_at__gt=now - STUCK_WITHIN)
    return Q(state=ChargingSession.State.ACTIVE) | has_just_ended


def is_own(connector: Connector, organisation_id: int) -> bool:
    charger = connector.evse.charger
    return charger is not None and charger.organisation_id == organisation_id


def _record(
    command: SessionCommand, actor: User | None, actor_label: str, reason: str, after: dict[str, Any]
) -> SessionCommand:
    try:
        with transaction.atomic():
            command.save()
            audit(action=f"session.{command.kind}", target=command, actor=actor, actor_label=actor_label,
                  reason=reason, after=after)  # fmt: skip
    except IntegrityError:
        raise CommandRefused("in_progress", "This is being asked already.") from None
    return command


# --- the network --------------------------------------------------------------------------------------------------
NOT_SUPPORTED = CommandReceipt("rejected", "not supported")


def ask(command: SessionCommand) -> CommandReceipt:
    """Say it to its network; outside any transaction. Raises CPOError."""
    if command.kind == Kind.UNLOCK:
        unlocker = registry.unlocker_for(command.connector.evse)
        return unlocker.unlock(UnlockRequest(command.connector, str(command.key))) if unlocker else NOT_SUPPORTED
    return _prefer(command) if command.kind == Kind.PREFER else _limit(command)


def _limit(command: SessionCommand) -> CommandReceipt:
    session = command.session
    limiter = registry.limiter_for(command.connector.evse, session.source) if session else None
    if limiter is None or session is None:
        return NOT_SUPPORTED
    place, key = (command.connector, session.transaction_ref), str(command.key)
    if command.kind == Kind.OUTLOOK:
        seconds = command.parameters.get("seconds") or OUTLOOK_SECONDS
        return limiter.outlook(OutlookRequest(*place, key, seconds, session.source))
    return limiter.limit(LimitRequest(*place, key, command.parameters.get("max_power_w"), session.source))


def _prefer(command: SessionCommand) -> CommandReceipt:
    session, said = command.session, command.parameters
    taker = registry.preferences_for(command.connector.evse, session.source) if session else None
    if taker is None or session is None:
        return NOT_SUPPORTED
    leaves_at = parse_datetime(said["departure_at"]) if said.get("departure_at") else None
    place = command.connector, session.transaction_ref
    return taker.prefer(PreferRequest(*place, said["style"], leaves_at, said.get("energy_wh"), session.source))
