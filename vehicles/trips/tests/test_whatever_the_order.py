"""Shuffled, tripled and delayed pings end in the positions, trips, kWh and alerts of the same pings told in order."""

import os
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine

from vehicles.events import SocLow, SocRecovered
from vehicles.fixes import LATE
from vehicles.loop import WORTH_WRITING_PERCENT, estimate_charges
from vehicles.models import Position, Stretch, Vehicle, VehicleDay, VehicleState
from vehicles.tasks import make_days
from vehicles.tests.conftest import *  # noqa: F403  (the doors of ingest)
from vehicles.tests.conftest import Heard, in_thread
from vehicles.tests.factories import make_vehicle
from vehicles.trips.services import due_days, learn_appetite, make_day

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 21)
SEEDS = range(int(os.environ.get("TELEMETRY_SHUFFLES", "2")))
STEP_S = 120


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def vans(organisation) -> list[Vehicle]:
    return [make_vehicle(organisation, device_id=device) for device in ("in-order", "disorderly")]


def a_morning() -> list[dict[str, Any]]:
    """Two hours at 20 s: parked, through 20 % on the road, charged, on; with a jump and a reading that cannot be."""
    pings, metres, soc = [], 0.0, 30.0
    for step in range(360):
        minute = step / 3
        is_driving, is_charging = 10 <= minute < 50 or 90 <= minute < 112, 55 <= minute < 85
        metres += 200 if is_driving else 0
        soc += -0.12 if is_driving else 0.5 if is_charging else 0
        ping = {
            "ts": NOW.timestamp() - 7_200 + step * 20, "lat": round(12.9 + metres / 111_195, 6), "lon": 77.6,
            "soc": round(soc, 2), "speed_kmh": 36.0 if is_driving else 0.0, "charging": "dc" if is_charging else "no",
        }  # fmt: skip
        if step == 70:
            ping |= {"lat": 15.0, "lon": 75.0}
        if step == 20:
            ping["soc"] = 0.02
        pings.append(ping)
    return pings


async def tell(tracker: Any, clock: Any, device: str, arrivals: list[tuple[float, dict[str, Any]]]) -> None:
    """Every two minutes what arrived since."""
    waiting = sorted(arrivals, key=lambda arrival: arrival[0])
    now = NOW.timestamp() - 7_200
    while waiting:
        now += STEP_S
        clock.move_to(datetime.fromtimestamp(now, UTC))
        part = [ping for at, ping in waiting if at <= now]
        waiting = waiting[len(part) :]
        if part:
            answer = await tracker.post("/ingest/v1/pings", json={"device": device, "pings": part})
            assert answer.json()["rejected"] == []


async def came_to(van: Vehicle, end: datetime) -> dict[str, Any]:
    """Everything that is known of a vehicle, after its days were made."""
    await in_thread(make_day, vehicle_id=van.pk, day=TODAY, now=end)
    state = await VehicleState.objects.filter(vehicle=van).values(
        "latitude", "longitude", "speed_kmh", "position_at", "soc_percent", "soc_at", "is_charging", "is_soc_low"
    ).aget()  # fmt: skip
    rows = Position.objects.filter(vehicle=van).order_by("fix_at")
    columns = ("fix_at", "latitude_e7", "longitude_e7", "speed_dkmh", "soc_permille")
    stretches = Stretch.objects.filter(vehicle=van).order_by("started_at", "kind").values(
        "kind", "started_at", "ended_at", "start_latitude", "end_latitude", "distance_m", "max_speed_kmh",
        "soc_start_percent", "soc_end_percent", "energy_wh",
    )  # fmt: skip
    return {
        "state": state,
        "positions": [(*(getattr(row, name) for name in columns), row.flags & ~LATE) async for row in rows],
        "stretches": [row async for row in stretches],
        "day": await VehicleDay.objects.values("pings", "distance_m", "heard_minutes").aget(vehicle=van, day=TODAY),
    }


def alerts(heard: Heard, van: Vehicle) -> list[str]:
    return [type(e).__name__ for e in heard.events if isinstance(e, SocLow | SocRecovered) and e.vehicle_id == van.pk]


@pytest.mark.parametrize("seed", SEEDS)
async def test_shuffled_tripled_and_delayed_is_the_same_as_in_order(tracker, vans, heard, clock, seed) -> None:
    rng, pings = random.Random(seed), a_morning()
    await tell(tracker, clock, "in-order", [(ping["ts"], ping) for ping in pings])
    late = [(ping["ts"] + rng.uniform(0, 480), ping) for ping in pings * 3]
    await tell(tracker, clock, "disorderly", late)
    await heard.all_of(SocLow)
    end = NOW + timedelta(hours=1)
    ordered, disorderly = await came_to(vans[0], end), await came_to(vans[1], end)
    assert disorderly == ordered
    assert len(ordered["positions"]) == 360
    assert alerts(heard, vans[0]) == alerts(heard, vans[1]) == ["SocLow", "SocRecovered"]
    kinds = [row["kind"] for row in ordered["stretches"]]
    assert (kinds.count("trip"), kinds.count("charge"), kinds.count("halt")) == (2, 1, 3)
    used = [row["energy_wh"] for row in ordered["stretches"] if row["kind"] == "trip"]
    assert used == [2_880, 1_580]  # 14.4 and 7.9 points of 20 kWh


async def test_a_morning_that_comes_hours_late_gives_the_same_trips_and_no_alert(tracker, vans, heard, clock) -> None:
    pings = a_morning()
    await tell(tracker, clock, "in-order", [(ping["ts"], ping) for ping in pings])
    shuffled = random.Random(7).sample(pings * 3, len(pings) * 3)
    await tell(tracker, clock, "disorderly", [(NOW.timestamp() + 3_600, ping) for ping in shuffled[:900]])
    await tell(tracker, clock, "disorderly", [(NOW.timestamp() + 7_200, ping) for ping in shuffled[900:]])
    await heard.all_of(SocLow)
    end = NOW + timedelta(hours=3)
    ordered, disorderly = await came_to(vans[0], end), await came_to(vans[1], end)
    assert {**disorderly, "state": None} == {**ordered, "state": None}
    assert alerts(heard, vans[1]) == []


async def test_a_day_is_due_when_a_ping_of_it_is_new_and_again_while_more_may_come(tracker, vans, clock) -> None:
    ping = {"device": "in-order", "ts": NOW.timestamp(), "lat": 12.97, "lon": 77.59}
    yesterday = {**ping, "ts": NOW.timestamp() - 86_400}
    assert (await tracker.post("/ingest/v1/pings", json={"pings": [ping, yesterday]})).json()["accepted"] == 2
    await VehicleDay.objects.all().aupdate(due_at=NOW, touched_at=NOW)  # the database keeps its own clock
    days = [(vans[0].pk, TODAY), (vans[0].pk, TODAY - timedelta(days=1))]
    assert sorted(await in_thread(due_days, now=NOW)) == sorted(days)
    assert await in_thread(make_days) == 2
    assert await in_thread(due_days, now=NOW) == []
    assert sorted(await in_thread(due_days, now=NOW + timedelta(minutes=15))) == sorted(days)
    clock.move_to(NOW + timedelta(minutes=15))
    assert await in_thread(make_days) == 2
    assert await in_thread(due_days, now=NOW + timedelta(days=9)) == []
    assert [row.pings async for row in VehicleDay.objects.all()] == [1, 1]


def masked(pings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Only the first ping knows the charge."""
    return pings[:1] + [{key: value for key, value in ping.items() if key != "soc"} for ping in pings[1:]]


async def estimated(van: Vehicle, end: datetime) -> dict[str, Any]:
    """What the loop makes of it once the day was made."""
    await in_thread(make_day, vehicle_id=van.pk, day=TODAY, now=end)
    await in_thread(estimate_charges, now=end)
    columns = ("soc_percent", "soc_sigma_percent", "soc_source", "soc_base_percent", "soc_gps_m", "soc_gap_m")
    return await VehicleState.objects.filter(vehicle=van).values(*columns).aget()


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_charge_is_estimated_the_same_whatever_the_order(tracker, vans, clock, seed) -> None:
    rng, pings = random.Random(seed), masked(a_morning())
    first, rest = pings[0], pings[1:]
    for device, part in zip(("in-order", "disorderly"), (rest, rest * 3), strict=True):
        delay = 480 if device == "disorderly" else 0
        await tell(tracker, clock, device, [(first["ts"], first)])
        halves = sorted(((ping["ts"] + rng.uniform(0, delay), ping) for ping in part), key=lambda one: one[0])
        await tell(tracker, clock, device, halves[: len(halves) // 2])
        await in_thread(estimate_charges, now=NOW - timedelta(minutes=40))
        await tell(tracker, clock, device, halves[len(halves) // 2 :])
        await in_thread(estimate_charges, now=NOW + timedelta(minutes=9))
    end = NOW + timedelta(hours=1)
    ordered, disorderly = await estimated(vans[0], end), await estimated(vans[1], end)
    assert ordered["soc_source"] == "estimated"
    assert ordered["soc_gps_m"] > 30_000
    assert abs(ordered["soc_percent"] - disorderly["soc_percent"]) <= WORTH_WRITING_PERCENT
    assert disorderly["soc_gps_m"] == pytest.approx(ordered["soc_gps_m"], rel=1e-6, abs=300)


def test_trips_between_own_readings_teach_the_appetite_once_however_often_their_day_is_made(vans) -> None:
    for day in range(6):
        at = NOW - timedelta(days=day)
        Stretch.objects.create(
            vehicle=vans[0], day=at.date(), kind="trip", started_at=at, ended_at=at, start_latitude=1,
            start_longitude=1, end_latitude=1, end_longitude=1, distance_m=40_000,
            soc_start_percent=80, soc_end_percent=80 - 36,
        )  # fmt: skip
    learned = set()
    for _ in range(3):
        learn_appetite(vans[0], now=NOW)
        vans[0].refresh_from_db()
        learned.add(vans[0].appetite)
    assert learned == {vans[0].appetite}
    assert vans[0].appetite == pytest.approx(1.2, abs=0.03)
    assert 0.04**2 <= vans[0].appetite_variance < 0.01
