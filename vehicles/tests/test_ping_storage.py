"""What a ping costs on the disk, and that the pings of before are still there."""

from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.db import connection

from vehicles import services
from vehicles.fixes import SECOND, Fix
from vehicles.models import Position, Vehicle
from vehicles.telemetry import Delivery, Telemetry
from vehicles.tests.conftest import empty_positions, in_thread
from vehicles.tests.factories import NOON, make_model, make_vehicle

MOST_BYTES = 120
VEHICLES, ROUNDS = 1_000, 20
narrow_pings = import_module("vehicles.migrations.0031_narrow_pings")


def make_fleet(organisation) -> None:
    empty_positions()  # rows that other tests rolled back still take room
    model = make_model()
    services.ensure_partitions(today=NOON.date())
    Vehicle.objects.bulk_create(
        Vehicle(organisation=organisation, model=model, registration=f"KA 05 {n}", device_id=f"ping-{n}")
        for n in range(VEHICLES)
    )


def bytes_per_row() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s)", [f"vehicles_position_{NOON:%Y%m%d}"])
        return int(cursor.fetchone()[0]) / Position.objects.count()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("soc_percent", [61.5, None])
async def test_a_ping_with_its_index_takes_at_most_120_bytes(organisation, soc_percent) -> None:
    await in_thread(make_fleet, organisation)
    telemetry, noon_us = Telemetry(), int(NOON.timestamp()) * SECOND
    for turn in range(ROUNDS):
        at_us = noon_us + turn * 10 * SECOND
        fixes = [
            Fix(f"ping-{n}", at_us + n * 7_919 % SECOND, 12.97 + turn / 1e5, 77.59, 31.0, 90.0, 5.0, soc_percent,
                1_200_000 if soc_percent else None)
            for n in range(VEHICLES)
        ]  # fmt: skip
        await telemetry.write([Delivery(organisation.pk, at_us + SECOND, fixes)])
    await telemetry.close()
    assert await Position.objects.acount() == VEHICLES * ROUNDS
    assert await in_thread(bytes_per_row) <= MOST_BYTES
    await in_thread(empty_positions)


@pytest.mark.django_db
def test_a_ping_knows_when_it_was_received_to_the_hundredth_of_a_second(organisation) -> None:
    van = make_vehicle(organisation)
    for delay in (timedelta(seconds=1.23), timedelta(days=29, seconds=0.07), timedelta(seconds=-90)):
        ping = Position(vehicle=van, fix_at=NOON, received_at=NOON + delay, latitude_e7=1, longitude_e7=1)
        assert ping.received_at - NOON == delay


def died_after_a_day(cursor) -> None:
    """The migration as far as it was when the machine went off: the newest day is copied, and new pings come."""
    narrow_pings._begin(cursor, narrow_pings.COLUMNS)
    name = f"vehicles_position_{NOON:%Y%m%d}_before"
    narrow_pings._copy(cursor, name, narrow_pings.NARROWED)
    assert name not in dict(narrow_pings._partitions(cursor, narrow_pings.BEFORE))


@pytest.mark.django_db
@pytest.mark.parametrize("is_begun", [False, True])
def test_the_wide_rows_of_before_are_kept_by_the_narrow_table(organisation, is_begun) -> None:
    services.ensure_partitions(today=NOON.date())
    van, editor = make_vehicle(organisation), SimpleNamespace(connection=connection)
    in_a_day, straggler = NOON + timedelta(seconds=0.5), NOON - timedelta(days=400)
    with connection.cursor() as cursor:
        narrow_pings.widen(None, editor)
        cursor.executemany(
            "INSERT INTO vehicles_position VALUES (%s, %s, %s, 129000000, 776000000, %s, 310, NULL, 5, 443, 8)",
            [
                (van.pk, in_a_day, in_a_day + timedelta(seconds=2.34), 12_345_678),
                (van.pk, straggler, straggler + timedelta(days=29), 1 << 31),
            ],
        )
        if is_begun:
            died_after_a_day(cursor)
        narrow_pings.narrow(None, editor)
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname ~ '_before(_pkey)?$'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM vehicles_position_default")
        assert cursor.fetchone() == (1,)
    old, new = Position.objects.filter(vehicle=van).order_by("fix_at")
    assert (new.fix_at, new.received_at) == (in_a_day, in_a_day + timedelta(seconds=2.34))
    assert (new.latitude, new.longitude, new.speed_kmh, new.heading_deg) == (12.9, 77.6, 31, None)
    assert (new.soc_percent, new.odometer_m, new.accuracy_m, new.flags) == (44.3, 12_345_678, 5, 8)
    assert (old.received_at - old.fix_at, old.odometer_m) == (timedelta(days=29), None)
    assert services.partition_days().count(NOON.date()) == 1
