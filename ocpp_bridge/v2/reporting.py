"""OCPP 2.x: what a station reports of itself: reports, events, jobs, security."""

from datetime import datetime
from typing import Any

from ocpp_bridge import jobs, notices, reports, security
from ocpp_bridge.instants import parse_instant
from ocpp_bridge.models import ChargerJob, ComponentEvent, Report
from ocpp_bridge.station import (
    MAX_INT32,
    MAX_SMALL,
    Handler,
    Station,
    Unusable,
    integer,
    optional_integer,
    section,
    text,
)
from ocpp_bridge.threads import in_database
from ocpp_bridge.v16.reporting import data_transfer, security_event

MAX_SEQ_NO = reports.MAX_PARTS - 1


def part_of(kind: str, *, is_numbered: bool) -> Handler:
    """A handler for one frame of a report."""

    async def note(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
        try:
            await in_database(
                reports.note_part,
                charger_id=station.charger_id,
                kind=kind,
                request_id=integer(payload, "requestId", low=-MAX_INT32, high=MAX_INT32),
                seq_no=integer(payload, "seqNo", high=MAX_SEQ_NO) if is_numbered else None,
                is_last=payload.get("tbc") is not True,
                payload=payload,
                received_at=received_at,
            )
        except reports.TooManyParts as error:
            raise Unusable(str(error)) from error
        return {}

    return note


async def notify_event(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    entries = payload.get("eventData")
    events = [_component_event(station, entry, received_at) for entry in entries] if isinstance(entries, list) else []
    await in_database(
        notices.note_component_events, charger_id=station.charger_id, events=events, received_at=received_at
    )
    return {}


def _component_event(station: Station, entry: dict[str, Any], received_at: datetime) -> ComponentEvent:
    component = section(entry, "component")
    return ComponentEvent(
        charger_id=station.charger_id,
        event_id=integer(entry, "eventId", low=-MAX_INT32, high=MAX_INT32),
        trigger=text(entry, "trigger", limit=10),
        component=reports.component_name(component)[:110],
        variable=reports.variable_name(section(entry, "variable"))[:110],
        evse_number=optional_integer(section(component, "evse"), "id", high=MAX_SMALL),
        value=text(entry, "actualValue", limit=2500, default=""),
        severity=optional_integer(entry, "severity", high=9),
        is_cleared=entry.get("cleared") is True,
        transaction_ref=text(entry, "transactionId", limit=36, default=""),
        tech_code=text(entry, "techCode", limit=50, default=""),
        tech_info=text(entry, "techInfo", limit=500, default=""),
        at=parse_instant(entry.get("timestamp"), received_at=received_at),
        received_at=received_at,
    )


def follows(kind: str) -> Handler:
    """A handler for the status notifications of one kind of job."""

    async def note(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
        places = payload.get("location")
        detail = ", ".join(map(str, places)) if isinstance(places, list) else ""
        await in_database(
            jobs.note_progress,
            charger_id=station.charger_id,
            kind=kind,
            status=text(payload, "status", limit=30),
            request_id=optional_integer(payload, "requestId", low=-MAX_INT32, high=MAX_INT32),
            detail=text(section(payload, "statusInfo"), "additionalInfo", limit=500, default=detail),
            received_at=received_at,
        )
        return {}

    return note


async def sign_certificate(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    may_be_signed = await in_database(
        security.take_certificate_request,
        charger_id=station.charger_id,
        pem=text(payload, "csr", limit=5500),
        kind=text(payload, "certificateType", limit=40, default="ChargingStationCertificate"),
        request_id=optional_integer(payload, "requestId", low=-MAX_INT32, high=MAX_INT32),
        received_at=received_at,
    )
    return {"status": "Accepted" if may_be_signed else "Rejected"}


async def no_certificate_status(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """We are no OCSP client; the station then asks the responder itself, or goes without (OCPP 2.0.1 part 2 M06)."""
    return {"status": "Failed", "statusInfo": {"reasonCode": "NoOCSPClient"}}


async def no_contract_certificate(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """We run no ISO 15118 provisioning service (M01)."""
    return {"status": "Failed", "exiResponse": "", "statusInfo": {"reasonCode": "NoPnC"}}


HANDLERS: dict[str, Handler] = {
    "NotifyReport": part_of(Report.Kind.VARIABLES, is_numbered=True),
    "NotifyMonitoringReport": part_of(Report.Kind.MONITORS, is_numbered=True),
    "NotifyCustomerInformation": part_of(Report.Kind.CUSTOMER, is_numbered=True),
    "ReportChargingProfiles": part_of(Report.Kind.PROFILES, is_numbered=False),
    "NotifyDisplayMessages": part_of(Report.Kind.MESSAGES, is_numbered=False),
    "NotifyEvent": notify_event,
    "FirmwareStatusNotification": follows(ChargerJob.Kind.FIRMWARE),
    "PublishFirmwareStatusNotification": follows(ChargerJob.Kind.PUBLISH),
    "LogStatusNotification": follows(ChargerJob.Kind.LOG),
    "SecurityEventNotification": security_event,
    "SignCertificate": sign_certificate,
    "DataTransfer": data_transfer,
    "GetCertificateStatus": no_certificate_status,
    "Get15118EVCertificate": no_contract_certificate,
}
DECLINED = frozenset({"GetCertificateStatus", "Get15118EVCertificate"})
