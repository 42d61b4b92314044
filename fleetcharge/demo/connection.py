"""Keeps one simulated charger on its WebSocket: connects with back-off, sends one call at a time, answers commands."""

import asyncio
import base64
import itertools
import logging
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from fleetcharge.demo.charger import SimCharger
from fleetcharge.demo.quirks import Quirk

CALL, RESULT, ERROR = 2, 3, 4
ANSWER_WITHIN_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 20.0
HALF_OPEN_AFTER_SECONDS = 30.0
DEAF_SECONDS, AWAKE_SECONDS = 3.0, 0.2

_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")

logger = logging.getLogger("fleetcharge.demo")


def utc_now() -> datetime:
    return datetime.now(UTC)


def credentials(charger: SimCharger) -> bytes:
    """What stands behind `Basic`, decoded: user, colon, key."""
    user = b"admin" if Quirk.WRONG_USER in charger.quirks else charger.identity.encode()
    key = charger.password.encode()
    if Quirk.RAW_BYTE_PASSWORD in charger.quirks and _HEXADECIMAL.fullmatch(charger.password):
        key = bytes.fromhex(charger.password)
    elif Quirk.HEX_PASSWORD in charger.quirks:
        key = key.upper()
    return user + b":" + key


class ChargerConnection:
    """Runs until cancelled; `wake` after anything was put into the outbox.

    `realtime_urls` are the nodes of one system: after each loss of the line the next one is tried.
    """

    def __init__(
        self, charger: SimCharger, *realtime_urls: str, on_change: Callable[[], None] = lambda: None,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:  # fmt: skip
        self.charger = charger
        self._urls = itertools.cycle(
            f"{url.replace('http', 'ws', 1).rstrip('/')}/ocpp/{charger.identity}" for url in realtime_urls
        )
        self._longest_pause_seconds = longest_pause_seconds
        self._outbox_changed = asyncio.Event()
        self._on_change = on_change
        self._sent_at = 0.0
        self._socket: ClientConnection | None = None
        self._uploads: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        self._outbox_changed.set()

    async def drop(self) -> None:
        """Lose the connection, as a bad SIM card would."""
        if self._socket:
            self._socket.transport.abort()

    async def run(self, first_pause_seconds: float = 0.0) -> None:
        pause = first_pause_seconds
        failures = 0
        while True:
            await asyncio.sleep(pause)
            try:
                async with self._connect() as socket:
                    failures = 0
                    await self._talk(socket)
            except (OSError, WebSocketException, TimeoutError, EOFError) as error:
                logger.debug("%s is offline: %s", self.charger.identity, type(error).__name__)
            self.charger.disconnected()
            failures += 1
            pause = random.uniform(0.5, 1.0) * min(self._longest_pause_seconds, 1.5**failures)
            if self.charger.restart_at:
                pause = max(0.0, (self.charger.restart_at - utc_now()).total_seconds())

    def _connect(self) -> connect:
        versions = [Subprotocol(self.charger.dialect.subprotocol)]
        return connect(
            next(self._urls),
            subprotocols=None if Quirk.NO_SUBPROTOCOL in self.charger.quirks else versions,
            additional_headers={"Authorization": f"Basic {base64.b64encode(credentials(self.charger)).decode()}"},
            compression=None,
            ping_interval=60,
            open_timeout=15,
            max_queue=64,
        )

    async def _talk(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.charger.connected(utc_now())
        self.wake()
        jobs = [asyncio.create_task(self._send_calls(socket))]
        if habit := self._bad_habit():
            jobs.append(asyncio.create_task(habit(socket, jobs[0])))
        try:
            async for frame in socket:
                await self._receive(socket, frame)
                if self.charger.restart_at:
                    return
        finally:
            self._socket = None
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)  # our own end, if it comes now, is not swallowed

    def _bad_habit(self) -> Any:
        if Quirk.HALF_OPEN in self.charger.quirks:
            return self._fall_silent
        return self._read_slowly if Quirk.SLOW_READER in self.charger.quirks else None

    async def _fall_silent(self, socket: ClientConnection, sender: "asyncio.Task[None]") -> None:
        """The line stays open and nobody is behind it."""
        await asyncio.sleep(HALF_OPEN_AFTER_SECONDS)
        sender.cancel()
        socket.transport.pause_reading()

    async def _read_slowly(self, socket: ClientConnection, sender: "asyncio.Task[None]") -> None:
        while True:
            socket.transport.pause_reading()
            await asyncio.sleep(DEAF_SECONDS)
            socket.transport.resume_reading()
            await asyncio.sleep(AWAKE_SECONDS)

    async def _send_calls(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self.charger.restart_at:
                return await socket.close(1001)
            for text in self.charger.noise(utc_now()):
                await socket.send(text)
            if call := self.charger.next_call():
                self._sent_at = loop.time()
                text = orjson.dumps([CALL, call.id, call.action, call.payload]).decode()
                for _ in range(2 if Quirk.DUPLICATE_FRAMES in self.charger.quirks else 1):
                    await socket.send(text)
            self._start_uploads()
            self._outbox_changed.clear()
            deadline = self._sent_at + ANSWER_WITHIN_SECONDS
            wait = max(0.1, deadline - loop.time()) if self.charger.in_flight else None
            try:
                async with asyncio.timeout(wait):  # Python 3.11's wait_for may swallow being cancelled
                    await self._outbox_changed.wait()
            except TimeoutError:
                if loop.time() - self._sent_at >= ANSWER_WITHIN_SECONDS:
                    self.charger.on_timeout(utc_now())

    async def _receive(self, socket: ClientConnection, frame: str | bytes) -> None:
        message = orjson.loads(frame)
        kind, call_id, *rest = message
        if kind == RESULT:
            self.charger.on_result(call_id, rest[0], utc_now())
        elif kind == ERROR:
            self.charger.on_error(call_id, *map(str, [*rest, "", ""][:2]))
            await asyncio.sleep(1)
        elif kind == CALL:
            await socket.send(orjson.dumps(self._answer(call_id, *rest)).decode())
            self._on_change()
        self.wake()

    def _answer(self, call_id: str, action: str, payload: dict[str, Any]) -> list[Any]:
        try:
            answer = self.charger.on_call(action, payload, utc_now())
        except (KeyError, ValueError, TypeError) as error:
            return [ERROR, call_id, "InternalError", repr(error)[:200], {}]
        return [ERROR, call_id, "NotImplemented", action, {}] if answer is None else [RESULT, call_id, answer]

    def _start_uploads(self) -> None:
        while self.charger.uploads:
            task = asyncio.create_task(self._upload(*self.charger.uploads.popleft()))
            self._uploads.add(task)
            task.add_done_callback(self._uploads.discard)

    async def _upload(self, url: str, name: str) -> None:
        """PUT the log where the system wants it."""
        lines = f"{name}\n{len(self.charger.finished)} sessions, {self.charger.answered} calls answered\n"
        try:
            async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
                answer = await client.put(url, content=lines.encode(), headers={"Content-Type": "text/plain"})
            logger.debug("%s uploads %s: %s", self.charger.identity, name, answer.status_code)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.info("%s cannot upload %s: %s", self.charger.identity, name, type(error).__name__)
