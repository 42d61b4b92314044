"""OCPP 1.6J: what the messages of charging itself mean."""

from datetime import datetime
from typing import Any

from billing.services import authorisation, sessions
from billing.services.meters import MeterReading
from ocpp_bridge.clocks import watch
from ocpp_bridge.instants import parse_instant, to_wire
from ocpp_bridge.intervals import boot_interval
from ocpp_bridge.metering import MAX_ENERGY_WH
from ocpp_bridge.station import (
    MAX_INT32,
    MAX_SMALL,
    AtOnce,
    Handler,
    Promise,
    Station,
    Unusable,
    digest,
    integer,
    optional_integer,
    text,
)
from ocpp_bridge.threads import in_database
from ocpp_bridge.writers import offer_readings, readings_of, status_writer, store_readings
from stations import services as stations
from stations.models import Connector
from stations.services import StatusReport

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
    station.registration = await in_database(
        stations.register_boot,
        charger_id=station.charger_id,
        vendor=text(payload, "chargePointVendor", limit=50),
        model=text(payload, "chargePointModel", limit=50),
        serial_number=text(payload, "chargePointSerialNumber", limit=50, default=""),
        firmware_version=text(payload, "firmwareVersion", limit=50, default=""),
        at=received_at,
    )
    station.has_booted = True
    return {
        "status": station.registration,
        "currentTime": to_wire(received_at),
        "interval": boot_interval(station.registration),
    }


async def heartbeat(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    return {"currentTime": to_wire(received_at)}


def heartbeat_at_once(station: Station, payload: dict[str, Any], received_at: datetime) -> Promise:
    return {"currentTime": to_wire(received_at)}, None


async def status_notification(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    raw_status = text(payload, "status", limit=30)
    await status_writer.submit(
        StatusReport(
            charger_id=station.charger_id,
            evse_number=None,
            connector_id=integer(payload, "connectorId", high=MAX_SMALL),
            raw_status=raw_status,
            status=STATUS.get(raw_status, S.UNKNOWN),
            at=min(parse_instant(payload.get("timestamp"), received_at=received_at), received_at),
            received_at=received_at,
            error_code=text(payload, "vendorErrorCode", limit=50, default=text(payload, "errorCode", limit=50)),
            error_info=text(payload, "info", limit=255, default=""),
        )
    )
    station.has_reported = True
    await watch(station, payload.get("timestamp"), received_at)
    return {}


async def authorize(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    decision = await in_database(
        authorisation.authorise,
        id_token=text(payload, "idTag", limit=20),
        connector_id=None,
        charger_id=station.charger_id,
        at=received_at,
    )
    return {"idTagInfo": id_tag_info(decision)}


async def start_transaction(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    connector_id = integer(payload, "connectorId", low=1, high=MAX_SMALL)
    id_tag = text(payload, "idTag", limit=36)
    repeated = (connector_id, id_tag, payload.get("timestamp"), payload.get("meterStart"))
    started = await in_database(
        sessions.start_session,
        charger_id=station.charger_id,
        evse_number=None,
        connector_id=connector_id,
        id_token=id_tag,
        started_at=parse_instant(payload.get("timestamp"), received_at=received_at),
        received_at=received_at,
        meter_start_wh=optional_integer(payload, "meterStart", high=MAX_ENERGY_WH),
        start_key=digest(station.charger_id, *repeated),
        reservation_number=optional_integer(payload, "reservationId", low=-MAX_INT32, high=MAX_INT32),
    )
    station.transaction(started.transaction_ref).evse_number = connector_id
    return {"transactionId": int(started.transaction_ref), "idTagInfo": id_tag_info(started.decision)}


async def stop_transaction(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    reference = str(integer(payload, "transactionId", low=-(2**31)))
    ended_at = parse_instant(payload.get("timestamp"), received_at=received_at)
    id_tag = text(payload, "idTag", limit=36, default="")
    readings = _transaction_data(station, payload, reference, received_at)
    await store_readings(readings)
    await in_database(
        sessions.end_session,
        charger_id=station.charger_id,
        transaction_ref=reference,
        ended_at=ended_at,
        received_at=received_at,
        meter_stop_wh=optional_integer(payload, "meterStop", high=MAX_ENERGY_WH),
        reason=text(payload, "reason", limit=30, default="Local"),
        id_token=id_tag,
    )
    station.transactions.pop(reference, None)
    return {"idTagInfo": {"status": "Accepted"}} if id_tag else {}


def _transaction_data(
    station: Station, payload: dict[str, Any], reference: str, received_at: datetime
) -> list[MeterReading]:
    """Broken samples never keep a stop from being booked."""
    try:
        return readings_of(
            payload.get("transactionData", []),
            charger_id=station.charger_id,
            evse_number=station.transaction(reference).evse_number,
            transaction_ref=reference,
            received_at=received_at,
        )
    except Unusable:
        return []


async def meter_values(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    await store_readings(_readings(station, payload, received_at))
    return {}


def meter_values_at_once(station: Station, payload: dict[str, Any], received_at: datetime) -> Promise:
    return offer_readings(_readings(station, payload, received_at), {})


def _readings(station: Station, payload: dict[str, Any], received_at: datetime) -> list[MeterReading]:
    number = optional_integer(payload, "transactionId", low=1)
    return readings_of(
        payload.get("meterValue"),
        charger_id=station.charger_id,
        evse_number=integer(payload, "connectorId", high=MAX_SMALL),
        transaction_ref="" if number is None else str(number),
        received_at=received_at,
    )


def id_tag_info(decision: authorisation.Decision) -> dict[str, Any]:
    """What the charge point may cache of a decision."""
    info: dict[str, Any] = {"status": TOKEN_STATUS.get(decision.reason, "Blocked")}
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
    "StartTransaction": start_transaction,
    "StopTransaction": stop_transaction,
    "MeterValues": meter_values,
}
AT_ONCE: dict[str, AtOnce] = {"Heartbeat": heartbeat_at_once, "MeterValues": meter_values_at_once}
