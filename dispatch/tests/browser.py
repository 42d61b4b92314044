"""A page as the live tests need it: connects over a real server and keeps the state the frames describe."""

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import orjson
import uvicorn
import websockets
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from dispatch import wire
from dispatch.consumers import live_socket
from dispatch.hub import hub
from dispatch.live_events import live_events
from fleetcharge.accounts.models import User
from tests.prompt_server import PromptServer


def sign_in(user: User) -> str:
    """A session as the login page makes it; returns its key."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


async def live(scope: Any, receive: Any, send: Any) -> None:
    await (live_events if scope["type"] == "http" else live_socket)(scope, receive, send)


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The live socket, and its events, behind uvicorn on a free port of this machine; yields its address."""
    config = uvicorn.Config(
        live,
        host="127.0.0.1",
        port=0,
        ws="fleetcharge.lib.sockets:LeanWebSocketProtocol",
        lifespan="off",
        log_level="warning",
    )
    server = PromptServer(config)
    sock = bind()
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"ws://127.0.0.1:{sock.getsockname()[1]}/ws/live/"
    finally:
        server.leave()
        await task
        await hub().stop()


def bind() -> Any:
    """A listening port below the ephemeral range."""
    import random
    import socket

    for port in random.sample(range(20_000, 32_000), 200):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            sock.listen(128)  # or another test run may take it, too
            return sock
        sock.close()
    raise OSError("no free port")


class Held:
    """What a page knows: applies every frame exactly as docs/live.md says."""

    def __init__(self) -> None:
        self.texts: list[dict[str, Any]] = []
        self.vehicles: dict[int, tuple[int, ...]] = {}
        self.stations: dict[int, tuple[int, ...]] = {}
        self._parts: dict[int, tuple[int, ...]] = {}
        self.seqs: list[int] = []
        self.statuses: dict[int, tuple[int, ...]] = {}
        self.cells: dict[tuple[int, int], tuple[int, ...]] = {}
        self._cell_parts: dict[tuple[int, int], tuple[int, ...]] | None = None
        self.level = 0
        self.told_cells = 0
        self.kinds: list[int] = []
        self.flags: list[int] = []
        self.rev = 0

    def take(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.texts.append(orjson.loads(message))
            return
        magic, version, kind, flags, seq, self.rev, count = wire.HEADER.unpack_from(message)
        assert (magic, version) == (0xFC, 1)
        self.seqs.append(seq)
        self.kinds.append(kind)
        self.flags.append(flags)
        body = message[16:]
        if kind == wire.REMOVE:
            ids = np.frombuffer(body, "<u4")
            assert len(ids) == count
            for record_id in ids.tolist():
                (self.stations if flags & wire.STATION_IDS else self.vehicles).pop(record_id, None)
            return
        if kind == wire.STATUS:
            records = np.frombuffer(body, wire.VEHICLE_STATUS)
            assert len(records) == count
            self.statuses |= {row[0]: row[1:3] for row in records.tolist()}
            return
        if kind == wire.GRID:
            self._take_cells(np.frombuffer(body, wire.CELL).tolist(), flags, count)
            return
        records = np.frombuffer(body, wire.STATION if kind == wire.STATIONS else wire.VEHICLE)
        assert len(records) == count
        rows = {row[0]: row for row in records.tolist()}
        if kind == wire.SNAPSHOT:
            self._parts = rows if flags & wire.FIRST_PART else self._parts | rows
            if flags & wire.LAST_PART:
                self.vehicles, self._parts = self._parts, {}
        elif kind == wire.DELTA:
            self.vehicles |= rows
        else:
            self.stations = rows if flags & wire.FIRST_PART else self.stations | rows

    def _take_cells(self, records: list[tuple[int, ...]], flags: int, count: int) -> None:
        assert len(records) == count
        self.told_cells += count
        if flags & wire.FIRST_PART:
            self._cell_parts = {}
        cells = self.cells if self._cell_parts is None else self._cell_parts
        for x, y, *figures in records:
            cells[x, y] = tuple(figures)
            if not figures[0] and not figures[4]:
                del cells[x, y]
        if flags & wire.LAST_PART and self._cell_parts is not None:
            self.cells, self._cell_parts, self.level = self._cell_parts, None, flags >> wire.LEVEL_SHIFT


class Page(Held):
    """A page on a socket."""

    def __init__(self, socket: Any) -> None:
        super().__init__()
        self.socket = socket
        self.close_code: int | None = None
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def say(self, type_: str, **fields: Any) -> None:
        await self.socket.send(orjson.dumps({"type": type_, **fields}).decode())

    async def until(self, condition: Callable[[], object], seconds: float = 60.0) -> Any:
        """Wait for a condition over what arrived."""
        async with asyncio.timeout(seconds):
            while not (value := condition()):
                self._changed.clear()
                await self._changed.wait()
            return value

    def of_type(self, type_: str) -> list[dict[str, Any]]:
        return [text for text in self.texts if text["type"] == type_]

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                self.take(message)
                self._changed.set()
        except websockets.ConnectionClosed:
            pass
        self.close_code = self.socket.close_code
        self._changed.set()


@contextlib.asynccontextmanager
async def opened(address: str, session_key: str, *, origin: str | None = None) -> AsyncIterator[Page]:
    headers = {"Cookie": f"sessionid={session_key}"}
    async with websockets.connect(
        address,
        additional_headers=headers,
        origin=origin or address.replace("ws:", "http:").removesuffix("/ws/live/"),
        open_timeout=60,
    ) as socket:
        page = Page(socket)
        try:
            yield page
        finally:
            page._reader.cancel()


class Events:
    """A stream of Server-Sent Events, read as if it were a socket."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer, self.close_code = answer, None

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        is_frame = False
        async for line in self.answer.aiter_lines():
            if line.startswith("data: "):
                yield b64decode(line[6:]) if is_frame else line[6:]
            is_frame = line == "event: frame"


@contextlib.asynccontextmanager
async def told(
    address: str, session_key: str, *says: dict[str, Any], once: bool = False, **headers: str
) -> AsyncIterator[Page]:
    """What a page hears that cannot open a socket."""
    query: Any = [("say", orjson.dumps(message).decode()) for message in says] + ([("once", "1")] if once else [])
    async with (
        httpx.AsyncClient(timeout=60, trust_env=False, cookies={"sessionid": session_key}) as client,
        client.stream("GET", address.replace("ws:", "http:"), params=query, headers=headers) as answer,
    ):
        page = Page(Events(answer))
        try:
            yield page
        finally:
            page._reader.cancel()
