"""OCPP 2.0.1."""

from typing import Any

from ocpp_bridge.dialects import V201
from ocpp_bridge.meaning import Meaning
from ocpp_bridge.v2 import core
from ocpp_bridge.v2.words import command


def is_remembered(action: str, payload: dict[str, Any]) -> bool:
    """Plain samples repeat harmlessly."""
    return action == "TransactionEvent" and (payload.get("eventType") != "Updated" or "idToken" in payload)


MEANING_201 = Meaning(
    dialect=V201,
    handlers={**core.HANDLERS},
    at_once=core.AT_ONCE,
    lenient=frozenset({"TransactionEvent", "MeterValues"}),
    is_remembered=is_remembered,
    command=command,
)
