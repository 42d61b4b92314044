"""kill -9 of the realtime process, Valkey and PostgreSQL amid 200 sessions on two nodes: 0 lost, 0 doubled."""

import asyncio
import sys
from collections.abc import Iterator

import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker

from billing.models import CDR, ChargingSession
from tests.flows.ocpp.conftest import SETTINGS
from tests.flows.ocpp.station import V16, V21, V201
from tests.flows.ocpp.world import KEY, World, inside
from tests.flows.ocpp.yard import Yard, mixed, reach
from tests.running import RealtimeNode, RunningSystem

CHARGERS = 200
ROUNDS = ("realtime", "valkey", "postgres")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills by /proc")


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningSystem, RealtimeNode]]:
    """A system of its own with two realtime processes; the second one has no supervisor."""
    system = RunningSystem(tmp_path_factory.mktemp("kill200"), **SETTINGS, FLEETCHARGE_SECRET_KEY=settings.SECRET_KEY)
    node = None
    try:
        system.wait_until_ready(300)
        node = RealtimeNode(system)
        node.wait_until_ready(180)
        yield system, node
    finally:
        if node:
            node.stop()
        system.stop()


async def charge_while_killing(system: RunningSystem, yard: Yard) -> None:
    await yard.open()
    try:
        for charger in yard.chargers:
            yard.plug_in(charger)
        await reach(lambda: yard.running == CHARGERS, "every car to charge", 240)
        for number, name in enumerate(ROUNDS):
            await _progress(yard)
            await asyncio.to_thread(system.kill, name)
            yard.swap(number, 4)  # a quarter ends and begins while nobody listens
            await yard.cut(number, 3)  # a third says at another node what was not answered here
        await _progress(yard)
        await reach(lambda: yard.running == CHARGERS, "every car to charge again", 240)
        for charger in yard.chargers:
            yard.leave(charger)
        await reach(lambda: yard.is_settled, lambda: f"every stop to be answered: {yard.waiting()}", 300)
    finally:
        await yard.close()


async def _progress(yard: Yard) -> None:
    """Until everybody, on average, had two more answers: the system works (again)."""
    enough = yard.answered + 2 * len(yard.chargers)
    await reach(lambda: yard.answered >= enough, "answers", 240)


def test_two_hundred_sessions_survive_the_death_of_every_part(
    doomed: tuple[RunningSystem, RealtimeNode], django_db_blocker: DjangoDbBlocker
) -> None:
    system, node = doomed
    with django_db_blocker.unblock(), inside(system.database_url()):
        world = World(system)
        world.seed()
        versions = (V16, V201, V21)
        keys = [
            (world.charger(plugs=1, subprotocols=[versions[number % 3]]).ocpp_identity, KEY, world.tag())
            for number in range(CHARGERS)
        ]
    yard = Yard(mixed(keys), system.realtime, node.realtime)
    asyncio.run(charge_while_killing(system, yard))
    truth = yard.facts()
    with django_db_blocker.unblock(), inside(system.database_url()):
        rows = ChargingSession.objects.order_by("started_at", "pk").values_list("charger__ocpp_identity", "energy_wh")
        stored: dict[str, list[int]] = {identity: [] for identity, _, _ in keys}
        for identity, energy_wh in rows:
            stored[identity].append(energy_wh)
        active = ChargingSession.objects.active().count()
        cdrs = CDR.objects.count()
    assert stored == truth
    assert (active, cdrs) == (0, sum(map(len, truth.values())))
    assert sum(map(len, truth.values())) >= CHARGERS * 5 // 4  # not only the first ones
    assert sum(map(sum, truth.values())) > 50 * CHARGERS
