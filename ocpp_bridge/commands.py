"""The ledger of what we ask of chargers: one row from the click to the answer, whatever dies in between."""

import functools
import json
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone

from fleetcharge.lib.events import publish
from ocpp_bridge import actions, bell, costs, reserving
from ocpp_bridge.charging.profiles import active_profile
from ocpp_bridge.discretion import storable, without_secrets
from ocpp_bridge.events import CommandFinished
from ocpp_bridge.models import Command
from ocpp_bridge.saying import Said
from ocpp_bridge.station import Unusable
from stations.events import CommandAnswered, ReservationAnswered
from stations.models import Charger

MAX_KEY = 80
MAX_ATTEMPTS = 3
FORGET_AT_ONCE = 5000
ANSWER_MARGIN = timedelta(seconds=15)  # beyond the time-out of the process that waits for the answer
SESSION_MARGIN = timedelta(seconds=30)  # beyond the chargers' ConnectionTimeOut
MAY_HAVE_BEEN_DONE = "The connection was lost before the answer; it may have been carried out."

_State = Command.State
_RESERVING = (Command.Action.RESERVE_NOW, Command.Action.CANCEL_RESERVATION)
_ANSWERED: dict[str, str] = {
    Command.Action.REMOTE_START: "START_SESSION",
    Command.Action.REMOTE_STOP: "STOP_SESSION",
    Command.Action.UNLOCK_CONNECTOR: "UNLOCK_CONNECTOR",
    Command.Action.SET_CHARGING_PROFILE: "SET_PROFILE",
    Command.Action.CLEAR_CHARGING_PROFILE: "CLEAR_PROFILE",
    Command.Action.GET_COMPOSITE_SCHEDULE: "ACTIVE_PROFILE",
}
"""What a CommandAnswered event calls them."""
_ANSWERS: dict[str, str] = {
    _State.ACCEPTED: "accepted",
    _State.REJECTED: "rejected",
    _State.TIMED_OUT: "timed_out",
    _State.NO_SESSION: "no_session",
}
_RESERVATION_STATES = {
    (Command.Action.RESERVE_NOW, _State.ACCEPTED): "accepted",
    (Command.Action.RESERVE_NOW, _State.REJECTED): "rejected",
    (Command.Action.RESERVE_NOW, _State.CANCELLED): "cancelled",
    (Command.Action.CANCEL_RESERVATION, _State.ACCEPTED): "cancelled",
}


class KeyReused(Exception):
    """The idempotency key already belongs to another command."""


class BadParameters(ValueError):
    """The action needs parameters that are not there."""


@transaction.atomic
def enqueue(
    *,
    charger_id: int,
    action: str,
    parameters: dict[str, Any],
    idempotency_key: str,
    actor: str,
    deadline_at: datetime | None = None,
    reservation_key: str = "",
    now: datetime | None = None,
) -> Command:
    """Put one command in the charger's queue and wake the process that holds its socket.

    The same key of the same organisation returns the same row; with another charger, action or parameters it raises
    KeyReused. Parameters are version-neutral (docs/ocpp.md); instants may be datetimes. `deadline_at` None: as long as
    the action may wait (`actions.TERMS`). What the charger's version cannot say is `failed` at once, with the reason.
    Raises BadParameters when something the action needs is missing.
    """
    now = now or timezone.now()
    charger = Charger.objects.only("organisation_id", "protocol", "node").get(pk=charger_id)
    terms = actions.TERMS[action]
    parameters = _plain(parameters)
    if terms.numbered:
        parameters = {terms.numbered: secrets.randbelow(2**31 - 1) + 1, **parameters}
    if lacking := actions.missing(action, parameters):
        raise BadParameters(f"{action} needs {', '.join(lacking)}.")
    command, is_new = Command.objects.get_or_create(
        organisation_id=charger.organisation_id,
        idempotency_key=idempotency_key[:MAX_KEY],
        defaults={
            "charger_id": charger_id,
            "action": action,
            "parameters": parameters,
            "deadline_at": deadline_at or now + terms.waits,
            "actor": actor[:120],
            "reservation_key": reservation_key,
            "created_at": now,
        },
    )
    if not is_new:
        _same_or_raise(command, charger_id, action, parameters)
    elif charger.protocol and (flaw := _flaw(charger, action, parameters)):
        command.protocol = charger.protocol
        _finish(command, state=_State.FAILED, reason=flaw, response=None, at=now)
    else:
        transaction.on_commit(functools.partial(bell.ring, charger_id, charger.node))
    return command


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """As the database keeps them: instants and decimals as text."""
    try:
        plain: dict[str, Any] = storable(json.loads(json.dumps(parameters, cls=DjangoJSONEncoder, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise BadParameters(str(error)) from error
    return plain


def _same_or_raise(command: Command, charger_id: int, action: str, parameters: dict[str, Any]) -> None:
    number = actions.TERMS[action].numbered
    known, asked = (
        {name: value for name, value in without_secrets(given).items() if name != number}
        for given in (command.parameters, parameters)
    )
    if (command.charger_id, command.action, known) != (charger_id, action, asked):
        raise KeyReused(command.idempotency_key)


def _flaw(charger: Charger, action: str, parameters: dict[str, Any]) -> str:
    """Why its version cannot say it, or this charger cannot do it; '' when it can."""
    try:
        _say(charger.protocol, action, parameters)
    except Unusable as error:
        return str(error)
    flaw = reserving.flaw_of(charger_id=charger.pk, action=action, parameters=parameters)
    return flaw or costs.flaw_of(charger=charger, action=action, parameters=parameters)


def _say(protocol: str, action: str, parameters: dict[str, Any]) -> Said:
    from ocpp_bridge import vocabulary  # the version packages import services that enqueue commands

    return vocabulary.say(protocol, action, parameters)


# --- sending ------------------------------------------------------------------------------------------------------


def chargers_with_work(*, node: str) -> list[int]:
    """Chargers whose socket this node owns and that have queued commands; as cheap as the queue is short."""
    waiting = Command.objects.queued().filter(charger__node=node, charger__is_online=True).order_by()
    return list(waiting.values_list("charger_id", flat=True).distinct())


@transaction.atomic
def claim_next(
    *, charger_id: int, node: str, epoch: int, protocol: str, registration: str, now: datetime
) -> Command | None:
    """The oldest queued command that may be sent, now `sent`, with the words it goes out in.

    None too for a socket that is not the charger's newest (`epoch`): its successor sends. Commands past their deadline
    are `expired` on the way, those this version cannot say are `failed`.
    """
    queue = Command.objects.select_for_update(of=("self",), skip_locked=True).queued()
    queue = queue.filter(charger_id=charger_id, charger__node=node, charger__connection_epoch=epoch)
    for command in queue.select_related("charger").order_by("created_at", "pk"):
        if command.deadline_at <= now:
            _finish(command, state=_State.EXPIRED, reason="The charger was not there in time.", response=None, at=now)
        elif _may_be_sent(command, registration, command.charger.registration) and _dress(command, protocol, now):
            _mark_sent(command, node, now)
            return command
    return None


def _may_be_sent(command: Command, *registrations: str) -> bool:
    """As the charger was told, and as its record says now: a socket learns of a change some seconds later."""
    return all(actions.may_be_sent(command.action, command.parameters, told) for told in registrations)


def _dress(command: Command, protocol: str, now: datetime) -> bool:
    """Find the words; False when there are none, and the command is finished."""
    command.protocol = protocol
    try:
        command.wire_action, command.request = _say(protocol, command.action, command.parameters)
    except Unusable as error:
        _finish(command, state=_State.FAILED, reason=str(error), response=None, at=now)
        return False
    return True


def _mark_sent(command: Command, node: str, now: datetime) -> None:
    command.state, command.sent_at, command.node = _State.SENT, now, node
    command.attempts += 1
    command.answer_due_at = now + timedelta(seconds=answer_seconds(command.action)) + ANSWER_MARGIN
    command.save(
        update_fields=["state", "sent_at", "node", "attempts", "answer_due_at", "protocol", "wire_action", "request"]
    )


def answer_seconds(action: str) -> float:
    """How long a charger may take over this action's answer."""
    return settings.OCPP_CALL_TIMEOUT_SECONDS * actions.TERMS[action].patience


# --- outcomes -----------------------------------------------------------------------------------------------------


@transaction.atomic
def finish(*, command_id: Any, state: str, reason: str, response: object, at: datetime) -> bool:
    """Record the outcome once; the first one wins. False when it had one."""
    command = Command.objects.select_for_update().get(pk=command_id)
    if command.state not in Command.OPEN_STATES:
        return False
    _finish(command, state=state, reason=reason, response=response, at=at)
    return True


@transaction.atomic
def cancel(*, command_id: Any, reason: str, at: datetime) -> bool:
    """Take back what is still queued; False when it is on its way or over."""
    command = Command.objects.select_for_update().get(pk=command_id)
    if command.state != _State.QUEUED:
        return False
    _finish(command, state=_State.CANCELLED, reason=reason, response=None, at=at)
    return True


@transaction.atomic
def lose(*, command_id: Any, at: datetime) -> str:
    """The socket or its process died before the answer; returns the state that follows.

    What may be said twice goes back into the queue until its deadline; the rest is `timed_out`: nobody knows.
    """
    command = Command.objects.select_for_update().get(pk=command_id)
    if command.state == _State.SENT:
        _lose(command, at)
    return command.state


def _lose(command: Command, at: datetime) -> None:
    may_repeat = actions.TERMS[command.action].is_repeatable and command.attempts < MAX_ATTEMPTS
    if may_repeat and command.deadline_at > at:
        command.state, command.sent_at, command.answer_due_at, command.node = _State.QUEUED, None, None, ""
        command.save(update_fields=["state", "sent_at", "answer_due_at", "node"])
    else:
        _finish(command, state=_State.TIMED_OUT, reason=MAY_HAVE_BEEN_DONE, response=None, at=at)


def _finish(command: Command, *, state: str, reason: str, response: object, at: datetime) -> None:
    command.state, command.reason, command.answered_at = state, storable(reason)[:120], at
    command.response = without_secrets(storable(response))
    command.parameters, command.request = without_secrets(command.parameters), without_secrets(command.request)
    if state == _State.ACCEPTED and command.action == Command.Action.REMOTE_START and command.session_id is None:
        command.session_due_at = at + timedelta(seconds=settings.OCPP_CONNECTION_TIMEOUT_SECONDS) + SESSION_MARGIN
    command.save(
        update_fields=[
            "state", "reason", "response", "answered_at", "session_due_at", "protocol", "parameters", "request",
        ]
    )  # fmt: skip
    tell(command, at)
    if command.reservation_key and command.action in _RESERVING:
        publish(ReservationAnswered(command.reservation_key, *_reservation_outcome(command), at))


def tell(command: Command, at: datetime) -> None:
    """Publish the outcome; `outbox.py` writes the webhook message in the same transaction."""
    row = command
    if row.reservation_key and row.action in _ANSWERED:
        kind, state = _ANSWERED[row.action], _ANSWERS.get(row.state, "failed")
        publish(CommandAnswered(None, kind, row.reservation_key, state, row.reason, at, active_profile(row.response)))
    publish(CommandFinished(str(row.pk), row.organisation_id, row.charger_id, row.action, row.state, row.reason, at))


def _reservation_outcome(command: Command) -> tuple[str, str]:
    """(state, reason) of the reservation.

    A charger rejects a cancellation when it does not know the reservation (OCPP 1.6 section 6.9): it holds nothing,
    but whether it ever did, or let somebody else charge meanwhile, nobody can say. So that is `failed`, never
    `cancelled`.
    """
    if command.action == Command.Action.CANCEL_RESERVATION and command.state == _State.REJECTED:
        return "failed", "unknown to the charger"
    unanswered = "timed_out" if command.state in {_State.TIMED_OUT, _State.EXPIRED} else "failed"
    known = _RESERVATION_STATES.get((Command.Action(command.action), _State(command.state)), unanswered)
    return known, command.reason


# --- sweeps -------------------------------------------------------------------------------------------------------


@transaction.atomic
def sweep(*, now: datetime) -> int:
    """Close what nobody will answer any more: queued past the deadline, or sent and never answered."""
    late = Command.objects.select_for_update(skip_locked=True).order_by("pk")
    expired = late.filter(state=_State.QUEUED, deadline_at__lte=now)
    lost = late.filter(state=_State.SENT, answer_due_at__lte=now)
    count = 0
    for command in expired:
        _finish(command, state=_State.EXPIRED, reason="The charger was not there in time.", response=None, at=now)
        count += 1
    for command in lost:
        _lose(command, now)
        count += 1
    return count


def forget_old(*, now: datetime) -> int:
    """Delete finished commands that are older than we keep them, a bounded number at a time."""
    before = now - timedelta(days=settings.OCPP_COMMAND_DAYS)
    old = Command.objects.filter(created_at__lt=before).exclude(state__in=Command.OPEN_STATES).order_by("created_at")
    return Command.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:FORGET_AT_ONCE])).delete()[0]


@transaction.atomic
def lose_all_of(*, node: str, now: datetime) -> int:
    """Everything that was on the wire of a process that is gone."""
    on_the_wire = Command.objects.select_for_update(skip_locked=True).filter(state=_State.SENT, node=node)
    count = 0
    for command in on_the_wire.order_by("pk"):
        _lose(command, now)
        count += 1
    return count
