"""For tests of verdicts: sessions, the tracks beside them, and what was made of both."""

from datetime import timedelta
from typing import Any

from billing.invoicing.services import collecting
from billing.models import (
    CDR,
    BillingException,
    ChargingSession,
    ReconciliationVerdict,
)
from billing.services import exceptions, reconciliation
from billing.tests.factories import NOON, Fleet, start, stop
from fleetcharge.accounts.models import User
from vehicles.models import Position, Vehicle

END = NOON + timedelta(minutes=30)
LATER = NOON + timedelta(days=1)
METRE = 1e7 / 111_195


def charge(fleet: Fleet, *, day: int = 0, energy_wh: int = 10_000, vehicle: Vehicle | None = None) -> ChargingSession:
    at = NOON - timedelta(days=day)
    begun = start(fleet, started_at=at, received_at=at)
    stop(fleet, begun.transaction_ref, ended_at=at + timedelta(minutes=30), meter_stop_wh=1_000 + energy_wh)
    if vehicle is not None:
        ChargingSession.objects.filter(pk=begun.session_id).update(vehicle=vehicle)
    return ChargingSession.objects.get(pk=begun.session_id)


def drive(session: ChargingSession, metres: float = 0, *, vehicle: Vehicle | None = None, **fields: Any) -> None:
    """A track with a ping every five minutes, some metres north of the station; gone ten minutes after the end."""
    Position.objects.bulk_create(
        Position(
            vehicle=vehicle or session.vehicle, fix_at=session.started_at + timedelta(minutes=minute),
            longitude_e7=775_946_000, speed_dkmh=0, accuracy_m=8,
            latitude_e7=129_716_000 + round((metres if minute <= 40 else metres + 5_000) * METRE),
            soc_permille=300 if minute <= 0 else 770, **fields,
        )
        for minute in range(-30, 70, 5)
    )  # fmt: skip


def verdict_of(session: ChargingSession) -> ReconciliationVerdict:
    return ReconciliationVerdict.objects.get(session=session)


def rules_of(session: ChargingSession) -> list[str]:
    return [each["rule"] for each in verdict_of(session).findings if not each["is_inconclusive"]]


def held() -> int:
    return collecting.held(CDR.objects.all()).count()


def look_again(session: ChargingSession, hours: int) -> ReconciliationVerdict:
    reconciliation.judge(session_id=session.pk, now=LATER + timedelta(hours=hours))
    return verdict_of(session)


def closed(session: ChargingSession, kind: str, finance: User) -> None:
    doubt = BillingException.objects.open().get(session=session, kind=kind)
    exceptions.resolve_exception(exception_id=doubt.pk, actor=finance, reason="they are right", at=LATER)
