"""OCPP 1.6J."""

from typing import Any

from ocpp_bridge.dialects import V16
from ocpp_bridge.meaning import Meaning
from ocpp_bridge.v16 import core, reporting, transactions
from ocpp_bridge.v16.words import command


def is_remembered(action: str, payload: dict[str, Any]) -> bool:
    return action in {"StartTransaction", "StopTransaction"}


LENIENT = frozenset({"BootNotification", "StatusNotification", "StartTransaction", "StopTransaction", "MeterValues"})

MEANING_16 = Meaning(
    dialect=V16,
    handlers={**core.HANDLERS, **transactions.HANDLERS, **reporting.HANDLERS},
    at_once={**core.AT_ONCE, **transactions.AT_ONCE},
    lenient=LENIENT,
    is_remembered=is_remembered,
    command=command,
)
