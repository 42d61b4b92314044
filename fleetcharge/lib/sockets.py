"""uvicorn's WebSocket protocol with a short way for what nearly every frame is: one whole, short, masked text."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled wheel for this platform
    from websockets.utils import apply_mask

TEXT, BINARY = 0x81, 0x82  # FIN set, nothing reserved (RFC 6455 section 5.2)
PAUSE_AT = 8
LINGER_SECONDS = 5.0
PATIENCE_SECONDS = 600.0  # for a pong behind what the peer says
ABORT = "fleetcharge.abort"  # scope["extensions"][ABORT]() ends the connection now, whatever it still had to say
WRITE = "fleetcharge.write"  # ...[WRITE](text) sends it now; False: nothing happened, `send` it
WRITE_BYTES = "fleetcharge.write_bytes"  # the same for a binary frame
HEAR = "fleetcharge.hear"  # ...[HEAR](hear): texts are offered to `hear` first while none waits to be received


class LeanWebSocketProtocol(WebSocketsSansIOProtocol):  # type: ignore[misc]  # uvicorn is not followed by mypy
    """A third less CPU per message. Start uvicorn with `--ws fleetcharge.lib.sockets:LeanWebSocketProtocol`.

    The library sees whole frames only, so it is always between two of them when a text takes the short way past it.
    Whatever is not plain goes through it as ever: fragments, control frames, errors, the closing handshake. A socket
    that compresses, or once sends a frame of 64 KiB, stays on the long way.

    An application may go further and take texts where they arrive, without a queue and a turn of its task: it gives
    HEAR a function that returns True for what it has dealt with, and False for what it wants to receive as ever.

    A peer that does not read cannot hold its connection: closing a transport waits until all is sent, for ever if need
    be, so whatever ends here is cut off after `linger_seconds`.

    A peer that talks is no dead one, though its pong comes late: it stands behind all that we have not read yet, and
    how fast we read is up to us. But who never answers a ping is let go after `patience_seconds`, whatever it says.
    """

    read_paused: bool
    ping_timeout: float
    ping_sent_at: float
    handshake_complete: bool
    linger_seconds = LINGER_SECONDS
    patience_seconds = PATIENCE_SECONDS
    _cut: asyncio.TimerHandle | None = None
    _talks = False  # something came since the last ping, or since its pong was missed
    _hear: Callable[[str], bool] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_short = False
        self._is_early = False
        self._rest = b""
        self._limit_bytes = self.config.ws_max_size

    def data_received(self, data: bytes) -> None:
        self._talks = True
        if not self._is_short:
            self._is_early = self._is_early or self.handshake_initiated  # frames before our 101: the library has them
            super().data_received(data)
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        position = 0
        while (end := self._end_of_frame(data, position)) > position:
            self._take(data, position, end)
            position = end
        if end < 0:
            self._is_short = False
            super().data_received(data[position:])
        else:
            self._rest = data[position:]

    @staticmethod
    def _end_of_frame(data: bytes, position: int) -> int:
        """Where the frame that begins at `position` ends; `position` itself when it is not whole, -1 when it is odd."""
        size = len(data) - position
        if size < 2:
            return position
        length = data[position + 1] - 128  # the mask bit is set in all that a client may send
        if length < 126:
            needed = length + 6
        elif length == 126 and size >= 4:
            needed = int.from_bytes(data[position + 2 : position + 4], "big") + 8
        else:
            return -1 if length == 127 else position
        if length < 0:
            return -1
        return position + needed if needed <= size else position

    def _take(self, data: bytes, position: int, end: int) -> None:
        start = position + (8 if data[position + 1] == 254 else 6)
        is_plain = data[position] == TEXT and not self.frames and self.conn.state is OPEN
        if is_plain and end - start <= self._limit_bytes:
            try:
                text = apply_mask(data[start:end], data[start - 4 : start]).decode()
            except UnicodeDecodeError:
                pass  # the library knows how to complain
            else:
                self._queue_text(text)
                return
        super().data_received(data[position:end])

    def _queue_text(self, text: str) -> None:
        if self.close_sent:
            return
        if self._hear is not None and self.queue.empty() and self._hear(text):
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused and self.queue.qsize() >= PAUSE_AT:
            self.read_paused = True
            self.transport.pause_reading()

    # --- the end --------------------------------------------------------------------------------------------------

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            short_ways = {WRITE: self.write_text, WRITE_BYTES: self.write_bytes, HEAR: self.hear_with}
            self.scope["extensions"].update({ABORT: self.transport.abort, **short_ways})

    def send_keepalive_ping(self) -> None:
        self._talks = False
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        if self._may_answer_later():
            self._talks = False
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self.transport.abort() if self.transport.get_write_buffer_size() else self._cut_soon()

    def _may_answer_later(self) -> bool:
        is_alive = self.read_paused or (self._talks and self.loop.time() - self.ping_sent_at < self.patience_seconds)
        return is_alive and not self.transport.get_write_buffer_size()

    def handle_close(self, event: Any) -> None:
        super().handle_close(event)
        self._cut_soon()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._cut_soon()

    def on_task_complete(self, task: Any) -> None:
        super().on_task_complete(task)
        self._cut_soon()

    def shutdown(self) -> None:
        super().shutdown()
        self._cut_soon()

    def _cut_soon(self) -> None:
        """Later than the closing handshake that may be under way."""
        if self._cut is None and not self.disconnected:
            pause = self.linger_seconds + (self.close_timeout if self.close_timer else 0.0)
            self._cut = self.loop.call_later(pause, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._hear = None  # it holds the application, which holds us
        if self._cut is not None:
            self._cut.cancel()

    def hear_with(self, hear: Callable[[str], bool] | None) -> None:
        """Offer every whole text to `hear` as it arrives; it never raises and never waits. None: no more."""
        self._hear = hear

    # --- our own words --------------------------------------------------------------------------------------------

    @property
    def _may_write(self) -> bool:
        is_open = self._is_short and not self.close_sent and self.writable.is_set() and self.conn.state is OPEN
        return is_open and not self.disconnected

    def write_text(self, text: str) -> bool:
        """Send a text now, unless that has to wait or is none of our business; False then."""
        if not self._may_write:
            return False
        self._write_frame(TEXT, text.encode())
        return True

    def write_bytes(self, data: bytes) -> bool:
        """As `write_text`, a binary frame."""
        if not self._may_write:
            return False
        self._write_frame(BINARY, data)
        return True

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send" and self._may_write:
            if (text := message.get("text")) is not None:
                return self._write_frame(TEXT, text.encode())
            return self._write_frame(BINARY, message["bytes"])
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._is_short = self.handshake_complete and not self._is_early and not self.conn.extensions
        elif message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True  # refused is answered; uvicorn would complain, and answer 500 after it
        return None

    def _write_frame(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((kind, size))
        elif size < 65_536:
            head = bytes((kind, 126, size >> 8, size & 255))
        else:
            head = bytes((kind, 127)) + size.to_bytes(8, "big")
        self.transport.write(head + payload)
