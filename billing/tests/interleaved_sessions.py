"""Real sessions for the machine of any order: their records, what a network sends of them, and what becomes of both."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction

from billing.charging import batches
from billing.models import CDR, ChargingSession
from billing.services import adjustments, credits, rating
from billing.services.adjustments import Figures
from billing.tests.factories import NOON, make_tariff
from fleetcharge.accounts.models import Organisation
from stations.models import EVSE, Connector, Location, RoamingCDR, Source

BARE, OWN, NETWORK = "bare", "own", "network"
CHEAP = [{"price_components": [{"type": "ENERGY", "price": "0.50", "step_size": 1}]}]
LATER = NOON.replace(hour=12)


@dataclass(frozen=True)
class Plugs:
    """One of our own, one of a network."""

    own: Connector
    network: Connector


@dataclass(frozen=True)
class Session:
    """`kind`: bare has no record and is charged straight through the wallet; `credit_id`: takes a network's back."""

    pk: int
    kind: str
    cdr_id: int = 0
    credit_id: int = 0


def make_plugs(organisation: Organisation) -> Plugs:
    return Plugs(_plug(organisation, Source.Kind.OWN_OCPP), _plug(organisation, Source.Kind.OCPI_221))


def _plug(organisation: Organisation, kind: str) -> Connector:
    source = Source.objects.create(slug=f"{kind}-{organisation.pk}", name=kind, kind=kind, organisation=organisation)
    location = Location.objects.create(source=source, name=kind, latitude=12.9716, longitude=77.5946)
    evse = EVSE.objects.create(location=location, evse_number=1)
    tariff = make_tariff(source, CHEAP)
    return Connector.objects.create(evse=evse, connector_id=1, plug="ccs2", max_power_w=60_000, tariff=tariff)


def make_session(organisation: Organisation, plugs: Plugs, name: str, kind: str, energy_wh: int) -> Session:
    """It is over for its plug, and nothing of its money has moved yet."""
    connector = plugs.network if kind == NETWORK else plugs.own
    source = connector.evse.location.source
    session = ChargingSession.objects.create(
        organisation=organisation, source=source, connector=connector, transaction_ref=name[-36:],
        start_key=hashlib.sha256(f"{organisation.slug}:{name}".encode()).hexdigest(), started_at=NOON, ended_at=LATER,
        state=ChargingSession.State.ENDED, energy_wh=energy_wh,
    )  # fmt: skip
    if kind == BARE:
        return Session(session.pk, kind)
    told = _record(source, f"IN*VLT*{session.pk}", energy_wh, 1) if kind == NETWORK else None
    credit = _record(source, f"IN*VLT*{session.pk}-C", energy_wh, -1, f"{session.pk}") if kind == NETWORK else None
    cdr = CDR.objects.create(
        organisation=organisation, session=session, roaming_cdr=told, started_at=NOON, ended_at=LATER,
        energy_wh=energy_wh, charging_seconds=int((LATER - NOON).total_seconds()),
    )  # fmt: skip
    return Session(session.pk, kind, cdr.pk, credit.pk if credit else 0)


def _record(source: Source, key: str, energy_wh: int, sign: int, takes_back: str = "") -> RoamingCDR:
    asked = Decimal(energy_wh) / 2_000
    return RoamingCDR.objects.create(
        source=source, key=key, country_code="IN", party_id="VLT", started_at=NOON, ended_at=LATER, energy_wh=energy_wh,
        total_seconds=int((LATER - NOON).total_seconds()), total_before_taxes=sign * asked, is_credit=bool(takes_back),
        credit_reference=takes_back, raw={}, content_hash=hashlib.sha256(key.encode()).hexdigest(),
        source_updated_at=LATER,
    )  # fmt: skip


def charge(session: Session, others: list[Session], *, is_together: bool) -> None:
    """By the record: alone, or with the records of all the others."""
    if is_together:
        batches.charge_together(cdr_ids=[each.cdr_id for each in others if each.cdr_id], now=LATER)
    rating.rate_and_capture(cdr_id=session.cdr_id, now=LATER)


@transaction.atomic
def hear_late(session: Session, energy_wh: int) -> None:
    """Another figure, after it was charged; nothing before that, as the record itself is written again then."""
    cdr = CDR.objects.select_for_update(of=("self",)).get(pk=session.cdr_id)
    if cdr.captured_at is not None:
        figures = Figures(cdr.started_at, cdr.ended_at, energy_wh, cdr.charging_seconds, cdr.idle_seconds)
        adjustments.adjust(cdr=cdr, figures=figures, reason="late", now=LATER)


def credit(session: Session) -> None:
    credits.give_back(told=RoamingCDR.objects.get(pk=session.credit_id), now=LATER)


def drawn_wh(organisation: Organisation) -> int:
    """By all records that are charged, as far as is known now."""
    cdrs = CDR.objects.filter(organisation=organisation, captured_at__isnull=False)
    return sum(adjustments.figures_of(cdr).energy_wh for cdr in cdrs.prefetch_related("adjustments"))


__all__ = ["BARE", "NETWORK", "OWN", "Plugs", "Session", "charge", "credit", "drawn_wh", "hear_late", "make_session"]
