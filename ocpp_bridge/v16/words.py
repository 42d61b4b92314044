"""How our version-neutral commands are said in OCPP 1.6J."""

from collections.abc import Callable
from typing import Any

from ocpp_bridge.models import Command
from ocpp_bridge.station import Unusable


def command(action: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Our version-neutral command as (action, payload) of a CALL."""
    try:
        return _COMMANDS[action](parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise Unusable(f"cannot say {action} in OCPP 1.6: {error!r}") from error


def _remote_start(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    payload = {"idTag": parameters["id_token"]}
    if parameters.get("evse_number"):
        payload["connectorId"] = parameters["evse_number"]
    return "RemoteStartTransaction", payload


def _remote_stop(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "RemoteStopTransaction", {"transactionId": int(parameters["transaction_ref"])}


def _reserve(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    payload = {
        "connectorId": parameters["evse_number"],
        "expiryDate": parameters["expires_at"],
        "idTag": parameters["id_token"],
        "reservationId": parameters["reservation_number"],
    }
    if parameters.get("group_id"):
        payload["parentIdTag"] = parameters["group_id"]
    return "ReserveNow", payload


def _cancel(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "CancelReservation", {"reservationId": parameters["reservation_number"]}


def _trigger(parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    payload = {"requestedMessage": parameters["message"]}
    if parameters.get("evse_number"):
        payload["connectorId"] = parameters["evse_number"]
    return "TriggerMessage", payload


_COMMANDS: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    Command.Action.REMOTE_START: _remote_start,
    Command.Action.REMOTE_STOP: _remote_stop,
    Command.Action.RESERVE_NOW: _reserve,
    Command.Action.CANCEL_RESERVATION: _cancel,
    Command.Action.TRIGGER_MESSAGE: _trigger,
}
