"""Keeps one simulated charger on its WebSocket: connects with back-off, sends one call at a time, answers commands."""

import asyncio
import base64
import contextlib
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from fleetcharge.demo.charger import SimCharger

CALL, RESULT, ERROR = 2, 3, 4
ANSWER_WITHIN_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 20.0

logger = logging.getLogger("fleetcharge.demo")


def utc_now() -> datetime:
    return datetime.now(UTC)


class ChargerConnection:
    """Runs until cancelled; `wake` after anything was put into the outbox."""

    def __init__(self, charger: SimCharger, realtime_url: str, on_change: Callable[[], None] = lambda: None) -> None:
        self.charger = charger
        self._url = f"{realtime_url.replace('http', 'ws', 1).rstrip('/')}/ocpp/{charger.identity}"
        secret = base64.b64encode(f"{charger.identity}:{charger.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}"}
        self._outbox_changed = asyncio.Event()
        self._on_change = on_change
        self._sent_at = 0.0
        self._socket: ClientConnection | None = None

    def wake(self) -> None:
        self._outbox_changed.set()

    async def drop(self) -> None:
        """Lose the connection, as a bad SIM card would."""
        if self._socket:
            await self._socket.close(1001)

    async def run(self, first_pause_seconds: float = 0.0) -> None:
        pause = first_pause_seconds
        failures = 0
        while True:
            await asyncio.sleep(pause)
            try:
                async with connect(
                    self._url,
                    subprotocols=[Subprotocol(self.charger.dialect.subprotocol)],
                    additional_headers=self._headers,
                    compression=None,
                    ping_interval=60,
                    open_timeout=15,
                    max_queue=64,
                ) as socket:
                    failures = 0
                    await self._talk(socket)
            except (OSError, WebSocketException, TimeoutError, EOFError) as error:
                logger.debug("%s is offline: %s", self.charger.identity, type(error).__name__)
            self.charger.disconnected()
            failures += 1
            pause = random.uniform(0.5, 1.0) * min(LONGEST_PAUSE_SECONDS, 1.5**failures)

    async def _talk(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.charger.connected(utc_now())
        self.wake()
        sender = asyncio.create_task(self._send_calls(socket))
        try:
            async for frame in socket:
                await self._receive(socket, frame)
        finally:
            self._socket = None
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketException):
                await sender

    async def _send_calls(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if call := self.charger.next_call():
                self._sent_at = loop.time()
                await socket.send(orjson.dumps([CALL, call.id, call.action, call.payload]).decode())
            self._outbox_changed.clear()
            deadline = self._sent_at + ANSWER_WITHIN_SECONDS
            wait = max(0.1, deadline - loop.time()) if self.charger.in_flight else None
            try:
                await asyncio.wait_for(self._outbox_changed.wait(), wait)
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
