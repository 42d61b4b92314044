"""Stops that belong to no session we know: kept for finance, and for the start that may still come."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from billing.models import BillingException, ChargingSession
from billing.services.exceptions import open_exception, withdraw_one
from stations.models import Charger

KIND = BillingException.Kind.ORPHAN_STOP
NOBODY_KNOWS = {"", "0", "-1"}
REPEATED_FOR = timedelta(days=7)


@dataclass(frozen=True)
class Stop:
    """A stop as the station said it (OCPP 1.6 StopTransaction, 2.x TransactionEvent Ended).

    `is_time_ours`: its clock is not believed, `ended_at` is when we heard of it; a repeat has another one.
    """

    charger_id: int
    transaction_ref: str
    ended_at: datetime
    meter_stop_wh: int | None
    reason: str
    id_token: str
    idle_seconds: int | None
    is_time_ours: bool = False

    def __str__(self) -> str:
        return f"stop of {self.ended_at:%Y-%m-%d %H:%M:%S}Z for transaction {self.transaction_ref or '(none)'}"

    def fits(self, session: ChargingSession) -> bool:
        """Could it end this session? Not one that began later, or whose meter stood higher."""
        start_wh = session.meter_start_wh if session.is_meter_start_reported else None
        is_meter_possible = start_wh is None or self.meter_stop_wh is None or self.meter_stop_wh >= start_wh
        return session.started_at <= self.ended_at and is_meter_possible


def keep(stop: Stop, received_at: datetime) -> None:
    """Once per stop: a repeat changes nothing, also after somebody decided about it."""
    charger = Charger.objects.get(pk=stop.charger_id)
    reference = _reference(stop.charger_id, stop.transaction_ref)
    seen = BillingException.objects.filter(organisation_id=charger.organisation_id, kind=KIND)
    if stop.transaction_ref in NOBODY_KNOWS:  # such a name repeats; what else it says tells one stop from the next
        reference = f"{reference}/{_mark(stop)}"
        if stop.is_time_ours:
            seen = seen.filter(opened_at__gt=received_at - REPEATED_FOR)
    seen = seen.filter(reference=reference)
    if not seen.exists():
        open_exception(
            organisation_id=charger.organisation_id,
            kind=KIND,
            reference=reference,
            title=f"{charger.ocpp_identity} ended a session we never saw start",
            details=details_of(stop),
            at=received_at,
        )


def take(session: ChargingSession, received_at: datetime) -> Stop | None:
    """The stop that overtook the start of this session: by transaction, else the first without an id that fits."""
    waiting = BillingException.objects.open().filter(kind=KIND)
    by_id = waiting.filter(reference=_reference(session.charger_id, session.transaction_ref)).first()
    if by_id is not None:
        withdraw_one(by_id, resolution="The start arrived later.", at=received_at)
        return stop_in(by_id.details)
    named = [(stop_in(row.details), row) for row in waiting.filter(reference__startswith=f"{session.charger_id}/")]
    fitting = [
        (stop, row)
        for stop, row in named
        if stop.transaction_ref in NOBODY_KNOWS
        and stop.id_token.lower() == session.id_token_uid.lower() != ""
        and stop.fits(session)
    ]
    if not fitting:
        return None
    stop, row = min(fitting, key=lambda pair: pair[0].ended_at)
    withdraw_one(row, resolution="The start arrived later.", at=received_at)
    return stop


def _mark(stop: Stop) -> str:
    return f"{stop.meter_stop_wh}/{stop.id_token}" if stop.is_time_ours else stop.ended_at.isoformat()


def _reference(charger_id: int | None, transaction_ref: str) -> str:
    return f"{charger_id}/{transaction_ref}"


def details_of(stop: Stop) -> dict[str, Any]:
    """A stop as an exception keeps it."""
    return {**asdict(stop), "ended_at": stop.ended_at.isoformat()}


def stop_in(details: dict[str, Any]) -> Stop:
    """The stop an exception keeps."""
    return Stop(**{**details, "ended_at": datetime.fromisoformat(details["ended_at"])})
