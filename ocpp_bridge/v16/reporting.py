"""OCPP 1.6J: what a charge point reports of itself, security white paper included."""

import json
from datetime import datetime
from typing import Any

from ocpp_bridge import jobs, notices, security
from ocpp_bridge.instants import parse_instant
from ocpp_bridge.models import ChargerJob
from ocpp_bridge.saying import COST_VENDOR
from ocpp_bridge.station import MAX_INT32, Handler, Station, optional_integer, text
from ocpp_bridge.threads import in_database

COST_MESSAGES = frozenset({"ConnectorUnplugged"})


async def security_event(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    await in_database(
        security.note_security_event,
        charger_id=station.charger_id,
        type=text(payload, "type", limit=50),
        tech_info=text(payload, "techInfo", limit=255, default=""),
        at=parse_instant(payload.get("timestamp"), received_at=received_at),
        received_at=received_at,
    )
    return {}


def follows(kind: str) -> Handler:
    """A handler for the status notifications of one kind of job."""

    async def note(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
        await in_database(
            jobs.note_progress,
            charger_id=station.charger_id,
            kind=kind,
            status=text(payload, "status", limit=30),
            request_id=optional_integer(payload, "requestId", low=-MAX_INT32, high=MAX_INT32),
            received_at=received_at,
        )
        return {}

    return note


async def sign_certificate(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    may_be_signed = await in_database(
        security.take_certificate_request,
        charger_id=station.charger_id,
        pem=text(payload, "csr", limit=5500),
        kind="ChargingStationCertificate",
        request_id=None,
        received_at=received_at,
    )
    return {"status": "Accepted" if may_be_signed else "Rejected"}


async def data_transfer(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Only the cost messages are ours to understand; they are kept, everything else is refused by its name."""
    if payload.get("vendorId") != COST_VENDOR:
        return {"status": "UnknownVendorId"}
    if payload.get("messageId") not in COST_MESSAGES:
        return {"status": "UnknownMessageId"}
    data = _object(payload.get("data"))
    await in_database(
        notices.keep_notice,
        charger_id=station.charger_id,
        action=f"DataTransfer.{payload['messageId']}",
        payload=payload,
        transaction_ref=text(data, "transactionId", limit=36, default=""),
        received_at=received_at,
    )
    return {"status": "Accepted"}


def _object(data: object) -> dict[str, Any]:
    """DataTransfer carries an object as text in 1.6; what is none says nothing."""
    try:
        value = json.loads(data) if isinstance(data, str) else data
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


HANDLERS: dict[str, Handler] = {
    "SecurityEventNotification": security_event,
    "FirmwareStatusNotification": follows(ChargerJob.Kind.FIRMWARE),
    "SignedFirmwareStatusNotification": follows(ChargerJob.Kind.FIRMWARE),
    "DiagnosticsStatusNotification": follows(ChargerJob.Kind.LOG),
    "LogStatusNotification": follows(ChargerJob.Kind.LOG),
    "SignCertificate": sign_certificate,
    "DataTransfer": data_transfer,
}
