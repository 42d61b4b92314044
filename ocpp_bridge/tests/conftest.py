"""A real server on a real port, and chargers that speak to it over real sockets."""

import asyncio
import base64
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
import uvicorn
import websockets
from django.db import connections
from websockets.asyncio.client import ClientConnection

from billing.services import meters
from ocpp_bridge import answers, consumers, oddities, threads
from ocpp_bridge.hub import hub
from ocpp_bridge.recorder import recorder
from ocpp_bridge.tests.factories import KEY
from ocpp_bridge.throttle import Throttle
from tests.prompt_server import PromptServer
from tests.running import port_of_our_own

PATIENCE_SECONDS = 60.0  # only a red test waits this long


class Charger:
    """The charger's side of a socket: sends CALLs, answers ours, keeps what it was asked."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.replies: dict[str, dict[str, Any]] = {}
        self._ids = itertools.count(1)

    async def call(self, action: str, payload: dict[str, Any], message_id: str | None = None) -> Any:
        """The payload of the result, or [4, ...] as it came."""
        message_id = message_id or f"m{next(self._ids)}"
        await self.send([2, message_id, action, payload])
        return await self.answer_to(message_id)

    async def send(self, frame: object) -> None:
        await self.socket.send(frame if isinstance(frame, str) else orjson.dumps(frame).decode())

    async def answer_to(self, message_id: str) -> Any:
        while True:
            frame = await self.receive()
            if frame[0] in (3, 4) and frame[1] == message_id:
                return frame[2] if frame[0] == 3 else frame

    async def receive(self) -> Any:
        """The next frame; a CALL of the server's is answered on the way."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            frame = orjson.loads(await self.socket.recv())
        if frame[0] == 2:
            self.asked.append((frame[2], frame[3]))
            await self.send([3, frame[1], self.replies.get(frame[2], {"status": "Accepted"})])
        return frame

    async def closed(self) -> int | None:
        """The close code, once the server has closed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await self.socket.recv()
        return self.socket.close_code


Connect = Callable[..., Any]


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await consumers.ChargerConsumer.as_asgi()(scope, receive, send)


class _Server(PromptServer):
    """Leaves the signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@pytest.fixture
def ping_seconds() -> float:
    """How often the server pings."""
    return 20.0


@pytest.fixture
def pong_seconds(ping_seconds: float) -> float:
    """How long it waits for the pong."""
    return ping_seconds


@pytest.fixture
async def port(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, ping_seconds: float, pong_seconds: float
) -> AsyncIterator[int]:
    """A uvicorn in this process, with the options of production."""
    monkeypatch.setattr(consumers, "identity_throttle", Throttle(10, 60))
    monkeypatch.setattr(consumers, "address_throttle", Throttle(100, 60))
    number = port_of_our_own()
    config = uvicorn.Config(
        _app,
        port=number,
        ws="fleetcharge.lib.sockets:LeanWebSocketProtocol",
        http="fleetcharge.lib.patience:ImpatientProtocol",
        proxy_headers=False,
        lifespan="off",
        log_level="warning",
        ws_per_message_deflate=False,
        ws_ping_interval=ping_seconds,
        ws_ping_timeout=pong_seconds,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield number
    server.leave()
    await task
    await until(lambda: len(hub) == 0)
    await hub.close()
    await meters.close()
    await answers.database.close()
    await oddities.database.close()
    await recorder.close()
    threads.close_threads()
    connections.close_all()  # those of the test's own coroutines


def _named(subprotocols: list[str]) -> list[websockets.Subprotocol] | None:
    return [websockets.Subprotocol(name) for name in subprotocols] or None


@pytest.fixture
async def connect(port: int) -> AsyncIterator[Connect]:
    """`await connect("BLR-017")` opens a socket as that charger."""
    sockets: list[ClientConnection] = []

    async def open_socket(
        identity: str,
        *,
        key: str | bytes = KEY,
        subprotocols: list[str] | None = None,
        user: str | None = None,
        headers: dict[str, str] | None = None,
        sock: socket.socket | None = None,
    ) -> Charger:
        secret = key.encode() if isinstance(key, str) else key
        header = base64.b64encode((user or identity).encode() + b":" + secret).decode()
        client = await websockets.connect(
            f"ws://127.0.0.1:{port}/ocpp/{identity}",
            subprotocols=_named(["ocpp1.6"] if subprotocols is None else subprotocols),
            additional_headers={"Authorization": f"Basic {header}", **(headers or {})},
            compression=None,
            sock=sock,
            open_timeout=PATIENCE_SECONDS,
        )
        sockets.append(client)
        return Charger(client)

    yield open_socket
    for client in sockets:
        await client.close()


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for a condition; its true value."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (value := condition()):
            await asyncio.sleep(0.01)
    return value


async def reaches(look: Callable[[], Any], wanted: object) -> None:
    """Subscribers hear after the commit, in a database thread: what is stored is seen before it is told."""
    with contextlib.suppress(TimeoutError):
        await until(lambda: look() == wanted)
    assert look() == wanted
