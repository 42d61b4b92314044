"""Wake-ups over Valkey, never waiting for one that is away (every bell has a poll)."""

from fleetcharge.lib import hints

EVERYBODY = "fc:ocpp:nodes"


def channel_of(node: str) -> str:
    """The channel that only this realtime process listens to."""
    return f"fc:ocpp:node:{node}"


def ring(charger_id: int, node: str) -> None:
    """Wake the process that owns the charger's socket; every process, when nobody listens under that name."""
    message = f"wake {charger_id}".encode()
    if not (node and hints.tell(channel_of(node), message)):
        hints.tell(EVERYBODY, message)
