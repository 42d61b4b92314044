"""Parts that several messages of OCPP 2.x share."""

from typing import Any

from ocpp_bridge.saying import some

TOKEN_TYPE = {"RFID": "ISO14443", "APP_USER": "Central", "AD_HOC_USER": "Central", "OTHER": "Central"}
OCPP_TOKEN_TYPES = frozenset(
    {"Central", "eMAID", "ISO14443", "ISO15693", "KeyCode", "Local", "MacAddress", "NoAuthorization"}
)


def token(uid: str, kind: str | None) -> dict[str, Any]:
    """An OCPI token type, or an OCPP 2.x one as it is."""
    kind = kind or "RFID"
    return {"idToken": uid, "type": kind if kind in OCPP_TOKEN_TYPES else TOKEN_TYPE.get(kind, "Central")}


def group(uid: str | None) -> dict[str, Any] | None:
    """The token that stands for all of a group."""
    return token(uid, "Central") if uid else None


def evse(parameters: dict[str, Any]) -> dict[str, Any] | None:
    """None for the whole station."""
    number = parameters.get("evse_number")
    return {"id": number, **some(connectorId=parameters.get("connector_id"))} if number else None


def component_variable(wanted: dict[str, Any]) -> dict[str, Any]:
    """What a report or a monitor is about."""
    component = some(name=wanted["component"], instance=wanted.get("component_instance"), evse=evse(wanted))
    variable = some(name=wanted.get("variable"), instance=wanted.get("variable_instance"))
    return some(component=component, variable=variable)


def retries(parameters: dict[str, Any]) -> dict[str, Any]:
    """Of a transfer."""
    return some(retries=parameters.get("retries"), retryInterval=parameters.get("retry_interval_seconds"))
