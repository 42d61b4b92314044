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
from gmqtt.mqtt.handler import MQTTConnectError

from vehicles import intake
from vehicles.models import Position, VehicleState
from vehicles.mqtt import listener as listener_module
from vehicles.mqtt.listener import Listener
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
CONNECT, PUBACK, SUBSCRIBE, DISCONNECT = 1, 4, 8, 14


class Broker:
    """As much of a broker as one subscriber sees."""

    def __init__(self, *, connected: int = 0, subscribed: int = 1) -> None:
        self._connected, self._subscribed = connected, subscribed  # what it answers
        self.packets: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            while True:
                kind = (await reader.readexactly(1))[0] >> 4
                body = await reader.readexactly(await self._length(reader))
                if kind == CONNECT:
                    writer.write(b"\x20\x03\x00" + bytes([self._connected, 0]))
                elif kind == SUBSCRIBE:
                    writer.write(b"\x90\x04" + body[:2] + b"\x00" + bytes([self._subscribed]))
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

    def publish(self, topic: str, payload: bytes, number: int = 0) -> None:
        """At quality of service 1, or at 0 without a number."""
        body = struct.pack("!H", len(topic)) + topic.encode()
        body += (struct.pack("!H", number) if number else b"") + b"\0" + payload
        length, digits = len(body), b""
        while True:
            length, digit = divmod(length, 128)
            digits += bytes([digit | (128 if length else 0)])
            if not length:
                break
        assert self._writer is not None
        self._writer.write((b"\x32" if number else b"\x30") + digits + body)

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
    assert broker[1].counts == {"connected": 1, "messages": 2, "stored": 2, "invalid": 1, "coordinates": 1}


async def test_what_can_never_be_stored_is_acknowledged_too(broker, organisation, other_organisation) -> None:
    """Else the broker would send it for ever. A body about another device or fleet changes nothing."""
    await in_thread(make_vehicle, other_organisation, device_id="theirs")
    for number, (device, payload) in enumerate([("van-1", b"{"), ("", b"{}"), ("theirs", orjson.dumps(ping()))], 1):
        await acknowledged(broker[0], f"fc/{organisation.slug}/{device}/ping", payload, number)
    assert broker[1].counts == {"connected": 1, "messages": 3, "bad_json": 1, "invalid": 1, "unknown_device": 1}
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


class Stuck:
    """A database that takes nothing until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.go_on, submit = 0, asyncio.Event(), intake.telemetry.submit

        async def slow(delivery: Any) -> Any:
            self.asked += 1
            await self.go_on.wait()
            return await submit(delivery)

        monkeypatch.setattr(intake.telemetry, "submit", slow)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_refusal_is_told_with_its_reason_and_not_a_thousand_times(broker, organisation, caplog) -> None:
    for number in (1, 2, 3):
        await acknowledged(broker[0], f"fc/{organisation.slug}/van-123456/ping", b"{", number)
    assert broker[1].counts["bad_json"] == 3
    told = [record.getMessage() for record in caplog.records if "refused (bad_json" in record.getMessage()]
    assert len(told) == 1
    assert "va…56: The body is not JSON" in told[0]


async def test_what_the_database_can_never_take_is_acknowledged_and_counted(broker, organisation, monkeypatch) -> None:
    async def refuse(delivery: Any) -> Any:
        raise psycopg.DataError("smallint out of range")

    monkeypatch.setattr(intake.telemetry, "submit", refuse)
    await acknowledged(broker[0], f"fc/{organisation.slug}/van-1/ping", orjson.dumps(ping()), 9)
    assert broker[1].counts == {"connected": 1, "messages": 1, "not_stored": 1}


async def test_messages_that_want_no_acknowledgement_are_bounded(broker, organisation, monkeypatch) -> None:
    await in_thread(make_vehicle, organisation, device_id="van-1")
    monkeypatch.setattr(listener_module, "WAITING", 2 - listener_module.UNACKNOWLEDGED)
    stuck, (wire, listener) = Stuck(monkeypatch), broker
    now = datetime.now(UTC).timestamp()
    for second in range(6):
        wire.publish(f"fc/{organisation.slug}/van-1/ping", orjson.dumps(ping(ts=now - second)))
    await until(lambda: listener.counts["overloaded"] == 4)
    assert stuck.asked == 2
    stuck.go_on.set()
    await until(lambda: listener.counts["stored"] == 2)
    assert await Position.objects.acount() == 2
    await acknowledged(wire, f"fc/{organisation.slug}/van-1/ping", orjson.dumps(ping(ts=now - 60)), 7)


async def test_only_so_many_are_stored_at_once(broker, organisation, monkeypatch) -> None:
    await in_thread(make_vehicle, organisation, device_id="van-1")
    stuck, (wire, listener) = Stuck(monkeypatch), broker
    now, most = datetime.now(UTC).timestamp(), listener_module.UNACKNOWLEDGED
    for second in range(most + 20):
        wire.publish(f"fc/{organisation.slug}/van-1/ping", orjson.dumps(ping(ts=now - second)))
    await until(lambda: listener.counts["messages"] == most + 20)
    assert stuck.asked == most
    stuck.go_on.set()
    await until(lambda: listener.counts["stored"] == most + 20)


async def test_we_leave_when_what_we_have_is_stored_and_acknowledged(broker, organisation, monkeypatch) -> None:
    await in_thread(make_vehicle, organisation, device_id="van-1")
    stuck, (wire, listener) = Stuck(monkeypatch), broker
    topic, now = f"fc/{organisation.slug}/van-1/ping", datetime.now(UTC).timestamp()
    wire.publish(topic, orjson.dumps(ping(ts=now)), 7)
    await until(lambda: stuck.asked == 1)
    leaving = asyncio.ensure_future(listener.close())
    await until(listener._closing.is_set)
    wire.publish(topic, orjson.dumps(ping(ts=now - 5)), 8)
    await until(lambda: listener.counts["messages"] == 2)
    stuck.go_on.set()
    await leaving
    kinds = [wire.packets.get_nowait() for _ in range(wire.packets.qsize())]
    if not any(kind == DISCONNECT for kind, _ in kinds):
        await wire.wanted(DISCONNECT)
    acknowledgements = [body[:2] for kind, body in kinds if kind == PUBACK]
    assert acknowledgements == [struct.pack("!H", 7)]  # the other one comes again
    assert (stuck.asked, await Position.objects.acount()) == (1, 1)


@pytest_asyncio.fixture
async def refusing() -> AsyncIterator[Any]:
    """A broker that answers no, and the address it listens at."""
    servers: list[asyncio.Server] = []

    async def start(**answers: int) -> str:
        servers.append(await asyncio.start_server(Broker(**answers).serve, "127.0.0.1", 0))
        return f"mqtt://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()


async def test_a_broker_that_lets_us_not_subscribe_ends_the_command(refusing, door, organisation) -> None:
    listener = Listener(organisation_id=organisation.pk, slug=organisation.slug)
    await listener.start(await refusing(subscribed=0x87))
    await asyncio.wait_for(listener.has_failed.wait(), 20)
    assert "refuses the subscription" in listener.failure
    assert listener.counts["subscription_refused"] == 1
    await listener.close()


async def test_a_broker_that_does_not_take_us_is_told_at_once(refusing, door, organisation) -> None:
    listener = Listener(organisation_id=organisation.pk, slug=organisation.slug)
    with pytest.raises(MQTTConnectError, match="Not authorized"):
        await listener.start(await refusing(connected=0x87))
    await listener.close()
