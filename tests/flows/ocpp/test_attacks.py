"""What somebody with bad intentions, or a bad modem, sends: survived, logged with the reason, others unaffected."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import websockets

from tests.flows.ocpp.station import V16, Station, basic, refused, until
from tests.flows.ocpp.world import KEY, World

WORST_SECONDS = 5.0


@pytest.fixture
async def bystander(world: World) -> AsyncIterator[list[float]]:
    """Another charger that knocks all the while; how long each of its heartbeats took."""
    _, station = await world.ready()
    waits: list[float] = []

    async def knock() -> None:
        while True:
            began = time.monotonic()
            await station.call("Heartbeat", {})
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0.02)

    knocking = asyncio.create_task(knock())
    await until(lambda: len(waits) > 3, "the bystander to be served")
    yield waits
    assert not knocking.done(), knocking
    served = len(waits)
    await until(lambda: len(waits) > served + 5, "the bystander to be served")
    knocking.cancel()
    assert max(waits) < WORST_SECONDS


async def raw_line(world: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", world.system.realtime_port)


async def test_slow_handshakes(world: World, bystander: list[float]) -> None:
    """A hundred request heads that never end are cut off, and nobody waits for them."""
    lines = [await raw_line(world) for _ in range(100)]
    for _, writer in lines:
        writer.write(b"GET /ocpp/SLOW HTTP/1.1\r\nHost: x\r\nX-A: ")
        await writer.drain()

    async def drip() -> None:
        while True:
            for _, writer in lines:
                with contextlib.suppress(ConnectionError):
                    writer.write(b"a")
            await asyncio.sleep(0.5)

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(60):
            for reader, _ in lines:
                with contextlib.suppress(ConnectionError):
                    assert (await reader.read(200))[:12] in (b"", b"HTTP/1.1 408", b"HTTP/1.1 400")
    finally:
        dripping.cancel()
        for _, writer in lines:
            writer.close()


async def test_frames_of_ten_megabytes(world: World, bystander: list[float]) -> None:
    charger, station = await world.ready()
    for _ in range(5):
        station = await world.connect(charger)
        with contextlib.suppress(websockets.ConnectionClosed):
            await station.send('[2,"huge","DataTransfer",{"vendorId":"' + "x" * 10_000_000 + '"}]')
            with contextlib.suppress(TimeoutError, Exception):
                await asyncio.wait_for(station.answer_to("huge"), 5)
    station = await world.connect(charger)
    assert (await station.boot())["status"] == "Accepted"


async def test_nested_fifty_thousand_deep(world: World, bystander: list[float]) -> None:
    charger, station = await world.ready()
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        middle = opening * 50_000 + ("1" if opening != "[" else "") + closing * 50_000
        frame = f'[2,"deep","DataTransfer",{{"vendorId":"x","data":{middle}}}]'
        assert await station.refusal_of(frame, "deep") == "FormationViolation"
    assert "currentTime" in await station.call("Heartbeat", {})
    assert charger.ocpp_identity in world.log()


async def test_two_that_fight_for_one_identity(world: World, bystander: list[float]) -> None:
    charger = world.charger()
    last: Station | None = None
    for _ in range(30):
        last = await world.connect(charger)
    assert last is not None
    assert (await last.boot())["status"] == "Accepted"
    losers = [station for station in world.sockets if station.identity == charger.ocpp_identity and station is not last]
    assert len(losers) == 29
    assert set(await asyncio.gather(*(station.closed() for station in losers))) <= {1008, 4000}
    assert "currentTime" in await last.call("Heartbeat", {})


async def test_half_open_lines(world: World, bystander: list[float]) -> None:
    """Forty chargers whose modem died with the line open are gone within three pings, without holding anybody up."""
    chargers = [world.charger(plugs=1) for _ in range(40)]
    stations = [await world.connect(charger) for charger in chargers]
    for station in stations:
        station.socket.transport.pause_reading()

    def alive() -> bool:
        return any(world.fresh(charger).is_online for charger in chargers)

    await until(lambda: not alive(), "all dead lines to be noticed", 40)


async def test_storms_of_wrong_keys(world: World, bystander: list[float]) -> None:
    """Two hundred guesses from one address: refused, then not even looked at; the charger itself is not locked out."""
    charger = world.charger()
    url, thief = f"{world.ocpp}/{charger.ocpp_identity}", {"X-Forwarded-For": "203.0.113.66"}

    async def guess(number: int) -> int:
        return await refused(url, headers=basic(charger.ocpp_identity, f"guess-{number}") | thief)

    statuses = [status for start in range(0, 200, 20)
                for status in await asyncio.gather(*(guess(start + one) for one in range(20)))]  # fmt: skip
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 20
    assert await refused(url, headers=basic(charger.ocpp_identity, KEY) | thief) == 429
    station = await world.connect(charger, V16)
    assert (await station.boot())["status"] == "Accepted"
    assert "throttled" in world.log()
    assert "guess-" not in world.log()


async def test_a_reader_that_does_not_read(world: World, bystander: list[float]) -> None:
    """It asks and asks and never takes an answer: slowed by back-pressure, and in the end cut off."""
    _, station = await world.ready()
    station.socket.transport.pause_reading()
    with contextlib.suppress(websockets.ConnectionClosed, TimeoutError, ConnectionError):
        async with asyncio.timeout(20):
            for number in range(100_000):
                await station.send([2, f"q{number}", "Heartbeat", {}])
    station.socket.transport.resume_reading()
