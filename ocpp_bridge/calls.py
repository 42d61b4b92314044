"""The CALLs of one charger: answered in the order they came, nearly all of them without a task of their own."""

import asyncio
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import django.db
import psycopg

from fleetcharge.lib.batching import Receipt
from fleetcharge.lib.eager import run_until_it_waits
from ocpp_bridge import answers, finishing, frames, oddities
from ocpp_bridge.meaning import Meaning
from ocpp_bridge.station import Promise, Station, Unusable
from ocpp_bridge.threads import in_database
from stations import services as stations
from stations.models import Charger

QUEUE_LIMIT = 64
QUEUE_CHARACTERS = 256 * 1024  # parsed, a frame takes up to twenty times its length

logger = logging.getLogger(__name__)
Waiting = tuple[frames.Call, datetime, int]  # with the length of its frame
Asked = tuple[frames.MessageId, str, datetime]  # what an answer must know of its CALL: id, action, when it came
Send = Callable[[str, frames.Head], Coroutine[Any, Any, None]]
SendNow = Callable[[str, frames.Head], bool]  # False: this has to wait, `Send` it


class Calls:
    """One ordered lane per socket.

    The hot messages only need one write: they are offered to the batch writer at once and answered from its callback.
    Everything else, and everything behind a message that is being written, goes through a worker that lives only while
    there is work: ten thousand idle sockets have no worker at all.
    """

    def __init__(self, station: Station, meaning: Meaning, send: Send, send_now: SendNow) -> None:
        self._station, self._meaning, self._dialect = station, meaning, meaning.dialect
        self._send, self._send_now = send, send_now
        self._waiting: deque[Waiting] = deque()
        self._waiting_characters = 0
        self._room = asyncio.Event()
        self._written: Receipt[Any] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._is_stopped = False

    async def put(self, call: frames.Call, length: int) -> None:
        """Take one CALL. Back-pressure: with a full queue this waits, nothing more is read, TCP slows the charger.

        `length`: of its frame in characters; the queue is full with 64 of any, or with a few long ones.
        """
        if self.put_now(call):
            return
        received_at = datetime.now(UTC)
        while self.is_full and not self._is_stopped:
            self._room.clear()
            await self._room.wait()
        if self._is_stopped:
            return
        self._waiting.append((call, received_at, length))
        self._waiting_characters += length
        self._work_on()

    def put_now(self, call: frames.Call | frames.TypedCall) -> bool:
        """Take one CALL that needs no more than a write, when nothing is before it. False: nothing happened."""
        return self._written is None and self._worker is None and self._answer_at_once(call, datetime.now(UTC))

    @property
    def is_full(self) -> bool:
        """No more is taken until something has been answered."""
        return len(self._waiting) >= QUEUE_LIMIT or self._waiting_characters >= QUEUE_CHARACTERS

    @property
    def is_idle(self) -> bool:
        """Everything that came has been answered."""
        return not self._waiting and self._written is None and self._worker is None

    def stop(self) -> None:
        """The socket is gone: what was not written yet is withdrawn, the charger will say it again."""
        self._is_stopped = True
        self._waiting.clear()
        self._waiting_characters = 0
        self._room.set()
        if self._written is not None:
            self._written.cancel()
        if self._worker is not None and self._worker is not asyncio.current_task():
            self._worker.cancel()

    # --- at once --------------------------------------------------------------------------------------------------

    def _answer_at_once(self, call: frames.Call | frames.TypedCall, received_at: datetime) -> bool:
        """False: it needs the worker (another action, an odd payload, a full writer); nothing has happened yet."""
        if self._station.registration != _ACCEPTED or not self._station.has_booted:
            return False
        try:
            promise = self._promise(call, received_at)
        except Unusable:
            return False
        if promise is None:
            return False
        answer, written = promise
        asked = (call.message_id, call.action, received_at)  # not its payload: hundreds wait for one commit
        if written is None:
            self._reply(asked, frames.encode_result(call.message_id, answer))
        else:
            self._written = written
            written.tell = functools.partial(self._on_written, asked, answer)
        return True

    def _promise(self, call: frames.Call | frames.TypedCall, received_at: datetime) -> Promise:
        if type(call) is frames.TypedCall:
            return self._meaning.typed[call.action](self._station, call.payload, received_at)
        handler = self._meaning.at_once.get(call.action)
        if handler is None or type(call) is not frames.Call:  # a SEND has no answer
            return None
        if self._dialect.request_error(call.action, call.payload):
            return None
        return handler(self._station, call.payload, received_at)

    def _on_written(self, asked: Asked, answer: dict[str, Any], _: Any, error: Exception | None) -> None:
        self._written = None
        if self._is_stopped:
            return
        if error is None:
            self._reply(asked, frames.encode_result(asked[0], answer))
        else:
            self._reply(asked, *self._failure(asked[0], asked[1], error))
        if self._waiting:
            self._work_on()

    def _reply(self, asked: Asked, text: str, error_code: str = "") -> None:
        """Hardly ever waits; when the charger does not read, the rest of the lane waits behind it."""
        head = _head_of_answer(asked, error_code)
        if not self._send_now(text, head):
            self._keep(run_until_it_waits(self._send(text, head)))

    # --- in turn --------------------------------------------------------------------------------------------------

    def _work_on(self) -> None:
        if self._written is None and self._worker is None and not self._is_stopped:
            self._keep(asyncio.get_running_loop().create_task(self._work()))

    def _keep(self, task: "asyncio.Task[None] | None") -> None:
        if task is not None:
            self._worker = task
            task.add_done_callback(self._on_idle)

    def _on_idle(self, task: "asyncio.Task[None]") -> None:
        self._worker = None
        if not task.cancelled() and (error := task.exception()):
            logger.error("lane of %s failed", self._station.identity, exc_info=error)
        if self._waiting:
            self._work_on()

    async def _work(self) -> None:
        while self._waiting and not self._is_stopped:
            call, received_at, length = self._waiting.popleft()
            self._waiting_characters -= length
            self._room.set()
            answer, error_code = await self.answer(call, received_at)
            if type(call) is frames.Call:  # a SEND has none
                await self._send(answer, _head_of_answer((call.message_id, call.action, received_at), error_code))

    async def answer(self, call: frames.Call, received_at: datetime) -> tuple[str, str]:
        """The frame that answers a CALL, whatever happens, and its error code."""
        try:
            answer = await self._meaning_of(call, received_at)
        except Refusal as refusal:
            return frames.encode_error(call.message_id, refusal.code, refusal.description), refusal.code
        except Exception as error:
            return self._failure(call.message_id, call.action, error)
        if flaw := self._dialect.response_error(call.action, answer):
            logger.error("our answer to %s does not fit its schema: %s", call.action, flaw)
            return frames.encode_error(call.message_id, "InternalError"), "InternalError"
        return frames.encode_result(call.message_id, answer), ""

    def _failure(self, message_id: frames.MessageId, action: str, error: BaseException) -> tuple[str, str]:
        level = logging.WARNING if isinstance(error, _PASSING) else logging.ERROR
        logger.log(level, "%s of charger %s failed", action, self._station.identity, exc_info=error)
        text = frames.encode_error(message_id, "InternalError", "Not stored; please send it again.")
        return text, "InternalError"

    async def _meaning_of(self, call: frames.Call, received_at: datetime) -> dict[str, Any]:
        station, handler = self._station, self._meaning.handlers.get(call.action)
        if handler is None:
            known = call.action in self._dialect.actions
            raise Refusal("NotSupported" if known else "NotImplemented", call.action[:80])
        if not station.is_accepted and not (self._may_say(call.action) or await self._finishes(call)):
            raise Refusal("SecurityError", "This charger is not accepted yet.")
        flaw = self._dialect.request_error(call.action, call.payload)
        if flaw and call.action not in self._meaning.lenient:
            raise Refusal(*flaw)
        try:
            answer: dict[str, Any]
            if not self._meaning.is_remembered(call.action, call.payload):
                answer = await handler(station, call.payload, received_at)
            else:
                answer = await answers.once(
                    station.charger_id, call, received_at, lambda: handler(station, call.payload, received_at)
                )
        except (Unusable, stations.TooManyPlugs) as unusable:
            flaw = flaw or ("PropertyConstraintViolation", str(unusable))
            await self._keep_raw(call, flaw, received_at, is_taken=False)
            raise Refusal(*flaw) from None
        if flaw:
            await self._keep_raw(call, flaw, received_at, is_taken=True)
        return answer

    async def _keep_raw(
        self, call: frames.Call, flaw: tuple[str, str], received_at: datetime, *, is_taken: bool
    ) -> None:
        """What decides about a session is never lost, however odd it is; the rest is only refused."""
        if call.action not in self._meaning.lenient:
            return
        logger.info("%s of %s is odd: %s", call.action, self._station.identity, flaw)
        await oddities.keep(
            charger_id=self._station.charger_id,
            protocol=self._dialect.subprotocol,
            call=call,
            flaw=flaw,
            is_taken=is_taken,
            received_at=received_at,
        )

    def _may_say(self, action: str) -> bool:
        """Before acceptance: in 2.x the boot and what we may ask for, in 1.6 everything unless we rejected it."""
        if action == "BootNotification":
            return True
        allowed, registration = self._meaning.before_acceptance, self._station.registration
        if registration == Charger.Registration.REJECTED:
            return False
        return allowed is None or (registration == Charger.Registration.PENDING and action in allowed)

    async def _finishes(self, call: frames.Call) -> bool:
        """What was begun while it was accepted comes to its end, whatever we think of the charger now."""
        return call.action in finishing.ACTIONS and await in_database(
            finishing.is_known, charger_id=self._station.charger_id, action=call.action, payload=call.payload
        )


class Refusal(Exception):
    """A CALLERROR by its code."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code, self.description = code, description


def _head_of_answer(asked: Asked, error_code: str) -> frames.Head:
    message_id, action, received_at = asked
    seconds = max(0.0, time.time() - received_at.timestamp())
    return (frames.ERROR if error_code else frames.RESULT), message_id, action, error_code, seconds


_ACCEPTED = Charger.Registration.ACCEPTED.value
_PASSING = (django.db.Error, psycopg.Error, ConnectionError, TimeoutError)
