"""What somebody with bad intentions, or a bad modem, sends: survived, logged with the reason, others unaffected."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import pytest
import websockets

from ocpp_bridge import commands
from ocpp_bridge.models import Command
from stations.models import Charger
from tests.flows.ocpp.conftest import SETTINGS
from tests.flows.ocpp.station import V16, Station, basic, refused, until
from tests.flows.ocpp.world import KEY, World

WORST_SECONDS = 5.0
THREE_PINGS_SECONDS = 3 * float(SETTINGS["FLEETCHARGE_OCPP_PING_SECONDS"]) + 15  # and what a busy database takes


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
        async with asyncio.timeout(120):
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


async def narrow_line(world: World) -> socket.socket:
    """A connection with so small a window that a long message stays with the server."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", world.system.realtime_port))
    return line


def deafen_at(station: Station, size_bytes: int) -> None:
    """It reads no more once it heard so much: deaf before, it might be cut off before the list goes."""
    heard, hear = 0, station.socket.data_received

    def data_received(data: bytes) -> None:
        nonlocal heard
        heard += len(data)
        if heard > size_bytes:
            station.socket.transport.pause_reading()
        hear(data)

    station.socket.data_received = data_received  # type: ignore[method-assign]


async def deafened(world: World) -> tuple[Charger, Station]:
    """A charger that stopped reading, with nearly a megabyte on its way to it."""
    charger = world.charger(plugs=1)
    station = await world.connect(charger, sock=await narrow_line(world))
    await station.boot()
    deafen_at(station, 16_000)
    entries = [{"id_token": f"TAG{number:015d}", "token_type": "RFID", "status": "accepted",
                "expires_at": "2030-01-01T00:00:00Z"} for number in range(9_000)]  # fmt: skip
    command = commands.enqueue(
        charger_id=charger.pk, action="SendLocalList", idempotency_key=f"deaf-{charger.pk}", actor="test",
        parameters={"version": 1, "update": "full", "entries": entries},
    )  # fmt: skip
    await until(lambda: Command.objects.get(pk=command.pk).state == Command.State.SENT, "the list to be sent")
    return charger, station


async def test_half_open_lines(world: World, bystander: list[float]) -> None:
    """Forty chargers whose modem died with the line open, some in the middle of a megabyte: gone within three pings."""
    chargers = [world.charger(plugs=1) for _ in range(37)]
    stations = [await world.connect(charger) for charger in chargers]
    for station in stations:
        station.socket.transport.pause_reading()
    stuffed = [await deafened(world) for _ in range(3)]
    chargers += [charger for charger, _ in stuffed]

    def alive() -> list[str]:
        return [charger.ocpp_identity for charger in chargers if world.fresh(charger).is_online]

    await until(lambda: not alive(), "all dead lines to be noticed", THREE_PINGS_SECONDS)


async def test_the_next_socket_of_a_dead_line_with_a_megabyte_on_it(world: World, bystander: list[float]) -> None:
    """The new one is served at once and gets what the old one never took; the old one is cut."""
    charger, old = await deafened(world)
    new = await world.connect(charger)
    assert (await new.boot())["status"] == "Accepted"
    assert len((await new.next("SendLocalList"))["localAuthorizationList"]) == 9_000
    old.socket.transport.resume_reading()
    assert await old.closed() in (None, 1006, 4000)  # cut off, unless it took the rest and the goodbye in time
    assert world.fresh(charger).is_online


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
    charger, station = await deafened(world)

    async def ask() -> None:
        for number in range(100_000):
            await station.send([2, f"q{number}", "Heartbeat", {}])

    asking = asyncio.create_task(ask())
    await until(lambda: not world.fresh(charger).is_online, "it to be cut off", THREE_PINGS_SECONDS)
    station.socket.transport.resume_reading()
    with pytest.raises(websockets.ConnectionClosed):
        await asking  # nobody takes its questions any more
    again = await world.connect(charger)
    assert (await again.boot())["status"] == "Accepted"
