"""What integrators are told of commands."""

from fleetcharge.lib.events import record
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.outbox import Fact, tell
from ocpp_bridge.events import CommandFinished
from ocpp_bridge.models import Command
from ocpp_bridge.serializers import CLIENT_KEYS


@record(CommandFinished)
def tell_of_an_outcome(event: CommandFinished) -> None:
    tell(catalogue.COMMAND_FINISHED, organisation_id=event.organisation_id, fact=lambda: _finished(event))


def _finished(event: CommandFinished) -> Fact:
    """Without parameters and answers: they may hold what only the commands API shows."""
    command = Command.objects.select_related("charger").get(pk=event.command_id)
    data = {
        "id": str(command.pk),
        "charger": command.charger.ocpp_identity,
        "action": command.action,
        "state": event.state,
        "reason": event.reason,
        "session": command.session_id,
        "idempotency_key": command.idempotency_key.removeprefix(CLIENT_KEYS),
    }
    return Fact(event.organisation_id, f"{command.pk}:{event.state}:{event.at.isoformat()}", event.at, data)
