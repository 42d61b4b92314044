"""OCPP 2.x: what the messages of charging itself mean."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing.models import ChargingSession
from billing.services import authorisation, sessions
from billing.services.meters import MeterReading
from ocpp_bridge.clocks import watch
from ocpp_bridge.instants import parse_instant, to_wire
from ocpp_bridge.intervals import boot_interval
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
    section,
    text,
)  # fmt: skip
from ocpp_bridge.threads import in_database
from ocpp_bridge.writers import offer_readings, readings_of, status_writer, store_readings
from stations import services as stations
from stations.models import Connector
from stations.services import StatusReport

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
    "day_limit": "NoCredit",
    "month_limit": "NoCredit",
    "concurrent_tx": "ConcurrentTx",
    "network_not_authorised": "NotAtThisLocation",
    "insufficient": "NoCredit",
    "no_wallet": "NoCredit",
    "wallet_frozen": "NoCredit",
}


async def boot_notification(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    unit = section(payload, "chargingStation")
    station.registration = await in_database(
        stations.register_boot,
        charger_id=station.charger_id,
        vendor=text(unit, "vendorName", limit=50),
        model=text(unit, "model", limit=50),
        serial_number=text(unit, "serialNumber", limit=50, default=""),
        firmware_version=text(unit, "firmwareVersion", limit=50, default=""),
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
    raw_status = text(payload, "connectorStatus", limit=30)
    evse_number = integer(payload, "evseId", high=MAX_SMALL)
    connector_id = integer(payload, "connectorId", high=MAX_SMALL)
    await status_writer.submit(
        StatusReport(
            charger_id=station.charger_id,
            evse_number=evse_number or None,
            connector_id=connector_id if evse_number else 0,
            raw_status=raw_status,
            status=STATUS.get(raw_status, S.UNKNOWN),
            at=min(parse_instant(payload.get("timestamp"), received_at=received_at), received_at),
            received_at=received_at,
        )
    )
    station.has_reported = True
    await watch(station, payload.get("timestamp"), received_at)
    return {}


async def authorize(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    decision = await in_database(
        authorisation.authorise,
        id_token=text(section(payload, "idToken"), "idToken", limit=36),
        connector_id=None,
        charger_id=station.charger_id,
        at=received_at,
    )
    return {"idTokenInfo": id_token_info(decision)}


@dataclass(slots=True)
class Event:
    """A TransactionEvent read once; reading it writes nothing."""

    kind: str
    at: datetime
    reference: str
    evse_number: int
    connector_id: int
    id_token: str
    charging_state: str
    stopped_reason: str
    remote_start_id: int | None
    reservation_number: int | None
    readings: list[MeterReading]


def read_event(station: Station, payload: dict[str, Any], received_at: datetime) -> Event:
    """Raises Unusable without transaction id or event type; EVSE and token may have come earlier, or not at all."""
    info, evse = section(payload, "transactionInfo"), section(payload, "evse")
    reference = text(info, "transactionId", limit=36)
    kind = text(payload, "eventType", limit=10)
    if kind not in {"Started", "Updated", "Ended"}:
        raise Unusable("eventType: expected Started, Updated or Ended")
    memory = station.transaction(reference)
    memory.evse_number = optional_integer(evse, "id", low=1, high=MAX_SMALL) or memory.evse_number
    return Event(
        kind=kind,
        at=parse_instant(payload.get("timestamp"), received_at=received_at),
        reference=reference,
        evse_number=memory.evse_number or 1,
        connector_id=optional_integer(evse, "connectorId", low=1, high=MAX_SMALL) or 1,
        id_token=text(section(payload, "idToken"), "idToken", limit=36, default=""),
        charging_state=text(info, "chargingState", limit=20, default=""),
        stopped_reason=text(info, "stoppedReason", limit=30, default="Local"),
        remote_start_id=optional_integer(info, "remoteStartId", low=-MAX_INT32, high=MAX_INT32),
        reservation_number=optional_integer(payload, "reservationId", low=-MAX_INT32, high=MAX_INT32),
        readings=readings_of(
            payload.get("meterValue", []),
            charger_id=station.charger_id,
            evse_number=memory.evse_number or 1,
            transaction_ref=reference,
            received_at=received_at,
        ),
    )


async def transaction_event(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Started, Updated and Ended in any order make one session: the key is (station, transactionId), never seqNo."""
    event = read_event(station, payload, received_at)
    memory = station.transaction(event.reference)
    answer: dict[str, Any] = {}
    if event.kind == "Started" or event.id_token or not memory.is_known:
        started = await _start(station, event, memory, received_at)
        if event.id_token:
            answer["idTokenInfo"] = id_token_info(started.decision)
    if payload.get("offline") is not True:
        await watch(station, payload.get("timestamp"), received_at)
    await store_readings(event.readings)
    if event.kind == "Ended":
        answer |= await _end(station, event, received_at)
    elif memory.connector_pk and event.charging_state not in {"", memory.charging_state}:
        await _show_delivery(event, memory)
    return answer


def transaction_event_at_once(station: Station, payload: dict[str, Any], received_at: datetime) -> Promise:
    """Nine of ten events: samples of a transaction we know, with nothing else new."""
    if payload.get("eventType") != "Updated" or "idToken" in payload:
        return None
    event = read_event(station, payload, received_at)
    memory = station.transaction(event.reference)
    if not memory.is_known or (memory.connector_pk and event.charging_state not in {"", memory.charging_state}):
        return None
    return offer_readings(event.readings, {})


async def _start(
    station: Station, event: Event, memory: TransactionMemory, received_at: datetime
) -> sessions.StartedSession:
    registers = [reading.energy_wh for reading in event.readings if reading.energy_wh is not None]
    started = await in_database(
        sessions.start_session,
        charger_id=station.charger_id,
        evse_number=event.evse_number,
        connector_id=event.connector_id,
        id_token=event.id_token,
        started_at=event.at,
        received_at=received_at,
        meter_start_wh=registers[0] if registers else None,
        start_key=digest(station.charger_id, event.reference),
        transaction_ref=event.reference,
        reservation_number=event.reservation_number,
        remote_start_id=event.remote_start_id,
    )
    memory.connector_pk = await in_database(_active_connector_of, started.session_id)
    memory.is_known = True
    return started


def _active_connector_of(session_id: int) -> int:
    """0 when the session has ended: a late Updated must not make its connector look busy again."""
    active = ChargingSession.objects.active().filter(pk=session_id)
    return active.values_list("connector_id", flat=True).first() or 0


async def _end(station: Station, event: Event, received_at: datetime) -> dict[str, Any]:
    registers = [reading.energy_wh for reading in event.readings if reading.energy_wh is not None]
    ended = await in_database(
        sessions.end_session,
        charger_id=station.charger_id,
        transaction_ref=event.reference,
        ended_at=event.at,
        received_at=received_at,
        meter_stop_wh=registers[-1] if registers else None,
        reason=event.stopped_reason,
        id_token=event.id_token,
    )
    station.transactions.pop(event.reference, None)
    return {} if ended.total_paise is None else {"totalCost": float(Decimal(ended.total_paise) / 100)}


async def _show_delivery(event: Event, memory: TransactionMemory) -> None:
    """Status of a running session follows chargingState; 2.x connectors only ever say Occupied."""
    await in_database(
        stations.set_session,
        connector_id=memory.connector_pk,
        has_session=True,
        is_delivering=event.charging_state == "Charging",
        at=event.at,
    )
    memory.charging_state = event.charging_state


async def meter_values(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    await store_readings(_readings(station, payload, received_at))
    return {}


def meter_values_at_once(station: Station, payload: dict[str, Any], received_at: datetime) -> Promise:
    return offer_readings(_readings(station, payload, received_at), {})


def _readings(station: Station, payload: dict[str, Any], received_at: datetime) -> list[MeterReading]:
    return readings_of(
        payload.get("meterValue"),
        charger_id=station.charger_id,
        evse_number=integer(payload, "evseId", high=MAX_SMALL),
        transaction_ref="",
        received_at=received_at,
    )


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
    "TransactionEvent": transaction_event,
    "MeterValues": meter_values,
}
AT_ONCE: dict[str, AtOnce] = {
    "Heartbeat": heartbeat_at_once,
    "MeterValues": meter_values_at_once,
    "TransactionEvent": transaction_event_at_once,
}
