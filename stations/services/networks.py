"""How a network is doing, and what became of the commands we sent to it."""

from datetime import datetime
from typing import Any

from django.db import transaction

from fleetcharge.lib.events import publish
from stations.events import ReservationAnswered, SourceStateChanged
from stations.models import CPOCommand, Source

ANSWERS = {
    CPOCommand.State.ACCEPTED: "accepted",
    CPOCommand.State.REJECTED: "rejected",
    CPOCommand.State.FAILED: "failed",
    CPOCommand.State.TIMED_OUT: "timed_out",
}


@transaction.atomic
def source_polled(*, source_id: int, at: datetime) -> None:
    """A pull went through: the network works (again)."""
    source = Source.objects.select_for_update().get(pk=source_id)
    source.last_polled_at, source.last_error, source.failures_in_row = at, "", 0
    _set_state(source, Source.State.CONNECTED, at)


@transaction.atomic
def source_failed(*, source_id: int, error: str, at: datetime) -> None:
    """A call failed; three in a row and the network counts as failing."""
    source = Source.objects.select_for_update().get(pk=source_id)
    source.failures_in_row += 1
    source.last_error = error[:2000]
    _set_state(source, Source.State.FAILING if source.failures_in_row >= 3 else source.state, at)


def _set_state(source: Source, state: str, at: datetime) -> None:
    old, source.state = source.state, state
    source.save(update_fields=["state", "last_polled_at", "last_error", "failures_in_row"])
    if old != state:
        publish(SourceStateChanged(source.pk, old, state, at))


def push_received(*, source_id: int, at: datetime) -> None:
    Source.objects.filter(pk=source_id).update(last_push_at=at)


@transaction.atomic
def finish_cpo_command(
    *, command_id: int, state: str, reason: str, at: datetime, result: dict[str, Any] | None = None
) -> bool:
    """A command got its result; the same result again changes nothing. Reservations hear of it."""
    command = CPOCommand.objects.select_for_update().get(pk=command_id)
    if command.state == state:
        return False
    command.state, command.result, command.answered_at = state, result, at
    command.save(update_fields=["state", "result", "answered_at"])
    if command.kind == CPOCommand.Kind.RESERVE_NOW and state in ANSWERS:
        publish(ReservationAnswered(command.reservation_key, ANSWERS[CPOCommand.State(state)], reason, at))
    return True


@transaction.atomic
def cpo_cancelled_reservation(*, command_id: int, at: datetime) -> None:
    """The CPO took a granted reservation back (OCPI CANCELED_RESERVATION at the old response_url)."""
    command = CPOCommand.objects.select_for_update().get(pk=command_id)
    publish(ReservationAnswered(command.reservation_key, "cancelled", "CANCELED_RESERVATION", at))
