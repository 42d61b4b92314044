"""Rule 40: several nodes on one database; and what happens when one of them is cut off."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import TypeVar

import pytest
import websockets

from billing.models import ChargingSession
from tests.flows.ocpp import hosts
from tests.flows.ocpp.station import ALL_VERSIONS, PATIENCE_SECONDS, Station, connect, now, until
from tests.flows.ocpp.world import World
from tests.running import RealtimeNode

MOVED = 12
PROMPT_SECONDS = 3.0
T = TypeVar("T")


@pytest.fixture
async def doomed(world: World) -> AsyncIterator[RealtimeNode]:
    """A node that will not outlive its test."""
    node = RealtimeNode(world.system, FLEETCHARGE_OCPP_DRAIN_SECONDS="2")
    try:
        await asyncio.to_thread(node.wait_until_ready, 180)
        yield node
    finally:
        await asyncio.to_thread(node.stop)


async def test_rule_40_commands_find_the_node_and_a_deploy_loses_nobody(
    world: World, second: RealtimeNode, doomed: RealtimeNode
) -> None:
    charger = world.charger()
    station = await world.connect(charger, at=second.ocpp)
    await station.boot()
    for _ in range(5):  # asked at the web process, carried by the node that has the socket
        row = await world.command(charger, "TriggerMessage", message="Heartbeat")
        await station.next("TriggerMessage")
        assert (await world.outcome(row))["state"] == "accepted"
    owner = world.fresh(charger).node
    station = await world.connect(charger)
    assert world.fresh(charger).node != owner
    row = await world.command(charger, "TriggerMessage", message="Heartbeat")
    await station.next("TriggerMessage")
    assert (await world.outcome(row))["state"] == "accepted"

    absent = world.charger()
    queued = await world.command(absent, "ClearCache")
    assert (await world.outcome(queued, "queued"))["state"] == "queued"
    station = await world.connect(absent, at=second.ocpp)
    assert station.asked["ClearCache"].empty()  # not before the boot
    await station.boot()
    await station.next("ClearCache")
    assert (await world.outcome(queued))["state"] == "accepted"

    leaving = [world.charger() for _ in range(MOVED)]
    sockets = [await world.connect(one, at=doomed.ocpp) for one in leaving]
    references = [await socket.start(world.tag(), 0) for socket in sockets]
    doomed.signal(signal.SIGTERM)  # a deploy
    codes = await asyncio.gather(*(socket.closed() for socket in sockets))
    assert set(codes) == {1012}
    for one, reference in zip(leaving, references, strict=True):
        socket = await world.connect(one)
        await socket.stop(reference, 500)
        assert (await world.session(one))["energy_wh"] == 500


async def test_a_node_that_is_cut_off_loses_no_session(world: World, doomed: RealtimeNode) -> None:
    """It stops dead, holding its sockets. The chargers move over, and commands reach them there."""
    versions = [ALL_VERSIONS[number % 3] for number in range(MOVED)]
    chargers = [world.charger(subprotocols=[version]) for version in versions]
    stations = [
        await world.connect(charger, version, at=doomed.ocpp)
        for charger, version in zip(chargers, versions, strict=True)
    ]
    began_at = now() - timedelta(minutes=20)
    references = []
    for station in stations:
        await station.boot()
        references.append(await station.start(world.tag(), 1000, began_at))
        await station.meter(references[-1], 2000, began_at + timedelta(minutes=2))
    doomed.signal(signal.SIGSTOP)
    unanswered = [
        station.metered(reference, 3000, began_at + timedelta(minutes=4), seq=2)
        for station, reference in zip(stations, references, strict=True)
    ]
    for station, said in zip(stations, unanswered, strict=True):
        await station.send([2, "never", *said])
    moved: list[Station] = []
    for charger, version, reference, said in zip(chargers, versions, references, unanswered, strict=True):
        station = await world.connect(charger, version)
        moved.append(station)
        await station.call(*said)  # what was not answered is said again, here
        row = await world.command(charger, "TriggerMessage", message="StatusNotification")
        await station.next("TriggerMessage")
        assert (await world.outcome(row))["state"] == "accepted"
        await station.stop(reference, 4000, began_at + timedelta(minutes=6), seq=3)
    doomed.signal(signal.SIGCONT)  # it wakes, and still has the old sockets and what they said
    for station in stations:
        await until(lambda: station.socket.close_code is not None, "the old socket to be closed")  # noqa: B023
    for charger in chargers:
        session = await world.session(charger)
        assert (session["state"], session["energy_wh"]) == ("ended", 3000)
        assert world.fresh(charger).is_online
    assert ChargingSession.objects.filter(charger__in=chargers).count() == MOVED
    for station in moved:
        assert "currentTime" in await station.call("Heartbeat", {})


@pytest.mark.skipif(not hosts.is_possible(), reason="needs root and network namespaces")
async def test_a_host_whose_cable_is_pulled_loses_no_session(world: World, database_url: str) -> None:
    """Its chargers, the database and Valkey all vanish for it at once, and it for them; later it comes back."""
    other = await asyncio.to_thread(hosts.OtherHost, world.system, database_url, world.system.redis_url())
    try:
        await asyncio.to_thread(other.node.wait_until_ready, 180)
        versions = [ALL_VERSIONS[number % 3] for number in range(MOVED)]
        chargers = [world.charger(subprotocols=[version]) for version in versions]
        began_at, references, said = now() - timedelta(minutes=20), [], []
        for charger, version in zip(chargers, versions, strict=True):
            station = await world.connect(charger, version, at=other.node.ocpp)
            await station.boot()
            references.append(await station.start(world.tag(), 1000, began_at))
            await station.meter(references[-1], 2000, began_at + timedelta(minutes=2))
            said.append(station.metered(references[-1], 3000, began_at + timedelta(minutes=4), seq=2))
            await station.send([2, "in flight", *said[-1]])
        await asyncio.to_thread(other.pull_the_cable)
        for charger, version, reference, unsure in zip(chargers, versions, references, said, strict=True):
            station = await world.connect(charger, version)
            await station.call(*unsure)
            row = await world.command(charger, "TriggerMessage", message="StatusNotification")
            await station.next("TriggerMessage")
            assert (await world.outcome(row))["state"] == "accepted"
            await station.stop(reference, 4000, began_at + timedelta(minutes=6), seq=3)
        await asyncio.to_thread(other.plug_the_cable)
        await asyncio.to_thread(other.node.wait_until_ready, 180)  # it is a part of the system again
        for charger in chargers:
            session = await world.session(charger)
            assert (session["state"], session["energy_wh"]) == ("ended", 3000)
            assert world.fresh(charger).is_online
        assert ChargingSession.objects.filter(charger__in=chargers).count() == MOVED
    finally:
        await asyncio.to_thread(other.remove)


async def test_a_replay_over_two_nodes_is_one_session(world: World, second: RealtimeNode) -> None:
    """The same queue is delivered to both nodes at once: a charger that believes its first line dead."""
    charger = world.charger()
    here, there = await world.connect(charger), await world.connect(charger, at=second.ocpp)
    tag, began_at = world.tag(), now() - timedelta(hours=1)
    start = here.started(tag, 1000, began_at)

    async def replay(station: Station, seconds: float = 5) -> None:
        """As far as the socket lives: an answer that went to the other one never comes."""
        with contextlib.suppress(websockets.ConnectionClosed, TimeoutError):
            reference = str((await asyncio.wait_for(station.call(*start, "r1"), seconds))["transactionId"])
            for number in range(1, 11):
                said = station.metered(reference, 1000 + 100 * number, began_at + timedelta(minutes=number))
                await asyncio.wait_for(station.call(*said, f"r{number + 1}"), seconds)
            stop = station.stopped(reference, 2100, began_at + timedelta(minutes=11))
            await asyncio.wait_for(station.call(*stop, "r99"), seconds)

    await asyncio.gather(replay(here), replay(there))
    await replay(await world.connect(charger, at=second.ocpp), PATIENCE_SECONDS)
    session = await world.session(charger)
    assert (session["state"], session["energy_wh"], len(session["meter_values"])) == ("ended", 1100, 10)


async def promptly(answer: Awaitable[T]) -> T:
    """An answer that waits for nobody but the database, on a busy machine."""
    async with asyncio.timeout(PROMPT_SECONDS):
        return await answer


async def test_valkey_frozen_chargers_are_answered_promptly(world: World) -> None:
    """Rule 40 again: a Valkey that takes connections and says nothing holds up no answer; sweeps make good after it."""
    fleet = [await world.ready() for _ in range(8)]
    tags = [world.tag() for _ in fleet]

    async def charge(station: Station, tag: str, number: int) -> None:
        at, register = now() - timedelta(minutes=60 - 10 * number), 1000 + 100 * number
        await promptly(station.status("Preparing"))
        reference = await promptly(station.start(tag, register, at))
        for minute in range(1, 5):
            await promptly(station.meter(reference, register + 10 * minute, at + timedelta(minutes=minute)))
        await promptly(station.stop(reference, register + 100, at + timedelta(minutes=6)))
        await promptly(station.status("Available"))

    with world.system.frozen("valkey"):
        for number in range(3):  # longer than anybody leaves it alone
            await asyncio.gather(*(charge(pair[1], tag, number) for pair, tag in zip(fleet, tags, strict=True)))
            await asyncio.sleep(3)
    sessions = ChargingSession.objects.filter(charger__in=[charger for charger, _ in fleet])
    assert sessions.filter(energy_wh=100).count() == 3 * len(fleet)
    await until(lambda: not sessions.filter(cdr=None).exists(), "every session to be priced")


async def test_valkey_away_chargers_are_served(world: World) -> None:
    """Rule 40: answers depend on the database only."""
    charger, station = await world.ready()
    pid = await asyncio.to_thread(world.system.kill, "valkey")
    reference = await station.start(world.tag(), 1000)
    for number in range(1, 20):
        await station.meter(reference, 1000 + 10 * number, now() + timedelta(seconds=number))
    other = await connect(f"{world.ocpp}/{world.charger(key='').ocpp_identity}", "")
    assert (await other.boot())["status"] == "Accepted"
    await station.stop(reference, 1200, now() + timedelta(seconds=30))
    assert pid
    assert ChargingSession.objects.get(charger=charger).energy_wh == 200
    await other.close()

    async def carried() -> bool:
        with contextlib.suppress(AssertionError):
            row = await world.command(charger, "TriggerMessage", message="Heartbeat")
            return bool((await world.outcome(row))["state"] == "accepted")
        return False

    await until(carried, "commands to be carried again", 240)
