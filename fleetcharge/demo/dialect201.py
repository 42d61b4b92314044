"""OCPP 2.0.1 as a charging station speaks it; one connector per EVSE."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fleetcharge.demo.bays import CHARGING, ENDED, FULL, Bay, Visit
from fleetcharge.demo.calls import Order, Said
from fleetcharge.demo.wording import VENDOR, instant, parse

if TYPE_CHECKING:
    from fleetcharge.demo.charger import SimCharger

CHARGING_STATE = {CHARGING: "Charging", FULL: "SuspendedEV", ENDED: "EVConnected"}
STOP_TRIGGER = {
    "Remote": "RemoteStop",
    "DeAuthorized": "Deauthorized",
    "Other": "AbnormalCondition",
    "PowerLoss": "AbnormalCondition",
    "HardReset": "ResetCommand",
    "SoftReset": "ResetCommand",
    "ImmediateReset": "ResetCommand",
    "Reboot": "ResetCommand",
    "UnlockCommand": "UnlockCommand",
}
STOPPED_REASON = {
    "HardReset": "ImmediateReset",
    "SoftReset": "ImmediateReset",
    "UnlockCommand": "Other",
}
TOKEN_TYPE = "ISO14443"
FIRMWARE_VERSION = "2.0.9"


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


def _unknown(said: dict[str, Any]) -> Order:
    return Order("unknown")


def kind(name: str) -> Callable[[dict[str, Any]], Order]:
    """An order whose handler reads the payload itself."""
    return lambda said: Order(name, said.get("evseId", said.get("evse", {}).get("id")))


def _start(said: dict[str, Any]) -> Order:
    token = said["idToken"]["idToken"]
    return Order("start", said.get("evseId"), token, remote_start_id=said["remoteStartId"])


def _reserve(said: dict[str, Any]) -> Order:
    token = said["idToken"]["idToken"]
    return Order("reserve", said.get("evseId"), token, str(said["id"]), parse(said["expiryDateTime"]))


def _availability(said: dict[str, Any]) -> Order:
    return Order("availability", said.get("evse", {}).get("id"), message=said["operationalStatus"])


ORDERS: dict[str, Callable[[dict[str, Any]], Order]] = {
    "RequestStartTransaction": _start,
    "RequestStopTransaction": lambda said: Order("stop", reference=str(said["transactionId"])),
    "ReserveNow": _reserve,
    "CancelReservation": lambda said: Order("cancel", reference=str(said["reservationId"])),
    "TriggerMessage": lambda said: Order("trigger", said.get("evse", {}).get("id"), message=said["requestedMessage"]),
    "ChangeAvailability": _availability,
    "Reset": lambda said: Order("reset", message=said["type"]),
    "GetTransactionStatus": lambda said: Order("transaction_status", reference=said.get("transactionId", "")),
    "GetLocalListVersion": lambda said: Order("list_version", message="versionNumber"),
    "GetCompositeSchedule": kind("composite"),
    "UnlockConnector": kind("unlock"),
    "GetVariables": kind("get_variables"),
    "SetVariables": kind("set_variables"),
    "GetBaseReport": kind("report"),
    "GetReport": kind("report"),
    "SendLocalList": kind("send_list"),
    "SetChargingProfile": kind("set_profile"),
    "ClearChargingProfile": kind("clear_profiles"),
    "GetChargingProfiles": kind("get_profiles"),
    "UpdateFirmware": kind("firmware"),
    "GetLog": kind("log"),
    "CostUpdated": kind("silently"),
    "GetInstalledCertificateIds": kind("certificate_ids"),
    **dict.fromkeys(
        ("ClearCache", "SetDisplayMessage", "ClearDisplayMessage", "CertificateSigned", "InstallCertificate",
         "DeleteCertificate", "DataTransfer", "SetMonitoringBase", "SetMonitoringLevel", "CustomerInformation",
         "SetNetworkProfile"),
        kind("accept"),
    ),
}  # fmt: skip


class Dialect201:
    subprotocol = "ocpp2.0.1"
    orders = ORDERS

    def boot(self, charger: "SimCharger") -> Said:
        station = {
            "vendorName": VENDOR,
            "model": charger.model[:20],
            "serialNumber": f"NC{charger.identity[-3:]}",
            "firmwareVersion": charger.firmware_version or FIRMWARE_VERSION,
        }
        return "BootNotification", {"reason": "PowerUp", "chargingStation": station}

    def status(self, bay: Bay, status: str, at: datetime) -> Said:
        status = status if status in ("Available", "Reserved", "Faulted", "Unavailable") else "Occupied"
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
        payload["transactionInfo"]["stoppedReason"] = STOPPED_REASON.get(
            visit.stop_reason, visit.stop_reason or "Local"
        )
        payload["idToken"] = {"idToken": visit.token, "type": TOKEN_TYPE}
        return "TransactionEvent", payload

    def firmware_status(self, status: str, request_id: int | None) -> Said:
        numbered = {} if request_id is None else {"requestId": request_id}
        return "FirmwareStatusNotification", {"status": status, **numbered}

    def log_status(self, status: str, request_id: int | None) -> Said:
        return "LogStatusNotification", {"status": status, "requestId": request_id or 0}

    def with_reference(self, payload: dict[str, Any], reference: str) -> dict[str, Any]:
        return payload

    def reference_in(self, key: str, answer: dict[str, Any]) -> str:
        return key

    def token_status(self, answer: dict[str, Any]) -> str:
        return str(answer.get("idTokenInfo", {}).get("status", ""))

    def order(self, action: str, payload: dict[str, Any]) -> Order:
        order = self.orders.get(action, _unknown)(payload)
        order.said = payload
        return order
