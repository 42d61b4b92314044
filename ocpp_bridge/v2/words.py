"""How our version-neutral commands are said in OCPP 2.0.1."""

from collections.abc import Callable
from typing import Any

from ocpp_bridge.models import Command
from ocpp_bridge.station import Unusable

TOKEN_TYPE = {"RFID": "ISO14443", "APP_USER": "Central", "AD_HOC_USER": "Central", "OTHER": "Central"}


def command(action: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Our version-neutral command as (action, payload) of a CALL."""
    try:
        return _COMMANDS[action](parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise Unusable(f"cannot say {action} in OCPP 2.0.1: {error!r}") from error


def _token(parameters: dict[str, Any]) -> dict[str, Any]:
    kind = TOKEN_TYPE.get(parameters.get("token_type", "RFID"), "Central")
    return {"idToken": parameters["id_token"], "type": kind}


def _remote_start(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    payload = {"remoteStartId": parameters["remote_start_id"], "idToken": _token(parameters)}
    if parameters.get("evse_number"):
        payload["evseId"] = parameters["evse_number"]
    return "RequestStartTransaction", payload


def _remote_stop(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "RequestStopTransaction", {"transactionId": str(parameters["transaction_ref"])}


def _reserve(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    payload = {
        "id": parameters["reservation_number"],
        "expiryDateTime": parameters["expires_at"],
        "idToken": _token(parameters),
        "evseId": parameters["evse_number"],
    }
    if parameters.get("group_id"):
        payload["groupIdToken"] = {"idToken": parameters["group_id"], "type": "Central"}
    return "ReserveNow", payload


def _cancel(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "CancelReservation", {"reservationId": parameters["reservation_number"]}


def _trigger(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    payload: dict[str, Any] = {"requestedMessage": parameters["message"]}
    if parameters.get("evse_number"):
        payload["evse"] = {"id": parameters["evse_number"]}
        if parameters["message"] == "StatusNotification":
            payload["evse"]["connectorId"] = 1
    return "TriggerMessage", payload


_COMMANDS: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    Command.Action.REMOTE_START: _remote_start,
    Command.Action.REMOTE_STOP: _remote_stop,
    Command.Action.RESERVE_NOW: _reserve,
    Command.Action.CANCEL_RESERVATION: _cancel,
    Command.Action.TRIGGER_MESSAGE: _trigger,
}
