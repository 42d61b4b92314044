"""Our own CALLs to one charger: one at a time, each with a deadline, answered outside the ordered worker."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from ocpp_bridge import frames
from ocpp_bridge.dialects import Dialect

logger = logging.getLogger(__name__)


class CallFailed(Exception):
    """The charger answered with a CALLERROR, went away, or the payload of ours was wrong."""

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(f"{code}: {description}" if description else code)
        self.code, self.description = code, description


Send = Callable[[str, frames.Head], Awaitable[None]]


class Lane:
    """OCPP allows one unanswered CALL per side (OCPP-J 1.6, 4.1.1); the other direction is never held up by it."""

    def __init__(self, dialect: Dialect, send: Send, timeout_seconds: float) -> None:
        self._dialect, self._send, self._timeout_seconds = dialect, send, timeout_seconds
        self._turn = asyncio.Lock()
        self._waiting: tuple[str, str, float, asyncio.Future[Any]] | None = None  # id, action, asked at
        self._gone = ""

    @property
    def is_idle(self) -> bool:
        """Nothing of ours is unanswered."""
        return self._waiting is None

    def turn(self) -> asyncio.Lock:
        """To be held around `call_in_turn`: nothing of ours is on the wire, and nothing goes before what is said."""
        return self._turn

    async def call(self, action: str, payload: dict[str, Any], timeout_seconds: float | None = None) -> Any:
        """Send one CALL and return the payload of its result; TimeoutError or CallFailed otherwise."""
        async with self._turn:
            return await self.call_in_turn(action, payload, timeout_seconds)

    async def call_in_turn(self, action: str, payload: dict[str, Any], timeout_seconds: float | None = None) -> Any:
        """As `call`, at once, for whoever holds `turn`."""
        if error := self._dialect.request_error(action, payload):
            raise CallFailed(*error)
        if self._gone:
            raise CallFailed("Disconnected", self._gone)
        message_id = str(uuid.uuid4())
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting = (message_id, action, time.monotonic(), future)
        try:
            head = (frames.CALL, message_id, action, "", None)
            await self._send(frames.encode_call(message_id, action, payload), head)
            async with asyncio.timeout(timeout_seconds or self._timeout_seconds):
                result = await future
        finally:
            self._waiting = None
        if error := self._dialect.response_error(action, result):
            logger.info("answer to %s does not fit its schema: %s", action, error)
        return result

    def asked(self, message_id: frames.MessageId) -> tuple[str, float | None]:
        """The action of the CALL that has this id and waits for its answer, and for how long: ("", None) for none."""
        if self._waiting is None or self._waiting[0] != message_id:
            return "", None
        return self._waiting[1], time.monotonic() - self._waiting[2]

    def resolve(self, frame: frames.Result | frames.CallError) -> None:
        """Hand a result to whoever waits; a late or unknown one is only logged."""
        if self._waiting is None or self._waiting[0] != frame.message_id or self._waiting[-1].done():
            logger.info("result for an unknown or expired id")
            return
        if isinstance(frame, frames.Result):
            self._waiting[-1].set_result(frame.payload)
        else:
            self._waiting[-1].set_exception(CallFailed(frame.code, frame.description))

    def fail(self, reason: str) -> None:
        """The socket is gone: nobody waits for nothing."""
        self._gone = reason
        if self._waiting is not None and not self._waiting[-1].done():
            self._waiting[-1].set_exception(CallFailed("Disconnected", reason))
