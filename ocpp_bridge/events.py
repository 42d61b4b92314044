"""What the OCPP bridge tells whoever wants to know."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class CommandFinished:
    """A command has its outcome (values of Command.Action and Command.State).

    A remote start is finished when the charger answers; when no session follows, a second event says `no_session`.
    """

    command_id: str
    organisation_id: int
    charger_id: int
    action: str
    state: str
    reason: str
    at: datetime
