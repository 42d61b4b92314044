"""The ledger of what we ask of chargers: one row from the click to the answer, whatever dies in between."""

import logging
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.db import transaction

from fleetcharge.lib.events import publish
from ocpp_bridge.models import Command
from stations.events import ReservationAnswered
from stations.models import Charger

WAKE_CHANNEL = "fc:ocpp:commands"
LOST_AFTER = timedelta(seconds=60)  # sent, but the process that waited for the answer is gone
MAX_KEY = 80

logger = logging.getLogger(__name__)
_State = Command.State
_RESERVATION_STATES = {
    (Command.Action.RESERVE_NOW, _State.ACCEPTED): "accepted",
    (Command.Action.RESERVE_NOW, _State.REJECTED): "rejected",
    # A charger that rejects the cancellation does not know the reservation: nothing is held either way.
    (Command.Action.CANCEL_RESERVATION, _State.ACCEPTED): "cancelled",
    (Command.Action.CANCEL_RESERVATION, _State.REJECTED): "cancelled",
}


class KeyReused(Exception):
    """The idempotency key already belongs to another command."""


@transaction.atomic
def enqueue(
    *,
    charger_id: int,
    action: str,
    parameters: dict[str, Any],
    idempotency_key: str,
    deadline_at: datetime,
    actor: str,
    reservation_key: str = "",
) -> Command:
    """Put one command in the charger's queue and wake the process that holds its socket.

    The same key returns the same row; with another charger or action it raises KeyReused. Parameters are
    version-neutral: id_token, evse_number, transaction_ref, reservation_number, expires_at (ISO), message.
    """
    organisation_id = Charger.objects.values_list("organisation_id", flat=True).get(pk=charger_id)
    if action == Command.Action.REMOTE_START:
        parameters = {"remote_start_id": secrets.randbelow(2**31 - 1) + 1, **parameters}
    command, is_new = Command.objects.get_or_create(
        idempotency_key=idempotency_key[:MAX_KEY],
        defaults={
            "organisation_id": organisation_id,
            "charger_id": charger_id,
            "action": action,
            "parameters": parameters,
            "deadline_at": deadline_at,
            "actor": actor[:120],
            "reservation_key": reservation_key,
        },
    )
    if not is_new and (command.charger_id, command.action) != (charger_id, action):
        raise KeyReused(idempotency_key)
    if is_new:
        transaction.on_commit(lambda: wake(charger_id))
    return command


def wake(charger_id: int) -> None:
    """Tell the owner of the socket at once; if Valkey is away, its poll finds the row within a second."""
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1) as client:
            client.publish(WAKE_CHANNEL, str(charger_id))
    except redis.RedisError as error:
        logger.warning("command waits for the poll: %s", error)


def chargers_with_work(charger_ids: Sequence[int]) -> list[int]:
    """Those of our chargers that have queued commands; served by the partial index of queued ones."""
    queued = Command.objects.filter(state=_State.QUEUED)
    return list(queued.filter(charger_id__in=charger_ids).order_by().values_list("charger_id", flat=True).distinct())


@transaction.atomic
def claim_next(*, charger_id: int, now: datetime) -> Command | None:
    """The oldest queued command, now `sent`; commands past their deadline are `expired` on the way."""
    queue = Command.objects.select_for_update(skip_locked=True).filter(charger_id=charger_id, state=_State.QUEUED)
    for command in queue.order_by("created_at", "pk"):
        if command.deadline_at <= now:
            _finish(command, state=_State.EXPIRED, reason="The charger was not there in time.", response=None, at=now)
            continue
        command.state, command.sent_at = _State.SENT, now
        command.save(update_fields=["state", "sent_at"])
        return command
    return None


def note_request(*, command_id: Any, request: dict[str, Any]) -> None:
    """Keep the payload as it goes on the wire."""
    Command.objects.filter(pk=command_id).update(request=request)


@transaction.atomic
def finish(*, command_id: Any, state: str, reason: str, response: object, at: datetime) -> bool:
    """Record the outcome once; the first one wins. Reservation outcomes are published."""
    command = Command.objects.select_for_update().get(pk=command_id)
    if command.state not in Command.OPEN_STATES:
        return False
    _finish(command, state=state, reason=reason, response=response, at=at)
    return True


def _finish(command: Command, *, state: str, reason: str, response: object, at: datetime) -> None:
    command.state, command.reason, command.response, command.answered_at = state, reason[:120], response, at
    command.save(update_fields=["state", "reason", "response", "answered_at"])
    if command.action not in {Command.Action.RESERVE_NOW, Command.Action.CANCEL_RESERVATION}:
        return
    unanswered = "timed_out" if state in {_State.TIMED_OUT, _State.EXPIRED} else "failed"
    outcome = _RESERVATION_STATES.get((Command.Action(command.action), _State(state)), unanswered)
    publish(ReservationAnswered(command.reservation_key, outcome, command.reason, at))


@transaction.atomic
def sweep(*, now: datetime) -> int:
    """Close what nobody will answer any more: queued past the deadline, or sent by a process that died."""
    late = Command.objects.select_for_update(skip_locked=True).order_by("pk")
    expired = late.filter(state=_State.QUEUED, deadline_at__lte=now)
    lost = late.filter(state=_State.SENT, sent_at__lte=now - LOST_AFTER)
    count = 0
    for command in expired:
        _finish(command, state=_State.EXPIRED, reason="The charger was not there in time.", response=None, at=now)
        count += 1
    for command in lost:
        _finish(command, state=_State.TIMED_OUT, reason="No answer from the charger.", response=None, at=now)
        count += 1
    return count
