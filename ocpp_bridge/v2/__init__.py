"""OCPP 2.0.1 and 2.1."""

from dataclasses import replace
from typing import Any

from ocpp_bridge.dialects import V21, V201
from ocpp_bridge.meaning import Meaning
from ocpp_bridge.v2 import core, limits, reporting, transactions, v21
from ocpp_bridge.v2.words import command, command_21


def is_remembered(action: str, payload: dict[str, Any]) -> bool:
    """Plain samples repeat harmlessly."""
    return action == "TransactionEvent" and (payload.get("eventType") != "Updated" or "idToken" in payload)


# OCPP 2.0.1 part 2 B02.FR.02 and .05: what a pending charger may be asked for; everything else is a SecurityError.
WHILE_PENDING = frozenset({
    "BootNotification", "Heartbeat", "StatusNotification", "MeterValues", "NotifyReport", "NotifyMonitoringReport",
    "FirmwareStatusNotification", "PublishFirmwareStatusNotification", "LogStatusNotification",
    "SecurityEventNotification", "SignCertificate",
})  # fmt: skip

MEANING_201 = Meaning(
    dialect=V201,
    handlers={**core.HANDLERS, **transactions.HANDLERS, **reporting.HANDLERS, **limits.HANDLERS},
    at_once={**core.AT_ONCE, **transactions.AT_ONCE},
    lenient=frozenset({"BootNotification", "StatusNotification", "TransactionEvent", "MeterValues"}),
    is_remembered=is_remembered,
    command=command,
    before_acceptance=WHILE_PENDING,
    kept=limits.KEPT,
    declined=reporting.DECLINED,
)
MEANING_21 = replace(
    MEANING_201,
    dialect=V21,
    command=command_21,
    handlers={**MEANING_201.handlers, **v21.HANDLERS},
    at_once={**MEANING_201.at_once, **v21.AT_ONCE},
    kept=limits.KEPT | v21.KEPT,
    declined=reporting.DECLINED | v21.DECLINED,
)
