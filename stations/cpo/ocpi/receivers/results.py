"""Results that come later: of commands, charging profiles and our questions about them."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from fleetcharge.lib import crypto
from stations import services
from stations.cpo.ocpi.objects.base import plain
from stations.cpo.ocpi.objects.commands import CommandResultIn
from stations.cpo.ocpi.receivers.base import BAD_PARAMETERS, CLIENT_ERROR, Answer
from stations.models import CPOCommand

PURPOSE = "ocpi-result"
STATES = {
    "ACCEPTED": CPOCommand.State.ACCEPTED,
    "FAILED": CPOCommand.State.FAILED,
    "TIMEOUT": CPOCommand.State.TIMED_OUT,
    "CANCELED_RESERVATION": CPOCommand.State.CANCELLED,
}


def command_result(kind: str, token: str, body: Any, at: datetime) -> Answer:
    """The asynchronous result at the address only this command knows; it lives until the reservation ends."""
    digest = crypto.keyed_hash(token, purpose=PURPOSE)
    command = CPOCommand.objects.filter(response_token_hash=digest, kind=kind).first()
    if command is None:
        return Answer(None, CLIENT_ERROR, "Unknown command.", 404)
    try:
        result = CommandResultIn.model_validate(body)
    except ValidationError:
        return Answer(None, BAD_PARAMETERS, "A CommandResult carries a result.")
    word = result.result.upper()
    services.finish_cpo_command(
        command_id=command.pk, state=STATES.get(word, CPOCommand.State.REJECTED), reason=word[:120], at=at,
        result=plain(result.model_dump(mode="json")),
    )  # fmt: skip
    return Answer()
