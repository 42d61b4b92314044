"""OCPP 2.0.1 as a charging station speaks it; one connector per EVSE."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fleetcharge.demo.bays import CHARGING, ENDED, FULL, Bay, Visit
from fleetcharge.demo.charger import Order, SimCharger
from fleetcharge.demo.dialect16 import VENDOR, Said, instant, parse

CHARGING_STATE = {CHARGING: "Charging", FULL: "SuspendedEV", ENDED: "EVConnected"}
STOP_TRIGGER = {
    "Remote": "RemoteStop",
    "DeAuthorized": "Deauthorized",
    "Other": "AbnormalCondition",
    "PowerLoss": "AbnormalCondition",
}
TOKEN_TYPE = "ISO14443"


class Dialect201:
    subprotocol = "ocpp2.0.1"

    def boot(self, charger: SimCharger) -> Said:
        station = {
            "vendorName": VENDOR,
            "model": charger.model[:20],
            "serialNumber": f"NC{charger.identity[-3:]}",
            "firmwareVersion": "2.0.9",
        }
        return "BootNotification", {"reason": "PowerUp", "chargingStation": station}

    def status(self, bay: Bay, at: datetime) -> Said:
        status = bay.status if bay.status in ("Available", "Reserved", "Faulted") else "Occupied"
        where = {"evseId": bay.number, "connectorId": 1}
        return "StatusNotification", {"timestamp": instant(at), "connectorStatus": status, **where}

    def authorize(self, token: str) -> Said:
        return "Authorize", {"idToken": {"idToken": token, "type": TOKEN_TYPE}}

    def start(self, bay: Bay, visit: Visit, at: datetime) -> Said:
        trigger = "RemoteStart" if visit.remote_start_id else "Authorized"
        payload = _event("Started", trigger, bay, visit, at, "Transaction.Begin")
        payload["evse"] = {"id": bay.number, "connectorId": 1}
        payload["idToken"] = {"idToken": visit.token, "type": TOKEN_TYPE}
        if visit.reservation:
            payload["reservationId"] = int(visit.reservation)
        if visit.remote_start_id:
            payload["transactionInfo"]["remoteStartId"] = visit.remote_start_id
        return "TransactionEvent", payload

    def meter(self, bay: Bay, visit: Visit, at: datetime) -> Said:
        return "TransactionEvent", _event("Updated", "MeterValuePeriodic", bay, visit, at, "Sample.Periodic")

    def stop(self, bay: Bay, visit: Visit, at: datetime) -> Said:
        trigger = STOP_TRIGGER.get(visit.stop_reason, "StopAuthorized")
        payload = _event("Ended", trigger, bay, visit, at, "Transaction.End")
        payload["transactionInfo"]["stoppedReason"] = visit.stop_reason or "Local"
        payload["idToken"] = {"idToken": visit.token, "type": TOKEN_TYPE}
        return "TransactionEvent", payload

    def with_reference(self, payload: dict[str, Any], reference: str) -> dict[str, Any]:
        return payload

    def reference_in(self, key: str, answer: dict[str, Any]) -> str:
        return key

    def token_status(self, answer: dict[str, Any]) -> str:
        return str(answer.get("idTokenInfo", {}).get("status", ""))

    def order(self, action: str, payload: dict[str, Any]) -> Order:
        return _ORDERS.get(action, _unknown)(payload)


def _event(kind: str, trigger: str, bay: Bay, visit: Visit, at: datetime, context: str) -> dict[str, Any]:
    common = {"context": context}
    sampled = [
        {"value": int(bay.meter_wh), "measurand": "Energy.Active.Import.Register", **common},
        {"value": round(visit.power_w), "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W"}, **common},
        {"value": round(visit.pack.soc_percent, 1), "measurand": "SoC", "location": "EV", **common},
    ]
    return {
        "eventType": kind,
        "timestamp": instant(at),
        "triggerReason": trigger,
        "seqNo": visit.sequence,
        "transactionInfo": {
            "transactionId": visit.key,
            "chargingState": CHARGING_STATE.get(visit.state, "EVConnected"),
        },
        "meterValue": [{"timestamp": instant(at), "sampledValue": sampled}],
    }


def _unknown(payload: dict[str, Any]) -> Order:
    return Order("unknown")


def _start(said: dict[str, Any]) -> Order:
    token = said["idToken"]["idToken"]
    return Order("start", said.get("evseId"), token, remote_start_id=said["remoteStartId"])


def _reserve(said: dict[str, Any]) -> Order:
    token = said["idToken"]["idToken"]
    return Order("reserve", said.get("evseId"), token, str(said["id"]), parse(said["expiryDateTime"]))


_ORDERS: dict[str, Callable[[dict[str, Any]], Order]] = {
    "RequestStartTransaction": _start,
    "RequestStopTransaction": lambda said: Order("stop", reference=str(said["transactionId"])),
    "ReserveNow": _reserve,
    "CancelReservation": lambda said: Order("cancel", reference=str(said["reservationId"])),
    "TriggerMessage": lambda said: Order("trigger", said.get("evse", {}).get("id"), message=said["requestedMessage"]),
}
