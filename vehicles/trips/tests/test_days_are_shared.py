"""Workers that make days at the same time share them; what a dead one had is made after its lease."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction

from vehicles import tasks
from vehicles.models import VehicleDay
from vehicles.tests.factories import make_vehicle
from vehicles.trips import services

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAYS = 30


@pytest.fixture
def due(organisation) -> list[tuple[int, date]]:
    van = make_vehicle(organisation, device_id="van")
    days = [date(2026, 10, 1) + timedelta(days=number) for number in range(DAYS)]
    VehicleDay.objects.bulk_create(VehicleDay(vehicle=van, day=day, touched_at=NOW, due_at=NOW) for day in days)
    return [(van.pk, day) for day in days]


def in_another_session(work: Any) -> Any:
    def run() -> Any:
        try:
            return work()
        finally:
            connection.close()

    return run


def test_two_workers_never_make_the_same_day(due, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, date]] = []
    both_have_some = threading.Barrier(2, timeout=60)
    waited: set[int] = set()

    def note(*, vehicle_id: int, day: date, now: datetime) -> None:
        if threading.get_ident() not in waited:
            waited.add(threading.get_ident())
            both_have_some.wait()
        made.append((vehicle_id, day))

    monkeypatch.setattr(services, "make_day", note)
    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(in_another_session(tasks.make_days)) for _ in range(2)]
        taken = [worker.result(timeout=120) for worker in workers]
    assert sorted(made) == due
    assert sum(taken) == DAYS and min(taken) > 0


def test_a_claim_waits_for_nobody(due) -> None:
    with transaction.atomic():
        first = services.claim_days(now=NOW, limit=10)
        with ThreadPoolExecutor(1) as pool:
            claim = in_another_session(lambda: services.claim_days(now=NOW, limit=DAYS))
            second = pool.submit(claim).result(timeout=60)  # before the first has committed
    assert (len(first), len(second)) == (10, DAYS - 10)
    assert sorted([*first, *second]) == due


def test_what_a_dead_worker_had_is_due_again_after_its_lease(due) -> None:
    assert sorted(services.claim_days(now=NOW, limit=DAYS)) == due
    just_before = NOW + services.LEASE - timedelta(seconds=1)
    assert services.claim_days(now=just_before) == []
    assert sorted(services.claim_days(now=NOW + services.LEASE, limit=DAYS)) == due


def test_a_day_that_fails_does_not_keep_the_others(due, monkeypatch: pytest.MonkeyPatch) -> None:
    make, failing = services.make_day, due[3]

    def sometimes(*, vehicle_id: int, day: date, now: datetime) -> Any:
        if (vehicle_id, day) == failing:
            raise RuntimeError("cannot be made")
        return make(vehicle_id=vehicle_id, day=day, now=now)

    monkeypatch.setattr(services, "make_day", sometimes)
    with time_machine.travel(NOW + timedelta(hours=1), tick=False):
        assert tasks.make_days() == DAYS
    assert VehicleDay.objects.get(due_at__isnull=False).day == failing[1]
