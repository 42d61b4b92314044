"""Asks a 2.x station about a transaction that seems to be over (GetTransactionStatus, 2.0.1 part 2 E14)."""

from datetime import datetime

from billing.services import overdue
from ocpp_bridge import commands
from ocpp_bridge.models import Command
from stations.models import Charger

ACTOR = "session engine"


def ask(*, charger_id: int, transaction_ref: str, at: datetime) -> None:
    """Once per transaction and hour; OCPP 1.6 has no such question."""
    protocol = Charger.objects.values_list("protocol", flat=True).get(pk=charger_id)
    if not protocol.startswith("ocpp2"):
        return
    commands.enqueue(
        charger_id=charger_id,
        action=Command.Action.GET_TRANSACTION_STATUS,
        parameters={"transaction_ref": transaction_ref},
        idempotency_key=f"status:{charger_id}:{transaction_ref}:{at:%d%H}",
        actor=ACTOR,
        now=at,
    )


def take_answer(*, command_id: str, now: datetime) -> bool:
    """Not ongoing and nothing queued: no stop will ever come. True when a session is doubted because of it."""
    command = Command.objects.get(pk=command_id)
    answer, reference = command.response, command.parameters.get("transaction_ref")
    if not isinstance(answer, dict) or not reference or command.state != Command.State.ACCEPTED:
        return False
    is_ongoing = answer.get("ongoingIndicator") is not False or answer.get("messagesInQueue") is not False
    return overdue.transaction_status(
        charger_id=command.charger_id, transaction_ref=str(reference), is_ongoing=is_ongoing, now=now
    )
