"""OCPP 1.6J as a charge point speaks it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fleetcharge.demo.bays import Bay, Visit
from fleetcharge.demo.charger import Order, SimCharger

Said = tuple[str, dict[str, Any]]
VENDOR = "Namma Charge"


def instant(at: datetime) -> str:
    """UTC with milliseconds and Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class Dialect16:
    subprotocol = "ocpp1.6"

    def boot(self, charger: SimCharger) -> Said:
        return "BootNotification", {
            "chargePointVendor": VENDOR,
            "chargePointModel": charger.model[:20],
            "chargePointSerialNumber": f"NC{charger.identity[-3:]}",
            "firmwareVersion": "4.2.1",
        }

    def status(self, bay: Bay, at: datetime) -> Said:
        payload = {"connectorId": bay.number, "errorCode": bay.fault or "NoError", "status": bay.status}
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

    def with_reference(self, payload: dict[str, Any], reference: str) -> dict[str, Any]:
        return {**payload, "transactionId": int(reference)}

    def reference_in(self, key: str, answer: dict[str, Any]) -> str:
        return str(answer["transactionId"])

    def token_status(self, answer: dict[str, Any]) -> str:
        return str(answer.get("idTagInfo", {}).get("status", ""))

    def order(self, action: str, payload: dict[str, Any]) -> Order:
        return _ORDERS.get(action, _unknown)(payload)


def _unknown(payload: dict[str, Any]) -> Order:
    return Order("unknown")


_ORDERS: dict[str, Callable[[dict[str, Any]], Order]] = {
    "RemoteStartTransaction": lambda said: Order("start", said.get("connectorId"), said["idTag"]),
    "RemoteStopTransaction": lambda said: Order("stop", reference=str(said["transactionId"])),
    "ReserveNow": lambda said: Order(
        "reserve", said["connectorId"], said["idTag"], str(said["reservationId"]), parse(said["expiryDate"])
    ),
    "CancelReservation": lambda said: Order("cancel", reference=str(said["reservationId"])),
    "TriggerMessage": lambda said: Order("trigger", said.get("connectorId"), message=said["requestedMessage"]),
}
