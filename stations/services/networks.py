"""How a network is doing, and what became of the commands we sent to it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from fleetcharge.lib.deadlocks import again_after_deadlock
from fleetcharge.lib.events import publish
from stations.events import CommandAnswered, ReservationAnswered, SourceStateChanged
from stations.models import CPOCommand, ExternalRef, Source
from stations.services import claims, proofs
from stations.services.shared import stand_by

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
REFUSALS_SHOWN = 20
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(hours=6)
PUSH_NOTED_EVERY = timedelta(seconds=5)
SILENT_AFTER_PAUSES, SILENT_AT_LEAST = 3, timedelta(seconds=60)
SILENT_WITHOUT_PULL = timedelta(minutes=5)
"""Nobody can ask a network that only pushes, so it gets more time before its silence counts."""
SILENT = "Nothing has been heard of it for longer than it is ever quiet."


@again_after_deadlock
@transaction.atomic
def source_polled(
    *, source_id: int, at: datetime, refused_objects: int = 0, refusals: Sequence[dict[str, Any]] = ()
) -> None:
    """A pull went through: the network works (again), and stands by every status it did not send anew.

    It does not stand by sites that its last full list left out. What could not be used of it (the first few by name)
    is shown until another poll refuses something, or the whole list has been asked for again.
    """
    source = Source.objects.select_for_update().get(pk=source_id)
    source.last_polled_at, source.last_error, source.last_error_code, source.failures_in_row = at, "", "", 0
    if refused_objects or _are_refusals_old(source, at):
        source.refused_objects, source.refusals = refused_objects, list(refusals[:REFUSALS_SHOWN])
        source.refused_at = at if refused_objects else None
        source.save(update_fields=["refused_objects", "refusals", "refused_at"])
    _save(source, Source.State.CONNECTED, at)
    missing = ExternalRef.objects.filter(source=source, kind=ExternalRef.Kind.LOCATION, missed_syncs__gt=0)
    stand_by(source_id=source_id, at=at, but=list(missing.values_list("object_id", flat=True)))
    claims.weigh_again(source_id=source_id, at=at)


def _are_refusals_old(source: Source, at: datetime) -> bool:
    return source.refused_at is not None and (at - source.refused_at).total_seconds() >= source.full_sync_seconds


@transaction.atomic
def source_failed(*, source_id: int, error: str, at: datetime, code: str = "", retry_after_seconds: float = 0) -> None:
    """A call failed: the next try waits twice as long; three in a row and the network counts as failing."""
    source = Source.objects.select_for_update().get(pk=source_id)
    pause = min(FIRST_PAUSE * 2 ** min(source.failures_in_row, 12), LONGEST_PAUSE)
    source.failures_in_row, source.failed_at = source.failures_in_row + 1, at
    source.last_error, source.last_error_code = error[:2000], code[:40]
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
    source.save(
        update_fields=[
            "state", "last_polled_at", "last_error", "last_error_code", "failures_in_row", "failed_at", "next_poll_at",
        ]
    )  # fmt: skip
    if old != source.state:
        publish(SourceStateChanged(source.pk, old, source.state, at))


def is_push_noted(last_push_at: datetime | None, at: datetime) -> bool:
    """A push is noted every few seconds: a thousand a second must not queue for one row."""
    return last_push_at is not None and last_push_at > at - PUSH_NOTED_EVERY


_PUSHED = """
UPDATE stations_source SET last_push_at = %(at)s, usual_push_seconds = CASE WHEN last_push_at IS NULL THEN 0
    WHEN failed_at > last_push_at THEN usual_push_seconds ELSE
    greatest(usual_push_seconds * 0.999,
             least(extract(epoch FROM %(at)s - last_push_at), usual_push_seconds * 3 + 60)) END
WHERE id = %(source_id)s AND (last_push_at IS NULL OR last_push_at < %(at)s) RETURNING state, last_error
"""


def push_received(*, source_id: int, at: datetime) -> None:
    """The network spoke to us at `at`; an earlier `at` than the one we know changes nothing.

    Its longest pause of late is remembered, unless calls to it failed meanwhile: that was no pause. A network that
    counted as failing is looked at at once; one that only had been silent works again.
    """
    with connection.cursor() as cursor:
        cursor.execute(_PUSHED, {"source_id": source_id, "at": at})
        state, error = cursor.fetchone() or ("", "")
    if state == Source.State.FAILING and error == SILENT:
        _spoke_again(source_id, at)
    elif state == Source.State.FAILING:
        Source.objects.filter(pk=source_id, next_poll_at__gt=at).update(next_poll_at=at)


@transaction.atomic
def _spoke_again(source_id: int, at: datetime) -> None:
    source = Source.objects.select_for_update().get(pk=source_id)
    if source.last_error == SILENT:
        source.last_error, source.last_error_code, source.failures_in_row = "", "", 0
        _save(source, Source.State.CONNECTED, at)


def is_silent(source: Source, *, can_pull: bool, now: datetime) -> bool:
    """It pushed, and has been quiet for longer than it ever is; a look that was taken since settles the doubt."""
    if source.last_push_at is None or source.state != Source.State.CONNECTED:
        return False
    pause = timedelta(seconds=SILENT_AFTER_PAUSES * source.usual_push_seconds)
    quiet_since = source.last_push_at + max(pause, SILENT_AT_LEAST if can_pull else SILENT_WITHOUT_PULL)
    was_looked_at = can_pull and source.last_polled_at is not None and source.last_polled_at >= quiet_since
    return now > quiet_since and not was_looked_at


@transaction.atomic
def source_silent(*, source_id: int, can_pull: bool, at: datetime) -> None:
    """A network that pushes has gone quiet: it is asked at once where one can ask, else it counts as failing."""
    source = Source.objects.select_for_update().get(pk=source_id)
    if not is_silent(source, can_pull=can_pull, now=at):
        return
    if can_pull:
        Source.objects.filter(pk=source_id).update(next_poll_at=at)
        return
    source.last_error, source.last_error_code, source.failures_in_row = SILENT, "silent", FAILING_AFTER
    _save(source, Source.State.FAILING, at)


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
    proofs.note_command(command, reason=reason, at=at)
    if command.kind in ASKS_FOR_A_PLUG and state in ANSWERS:
        publish(ReservationAnswered(command.reservation_key, ANSWERS[State(state)], reason, at))
    elif command.kind not in RESERVING:
        publish(CommandAnswered(command.pk, command.kind, command.reservation_key, state, reason, at))
    return True


def _may_become(old: str, new: str) -> bool:
    if old in {State.REJECTED, State.CANCELLED, State.SESSION_SEEN} or old == new:
        return False
    return old != State.ACCEPTED or new == State.CANCELLED
