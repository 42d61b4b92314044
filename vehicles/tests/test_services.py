"""Shifts, positions for reconciliation, and the tables of the ping days."""

import logging
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.db import connection

from vehicles import services, tasks
from vehicles.fixes import SUSPECT_POSITION, SUSPECT_SOC
from vehicles.models import Position, Vehicle
from vehicles.tests.factories import NOON, make_driver, make_vehicle

pytestmark = pytest.mark.django_db
TODAY = date(2027, 3, 1)


@pytest.fixture
def van(organisation) -> Vehicle:
    return make_vehicle(organisation)


def store(vehicle: Vehicle, at: datetime, **fields: int) -> Position:
    defaults = {"latitude_e7": 129_756_000, "longitude_e7": 776_050_000, "soc_permille": 443}
    return Position.objects.create(vehicle=vehicle, fix_at=at, received_at=at, **{**defaults, **fields})


def test_positions_between_are_in_order_inclusive_and_without_jumps(van, organisation) -> None:
    store(make_vehicle(organisation), NOON)
    for minutes in (30, 0, 10, 31, -1):
        store(van, NOON + timedelta(minutes=minutes))
    store(van, NOON + timedelta(minutes=5), flags=SUSPECT_POSITION | 8)
    window = {"vehicle_id": van.pk, "start": NOON, "end": NOON + timedelta(minutes=30)}
    minutes = [(p.fix_at - NOON).seconds // 60 for p in services.positions_between(**window)]
    assert minutes == [0, 10, 30]
    assert len(services.positions_between(**window, includes_suspects=True)) == 4


def test_positions_between_reads_the_key_of_one_partition(van) -> None:
    services.ensure_partitions(today=TODAY)
    at = datetime(2027, 3, 2, 12, tzinfo=UTC)
    positions = Position.objects.of_vehicle(van.pk, at, at + timedelta(minutes=20)).plausible()
    plan = positions.explain()
    assert "vehicles_position_20270302_pkey" in plan
    assert plan.count("Scan") == 1


def test_a_suspect_charge_is_not_told(van) -> None:
    assert store(van, NOON, flags=SUSPECT_SOC).soc_percent is None


def test_the_driver_is_the_one_on_shift_else_the_default_one(van, organisation) -> None:
    regular, substitute = make_driver(organisation), make_driver(organisation)
    van.default_driver = regular
    van.save()
    services.assign_shift(vehicle_id=van.pk, driver_id=substitute.pk, starts_at=NOON, ends_at=NOON + timedelta(hours=8))
    assert services.driver_at(vehicle_id=van.pk, at=NOON) == substitute
    assert services.driver_at(vehicle_id=van.pk, at=NOON - timedelta(seconds=1)) == regular


def test_eight_days_ahead_have_a_table_and_a_second_run_makes_none() -> None:
    made = services.ensure_partitions(today=TODAY)
    assert made == [TODAY + timedelta(days=n) for n in range(9)]
    assert services.ensure_partitions(today=TODAY) == []
    assert set(made) <= set(services.partition_days())


def test_stragglers_move_into_the_table_of_their_day(van) -> None:
    at = datetime(2027, 3, 1, 5, tzinfo=UTC)
    store(van, at)
    assert rows_in("vehicles_position_default") == 1
    services.ensure_partitions(today=TODAY)
    assert (rows_in("vehicles_position_default"), rows_in("vehicles_position_20270301")) == (0, 1)
    assert Position.objects.get(vehicle=van).fix_at == at


def test_days_past_retention_are_dropped_with_a_log_line(van, settings, caplog) -> None:
    settings.POSITION_RETENTION_DAYS = 2
    services.ensure_partitions(today=TODAY)
    store(van, datetime(2027, 3, 1, 5, tzinfo=UTC))
    kept = store(van, datetime(2027, 3, 2, 5, tzinfo=UTC))
    store(van, datetime(2025, 1, 1, tzinfo=UTC))  # no table of its own
    with time_machine.travel(datetime(2027, 3, 4, tzinfo=UTC), tick=False), caplog.at_level(logging.INFO):
        tasks.keep_partitions()
    assert list(Position.objects.values_list("fix_at", flat=True)) == [kept.fix_at]
    assert min(services.partition_days()) == date(2027, 3, 2)
    assert "dropped the pings of 2027-03-01, older than 2 days" in caplog.text


def rows_in(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])
