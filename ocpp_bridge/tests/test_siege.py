"""Whoever knocks wrongly, slowly or too often is let go, and the chargers beside him notice nothing."""

import asyncio
import base64
import contextlib
import os

import pytest
import websockets
from django.test import override_settings

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.patience import ImpatientProtocol
from fleetcharge.lib.sockets import LeanWebSocketProtocol
from ocpp_bridge.hub import hub
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.throttle import Bucket
from stations.models import Charger


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


async def upgrade(port: int, identity: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket that never answers a ping: the TCP connection of a charger that lost its network."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    basic = base64.b64encode(f"{identity}:{factories.KEY}".encode()).decode()
    nonce = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET /ocpp/{identity} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {nonce}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: ocpp1.6",
        f"Authorization: Basic {basic}",
    )  # fmt: skip
    writer.write("\r\n".join([*head, "", ""]).encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


class TestPings:
    @pytest.fixture
    def ping_seconds(self) -> float:
        return 1.0

    async def test_a_half_open_socket_is_cleared_by_the_ping(self, port: int, station: Charger) -> None:
        reader, writer = await upgrade(port, "BLR-017")
        await until(lambda: len(hub) == 1)
        async with asyncio.timeout(60):
            while await reader.read(100):
                pass
        await until(lambda: len(hub) == 0)
        await until(lambda: not Charger.objects.get(pk=station.pk).is_online)
        writer.close()


class TestPongs:
    @pytest.fixture
    def ping_seconds(self) -> float:
        return 0.2

    @pytest.fixture
    def pong_seconds(self) -> float:
        return 2.0

    async def test_a_socket_that_answers_its_pings_stays(self, connect: Connect, station: Charger) -> None:
        socket = await connect("BLR-017")
        for _ in range(8):  # longer than the server waits for a pong
            await asyncio.sleep(0.3)
            await (await socket.socket.ping())
        assert "currentTime" in await socket.call("Heartbeat", {})


class TestLatePongs:
    @pytest.fixture
    def ping_seconds(self) -> float:
        return 0.2

    @override_settings(OCPP_MESSAGES_PER_SECOND=30, OCPP_MESSAGES_BURST=5)
    @pytest.mark.parametrize("size", [10, 70_000])  # short frames, and the long way past them
    async def test_who_is_slowed_down_by_us_is_not_dead(self, connect: Connect, station: Charger, size: int) -> None:
        """Its pong stands behind what we do not read yet, for longer than we wait for a pong."""
        socket = await connect("BLR-017")
        await socket.send([2, "first", "DataTransfer", {"vendorId": "x", "data": "x" * size}])
        for number in range(60):
            await socket.send([2, f"h{number}", "Heartbeat", {}])
        for number in range(60):
            assert "currentTime" in await socket.answer_to(f"h{number}")
        consumer = hub.find(station.pk)
        assert consumer is not None and consumer._bucket.pauses > 0


class TestNoPongs:
    @pytest.fixture
    def ping_seconds(self) -> float:
        return 0.2

    async def test_who_talks_and_never_answers_a_ping_is_let_go(
        self, port: int, station: Charger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(LeanWebSocketProtocol, "patience_seconds", 1.0)
        reader, writer = await upgrade(port, "BLR-017")
        await until(lambda: len(hub) == 1)
        writer.write(b"\x81\xff" + (100_000).to_bytes(8, "big") + b"mask")  # a long frame, a byte at a time
        async with asyncio.timeout(60):
            while len(hub):
                writer.write(b"x")
                with contextlib.suppress(TimeoutError, ConnectionError):
                    await asyncio.wait_for(reader.read(100), 0.05)
        writer.close()


async def test_a_request_head_that_never_ends_is_cut_off(
    port: int, connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImpatientProtocol, "head_seconds", 0.2)
    socket = await connect("BLR-017")
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
    for number, (_, writer) in enumerate(slow):
        writer.write(b"GET /ocpp/BLR-017 HTTP/1.1\r\nHost: x\r\n" if number % 2 else b"")
    assert "currentTime" in await socket.call("Heartbeat", {})
    for reader, writer in slow:
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(60):
                await _read_to_the_end(reader)
        writer.close()
    assert ImpatientProtocol.waiting == 0
    assert "currentTime" in await socket.call("Heartbeat", {})


async def _read_to_the_end(reader: asyncio.StreamReader) -> None:
    if not await reader.read():
        raise ConnectionResetError


async def test_a_request_head_without_end_is_cut_off(port: int, station: Charger) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(60):
            writer.write(b"GET /ocpp/BLR-017 HTTP/1.1\r\n")
            while True:
                writer.write(b"X-Filler: " + b"x" * 8000 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
    writer.close()


async def test_ten_megabytes_are_answered_and_the_socket_kept(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.send([2, "huge", "DataTransfer", {"vendorId": "x", "data": "y" * (10 * 1024 * 1024)}])
    assert (await socket.answer_to("huge"))[2] == "FormationViolation"
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_a_password_storm_leaves_the_others_alone(
    connect: Connect, station: Charger, organisation: Organisation
) -> None:
    factories.charger(organisation, "BLR-018")
    neighbour = await connect("BLR-018")

    async def guess(number: int) -> int:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect("BLR-017", key=f"guess-{number}")
        return refused.value.response.status_code

    answers = await asyncio.gather(*(guess(number) for number in range(60)), neighbour.call("Heartbeat", {}))
    assert sorted(answers[:-1]) == [401] * 10 + [429] * 50
    assert "currentTime" in answers[-1]
    assert Charger.objects.get(pk=station.pk).connection_epoch == 0


@override_settings(OCPP_MESSAGES_PER_SECOND=50, OCPP_MESSAGES_BURST=20)
async def test_a_flood_is_slowed_down_and_nothing_of_it_is_lost(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    for number in range(120):
        await socket.send([2, f"h{number}", "Heartbeat", {}])
    for number in range(120):
        assert "currentTime" in await socket.answer_to(f"h{number}")
    consumer = hub.find(station.pk)
    assert consumer is not None and consumer._bucket.pauses > 0


@override_settings(OCPP_MESSAGES_PER_SECOND=0)
async def test_without_a_rate_nobody_waits(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    for number in range(300):
        await socket.send([2, f"h{number}", "Heartbeat", {}])
    for number in range(300):
        assert "currentTime" in await socket.answer_to(f"h{number}")
    consumer = hub.find(station.pk)
    assert consumer is not None and consumer._bucket.pauses == 0


def test_what_is_spent_is_credit_and_never_debt() -> None:
    now = [0.0]
    bucket = Bucket(rate=2, burst=3, clock=lambda: now[0])
    assert [bucket.spend() for _ in range(4)] == [True, True, True, False]
    assert bucket.take() == 0.5
    now[0] = 1.0
    assert not bucket.spend()  # only who may wait asks the clock
    assert bucket.take() == 0.0
    assert bucket.pauses == 1


def test_a_long_message_counts_as_several() -> None:
    bucket = Bucket(rate=1, burst=10, clock=lambda: 0.0)
    assert bucket.spend(100) and bucket.spend(5 * 16 * 1024)  # 1 + 6
    assert not bucket.spend(16 * 1024 * 4)
    assert bucket.spend(16 * 1024 * 2)
    assert bucket.take(1024 * 1024) == 65
