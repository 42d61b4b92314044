"""Acknowledged pings survive: backends killed under load, two writers, shuffled and repeated input, poison."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.db import connections

from fleetcharge.lib.db import conninfo
from vehicles import intake
from vehicles.events import SocLow
from vehicles.models import Position, VehicleState
from vehicles.telemetry import Delivery, Telemetry
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
URL = "/ingest/v1/pings"


@pytest.fixture(autouse=True)
async def no_dead_connection_is_left() -> AsyncIterator[None]:
    """The thread of asynchronous queries outlives the test, and so would the connection that was killed under it."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture(autouse=True)
def _frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def fleet(organisation):
    return [make_vehicle(organisation, device_id=f"van-{n}") for n in range(10)]


def backends() -> list[int]:
    with psycopg.connect(conninfo()) as connection:
        return [
            pid
            for (pid,) in connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ]


def kill_backends(*, spared: list[int]) -> int:
    """Every connection to the test database but the spared ones; returns how many were killed."""
    with psycopg.connect(conninfo(), autocommit=True) as connection:
        killed = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL(%s)",
            [spared],
        ).fetchone()
    return int(killed[0]) if killed else 0


async def test_no_acknowledged_ping_is_lost_or_doubled_when_backends_are_killed(tracker, fleet) -> None:
    """Forty senders repeat what was not acknowledged, as trackers do, while every backend is killed again and again."""
    the_tests_own = backends()
    acknowledged: list[tuple[str, int]] = []
    refused: list[int] = []
    finished = asyncio.Event()

    async def one_sender(number: int) -> None:
        device = f"van-{number % 10}"
        for step in range(25):
            second = number * 25 + step
            ping = {"device": device, "ts": NOW.timestamp() - second / 10, "lat": 12.97, "lon": 77.59}
            while (answer := await tracker.post(URL, json=ping)).status_code != 200:
                assert answer.json()["code"] == "unavailable"
                refused.append(second)
            acknowledged.append((device, second))

    async def chaos() -> int:
        killed = 0
        while not finished.is_set():
            killed += await asyncio.to_thread(kill_backends, spared=the_tests_own)
            await asyncio.sleep(0)
        return killed

    killer = asyncio.ensure_future(chaos())
    await asyncio.gather(*(one_sender(number) for number in range(40)))
    finished.set()
    assert await killer > 5
    stored = [
        (row["vehicle__device_id"], round((NOW - row["fix_at"]).total_seconds() * 10))
        async for row in Position.objects.values("vehicle__device_id", "fix_at")
    ]
    assert sorted(stored) == sorted(acknowledged)
    assert len(stored) == 1000


async def end_state(device: str) -> tuple[Any, list[Any]]:
    state = await VehicleState.objects.filter(vehicle__device_id=device).values(
        "latitude", "longitude", "speed_kmh", "heading_deg", "position_at", "soc_percent", "soc_at", "odometer_m",
        "is_charging", "is_soc_low", "soc_low_at", "soc_below_at", "soc_clear_at",
    ).aget()  # fmt: skip
    rows = Position.objects.filter(vehicle__device_id=device).order_by("fix_at")
    return state, [row async for row in rows.values_list("fix_at", "latitude_e7", "soc_permille", "flags")]


def a_drive() -> list[dict[str, Any]]:
    """Nine minutes through the city, the charge falling through 20 % and rising through 25 % on the way."""
    pings = []
    for step in range(54):
        soc = 22 - step * 0.1 if step < 40 else 18 + (step - 40) * 0.35
        pings.append({
            "ts": NOW.timestamp() - 540 + step * 10, "lat": 12.97 + step * 0.0005, "lon": 77.59, "soc": round(soc, 2),
            "speed_kmh": 20.0 + step % 5, "course": step * 3, "odo_km": 100 + step * 0.055,
        })  # fmt: skip
    return pings


@pytest.mark.parametrize("seed", range(5))
async def test_shuffled_and_tripled_input_ends_in_the_same_rows_and_state(tracker, fleet, seed) -> None:
    rng = random.Random(seed)
    drive = a_drive()
    await tracker.post(URL, json={"device": "van-0", "pings": drive})
    shuffled = drive * 3
    rng.shuffle(shuffled)
    while shuffled:
        size = rng.randint(1, 30)
        part, shuffled = shuffled[:size], shuffled[size:]
        assert (await tracker.post(URL, json={"device": "van-1", "pings": part})).json()["rejected"] == []
    ordered, disordered = await end_state("van-0"), await end_state("van-1")
    assert len(ordered[1]) == 54
    assert disordered[1] == ordered[1]
    # when it was first noticed depends on the order of arrival; everything else does not
    assert {**disordered[0], "soc_low_at": None} == {**ordered[0], "soc_low_at": None}


async def test_two_writers_tell_of_each_crossing_once(fleet, organisation, door, heard) -> None:
    """Two processes get the same pings at the same time, in different order; the row decides who tells."""
    writers = [Telemetry(), Telemetry()]
    now_us = int(NOW.timestamp() * 1_000_000)

    def delivery(step: int, reverse: bool) -> Delivery:
        from vehicles.decoders.pings import decode

        pings = [
            {
                "device": v.device_id,
                "ts": NOW.timestamp() - 300 + step,
                "lat": 12.97,
                "lon": 77.59,
                "soc": 20.5 - step / 10,
            }
            for v in (reversed(fleet) if reverse else fleet)
        ]
        return Delivery(organisation.pk, now_us, decode(orjson.dumps({"pings": pings})))  # type: ignore[arg-type]

    jobs = [writers[reverse].submit(delivery(step, bool(reverse))) for step in range(20) for reverse in (0, 1)]
    outcomes = await asyncio.gather(*jobs)
    assert sum(outcome.count(0) for outcome in outcomes) == 200  # each ping accepted by exactly one of the two
    for writer in writers:
        await writer.close()
    lows = heard.of(SocLow)
    assert sorted(event.vehicle_id for event in lows) == sorted(v.pk for v in fleet)


async def test_a_slow_listener_gets_the_newest_move_of_each_vehicle(tracker, fleet, heard) -> None:
    """Moves melt together, crossings never do."""
    for step in range(30):
        await tracker.post(
            URL, json={"device": "van-0", "ts": NOW.timestamp() - 60 + step, "lat": 12.97, "lon": 77.59, "soc": 19}
        )
    assert len(await heard.all_of(SocLow)) == 1
    last = heard.events[-1] if not isinstance(heard.events[-1], SocLow) else heard.events[-2]
    assert last.moves[0].at == NOW - timedelta(seconds=31)


@pytest.mark.parametrize("device", ["nul\u0000", "half\ud800", " ", "", "x" * 65, "tab\t"])
async def test_a_poisonous_device_id_costs_nobody_else_anything(tracker, fleet, device) -> None:
    body = orjson.dumps({"pings": [{"device": "D", "ts": 1, "lat": 1, "lon": 1}]})
    escaped = b'"' + "".join(f"\\u{ord(c):04x}" for c in device).encode() + b'"'
    good = {"device": "van-0", "ts": NOW.timestamp(), "lat": 12.97, "lon": 77.59}
    bad = tracker.post(URL, content=body.replace(b'"D"', escaped))
    answers = await asyncio.gather(bad, tracker.post(URL, json=good))
    assert answers[0].status_code in (200, 400)
    assert answers[1].json()["accepted"] == 1


async def test_a_database_that_is_away_answers_503_and_heals(tracker, fleet, monkeypatch) -> None:
    good = {"device": "van-0", "ts": NOW.timestamp(), "lat": 12.97, "lon": 77.59}
    assert (await tracker.post(URL, json=good)).status_code == 200

    async def refuse(*args: Any, **kwargs: Any) -> None:
        raise psycopg.OperationalError("connection refused")

    await intake.telemetry._database.close()
    with monkeypatch.context() as patch:
        patch.setattr(psycopg.AsyncConnection, "connect", refuse)
        answer = await tracker.post(URL, json={**good, "ts": NOW.timestamp() - 1})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
    assert (await tracker.post(URL, json={**good, "ts": NOW.timestamp() - 1})).json()["accepted"] == 1
    assert await in_thread(Position.objects.count) == 2
