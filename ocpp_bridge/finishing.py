"""Does a message only finish what a charger began while it was accepted? That energy is owed in any case."""

from typing import Any

from django.db.models import Q

from billing.models import ChargingSession
from ocpp_bridge.station import section

ACTIONS = frozenset({"StopTransaction", "MeterValues", "TransactionEvent"})


def is_known(*, charger_id: int, action: str, payload: dict[str, Any]) -> bool:
    """It names a session of this charger; a stop or values may name none, as long as one runs there. One query."""
    sessions = ChargingSession.objects.filter(charger_id=charger_id)
    if action == "TransactionEvent":
        reference = section(payload, "transactionInfo").get("transactionId")
        return sessions.filter(transaction_ref=str(reference)[:36]).exists()
    named = Q(transaction_ref=str(payload.get("transactionId"))[:36])
    return sessions.filter(named | Q(state=ChargingSession.State.ACTIVE)).exists()
