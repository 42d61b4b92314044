"""Lives a drawn month through the services that the city's messages end in, with the clock of each visit.

The public doors would take the month itself: a charger's clock may be wrong by minutes, not by weeks, and what is
received today is of today. So pings and samples are written as their batch writers write them, everything else is the
same call that OCPP, OCPI and the sweeps make. Done again it goes on where it was.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from django.db import transaction

from billing.models import CDR, ChargingSession, MeterValue, Wallet
from billing.services import rating, reconciliation, roaming, sessions, wallets
from fleetcharge.demo import history, ocpi
from fleetcharge.demo.history import INDIA, Visit
from fleetcharge.demo.manifest import Manifest
from fleetcharge.demo.network import COUNTRY, PARTY, draw_network
from fleetcharge.demo.records import Use, record
from fleetcharge.demo.seeding import VOLTGRID
from fleetcharge.lib.events import set_aside
from stations import services as stations
from stations.cpo.ocpi.dialects.v221 import V221
from stations.cpo.ocpi.objects.locations import LocationIn
from stations.cpo.ocpi.receivers.cdrs import read_cdr
from stations.cpo.ocpi.taking import take_location, take_tariff
from stations.models import Charger, Source
from vehicles.models import Position, Shift

TOP_UPS = {1: 0.4, 12: 0.35, 22: 0.35}
"""Day of the month: share of what the month will about cost."""
PING_EVERY, AROUND = timedelta(minutes=4), timedelta(minutes=24)
SAMPLES = 4
METER_FROM_WH = 1_000_000
PAISE_PER_KWH = 2_600
FAR_AWAY_E7 = 1_500_000  # 16 km north


def live(manifest: Manifest, month: date, *, days: int | None = None) -> int:
    """Book the month; returns how many visits there were. Nobody is told of it by events: it is over."""
    visits = history.draw(manifest, month, days=days)
    with set_aside():
        _shifts(visits)
        network = draw_network(manifest.seed, datetime.combine(month, datetime.min.time(), UTC))
        source = Source.objects.get(slug=VOLTGRID)
        bays = [(site, bay) for site in network.sites for bay in site.bays if bay.is_dc]
        for tariff in ocpi.tariffs():
            take_tariff(source, tariff, datetime.combine(month, datetime.min.time(), UTC))
        known: set[str] = set()
        chargers = {row.ocpp_identity: row.pk for row in Charger.objects.all()}
        _top_up(manifest, month, visits)
        for number, visit in enumerate(visits, start=1):
            _pings(visit, bays[visit.place % len(bays)][0] if visit.charger is None else visit.charger)
            if visit.charger is None:
                site, bay = bays[visit.place % len(bays)]
                if site.id not in known:
                    known.add(site.id)
                    take_location(source, LocationIn.model_validate(ocpi.location(network, site)), visit.starts_at)
                _elsewhere(source, visit, record(number, _use(visit), visit.vehicle, site, bay, visit.ends_at))
            else:
                _at_home(visit, chargers[visit.charger.identity])
    return len(visits)


def _top_up(manifest: Manifest, month: date, visits: Sequence[Visit]) -> None:
    for fleet in manifest.fleets:
        cost = sum(visit.energy_wh for visit in visits if visit.vehicle.fleet == fleet) * PAISE_PER_KWH // 1000
        organisation = Wallet.objects.get(organisation__slug=fleet).organisation_id
        for day, share in TOP_UPS.items():
            at = datetime(month.year, month.month, day, 9, tzinfo=INDIA)
            amount = max(1, round(cost * share / 1_000_00)) * 1_000_00
            key = f"NEFT{at:%Y%m%d}"
            wallets.top_up(organisation_id=organisation, amount_paise=amount, key=key, at=at, reason="Bank transfer")


def _shifts(visits: Iterable[Visit]) -> None:
    """Every vehicle that charges on a day has its driver rostered then."""
    wanted = {(visit.vehicle.id, visit.starts_at.astimezone(INDIA).date()): visit.vehicle for visit in visits}
    owners = dict(Wallet.objects.values_list("organisation__slug", "organisation_id"))
    rows = [
        Shift(
            organisation_id=owners[vehicle.fleet], vehicle_id=vehicle.id, driver_id=vehicle.driver_id,
            starts_at=datetime.combine(day, history.SHIFT_FROM, INDIA),
            ends_at=datetime.combine(day + timedelta(days=1), datetime.min.time(), INDIA) + timedelta(hours=4),
        )
        for (_, day), vehicle in wanted.items()
    ]  # fmt: skip
    known = set(
        Shift.objects.filter(vehicle_id__in={row.vehicle_id for row in rows}).values_list("vehicle", "starts_at")
    )
    Shift.objects.bulk_create(row for row in rows if (row.vehicle_id, row.starts_at) not in known)


def _pings(visit: Visit, place: object) -> None:
    """As the tracker sent them: standing at the site, its battery filling; of a fraud, somewhere else and driving."""
    latitude, longitude = (round(getattr(place, name) * 1e7) for name in ("latitude", "longitude"))
    rows, at, number = [], visit.starts_at - AROUND, 0
    while at <= visit.ends_at + AROUND:
        share = min(1.0, max(0.0, (at - visit.starts_at) / timedelta(minutes=visit.minutes)))
        is_there = visit.starts_at - PING_EVERY <= at <= visit.ends_at and not visit.is_fraud
        away = FAR_AWAY_E7 if visit.is_fraud else 0 if is_there else 200_000
        rows.append(Position(
            vehicle_id=visit.vehicle.id, fix_at=at, delay_cs=200,
            latitude_e7=latitude + away + number % 3 * 40, longitude_e7=longitude, accuracy_m=6,
            speed_dkmh=0 if is_there else 240,
            soc_permille=round(10 * (visit.soc_from + (visit.soc_to - visit.soc_from) * (not visit.is_fraud) * share)),
        ))  # fmt: skip
        at, number = at + PING_EVERY, number + 1
    Position.objects.bulk_create(rows, ignore_conflicts=True)


def _at_home(visit: Visit, charger_id: int) -> None:
    """At a charger of our own: start, samples, stop, price, verdict."""
    assert visit.charger is not None and visit.plug is not None
    is_16 = visit.charger.protocol == "ocpp1.6"
    key = f"history:{visit.vehicle.id}:{visit.starts_at:%Y%m%dT%H%M%S}"
    started = sessions.start_session(
        charger_id=charger_id, evse_number=None if is_16 else visit.plug.number,
        connector_id=visit.plug.number if is_16 else 1, id_token=visit.vehicle.token_uid, start_key=key,
        started_at=visit.starts_at, received_at=visit.starts_at, meter_start_wh=METER_FROM_WH,
        transaction_ref=None if is_16 else hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:16],
    )  # fmt: skip
    if ChargingSession.objects.filter(pk=started.session_id, state=ChargingSession.State.ACTIVE).exists():
        _samples(visit, charger_id, started.transaction_ref)
        sessions.end_session(
            charger_id=charger_id, transaction_ref=started.transaction_ref, ended_at=visit.ends_at,
            received_at=visit.ends_at, meter_stop_wh=METER_FROM_WH + visit.energy_wh, reason="EVDisconnected",
            idle_seconds=visit.idle_minutes * 60,
        )  # fmt: skip
    _conclude(CDR.objects.get(session_id=started.session_id), visit.ends_at)


def _samples(visit: Visit, charger_id: int, transaction_ref: str) -> None:
    assert visit.plug is not None
    rows = []
    for number in range(SAMPLES + 1):
        at = visit.starts_at + timedelta(minutes=visit.minutes) * number / SAMPLES
        rows.append(MeterValue(
            charger_id=charger_id, evse_number=visit.plug.number, transaction_ref=transaction_ref, at=at,
            received_at=at, energy_wh=METER_FROM_WH + visit.energy_wh * number // SAMPLES, sampled=[],
            power_w=visit.energy_wh * 60 // visit.minutes if number < SAMPLES else 0,
            dedupe_key=hashlib.md5(f"{transaction_ref}:{charger_id}:{number}".encode(), usedforsecurity=False).digest(),
        ))  # fmt: skip
    MeterValue.objects.bulk_create(rows, ignore_conflicts=True)


def _use(visit: Visit) -> Use:
    _, per_kwh, _ = ocpi.TARIFFS["VG-DC"]
    hours = (visit.ends_at - visit.starts_at).total_seconds() / 3600
    return Use(hours, round(visit.energy_wh / 1000, 2), visit.minutes, visit.idle_minutes, per_kwh)


def _elsewhere(source: Source, visit: Visit, raw: dict[str, object]) -> None:
    """At VoltGrid: its record comes, as it would by OCPI."""
    told, _ = stations.take_cdr(
        source=source, cdr=read_cdr(V221.read("cdr", raw, (COUNTRY, PARTY))), raw=raw, at=visit.ends_at
    )
    cdr = roaming.take_cdr(roaming_cdr_id=told.pk, now=visit.ends_at)
    if cdr is not None:
        _conclude(cdr, visit.ends_at)
        roaming.compare_price(cdr_id=cdr.pk, now=visit.ends_at)


def _conclude(cdr: CDR, now: datetime) -> None:
    rating.rate_and_capture(cdr_id=cdr.pk, now=now)
    with transaction.atomic():
        reconciliation.judge(session_id=cdr.session_id, now=now)
