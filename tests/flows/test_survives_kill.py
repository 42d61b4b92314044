"""kill -9 of PostgreSQL, Valkey and the realtime process under load: nothing acknowledged is lost or doubled."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.charger import TestCharger
from tests.fleet import seed_code
from tests.running import RunningSystem

CHARGERS_PER_HUB = 6
VEHICLES = 10
ROUNDS = ("postgres", "valkey", "realtime")
PATIENCE_S = 240

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes through /proc")

LEFT_IN_DATABASE = """
import json
from billing.models import ChargingSession, MeterValue
from vehicles.models import Position
print(json.dumps({
    "sessions": sorted([s.transaction_ref, s.energy_wh, s.state] for s in ChargingSession.objects.all()),
    "meters": sorted([m.transaction_ref, m.energy_wh] for m in MeterValue.objects.exclude(energy_wh=None)),
    "pings": sorted([p.vehicle_id, round(p.fix_at.timestamp())] for p in Position.objects.all()),
}))
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    running = RunningSystem(tmp_path_factory.mktemp("kill"))
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


class Ledger:
    """What the senders know: only what was acknowledged."""

    def __init__(self) -> None:
        self.sessions: list[list[object]] = []
        self.meters: list[list[object]] = []
        self.pings: list[list[int]] = []
        self.last_refusal = ""


async def charge_again_and_again(charger: TestCharger, tag: str, known: Ledger, until: asyncio.Event) -> None:
    energy_wh = 1000
    while not until.is_set():
        began_wh, transaction = energy_wh, await charger.start(tag, energy_wh)
        for _ in range(8):
            energy_wh += 37
            await charger.meter(transaction, energy_wh, 50_000, 40)
            known.meters.append([str(transaction), energy_wh])
            await asyncio.sleep(0.05)
        await charger.stop(transaction, energy_wh, tag)
        known.sessions.append([str(transaction), energy_wh - began_wh, "ended"])


async def ping_again_and_again(url: str, key: str, device: str, pk: int, known: Ledger, until: asyncio.Event) -> None:
    second = int(time.time()) - 3600
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=5) as client:
        while not until.is_set():
            second += 1
            ping = {"ts": second, "lat": 12.93 + (second % 50) * 1e-5, "lon": 77.68, "soc": 60}
            while refusal := await _refusal(client, url, {"device": device, "pings": [ping]}):
                known.last_refusal = refusal
                await asyncio.sleep(0.1)
            known.pings.append([pk, second])
            await asyncio.sleep(0.01)


async def _refusal(client: httpx.AsyncClient, url: str, body: object) -> str:
    """Empty when the ping was acknowledged, else why not."""
    try:
        answer = await client.post(url, content=json.dumps(body))
    except httpx.HTTPError as error:
        return repr(error)
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.text}"
    told = answer.json()
    assert told["rejected"] == [], told
    return "" if told["accepted"] + told["duplicate"] == 1 else str(told)


async def load_while_killing(system: RunningSystem, fleet: dict[str, Any]) -> Ledger:
    known, until = Ledger(), asyncio.Event()
    chargers = [TestCharger(system.ocpp, identity, key) for identity, key in fleet["charger_keys"].items()]
    lines = [asyncio.create_task(charger.run()) for charger in chargers]
    work = [
        asyncio.create_task(charge_again_and_again(charger, f"TAG{number % VEHICLES:04d}", known, until))
        for number, charger in enumerate(chargers)
    ] + [
        asyncio.create_task(ping_again_and_again(f"{system.realtime}/ingest/v1/pings", fleet["api_key"], device, pk,
                                                 known, until))
        for device, pk in fleet["vehicles"].items()
    ]  # fmt: skip
    for name in ROUNDS:
        await _progress(known, work, f"before {name} dies")
        await asyncio.to_thread(system.kill, name)
    await _progress(known, work, "after all had died")
    until.set()
    await asyncio.wait_for(asyncio.gather(*work), 240)
    for line in lines:
        line.cancel()
    return known


async def _progress(known: Ledger, work: list[asyncio.Task[None]], when: str) -> None:
    """Until every charger, on average, had two more answers and every tracker five: the system works (again)."""
    meters, pings = len(known.meters) + 4 * CHARGERS_PER_HUB, len(known.pings) + 5 * VEHICLES
    deadline = time.monotonic() + PATIENCE_S
    while len(known.meters) < meters or len(known.pings) < pings:
        for ended in (task for task in work if task.done()):
            ended.result()
        if time.monotonic() > deadline:
            raise AssertionError(
                f"no progress in {PATIENCE_S} s {when}: {len(known.meters)} of {meters} meter values, "
                f"{len(known.pings)} of {pings} pings, last refusal of a ping: {known.last_refusal}"
            )
        await asyncio.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="kills by /proc")
def test_nothing_acknowledged_is_lost_and_nothing_doubled(system: RunningSystem) -> None:
    fleet = system.manage(seed_code(chargers_per_hub=CHARGERS_PER_HUB, vehicles=VEHICLES))
    try:
        known = asyncio.run(load_while_killing(system, fleet))
    except BaseException:
        print(system.console(), system.logs(), sep="\n")
        raise
    left = system.manage(LEFT_IN_DATABASE)
    assert left["sessions"] == sorted(known.sessions)
    assert left["meters"] == sorted(known.meters)
    assert left["pings"] == sorted(known.pings)
    assert len(known.sessions) >= 2 * CHARGERS_PER_HUB
