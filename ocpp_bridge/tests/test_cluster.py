"""Several realtime processes: a command finds the socket wherever it is, and one may die, drain or lose Valkey."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from django.conf import settings
from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo
from websockets.asyncio.client import ClientConnection

from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.services import create_api_key
from fleetcharge.embedded.run import Address, process_specs
from fleetcharge.lib import hints
from fleetcharge.lib.db import conninfo
from ocpp_bridge import bell, commands
from ocpp_bridge.models import Command, Node
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from stations.models import Charger
from tests.running import port_of_our_own

A, S = Command.Action, Command.State
HEARTBEAT = {"message": "Heartbeat"}


class Process:
    """One realtime process as `make run` starts it, on the test's database."""

    def __init__(self, log: Path, **environment: str) -> None:
        self.port = port_of_our_own()
        engines = {"DATABASE_URL": conninfo(), "REDIS_URL": settings.REDIS_URL, "FLEETCHARGE_OCPP_DRAIN_SECONDS": "1"}
        every = process_specs(Address("127.0.0.1", 0, self.port), log.parent, {**os.environ, **engines, **environment})
        spec = next(spec for spec in every if spec.name == "realtime")
        self._log = log.open("w")
        self.process = subprocess.Popen(
            spec.argv, env=dict(spec.env), cwd=spec.cwd, stdout=self._log, stderr=subprocess.STDOUT
        )

    async def health(self) -> int:
        """The status of its health page; 0 while nobody listens."""
        with contextlib.suppress(httpx.HTTPError):
            async with httpx.AsyncClient() as client:
                return (await client.get(f"http://127.0.0.1:{self.port}/healthz/", timeout=20)).status_code
        return 0

    async def up(self) -> None:
        async with asyncio.timeout(120):
            while await self.health() != 200:
                await asyncio.sleep(0.1)

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def node(self) -> str:
        """Its name, once it has a socket."""
        names = Node.objects.filter(name__contains=f":{self.process.pid}:").values_list("name", flat=True)
        return names.first() or ""

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


@pytest.fixture
def start(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def one(**environment: str) -> Process:
        processes.append(Process(tmp_path / f"node{len(processes)}.log", **environment))
        return processes[-1]

    yield one
    for process in processes:
        process.stop()


@pytest.fixture
async def plug(station: Charger) -> AsyncIterator[Callable[..., Any]]:
    """`await plug(process)` opens a charger's socket there, booted and heard."""
    sockets: list[ClientConnection] = []

    async def one(process: Process, identity: str = "BLR-017") -> Socket:
        await process.up()
        client = await websockets.connect(
            f"ws://127.0.0.1:{process.port}/ocpp/{identity}",
            subprotocols=[websockets.Subprotocol("ocpp1.6")],
            open_timeout=60,
        )
        sockets.append(client)
        socket = Socket(client)
        await socket.call("Heartbeat", {})
        return socket

    yield one
    for client in sockets:
        await client.close()


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "BLR-017", key="")


def ask(station: Charger, action: str, parameters: dict[str, Any], key: str = "k1", seconds: int = 120) -> Command:
    return commands.enqueue(
        charger_id=station.pk, action=action, parameters=parameters, idempotency_key=key, actor="test",
        deadline_at=timezone.now() + timedelta(seconds=seconds),
    )  # fmt: skip


def state_of(command: Command) -> str:
    return Command.objects.values_list("state", flat=True).get(pk=command.pk)


async def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for a condition; its true value. Processes take their time to start on a busy machine."""
    async with asyncio.timeout(seconds):
        while not (value := condition()):
            await asyncio.sleep(0.02)
    return value


async def test_a_command_given_to_one_node_goes_out_through_the_other(
    start: Callable[..., Process], plug: Callable[..., Any], station: Charger, organisation: Organisation
) -> None:
    owner, other = start(), start()
    socket = await plug(owner)
    await other.up()
    _, secret = create_api_key(organisation=organisation, name="ops", scopes=[Scope.DISPATCH_WRITE], created_by=None)
    body = {"charger": "BLR-017", "action": "TriggerMessage", "parameters": HEARTBEAT}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{other.port}") as client:
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "k1"}
        answer = await client.post("/api/v1/commands/", json=body, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text
    await socket.receive()
    assert socket.asked == [("TriggerMessage", {"requestedMessage": "Heartbeat"})]
    command = Command.objects.get()
    await until(lambda: state_of(command) == S.ACCEPTED)
    assert Command.objects.get().node == await until(lambda: owner.node)


async def test_the_wake_up_reaches_the_owner_alone_and_everybody_when_nobody_has_that_name(
    start: Callable[..., Process], plug: Callable[..., Any], station: Charger
) -> None:
    owner = start()
    await plug(owner)
    name = await until(lambda: owner.node)
    client = hints._client()
    await until(lambda: dict(client.pubsub_numsub(bell.channel_of(name)))[bell.channel_of(name).encode()] == 1)
    with client.pubsub() as everybody:
        everybody.subscribe(bell.EVERYBODY)
        assert (everybody.get_message(timeout=60) or {})["type"] == "subscribe"
        bell.ring(station.pk, name)
        bell.ring(station.pk + 1, "a-node-that-died")
        heard = b""
        while not heard.startswith(b"wake"):  # the owner's word of its new socket may still come
            heard = (everybody.get_message(timeout=60) or {})["data"]
    assert heard == f"wake {station.pk + 1}".encode()


async def test_a_charger_that_moves_is_closed_at_its_old_node_and_commanded_at_the_new(
    start: Callable[..., Process], plug: Callable[..., Any], station: Charger
) -> None:
    first, second = start(), start()
    old = await plug(first)
    new = await plug(second)
    assert await old.closed() == 4000
    command = ask(station, A.TRIGGER_MESSAGE, HEARTBEAT)
    await new.receive()
    await until(lambda: state_of(command) == S.ACCEPTED)
    assert old.asked == []


async def test_a_dead_node_gives_back_what_may_be_said_twice_and_only_that(
    start: Callable[..., Process], plug: Callable[..., Any], station: Charger, organisation: Organisation
) -> None:
    factories.charger(organisation, "BLR-018", key="")
    doomed, heir = start(), start()
    await plug(doomed)
    await plug(doomed, "BLR-018")
    await plug(heir, factories.charger(organisation, "BLR-019", key="").ocpp_identity)
    listing = ask(station, A.GET_LOCAL_LIST_VERSION, {}, "list")
    starting = ask(Charger.objects.get(ocpp_identity="BLR-018"), A.REMOTE_START, {"id_token": "TAG1"}, "start")
    await until(lambda: state_of(listing) == state_of(starting) == S.SENT)
    doomed.process.kill()
    Node.objects.filter(name=doomed.node).update(seen_at=timezone.now() - timedelta(minutes=1))
    await until(lambda: state_of(starting) == S.TIMED_OUT)
    assert Command.objects.get(pk=starting.pk).reason == commands.MAY_HAVE_BEEN_DONE
    assert not Charger.objects.filter(ocpp_identity__in=["BLR-017", "BLR-018"], is_online=True).exists()
    socket = await plug(heir)
    socket.replies["GetLocalListVersion"] = {"listVersion": 3}
    if not socket.asked:
        await socket.receive()
    await until(lambda: state_of(listing) == S.ACCEPTED)
    again = Command.objects.get(pk=listing.pk)
    assert (again.attempts, again.response) == (2, {"listVersion": 3})


async def test_a_node_given_up_too_early_takes_its_chargers_back(
    start: Callable[..., Process], plug: Callable[..., Any], station: Charger
) -> None:
    node = start()
    socket = await plug(node)
    name = await until(lambda: node.node)
    Node.objects.filter(name=name).delete()
    Charger.objects.filter(pk=station.pk).update(is_online=False, node="", disconnected_at=timezone.now())
    await until(lambda: Charger.objects.filter(pk=station.pk, is_online=True, node=name).exists())
    command = ask(station, A.TRIGGER_MESSAGE, HEARTBEAT)
    await socket.receive()
    await until(lambda: state_of(command) == S.ACCEPTED)


async def test_a_node_that_is_told_to_stop_lets_every_charger_go_and_refuses_new_ones(
    start: Callable[..., Process], plug: Callable[..., Any], station: Charger, organisation: Organisation
) -> None:
    names = [factories.charger(organisation, f"DRAIN-{number}", key="").ocpp_identity for number in range(4)]
    leaving, staying = start(FLEETCHARGE_OCPP_DRAIN_SECONDS="3"), start()
    sockets = [await plug(leaving, name) for name in names]
    await plug(staying)
    await until(lambda: staying.node and leaving.node)
    leaving.process.send_signal(signal.SIGTERM)
    await until(lambda: Node.objects.filter(name=leaving.node, is_draining=True).exists())
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(
            f"ws://127.0.0.1:{leaving.port}/ocpp/BLR-017", subprotocols=[websockets.Subprotocol("ocpp1.6")]
        )
    assert refused.value.response.status_code == 503
    assert await leaving.health() == 503
    started = await asyncio.gather(*(begin_a_session(socket) for socket in sockets))
    assert [await socket.closed() for socket in sockets] == [1012] * 4
    assert ChargingSession.objects.count() == sum(started)
    await until(lambda: leaving.has_ended)
    assert leaving.node == ""
    assert not Charger.objects.filter(ocpp_identity__in=names, is_online=True).exists()
    assert Charger.objects.get(pk=station.pk).is_online


async def begin_a_session(socket: Socket) -> bool:
    """True when the charger was told that its session is stored; until its turn comes every charger is served."""
    body = {"connectorId": 1, "idTag": "TAG1", "meterStart": 0, "timestamp": "2026-11-21T10:00:00Z"}
    try:
        return "transactionId" in await socket.call("StartTransaction", body)
    except websockets.ConnectionClosed:
        return False


async def test_a_node_that_is_alone_does_not_make_its_chargers_wait(
    start: Callable[..., Process], plug: Callable[..., Any], station: Charger
) -> None:
    node = start(FLEETCHARGE_OCPP_DRAIN_SECONDS="3600")
    socket = await plug(node)
    node.process.send_signal(signal.SIGTERM)
    assert await socket.closed() == 1012
    await until(lambda: node.has_ended)


class Line:
    """A TCP line to an engine that can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port, self.port, self.is_cut = host, port, port_of_our_own(), False
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.close()
            return
        if self._host.startswith("/"):
            there, back = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            there, back = await asyncio.open_connection(self._host, self._port)
        self._writers += [writer, back]
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    def cut(self) -> None:
        self.is_cut = True
        for writer in self._writers:
            writer.close()

    async def close(self) -> None:
        self.cut()
        self._server.close()


async def test_a_node_cut_off_from_the_database_lets_its_chargers_move_over(
    start: Callable[..., Process], plug: Callable[..., Any], station: Charger
) -> None:
    parts = connection.get_connection_params()
    line = Line(parts["host"] or "127.0.0.1", int(parts["port"]))
    await line.open()
    elsewhere = make_conninfo(conninfo(), host="127.0.0.1", port=line.port)
    cut_off, healthy = start(DATABASE_URL=elsewhere, FLEETCHARGE_OCPP_CUT_OFF_SECONDS="2"), start()
    old = await plug(cut_off)
    assert await begin_a_session(old)
    name = await until(lambda: cut_off.node)
    line.cut()
    assert (await old.call("Heartbeat", {}))["currentTime"]
    assert (await old.call("Authorize", {"idTag": "TAG1"}))[2] == "InternalError"
    assert await old.closed() == 1012
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(
            f"ws://127.0.0.1:{cut_off.port}/ocpp/BLR-017", subprotocols=[websockets.Subprotocol("ocpp1.6")]
        )
    assert refused.value.response.status_code == 503
    new = await plug(healthy)
    assert await begin_a_session(new)
    assert ChargingSession.objects.count() == 1
    command = ask(station, A.TRIGGER_MESSAGE, HEARTBEAT)
    await new.receive()
    await until(lambda: state_of(command) == S.ACCEPTED)
    Node.objects.filter(name=name).update(seen_at=timezone.now() - timedelta(minutes=1))
    await until(lambda: not Node.objects.filter(name=name).exists())
    assert Charger.objects.get(pk=station.pk).is_online
    await line.close()


async def test_without_valkey_messages_are_answered_and_commands_go_out(
    start: Callable[..., Process], plug: Callable[..., Any], station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"redis://127.0.0.1:{port_of_our_own()}/0"
    monkeypatch.setattr(settings, "REDIS_URL", nowhere)
    hints._client.cache_clear()
    try:
        first, second = start(), start()
        old = await plug(first)
        command = ask(station, A.TRIGGER_MESSAGE, HEARTBEAT)
        await old.receive()
        await until(lambda: state_of(command) == S.ACCEPTED)
        assert await begin_a_session(old)
        new = await plug(second)
        assert await old.closed() == 4000
        later = ask(station, A.TRIGGER_MESSAGE, HEARTBEAT, "k2")
        await new.receive()
        await until(lambda: state_of(later) == S.ACCEPTED)
    finally:
        hints._client.cache_clear()
        monkeypatch.setattr(hints, "valkey", hints.Breaker())
