"""uvicorn's HTTP protocol with an end to its patience: who does not finish a request head is disconnected."""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS, HEAD_BYTES = 10.0, 64 * 1024
MAX_WAITING = 2_000  # connections of one process without a request head

logger = logging.getLogger(__name__)


class ImpatientProtocol(HttpToolsProtocol):  # type: ignore[misc]  # uvicorn is not followed by mypy
    """Against slow loris, endless headers and half-open handshakes (uvicorn --http ...:ImpatientProtocol).

    uvicorn alone waits for ever for a connection that sends nothing, or one byte a minute. A WebSocket leaves this
    class with its head, and is watched by its pings from then on.
    """

    head_seconds = HEAD_SECONDS
    waiting = 0

    _deadline: asyncio.TimerHandle | None = None
    _is_in_head = False
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin()
        if ImpatientProtocol.waiting > MAX_WAITING:
            self._give_up("too many connections without a request")

    def data_received(self, data: bytes) -> None:
        if self._deadline is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head:  # nearly every head comes whole, and needs no timer
            self._begin()
            if self._head_bytes > HEAD_BYTES:
                self._give_up("endless request head")

    def on_message_begin(self) -> None:
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._end()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        if self._deadline is None:
            ImpatientProtocol.waiting += 1
            self._head_bytes = 0
            self._deadline = self.loop.call_later(self.head_seconds, self._give_up, "no request head in time")

    def _end(self) -> None:
        if self._deadline is not None:
            ImpatientProtocol.waiting -= 1
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self, reason: str) -> None:
        logger.warning("closed a connection of %s: %s", self.client and self.client[0], reason)
        self._end()
        self.transport.abort()
