"""OCPP 2.x: transactions and their meters, told in TransactionEvents of any order (2.0.1 part 2, E and J)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing.services import sessions
from billing.services.messages import Said
from billing.services.meters import MeterReading
from billing.services.places import UNNAMED
from ocpp_bridge.metering import register_at_begin, register_at_end
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
)
from ocpp_bridge.threads import in_database
from ocpp_bridge.v2.core import id_token_info, token_in, without_token
from ocpp_bridge.writers import offer_readings, readings_of, store_readings

STARTED, UPDATED, ENDED = "Started", "Updated", "Ended"


@dataclass(slots=True)
class Event:
    """A TransactionEvent read once; reading it writes nothing. `evse_number` 0: not said yet."""

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
    sequence: int | None
    is_offline: bool
    is_time_ours: bool
    readings: list[MeterReading]


def read_event(station: Station, payload: dict[str, Any], received_at: datetime) -> Event:
    """Raises Unusable without transaction id or event type; EVSE and token may have come earlier, or not at all."""
    info, evse = section(payload, "transactionInfo"), section(payload, "evse")
    reference = text(info, "transactionId", limit=36)
    kind = text(payload, "eventType", limit=10)
    if kind not in {STARTED, UPDATED, ENDED}:
        raise Unusable("eventType: expected Started, Updated or Ended")
    memory = station.transaction(reference)
    evse_number = optional_integer(evse, "id", low=1, high=MAX_SMALL) or memory.evse_number
    sequence = optional_integer(payload, "seqNo")
    at, is_time_ours = station.told(payload.get("timestamp"), received_at)
    return Event(
        kind=kind,
        at=at,
        reference=reference,
        evse_number=evse_number,
        connector_id=(optional_integer(evse, "connectorId", low=1, high=MAX_SMALL) or 1) if evse_number else UNNAMED,
        id_token=token_in(payload),
        charging_state=text(info, "chargingState", limit=20, default=""),
        stopped_reason=text(info, "stoppedReason", limit=30, default="Local"),
        remote_start_id=optional_integer(info, "remoteStartId", low=-MAX_INT32, high=MAX_INT32),
        reservation_number=optional_integer(payload, "reservationId", low=-MAX_INT32, high=MAX_INT32),
        sequence=sequence,
        is_offline=payload.get("offline") is True,
        is_time_ours=is_time_ours,
        readings=readings_of(
            payload.get("meterValue", []),
            charger_id=station.charger_id,
            evse_number=evse_number or 1,
            transaction_ref=reference,
            received_at=received_at,
            sequence=sequence,
            profile=station.profile,
        ),
    )


async def transaction_event(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Started, Updated and Ended in any order make one session: the key is (station, transactionId), never seqNo.

    A session without its Started is provisional until that comes; what comes once (EVSE, token) may come in any event.
    """
    await _recall(station, payload)
    event = read_event(station, payload, received_at)
    memory = station.transaction(event.reference)
    said = _said(station, event, payload, received_at)
    answer: dict[str, Any] = {}
    if event.kind == STARTED or event.id_token or not memory.is_known or _tells_more(event, memory):
        started = await _start(station, event, memory, said)
        if event.id_token:
            answer["idTokenInfo"] = id_token_info(started.decision)
    if "idToken" in payload and not event.id_token:
        answer["idTokenInfo"] = without_token(payload)
    await store_readings(event.readings)
    if event.kind == ENDED:
        return answer | await _end(station, event, said)
    await in_database(_note, station.charger_id, event, memory, said)
    return answer


async def _recall(station: Station, payload: dict[str, Any]) -> None:
    """Where a transaction from before this socket runs: the station says its EVSE only once."""
    reference = text(section(payload, "transactionInfo"), "transactionId", limit=36)
    memory = station.transaction(reference)
    if memory.is_known or memory.evse_number or section(payload, "evse"):
        return
    found = await in_database(sessions.find_running, charger_id=station.charger_id, transaction_ref=reference)
    memory.evse_number = found.evse_number


def transaction_event_at_once(station: Station, payload: dict[str, Any], received_at: datetime) -> Promise:
    """Nine of ten events: samples of a transaction we know, with nothing else new."""
    if payload.get("eventType") != UPDATED or "idToken" in payload:
        return None
    event = read_event(station, payload, received_at)
    memory = station.transaction(event.reference)
    if not memory.is_known or not event.readings or event.charging_state not in {"", memory.charging_state}:
        return None
    if _tells_more(event, memory):
        return None
    return offer_readings(event.readings, {})


def _tells_more(event: Event, memory: TransactionMemory) -> bool:
    """It has what no event of the transaction had: the EVSE comes with the cable (2.0.1 part 2, E01)."""
    return (
        event.evse_number != memory.evse_number
        or event.remote_start_id not in {None, memory.remote_start_id}
        or event.reservation_number not in {None, memory.reservation_number}
    )


def _remember(event: Event, memory: TransactionMemory) -> None:
    memory.evse_number = event.evse_number
    if event.remote_start_id is not None:
        memory.remote_start_id = event.remote_start_id
    if event.reservation_number is not None:
        memory.reservation_number = event.reservation_number


def _said(station: Station, event: Event, payload: dict[str, Any], received_at: datetime) -> Said:
    return Said(
        kind=event.kind,
        at=event.at,
        received_at=received_at,
        sequence=event.sequence,
        charging_state=event.charging_state,
        trigger_reason=text(payload, "triggerReason", limit=30, default=""),
        is_offline=event.is_offline,
        dedupe_key=digest(station.charger_id, payload),
    )


async def _start(station: Station, event: Event, memory: TransactionMemory, said: Said) -> sessions.StartedSession:
    is_start = event.kind == STARTED
    started = await in_database(
        sessions.start_session,
        charger_id=station.charger_id,
        evse_number=event.evse_number,
        connector_id=event.connector_id,
        id_token=event.id_token,
        started_at=event.at,
        received_at=said.received_at,
        meter_start_wh=register_at_begin(event.readings) if is_start else None,
        start_key=digest(station.charger_id, event.reference),
        transaction_ref=event.reference,
        reservation_number=event.reservation_number,
        remote_start_id=event.remote_start_id,
        is_reported=is_start,
        is_offline=event.is_offline,
        is_time_ours=event.is_time_ours,
        said=said,
    )
    if not started.is_new and started.connector_id != memory.connector_pk:  # the plug has yet to show what flows
        event.charging_state = event.charging_state or memory.charging_state
        memory.charging_state = ""
    memory.connector_pk, memory.is_known = started.connector_id, True
    _remember(event, memory)
    if started.is_new:
        memory.charging_state = ""  # a station may use a number again
    return started


async def _end(station: Station, event: Event, said: Said) -> dict[str, Any]:
    ended = await in_database(
        sessions.end_session,
        charger_id=station.charger_id,
        transaction_ref=event.reference,
        ended_at=event.at,
        received_at=said.received_at,
        meter_stop_wh=register_at_end(event.readings),
        reason=event.stopped_reason,
        id_token=event.id_token,
        is_time_ours=event.is_time_ours,
        said=said,
    )
    station.transactions.pop(event.reference, None)
    return {} if ended.total_paise is None else {"totalCost": float(Decimal(ended.total_paise) / 100)}


def _note(charger_id: int, event: Event, memory: TransactionMemory, said: Said) -> None:
    """Keep the message, and let the shown status follow chargingState: 2.x connectors only ever say Occupied."""
    sessions.note_message(charger_id=charger_id, transaction_ref=event.reference, said=said)
    if not event.charging_state or event.charging_state == memory.charging_state:
        return
    is_delivering = event.charging_state == "Charging"
    sessions.show_flow(charger_id=charger_id, transaction_ref=event.reference, is_delivering=is_delivering, at=event.at)
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
        profile=station.profile,
    )


HANDLERS: dict[str, Handler] = {"TransactionEvent": transaction_event, "MeterValues": meter_values}
AT_ONCE: dict[str, AtOnce] = {"TransactionEvent": transaction_event_at_once, "MeterValues": meter_values_at_once}
