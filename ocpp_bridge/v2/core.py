"""OCPP 2.x: boot, status and authorisation; transactions.py has the rest of charging."""

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
    section,
    text,
)  # fmt: skip
from ocpp_bridge.threads import in_database
from ocpp_bridge.writers import store_status
from stations.models import Connector
from stations.services import Boot, StatusReport

S = Connector.Status
STATUS = {
    "Available": S.AVAILABLE,
    "Occupied": S.OCCUPIED,
    "Reserved": S.RESERVED,
    "Unavailable": S.UNAVAILABLE,
    "Faulted": S.FAULTED,
}
TOKEN_STATUS = {
    "accepted": "Accepted",
    "unknown_token": "Unknown",
    "blocked_token": "Blocked",
    "expired_token": "Expired",
    "vehicle_inactive": "Blocked",
    "driver_inactive": "Blocked",
    "site_not_allowed": "NotAtThisLocation",
    "not_on_shift": "NotAtThisTime",
    "limit:organisation": "NoCredit",
    "limit:cost_centre": "NoCredit",
    "limit:site": "NoCredit",
    "limit:vehicle": "NoCredit",
    "limit:driver": "NoCredit",
    "limit:tariff": "NoCredit",
    "concurrent_tx": "ConcurrentTx",
    "network_not_authorised": "NotAtThisLocation",
    "insufficient": "NoCredit",
    "no_wallet": "NoCredit",
    "wallet_frozen": "NoCredit",
}


async def boot_notification(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Who it says it is may be anything: a charger that may not boot does not charge."""
    unit = section(payload, "chargingStation")
    boot = Boot(
        charger_id=station.charger_id,
        vendor=text(unit, "vendorName", limit=50, default=""),
        model=text(unit, "model", limit=50, default=""),
        serial_number=text(unit, "serialNumber", limit=50, default=""),
        firmware_version=text(unit, "firmwareVersion", limit=50, default=""),
        at=received_at,
    )
    station.tell(await arrivals.register_boot(boot))
    station.has_booted, station.profile = True, _profile_in(unit)
    return {
        "status": station.registration,
        "currentTime": to_wire(received_at),
        "interval": boot_interval(station.registration),
    }


def _profile_in(unit: dict[str, Any]) -> quirks.QuirkProfile | None:
    return quirks.find(*(text(unit, name, limit=50, default="") for name in ("vendorName", "model", "firmwareVersion")))


async def heartbeat(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    return {"currentTime": to_wire(received_at)}


def heartbeat_at_once(station: Station, payload: dict[str, Any], received_at: datetime) -> Promise:
    return {"currentTime": to_wire(received_at)}, None


async def status_notification(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    raw_status = text(payload, "connectorStatus", limit=30)
    evse_number = integer(payload, "evseId", high=MAX_SMALL)
    connector_id = integer(payload, "connectorId", high=MAX_SMALL)
    await store_status(
        StatusReport(
            charger_id=station.charger_id,
            evse_number=evse_number or None,
            connector_id=connector_id if evse_number else 0,
            raw_status=raw_status,
            status=STATUS.get(raw_status, S.UNKNOWN),
            at=min(station.instant(payload.get("timestamp"), received_at), received_at),
            received_at=received_at,
        )
    )
    station.has_reported = True
    await watch(station, payload.get("timestamp"), received_at)
    return {}


async def authorize(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    if not (id_token := token_in(payload)):
        return {"idTokenInfo": without_token(payload)}
    decision = await in_database(
        authorisation.authorise,
        id_token=id_token,
        connector_id=None,
        charger_id=station.charger_id,
        at=received_at,
    )
    return {"idTokenInfo": id_token_info(decision)}


def token_in(payload: dict[str, Any]) -> str:
    """Whose token it is; '' for none, and for a button, which is nobody's whatever stands beside it."""
    return "" if _is_button(payload) else text(section(payload, "idToken"), "idToken", limit=36, default="")


def without_token(payload: dict[str, Any]) -> dict[str, Any]:
    """A button is accepted (2.0.1 part 2 C02): the session names nobody, and finance hears of it; else Unknown."""
    return {"status": "Accepted" if _is_button(payload) else "Unknown"}


def _is_button(payload: dict[str, Any]) -> bool:
    return section(payload, "idToken").get("type") == "NoAuthorization"


def id_token_info(decision: authorisation.Decision) -> dict[str, Any]:
    """What the station may cache of a decision."""
    info: dict[str, Any] = {"status": TOKEN_STATUS.get(decision.reason, "Invalid")}
    if decision.is_accepted and decision.expires_at is not None:
        info["cacheExpiryDateTime"] = to_wire(decision.expires_at)
    if decision.is_accepted and decision.group_id:
        info["groupIdToken"] = {"idToken": decision.group_id, "type": "Central"}
    return info


HANDLERS: dict[str, Handler] = {
    "BootNotification": boot_notification,
    "Heartbeat": heartbeat,
    "StatusNotification": status_notification,
    "Authorize": authorize,
}
AT_ONCE: dict[str, AtOnce] = {"Heartbeat": heartbeat_at_once}
