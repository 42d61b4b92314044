"""A fleet's own broker over a real socket (MQTT 5): acknowledged when stored, and for that fleet alone."""

import asyncio
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
import pytest
import pytest_asyncio

from vehicles import intake
from vehicles.models import Position, VehicleState
from vehicles.mqtt import listener as listener_module
from vehicles.mqtt.listener import Listener
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
CONNECT, PUBACK, SUBSCRIBE = 1, 4, 8


class Broker:
    """As much of a broker as one subscriber sees."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            while True:
                kind = (await reader.readexactly(1))[0] >> 4
                body = await reader.readexactly(await self._length(reader))
                if kind == CONNECT:
                    writer.write(b"\x20\x03\x00\x00\x00")
                elif kind == SUBSCRIBE:
                    writer.write(b"\x90\x04" + body[:2] + b"\x00\x01")
                self.packets.put_nowait((kind, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def wanted(self, kind: int) -> bytes:
        """The next packet of this kind."""
        async with asyncio.timeout(20):
            while True:
                got, body = await self.packets.get()
                if got == kind:
                    return body

    def publish(self, topic: str, payload: bytes, number: int) -> None:
        body = struct.pack("!H", len(topic)) + topic.encode() + struct.pack("!H", number) + b"\0" + payload
        length, digits = len(body), b""
        while True:
            length, digit = divmod(length, 128)
            digits += bytes([digit | (128 if length else 0)])
            if not length:
                break
        assert self._writer is not None
        self._writer.write(b"\x32" + digits + body)

    @staticmethod
    async def _length(reader: asyncio.StreamReader) -> int:
        length, shift = 0, 0
        while True:
            digit = (await reader.readexactly(1))[0]
            length |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return length


@pytest_asyncio.fixture
async def broker(door: Any, organisation: Any) -> AsyncIterator[tuple[Broker, Listener]]:
    broker = Broker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    listener = Listener(organisation_id=organisation.pk, slug=organisation.slug)
    await listener.start(f"mqtt://user:p%40ss@127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert b"user" in await broker.wanted(CONNECT)
    assert f"fc/{organisation.slug}/+/ping".encode() in await broker.wanted(SUBSCRIBE)
    yield broker, listener
    await listener.close()
    server.close()


def ping(**fields: Any) -> dict[str, Any]:
    return {"ts": datetime.now(UTC).timestamp(), "lat": 12.97, "lon": 77.59, "soc": 44, **fields}


async def acknowledged(broker: Broker, topic: str, payload: bytes, number: int) -> None:
    broker.publish(topic, payload, number)
    assert (await broker.wanted(PUBACK))[:2] == struct.pack("!H", number)


async def test_a_ping_is_acknowledged_when_it_is_stored(broker, organisation) -> None:
    van = await in_thread(make_vehicle, organisation, device_id="van-1")
    await acknowledged(broker[0], f"fc/{organisation.slug}/van-1/ping", orjson.dumps(ping()), 7)
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent == 44
    batch = orjson.dumps({"pings": [ping(), ping(device="van-2"), ping(lat=0)]})
    await acknowledged(broker[0], f"fc/{organisation.slug}/van-1/ping", batch, 8)
    assert broker[1].counts == {"messages": 2, "stored": 2, "invalid": 1, "coordinates": 1}


async def test_what_can_never_be_stored_is_acknowledged_too(broker, organisation, other_organisation) -> None:
    """Else the broker would send it for ever. A body about another device or fleet changes nothing."""
    await in_thread(make_vehicle, other_organisation, device_id="theirs")
    for number, (device, payload) in enumerate([("van-1", b"{"), ("", b"{}"), ("theirs", orjson.dumps(ping()))], 1):
        await acknowledged(broker[0], f"fc/{organisation.slug}/{device}/ping", payload, number)
    assert broker[1].counts == {"messages": 3, "bad_json": 1, "invalid": 1, "unknown_device": 1}
    assert await Position.objects.acount() == 0


async def test_while_the_database_is_away_the_message_waits_at_the_broker(broker, organisation, monkeypatch) -> None:
    await in_thread(make_vehicle, organisation, device_id="van-1")
    submit, tries = intake.telemetry.submit, []

    async def refuse_twice(delivery: Any) -> Any:
        tries.append(await Position.objects.acount())
        assert broker[0].packets.empty()  # nothing was acknowledged yet
        if len(tries) < 3:
            raise psycopg.OperationalError("connection refused")
        return await submit(delivery)

    monkeypatch.setattr(listener_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(intake.telemetry, "submit", refuse_twice)
    await acknowledged(broker[0], f"fc/{organisation.slug}/van-1/ping", orjson.dumps(ping()), 9)
    assert tries == [0, 0, 0]
    assert await Position.objects.acount() == 1
