"""OCPP 1.6J: transactions and their meters (sections 4.7, 4.8 and 4.10, 5.13, 5.16)."""

from datetime import datetime
from typing import Any

from billing.models import ChargingSession
from billing.services import sessions
from billing.services.meters import MeterReading
from billing.services.places import UNNAMED
from ocpp_bridge.instants import parse_date
from ocpp_bridge.metering import MAX_ENERGY_WH
from ocpp_bridge.station import (
    MAX_INT32,
    MAX_SMALL,
    AtOnce,
    Handler,
    Promise,
    Station,
    TransactionMemory,
    Unusable,
    digest,
    integer,
    optional_integer,
    text,
)
from ocpp_bridge.threads import in_database
from ocpp_bridge.v16.core import id_tag_info
from ocpp_bridge.writers import offer_readings, readings_of, store_readings

NO_ID = "-1"


async def start_transaction(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Always answered with an id, also for a tag that may not charge: the session is a fact."""
    connector_id = optional_integer(payload, "connectorId", high=MAX_SMALL)
    if connector_id is None:
        connector_id = UNNAMED  # refused, the charger would only say it again, and the session is a fact
    id_tag = text(payload, "idTag", limit=36, default="")
    meter_start_wh = _transaction_meter(station, payload, "meterStart")
    started_at, is_time_ours = station.told(payload.get("timestamp"), received_at)
    as_written = digest(station.charger_id, connector_id, id_tag, payload.get("timestamp"), payload.get("meterStart"))
    said_at = parse_date(payload.get("timestamp"))  # not what we make of it: that may change until it is said again
    meant = (connector_id, id_tag, said_at and said_at.isoformat(), optional_integer(payload, "meterStart"))
    former_key = as_written
    if said_at is not None and not is_time_ours and said_at != started_at:  # its clock is read as its quirk says
        as_read = digest(station.charger_id, connector_id, id_tag, started_at.isoformat(), meant[-1])
        former_key = await in_database(_former_key, as_written, as_read, started_at)
    started = await in_database(
        sessions.start_session,
        charger_id=station.charger_id,
        evse_number=None,
        connector_id=connector_id,
        id_token=id_tag,
        started_at=started_at,
        received_at=received_at,
        meter_start_wh=meter_start_wh,
        start_key=as_written if said_at is None else digest(station.charger_id, *meant),
        former_key=former_key,
        reservation_number=optional_integer(payload, "reservationId", low=-MAX_INT32, high=MAX_INT32),
        is_time_ours=is_time_ours,
    )
    memory = station.transaction(started.transaction_ref)
    memory.evse_number, memory.is_known, memory.meter_start_wh = max(connector_id, 1), True, meter_start_wh
    return {"transactionId": int(started.transaction_ref), "idTagInfo": id_tag_info(started.decision)}


def _former_key(as_written: str, as_read: str, started_at: datetime) -> str:
    """`as_read`, with the time that the quirk made of it, where a start was stored so; its time tells it from others"""
    is_stored = ChargingSession.objects.filter(start_key=as_read, started_at=started_at).exists()
    return as_read if is_stored else as_written


async def stop_transaction(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Always confirmed. A stop that lost its id (0, -1, unknown, senseless) finds its session by token, place, time."""
    number = optional_integer(payload, "transactionId", low=-(2**31))
    reference = NO_ID if number is None else str(number)
    ended_at, is_time_ours = station.told(payload.get("timestamp"), received_at)
    stop: dict[str, Any] = {
        "charger_id": station.charger_id,
        "transaction_ref": reference,
        "ended_at": ended_at,
        "meter_stop_wh": _transaction_meter(station, payload, "meterStop"),
        "id_token": text(payload, "idTag", limit=36, default=""),
        "is_time_ours": is_time_ours,
    }
    if reference in station.transactions:
        memory, found = station.transactions[reference], reference
    else:
        session = await in_database(sessions.find_stopped, **stop)
        memory = TransactionMemory(evse_number=session.evse_number, meter_start_wh=session.meter_start_wh)
        found = session.transaction_ref
    await store_readings(_transaction_data(station, payload, found, memory, received_at))
    reason = text(payload, "reason", limit=30, default="Local")
    await in_database(sessions.end_session, **stop, received_at=received_at, reason=reason)
    station.transactions.pop(reference, None)
    return {"idTagInfo": {"status": "Accepted"}} if stop["id_token"] else {}


def _transaction_meter(station: Station, payload: dict[str, Any], key: str) -> int | None:
    value = optional_integer(payload, key, high=MAX_ENERGY_WH)
    return value if station.profile is None else station.profile.transaction_meter(value)


def _transaction_data(
    station: Station, payload: dict[str, Any], reference: str, memory: TransactionMemory, received_at: datetime
) -> list[MeterReading]:
    """Broken samples never keep a stop from being booked."""
    try:
        return readings_of(
            payload.get("transactionData", []),
            charger_id=station.charger_id,
            evse_number=memory.evse_number,
            transaction_ref=reference,
            received_at=received_at,
            profile=station.profile,
            base_wh=_base_wh(station, memory),
        )
    except Unusable:
        return []


async def meter_values(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    reference = _reference(payload)
    if reference and reference not in station.transactions and _is_relative(station):
        session = await in_database(sessions.find_running, charger_id=station.charger_id, transaction_ref=reference)
        station.transaction(reference).meter_start_wh = session.meter_start_wh
    await store_readings(_readings(station, payload, received_at))
    return {}


def meter_values_at_once(station: Station, payload: dict[str, Any], received_at: datetime) -> Promise:
    if station.profile is not None and _is_relative(station) and _reference(payload) not in station.transactions:
        return None
    return offer_readings(_readings(station, payload, received_at), {})


def _readings(station: Station, payload: dict[str, Any], received_at: datetime) -> list[MeterReading]:
    reference = _reference(payload)
    memory = station.transactions.get(reference)
    return readings_of(
        payload.get("meterValue"),
        charger_id=station.charger_id,
        evse_number=integer(payload, "connectorId", high=MAX_SMALL),
        transaction_ref=reference,
        received_at=received_at,
        profile=station.profile,
        base_wh=_base_wh(station, memory) if memory else 0,
    )


def _reference(payload: dict[str, Any]) -> str:
    """Missing, 0 and -1 mean the session that runs there at that time."""
    number = optional_integer(payload, "transactionId", low=1)
    return "" if number is None else str(number)


def _is_relative(station: Station) -> bool:
    return station.profile is not None and station.profile.is_register_relative


def _base_wh(station: Station, memory: TransactionMemory) -> int:
    return (memory.meter_start_wh or 0) if _is_relative(station) else 0


HANDLERS: dict[str, Handler] = {
    "StartTransaction": start_transaction,
    "StopTransaction": stop_transaction,
    "MeterValues": meter_values,
}
AT_ONCE: dict[str, AtOnce] = {"MeterValues": meter_values_at_once}
