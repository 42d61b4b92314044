"""OCPP 2.1: what came new, tariffs and money first."""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from billing.services import bounds
from ocpp_bridge import notices
from ocpp_bridge.instants import parse_instant, to_wire
from ocpp_bridge.models import Report
from ocpp_bridge.station import AtOnce, Handler, Promise, Station, Unusable, section, text
from ocpp_bridge.threads import in_database
from ocpp_bridge.v2 import transactions
from ocpp_bridge.v2.limits import kept
from ocpp_bridge.v2.reporting import part_of

MAX_PAISE = 10**13


def paise(amount: object) -> int | None:
    """A number of the currency's units as integer hundredths; None for what is no amount of money."""
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return None
    value = Decimal(str(amount)) * 100
    return int(value.quantize(Decimal(1), ROUND_HALF_UP)) if abs(value) <= MAX_PAISE else None


async def transaction_event(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """As in 2.0.1, and a station that calculates cost itself tells it on the way (I07, I12)."""
    answer = await transactions.transaction_event(station, payload, received_at)
    if details := section(payload, "costDetails"):
        await _note_cost(station, section(payload, "transactionInfo"), details, payload, received_at)
    if section(answer, "idTokenInfo").get("status") == "Accepted":
        reference = text(section(payload, "transactionInfo"), "transactionId", limit=36)
        answer |= await in_database(_limit, station.charger_id, reference)
    return answer


def _limit(charger_id: int, reference: str) -> dict[str, Any]:
    """What the station itself ends the transaction at (E16); bounds.stop_exhausted sees to it where it does not."""
    max_energy_wh, max_paise = bounds.of_session(charger_id=charger_id, transaction_ref=reference)
    limit = {"maxEnergy": max_energy_wh, "maxCost": None if max_paise is None else max_paise / 100}
    known = {name: value for name, value in limit.items() if value is not None}
    return {"transactionLimit": known} if known else {}


def transaction_event_at_once(station: Station, payload: dict[str, Any], received_at: datetime) -> Promise:
    return None if "costDetails" in payload else transactions.transaction_event_at_once(station, payload, received_at)


async def _note_cost(
    station: Station, info: dict[str, Any], details: dict[str, Any], payload: dict[str, Any], received_at: datetime
) -> None:
    cost = section(details, "totalCost")
    total = section(cost, "total")
    has_failed = details.get("failureToCalculate") is True
    await in_database(
        notices.note_cost,
        charger_id=station.charger_id,
        transaction_ref=text(info, "transactionId", limit=36),
        currency=text(cost, "currency", limit=3, default=""),
        total_paise=paise(total.get("inclTax", total.get("exclTax"))),
        tariff_id=text(info, "tariffId", limit=60, default=""),
        failure=text(details, "failureReason", limit=500, default="No reason given.") if has_failed else None,
        details=details,
        at=parse_instant(payload.get("timestamp"), received_at=received_at),
    )


async def notify_settlement(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """The receipt is the station's; we keep the fact and add none of our own (C21)."""
    amount = paise(payload.get("settlementAmount"))
    if amount is None:
        raise Unusable("settlementAmount: expected an amount of money")
    await in_database(
        notices.note_settlement,
        charger_id=station.charger_id,
        psp_ref=text(payload, "pspRef", limit=255),
        status=text(payload, "status", limit=10),
        transaction_ref=text(payload, "transactionId", limit=36, default=""),
        status_info=text(payload, "statusInfo", limit=500, default=""),
        amount_paise=amount,
        receipt_id=text(payload, "receiptId", limit=50, default=""),
        receipt_url=text(payload, "receiptUrl", limit=2000, default=""),
        vat_number=text(payload, "vatNumber", limit=20, default=""),
        settled_at=parse_instant(payload.get("settlementTime"), received_at=received_at),
        received_at=received_at,
    )
    return {}


async def no_chain_status(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """We ask no CRL or OCSP responder: each status is Failed, and the station decides (M06)."""
    requests = payload.get("certificateStatusRequests")
    return {
        "certificateStatus": [
            {
                "certificateHashData": section(request, "certificateHashData"),
                "source": request.get("source"),
                "status": "Failed",
                "nextUpdate": to_wire(received_at),
            }
            for request in (requests if isinstance(requests, list) else [])
        ]
    }


async def no_stream(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """We set up no periodic event streams (N11)."""
    return {"status": "Rejected", "statusInfo": {"reasonCode": "NoStreams"}}


async def stream_closed(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    return {}


async def no_update(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """Our profiles are not dynamic: the station keeps the schedule it has (K28)."""
    return {"status": "Rejected", "statusInfo": {"reasonCode": "NotDynamic"}}


async def no_validation(station: Station, payload: dict[str, Any], received_at: datetime) -> dict[str, Any]:
    """We have no access to the tax register, and say neither yes nor company (C22)."""
    answer = {"vatNumber": text(payload, "vatNumber", limit=20), "status": "Rejected"}
    return answer | ({"evseId": payload["evseId"]} if "evseId" in payload else {})


KEPT = frozenset({"NotifyPriorityCharging", "NotifyDERAlarm", "NotifyDERStartStop", "NotifyPeriodicEventStream"})
DECLINED = frozenset({
    "GetCertificateChainStatus", "OpenPeriodicEventStream", "PullDynamicScheduleUpdate", "VatNumberValidation",
})  # fmt: skip
HANDLERS: dict[str, Handler] = {
    "TransactionEvent": transaction_event,
    "NotifySettlement": notify_settlement,
    "ReportDERControl": part_of(Report.Kind.DER, is_numbered=False),
    **{action: kept(action) for action in KEPT},
    "GetCertificateChainStatus": no_chain_status,
    "OpenPeriodicEventStream": no_stream,
    "ClosePeriodicEventStream": stream_closed,
    "PullDynamicScheduleUpdate": no_update,
    "VatNumberValidation": no_validation,
}
AT_ONCE: dict[str, AtOnce] = {"TransactionEvent": transaction_event_at_once}
