"""A fleet whose vehicles charge every few hours, each at a plug of its own, with its pings bulk-loaded by COPY."""

from datetime import UTC, datetime, timedelta

import numpy as np
from django.db import connection
from django.utils import timezone

from bench.reconciliation import stories
from bench.reconciliation.stories import CHARGING_S
from billing.models import ChargingSession, MeterValue
from fleetcharge.accounts.models import Organisation
from stations.models import EVSE, Charger, Connector, Location, Source
from vehicles.models import Driver, IdToken, Shift, Vehicle, VehicleModel
from vehicles.services import ensure_partitions

SITES, EVERY_S, PER_VEHICLE = 200, 10, 10_000
DEPOT_EVERY = 10  # one site in so many is the fleet's own
COLUMNS = [
    ("vehicle_id", "i4"), ("fix_at", "i8"), ("delay_cs", "i4"), ("latitude_e7", "i4"), ("longitude_e7", "i4"),
    ("speed_dkmh", "i2"), ("accuracy_m", "i2"), ("soc_permille", "i2"), ("flags", "i2"),
]  # fmt: skip
EPOCH_2000 = datetime(2000, 1, 1, tzinfo=UTC)


def build(*, pings: int, sessions: int) -> datetime:
    """Rows of everything; returns a moment when all of it is past."""
    begin = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ensure_partitions(today=begin.date())
    vehicles = _fleet(max(1, pings // PER_VEHICLE))
    each = max(1, sessions // len(vehicles))
    span_s = PER_VEHICLE * EVERY_S
    starts_s = [round((number + 0.5) * span_s / each) for number in range(each)]
    connectors = _sites(len(vehicles))
    _load_pings(vehicles, starts_s, begin)
    _sessions(vehicles, starts_s, begin, connectors)
    _shifts(vehicles, begin, span_s)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return begin + timedelta(days=4)


def place(number: int) -> tuple[int, int]:
    return 129_000_000 + number % 20 * 60_000, 775_000_000 + number // 20 % 20 * 60_000


def _fleet(count: int) -> list[Vehicle]:
    organisation = Organisation.objects.create(name="Bench", slug="bench-evidence")
    model = VehicleModel.objects.create(
        manufacturer="Bench", name="Evidence", battery_wh=20_000, plugs=["ccs2"], max_dc_power_w=20_000,
        consumption_wh_per_km=150,
    )  # fmt: skip
    drivers = Driver.objects.bulk_create(
        Driver(organisation=organisation, name=f"Driver {number}") for number in range(count)
    )
    vehicles = Vehicle.objects.bulk_create(
        Vehicle(organisation=organisation, registration=f"KA {number}", model=model, default_driver=driver)
        for number, driver in enumerate(drivers)
    )
    IdToken.objects.bulk_create(
        IdToken(organisation=organisation, uid=f"BENCH{vehicle.pk}", vehicle=vehicle, driver=vehicle.default_driver)
        for vehicle in vehicles
    )
    return vehicles


def _sites(vehicles: int) -> list[list[Connector]]:
    """Per site as many plugs as vehicles come to it at once."""
    organisation = Organisation.objects.get(slug="bench-evidence")
    source = Source.objects.create(slug="bench-evidence", name="Bench", kind=Source.Kind.OWN_OCPP)
    found = []
    for number in range(SITES):
        latitude, longitude = place(number)
        location = Location.objects.create(
            source=source, name=f"Site {number}", latitude=latitude / 1e7, longitude=longitude / 1e7,
            organisation=organisation if number % DEPOT_EVERY == 0 else None,
        )  # fmt: skip
        charger = Charger.objects.create(organisation=organisation, location=location, ocpp_identity=f"BENCH-{number}")
        plugs = range(1, vehicles // SITES + 2)
        evses = [EVSE.objects.create(location=location, charger=charger, evse_number=plug) for plug in plugs]
        found.append([Connector.objects.create(evse=evse, plug="ccs2", max_power_w=60_000) for evse in evses])
    return found


def _load_pings(vehicles: list[Vehicle], starts_s: list[int], begin: datetime) -> None:
    """Binary COPY of whole arrays, one vehicle after the other as a tracker's history lies on disk."""
    begin_us = int((begin - EPOCH_2000).total_seconds()) * 1_000_000
    at_s = np.arange(PER_VEHICLE, dtype=np.int64) * EVERY_S
    names = ", ".join(name for name, _ in COLUMNS)
    statement = f"COPY vehicles_position ({names}) FROM STDIN WITH (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for number, vehicle in enumerate(vehicles):
            rows = np.zeros(PER_VEHICLE, dtype=COLUMNS)
            rows["vehicle_id"] = vehicle.pk
            rows["fix_at"] = begin_us + at_s * 1_000_000
            arrived = _drive(rows, at_s, number, starts_s)
            copy.write(_binary(rows[arrived], stories.untold(number)).tobytes())
        copy.write(b"\xff\xff")


def _binary(rows: np.ndarray, untold: str) -> np.ndarray:
    """As COPY reads them: each value behind its length; of a column that a tracker never tells, the length is -1."""
    layout = [("fields", ">i2")]
    for name, kind in COLUMNS:
        layout += [(f"{name}_length", ">i4"), *([] if name == untold else [(name, f">{kind}")])]
    sent = np.empty(len(rows), dtype=layout)
    sent["fields"] = len(COLUMNS)
    for name, kind in COLUMNS:
        sent[f"{name}_length"] = -1 if name == untold else int(kind[1])
        if name != untold:
            sent[name] = rows[name]
    return sent


def _drive(rows: np.ndarray, at_s: np.ndarray, number: int, starts_s: list[int]) -> np.ndarray:
    """Fills the rows; says which of them arrived."""
    angle = at_s / 900 + number
    rows["latitude_e7"] = 129_500_000 + (np.sin(angle) * 300_000).astype(np.int64)
    rows["longitude_e7"] = 775_500_000 + (np.cos(angle) * 300_000).astype(np.int64)
    rows["speed_dkmh"], rows["accuracy_m"], rows["soc_permille"] = 250, 8, 300
    arrived = np.ones(len(at_s), dtype=bool)
    for turn, start in enumerate(starts_s):
        arrived &= ~stories.play(rows, at_s, number, turn, start, place((number + turn) % SITES))
    return arrived


def _sessions(vehicles: list[Vehicle], starts_s: list[int], begin: datetime, connectors: list[list[Connector]]) -> None:
    tokens = {token.vehicle_id: token for token in IdToken.objects.filter(uid__startswith="BENCH")}
    made = []
    for number, vehicle in enumerate(vehicles):
        for turn, start in enumerate(starts_s):
            connector = connectors[(number + turn) % SITES][number // SITES]
            card = tokens[vehicles[stories.card(number, turn, len(vehicles))].pk]
            started_at = begin + timedelta(seconds=start)
            made.append(
                ChargingSession(
                    organisation=vehicle.organisation, source=connector.evse.location.source, connector=connector,
                    charger=connector.evse.charger, transaction_ref=f"{number}-{turn}", vehicle=vehicle,
                    start_key=f"bench-{number}-{turn}", id_token=card, driver=card.driver,
                    state="ended", started_at=started_at, ended_at=started_at + timedelta(seconds=CHARGING_S),
                    energy_wh=10_000, meter_start_wh=0, meter_stop_wh=10_000,
                )
            )  # fmt: skip
    ChargingSession.objects.bulk_create(made, batch_size=2_000)
    samples = (
        MeterValue(
            charger_id=session.charger_id or 0, evse_number=1, transaction_ref=session.transaction_ref, sampled=[],
            at=session.started_at + timedelta(minutes=minute), power_w=15_000,
            energy_wh=stories.register_wh(*_number_and_turn(session.transaction_ref), minute),
            dedupe_key=(session.pk * 64 + minute).to_bytes(16),
        )
        for session in made
        for minute in range(0, 41, 2)
    )  # fmt: skip
    MeterValue.objects.bulk_create(samples, batch_size=5_000)


def _shifts(vehicles: list[Vehicle], begin: datetime, span_s: int) -> None:
    Shift.objects.bulk_create(
        Shift(
            organisation=vehicle.organisation, vehicle=vehicle, driver=vehicle.default_driver,
            starts_at=begin + timedelta(hours=hours), ends_at=begin + timedelta(hours=hours + 12),
        )
        for vehicle in vehicles
        for hours in range(0, span_s // 3600 + 12, 12)
        if vehicle.default_driver is not None
    )  # fmt: skip


def _number_and_turn(reference: str) -> tuple[int, int]:
    number, turn = map(int, reference.split("-"))
    return number, turn
