"""How a network is doing, and what became of the commands we sent to it."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from fleetcharge.lib.events import publish
from stations.events import CommandAnswered, ReservationAnswered, SourceStateChanged
from stations.models import Connector, CPOCommand, Source

State = CPOCommand.State
ANSWERS = {
    State.ACCEPTED: "accepted",
    State.REJECTED: "rejected",
    State.FAILED: "failed",
    State.TIMED_OUT: "timed_out",
    State.CANCELLED: "cancelled",
}
ASKS_FOR_A_PLUG = {CPOCommand.Kind.RESERVE_NOW, CPOCommand.Kind.BOOKING}
RESERVING = {*ASKS_FOR_A_PLUG, CPOCommand.Kind.CANCEL_RESERVATION}
FAILING_AFTER = 3
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(hours=6)
PUSH_NOTED_EVERY = timedelta(seconds=5)


@transaction.atomic
def source_polled(*, source_id: int, at: datetime) -> None:
    """A pull went through: the network works (again), and stands by every status it did not send anew."""
    source = Source.objects.select_for_update().get(pk=source_id)
    source.last_polled_at, source.last_error, source.failures_in_row = at, "", 0
    _save(source, Source.State.CONNECTED, at)
    connectors = Connector.objects.filter(evse__location__source=source, evse__charger=None, heard_at__lt=at)
    connectors.exclude(status_at=None).update(heard_at=at)


@transaction.atomic
def source_failed(*, source_id: int, error: str, at: datetime, retry_after_seconds: float = 0) -> None:
    """A call failed: the next try waits twice as long; three in a row and the network counts as failing."""
    source = Source.objects.select_for_update().get(pk=source_id)
    pause = min(FIRST_PAUSE * 2 ** min(source.failures_in_row, 12), LONGEST_PAUSE)
    source.failures_in_row += 1
    source.last_error = error[:2000]
    source.next_poll_at = at + max(pause, min(timedelta(seconds=retry_after_seconds), LONGEST_PAUSE))
    is_failing = source.failures_in_row >= FAILING_AFTER
    _save(source, Source.State.FAILING if is_failing else source.state, at)


@transaction.atomic
def switch_source(*, source_id: int, is_on: bool, at: datetime) -> None:
    """An operator (or the CPO itself, by leaving) switches a network off; switched on it has to prove itself."""
    source = Source.objects.select_for_update().get(pk=source_id)
    source.next_poll_at = None
    if is_on and source.state != Source.State.DISABLED:
        return
    old, source.state = source.state, Source.State.NEW if is_on else Source.State.DISABLED
    source.save(update_fields=["state", "next_poll_at"])
    if old != source.state:
        publish(SourceStateChanged(source.pk, old, source.state, at))


def _save(source: Source, state: str, at: datetime) -> None:
    """What happens to a network that was switched off meanwhile does not switch it on."""
    old = source.state
    source.state = old if old == Source.State.DISABLED else state
    source.save(update_fields=["state", "last_polled_at", "last_error", "failures_in_row", "next_poll_at"])
    if old != source.state:
        publish(SourceStateChanged(source.pk, old, source.state, at))


def is_push_noted(last_push_at: datetime | None, at: datetime) -> bool:
    """A push is noted every few seconds: a thousand a second must not queue for one row."""
    return last_push_at is not None and last_push_at > at - PUSH_NOTED_EVERY


def push_received(*, source_id: int, at: datetime) -> None:
    """The network spoke to us at `at`; an earlier `at` than the one we know changes nothing."""
    earlier = Q(last_push_at=None) | Q(last_push_at__lt=at)
    Source.objects.filter(earlier, pk=source_id).update(last_push_at=at)


@transaction.atomic
def finish_cpo_command(
    *, command_id: int, state: str, reason: str, at: datetime, result: dict[str, Any] | None = None
) -> bool:
    """A command got its result; False when that changes nothing. Reservations hear of it.

    Time-outs and failures of ours may be overtaken by the CPO's own word; a granted reservation may only be taken back.
    """
    command = CPOCommand.objects.select_for_update().get(pk=command_id)
    if not _may_become(command.state, state):
        return False
    command.state, command.result, command.answered_at = state, result, at
    command.save(update_fields=["state", "result", "answered_at"])
    if command.kind in ASKS_FOR_A_PLUG and state in ANSWERS:
        publish(ReservationAnswered(command.reservation_key, ANSWERS[State(state)], reason, at))
    elif command.kind not in RESERVING:
        publish(CommandAnswered(command.pk, command.kind, command.reservation_key, state, reason, at))
    return True


def _may_become(old: str, new: str) -> bool:
    if old in {State.REJECTED, State.CANCELLED, State.SESSION_SEEN} or old == new:
        return False
    return old != State.ACCEPTED or new == State.CANCELLED
