"""OCPP 1.6J: boot, status and authorisation; transactions.py has the rest of charging."""

from datetime import datetime
from typing import Any

from billing.services import authorisation
from ocpp_bridge import arrivals, quirks
from ocpp_bridge.clocks import watch
from ocpp_bridge.instants import to_wire
from ocpp_bridge.intervals import boot_interval
from ocpp_bridge.station import (
    MAX_SMALL,
    AtOnce,
    Handler,
    Promise,
    Station,
    integer,
    text,
)
from ocpp_bridge.threads import in_database
from ocpp_bridge.writers import store_status
from stations.models import Connector
from stations.services import Boot, StatusReport

ERROR_CODE_LENGTH = 50
NO_VENDOR_ERROR = frozenset({"0", "00", "0x0", "0x00", "0x0000", "NoError"})

S = Connector.Status
STATUS = {
    "Available": S.AVAILABLE,
    "Preparing": S.OCCUPIED,
    "Charging": S.CHARGING,
    "SuspendedEV": S.OCCUPIED,
    "SuspendedEVSE": S.OCCUPIED,
    "Finishing": S.OCCUPIED,
    "Reserved": S.RESERVED,
    "Unavailable": S.UNAVAILABLE,
    "Faulted": S.FAULTED,
}
TOKEN_STATUS = {
    "accepted": "Accepted",
    "unknown_token": "Invalid",
    "blocked_token": "Blocked",
    "expired_token": "Expired",
    "concurrent_tx": "ConcurrentTx",
}  # what is wrong with the fleet's wallet or contract is Blocked to the driver


async def boot_notification(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Who it says it is may be anything: a charger that may not boot does not charge."""
    boot = Boot(
        charger_id=station.charger_id,
        vendor=text(payload, "chargePointVendor", limit=50, default=""),
        model=text(payload, "chargePointModel", limit=50, default=""),
        serial_number=text(payload, "chargePointSerialNumber", limit=50, default=""),
        firmware_version=text(payload, "firmwareVersion", limit=50, default=""),
        at=received_at,
    )
    station.tell(await arrivals.register_boot(boot))
    station.has_booted, station.profile = True, _profile_in(payload)
    return {
        "status": station.registration,
        "currentTime": to_wire(received_at),
        "interval": boot_interval(station.registration),
    }


def _profile_in(payload: dict[str, Any]) -> quirks.QuirkProfile | None:
    names = ("chargePointVendor", "chargePointModel", "firmwareVersion")
    return quirks.find(*(text(payload, name, limit=50, default="") for name in names))


async def heartbeat(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    return {"currentTime": to_wire(received_at)}


def heartbeat_at_once(station: Station, payload: dict[str, Any], received_at: datetime) -> Promise:
    return {"currentTime": to_wire(received_at)}, None


async def status_notification(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    raw_status = text(payload, "status", limit=30)
    await store_status(
        StatusReport(
            charger_id=station.charger_id,
            evse_number=None,
            connector_id=integer(payload, "connectorId", high=MAX_SMALL),
            raw_status=raw_status,
            status=STATUS.get(raw_status, S.UNKNOWN),
            at=min(station.instant(payload.get("timestamp"), received_at), received_at),
            received_at=received_at,
            error_code=_error_code(payload),
            error_info=text(payload, "info", limit=255, default=""),
        )
    )
    station.has_reported = True
    await watch(station, payload.get("timestamp"), received_at)
    return {}


def _error_code(payload: dict[str, Any]) -> str:
    """The word of OCPP first, the vendor's own beside it: "GroundFailure (E-17)"."""
    code = text(payload, "errorCode", limit=ERROR_CODE_LENGTH, default="")
    vendor = text(payload, "vendorErrorCode", limit=ERROR_CODE_LENGTH, default="")
    if not code or not vendor or vendor == code or (code == "NoError" and vendor in NO_VENDOR_ERROR):
        return code or vendor
    return f"{code} ({vendor[: ERROR_CODE_LENGTH - len(code) - 3]})"[:ERROR_CODE_LENGTH]


async def authorize(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    decision = await in_database(
        authorisation.authorise,
        id_token=text(payload, "idTag", limit=20),
        connector_id=None,
        charger_id=station.charger_id,
        at=received_at,
    )
    return {"idTagInfo": id_tag_info(decision)}


def id_tag_info(decision: authorisation.Decision) -> dict[str, Any]:
    """What the charge point may cache of a decision."""
    info: dict[str, Any] = {"status": TOKEN_STATUS.get(decision.reason or "unknown_token", "Blocked")}
    if decision.is_accepted and decision.expires_at is not None:
        info["expiryDate"] = to_wire(decision.expires_at)
    if decision.is_accepted and decision.group_id:
        info["parentIdTag"] = decision.group_id
    return info


HANDLERS: dict[str, Handler] = {
    "BootNotification": boot_notification,
    "Heartbeat": heartbeat,
    "StatusNotification": status_notification,
    "Authorize": authorize,
}
AT_ONCE: dict[str, AtOnce] = {"Heartbeat": heartbeat_at_once}
