"""A charger that takes nothing of what it is sent: cut off in time, and nobody else ever waits for it."""

import asyncio
import contextlib
import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import commands, consumers
from ocpp_bridge.hub import hub
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Client
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.threads import in_database
from stations import services as stations
from stations.models import Charger
from stations.services import Arrival

BOOT = {"chargePointVendor": "Acme", "chargePointModel": "Quick"}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


@pytest.fixture
def neighbour(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-018")


async def narrow_line(port: int) -> socket.socket:
    """A connection whose window is so small that a long message stays with the server."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", port))
    return line


async def deafened(connect: Connect, port: int, station: Charger) -> tuple[Client, Any]:
    """It does not read any more while nearly a megabyte is on its way to it: its client, the server's protocol."""
    client = await connect(station.ocpp_identity, sock=await narrow_line(port))
    assert (await client.call("BootNotification", BOOT))["status"] == "Accepted"
    client.socket.transport.pause_reading()
    client.socket.close_timeout = 0.5
    entries = [{"id_token": f"TAG{number:015d}", "token_type": "RFID", "status": "accepted",
                "expires_at": "2030-01-01T00:00:00Z"} for number in range(9_000)]  # fmt: skip
    await in_database(
        commands.enqueue, charger_id=station.pk, action="SendLocalList", idempotency_key="long", actor="test",
        parameters={"version": 1, "update": "full", "entries": entries},
    )  # fmt: skip
    consumer = hub.find(station.pk)
    assert consumer is not None
    protocol = consumer.base_send.__self__  # type: ignore[attr-defined]
    await until(lambda: not protocol.writable.is_set())
    assert protocol.transport.get_write_buffer_size() > 700_000
    return client, protocol


async def test_its_next_socket_is_served_at_once_and_the_old_one_is_gone(
    port: int, connect: Connect, station: Charger
) -> None:
    _, old = await deafened(connect, port, station)
    again = await connect("BLR-017")
    assert (await again.call("BootNotification", BOOT))["status"] == "Accepted"
    await until(lambda: old.transport.is_closing() and old.disconnected)
    assert "currentTime" in await again.call("Heartbeat", {})
    assert len(hub) == 1


async def test_nobody_waits_for_it_when_chargers_move_to_another_node(
    port: int, connect: Connect, station: Charger, neighbour: Charger
) -> None:
    """The round that finds lost sockets closes them all, however many of them cannot be told."""
    _, old = await deafened(connect, port, station)
    other = await connect("BLR-018")
    assert (await other.call("BootNotification", BOOT))["status"] == "Accepted"
    moved = [Arrival(one.pk, "elsewhere:1", "ocpp1.6", datetime.now(UTC), 1) for one in (station, neighbour)]
    await in_database(stations.chargers_connected, moved)
    async with asyncio.timeout(60):
        await hub._check_epochs()
    assert await other.closed() == consumers.REPLACED
    await until(lambda: old.disconnected and len(hub) == 0)


async def test_nobody_waits_for_it_when_another_node_says_so(
    port: int, connect: Connect, station: Charger, neighbour: Charger
) -> None:
    _, old = await deafened(connect, port, station)
    other = await connect("BLR-018")
    async with asyncio.timeout(60):
        await hub._hear(f"taken elsewhere:1 {station.pk}:99,{neighbour.pk}:99")
    assert await other.closed() == consumers.REPLACED
    await until(lambda: old.disconnected and len(hub) == 0)


class TestPings:
    @pytest.fixture
    def ping_seconds(self) -> float:
        return 6.0  # the list must be on its way before the next one

    @pytest.fixture
    def pong_seconds(self) -> float:
        return 1.0

    async def test_it_is_offline_when_it_misses_a_ping(self, port: int, connect: Connect, station: Charger) -> None:
        _, old = await deafened(connect, port, station)
        await until(lambda: old.disconnected and len(hub) == 0)
        await until(lambda: not Charger.objects.get(pk=station.pk).is_online)


async def test_one_that_says_goodbye_and_reads_nothing_is_let_go(
    port: int, connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, old = await deafened(connect, port, station)
    monkeypatch.setattr(type(old), "linger_seconds", 0.2)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client.socket.close(), 0.1)  # the close frame goes out, no answer is read
    await until(lambda: old.disconnected and len(hub) == 0)
