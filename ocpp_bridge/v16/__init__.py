"""OCPP 1.6J."""

from datetime import UTC, datetime
from typing import Any

from ocpp_bridge.dialects import V16
from ocpp_bridge.instants import parse_instant
from ocpp_bridge.meaning import Meaning
from ocpp_bridge.v16 import core, reporting, transactions, typed
from ocpp_bridge.v16.words import command


def is_remembered(action: str, payload: dict[str, Any]) -> bool:
    """Starts and stops, unless no time tells them from those of another session.

    A charger whose clock stands still and whose message ids begin anew with every boot says the same word for word a
    session later. What it repeats then, the services behind tell by what still runs, and by the register.
    """
    return action in {"StartTransaction", "StopTransaction"} and not _is_timeless(payload)


def _is_timeless(payload: dict[str, Any]) -> bool:
    now = datetime.now(UTC)
    return parse_instant(payload.get("timestamp"), received_at=now) is now


LENIENT = frozenset({"BootNotification", "StatusNotification", "StartTransaction", "StopTransaction", "MeterValues"})

MEANING_16 = Meaning(
    dialect=V16,
    handlers={**core.HANDLERS, **transactions.HANDLERS, **reporting.HANDLERS},
    at_once={**core.AT_ONCE, **transactions.AT_ONCE},
    lenient=LENIENT,
    is_remembered=is_remembered,
    command=command,
    readers=typed.READERS,
    typed=typed.TYPED,
)
