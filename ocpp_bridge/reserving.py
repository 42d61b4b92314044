"""What a charger can reserve: one connector always, any of them only where it says so."""

from typing import Any

from ocpp_bridge.models import Command, ConfigurationValue

ANY_CONNECTOR = ("ReserveConnectorZeroSupported", "ReservationCtrlr.NonEvseSpecific")
"""OCPP 1.6 section 9.1, OCPP 2.0.1 part 2 H01: as the charger last reported it."""


def flaw_of(*, charger_id: int, action: str, parameters: dict[str, Any]) -> str:
    """Why this reservation may not be asked for; '' when it may. Queries only for connector 0."""
    if action != Command.Action.RESERVE_NOW or parameters.get("evse_number") != 0:
        return ""
    reported = ConfigurationValue.objects.filter(charger_id=charger_id, key__in=ANY_CONNECTOR)
    is_able = any(str(value).lower() == "true" for value in reported.values_list("value", flat=True))
    return "" if is_able else "This charger does not say that it can reserve any connector (connector 0)."
