"""OCPP 1.6J as a charge point speaks it."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fleetcharge.demo.bays import Bay, Visit
from fleetcharge.demo.calls import Order, Said
from fleetcharge.demo.wording import VENDOR, instant, parse

if TYPE_CHECKING:
    from fleetcharge.demo.charger import SimCharger

FIRMWARE_VERSION = "4.2.1"


class Dialect16:
    subprotocol = "ocpp1.6"

    def boot(self, charger: "SimCharger") -> Said:
        return "BootNotification", {
            "chargePointVendor": VENDOR,
            "chargePointModel": charger.model[:20],
            "chargePointSerialNumber": f"NC{charger.identity[-3:]}",
            "firmwareVersion": charger.firmware_version or FIRMWARE_VERSION,
        }

    def status(self, bay: Bay, status: str, at: datetime) -> Said:
        payload = {"connectorId": bay.number, "errorCode": bay.fault or "NoError", "status": status}
        return "StatusNotification", {**payload, "timestamp": instant(at)}

    def authorize(self, token: str) -> Said:
        return "Authorize", {"idTag": token}

    def start(self, bay: Bay, visit: Visit, at: datetime) -> Said:
        payload: dict[str, Any] = {
            "connectorId": bay.number,
            "idTag": visit.token,
            "meterStart": visit.meter_start_wh,
            "timestamp": instant(at),
        }
        if visit.reservation:
            payload["reservationId"] = int(visit.reservation)
        return "StartTransaction", payload

    def meter(self, bay: Bay, visit: Visit, at: datetime) -> Said:
        sampled = [
            {"value": str(int(bay.meter_wh)), "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
            {"value": str(round(visit.power_w)), "measurand": "Power.Active.Import", "unit": "W"},
            {"value": f"{visit.pack.soc_percent:.1f}", "measurand": "SoC", "unit": "Percent", "location": "EV"},
        ]
        value = {"timestamp": instant(at), "sampledValue": sampled}
        return "MeterValues", {"connectorId": bay.number, "transactionId": 0, "meterValue": [value]}

    def stop(self, bay: Bay, visit: Visit, at: datetime) -> Said:
        return "StopTransaction", {
            "transactionId": 0,
            "idTag": visit.token,
            "meterStop": int(bay.meter_wh),
            "timestamp": instant(at),
            "reason": visit.stop_reason or "Local",
        }

    def firmware_status(self, status: str, request_id: int | None) -> Said:
        """The signed kind (security white paper) when the order had a number."""
        if request_id is None:
            return "FirmwareStatusNotification", {"status": status}
        return "SignedFirmwareStatusNotification", {"status": status, "requestId": request_id}

    def log_status(self, status: str, request_id: int | None) -> Said:
        return "LogStatusNotification", {"status": status, "requestId": request_id or 0}

    def with_reference(self, payload: dict[str, Any], reference: str) -> dict[str, Any]:
        return {**payload, "transactionId": int(reference)}

    def reference_in(self, key: str, answer: dict[str, Any]) -> str:
        return str(answer["transactionId"])

    def token_status(self, answer: dict[str, Any]) -> str:
        return str(answer.get("idTagInfo", {}).get("status", ""))

    def order(self, action: str, payload: dict[str, Any]) -> Order:
        order = _ORDERS.get(action, _unknown)(payload)
        order.said = payload
        return order


def _unknown(said: dict[str, Any]) -> Order:
    return Order("unknown")


def _kind(kind: str) -> Callable[[dict[str, Any]], Order]:
    """An order whose handler reads the payload itself."""
    return lambda said: Order(kind, said.get("connectorId"))


def _reserve(said: dict[str, Any]) -> Order:
    return Order("reserve", said["connectorId"], said["idTag"], str(said["reservationId"]), parse(said["expiryDate"]))


def _trigger(said: dict[str, Any]) -> Order:
    return Order("trigger", said.get("connectorId"), message=said["requestedMessage"])


_ORDERS: dict[str, Callable[[dict[str, Any]], Order]] = {
    "RemoteStartTransaction": lambda said: Order("start", said.get("connectorId"), said["idTag"]),
    "RemoteStopTransaction": lambda said: Order("stop", reference=str(said["transactionId"])),
    "ReserveNow": _reserve,
    "CancelReservation": lambda said: Order("cancel", reference=str(said["reservationId"])),
    "TriggerMessage": _trigger,
    "ExtendedTriggerMessage": _trigger,
    "ChangeAvailability": lambda said: Order("availability", said["connectorId"], message=said["type"]),
    "Reset": lambda said: Order("reset", message=said["type"]),
    "UnlockConnector": _kind("unlock"),
    "GetConfiguration": _kind("get_configuration"),
    "ChangeConfiguration": _kind("change_configuration"),
    "ClearCache": _kind("accept"),
    "SendLocalList": _kind("send_list"),
    "GetLocalListVersion": lambda said: Order("list_version", message="listVersion"),
    "SetChargingProfile": _kind("set_profile"),
    "ClearChargingProfile": _kind("clear_profiles"),
    "GetCompositeSchedule": lambda said: Order("composite", said["connectorId"], message="1.6"),
    "UpdateFirmware": _kind("firmware"),
    "SignedUpdateFirmware": _kind("firmware"),
    "GetDiagnostics": _kind("diagnostics"),
    "GetLog": _kind("log"),
    "CertificateSigned": _kind("accept"),
    "InstallCertificate": _kind("accept"),
    "DeleteCertificate": _kind("accept"),
    "GetInstalledCertificateIds": _kind("certificate_ids"),
    "DataTransfer": _kind("accept"),
}
