"""The flight recorder: every frame of every socket, noted in a microsecond, written when there is time.

The hot path only counts and appends to a bounded buffer. One background task takes out tags and secrets and writes the
rest. It never uses more than a share of the loop's time; what does not fit is dropped and counted. Answers never wait
for it.

An empty answer, as every meter sample gets, is kept on the row of its CALL, as a latency, when that is not written
yet; the view that readers see (models/frames.py) shows both frames all the same.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections import deque
from datetime import UTC, datetime

import msgspec
import orjson
import psycopg
from django.conf import settings

from fleetcharge.lib import crypto
from fleetcharge.lib.db import AsyncDatabase
from ocpp_bridge import frames, metrics
from ocpp_bridge.models.frames import Frame
from ocpp_bridge.redaction import needs_reading, redact_frame, redact_text

_ANSWERS = frozenset({frames.RESULT, frames.ERROR, frames.RESULT_ERROR})
IN, OUT = Frame.Direction.IN.value, Frame.Direction.OUT.value
TAG_PURPOSE = "recorded-tag"
BUFFER_FRAMES, BUFFER_CHARACTERS = 50_000, 64 * 1024 * 1024
KEPT_CHARACTERS = 256 * 1024
BATCH, SLICE = 1_000, 50
IDLE_SECONDS = 0.5
SHARE = 5  # after each slice of work the loop belongs to others for (SHARE - 1) times as long
ALIKE_CHARACTERS = 2048
LONG_CHARACTERS = 16 * 1024  # is read in a thread
LONGEST_REMEMBERED = 300
WARN_EVERY_SECONDS = 60.0

_COPY = """
COPY ocpp_bridge_frame
(charger_id, at, direction, kind, action, message_id, error_code, size_bytes, latency_ms, is_cut, payload) FROM STDIN
"""
_ABSENT = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\x00": None})

logger = logging.getLogger(__name__)


class Noted(msgspec.Struct, gc=False):
    """A frame in the buffer; `answered_after` (seconds) is filled as long as it is there.

    Tens of thousands wait there: they hold no other objects, so that the collector need not look at them.
    """

    charger_id: int
    direction: int
    frame: str | bytes
    at: float
    kind: int
    message_id: frames.MessageId
    action: str
    error_code: str
    answered_after: float | None

    @property
    def directions(self) -> tuple[int, ...]:
        """Of the frames that its row shows."""
        is_both = self.kind == frames.CALL and self.answered_after is not None
        return (IN, OUT) if is_both else (self.direction,)


Row = tuple[Noted, bytes]  # with a line of COPY's text format


class Recorder:
    """One per process."""

    def __init__(self) -> None:
        self.database = AsyncDatabase()
        self._tuned: object = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._warned_at = 0.0
        self._is_on = True
        self._reset()

    def _reset(self) -> None:
        self._buffer: deque[Noted] = deque()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def note(self, charger_id: int, direction: int, frame: str | bytes, head: frames.Head) -> Noted | None:
        """Count one frame as it passes, and remember it; direction IN is from the charger. Costs a microsecond."""
        kind, _, action, error_code, seconds = head
        metrics.frames.add((direction, action if kind else "(malformed)"))
        if kind in _ANSWERS:
            metrics.answered(direction, error_code, seconds)
        if not self._is_on:
            return None
        self._characters = characters = self._characters + len(frame)
        if characters < BUFFER_CHARACTERS and len(self._buffer) < BUFFER_FRAMES:
            noted = Noted(charger_id, direction, frame, time.time(), *head)
            self._buffer.append(noted)
            return noted
        self._characters -= len(frame)
        metrics.frames_dropped.add((direction, "overload"))
        return None

    def note_answer(self, call: Noted | None, charger_id: int, text: str, head: frames.Head) -> None:
        """Count and remember our answer; `call` is the last CALL of the charger, perhaps the one that it answers."""
        if call is None or not call.frame or not _says_nothing(call, text, head):
            self.note(charger_id, OUT, text, head)
            return
        call.answered_after = head[4]
        metrics.frames.add((OUT, head[2]))
        metrics.answered(OUT, "", head[4])

    def start(self) -> None:
        """Make sure the writer of this loop runs; cheap enough for every handshake."""
        self._is_on = settings.OCPP_RECORD_DAYS > 0
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._reset()
            self._loop, self._task = loop, None
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run(), name="ocpp-recorder")

    async def close(self) -> None:
        """Write what is there and stop (orderly shutdown, end of a test)."""
        if self._task is not None and self._loop is asyncio.get_running_loop():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await self.flush()
        await self.database.close()

    async def flush(self) -> None:
        """Write everything noted so far."""
        while self._buffer:
            await self._write(await self._read(BATCH))

    async def _run(self) -> None:
        while True:
            if len(self._buffer) < BATCH:
                await asyncio.sleep(IDLE_SECONDS)
            try:
                if self._buffer:
                    await self._write(await self._read(BATCH))
            except Exception:
                logger.exception("the flight recorder stumbled")

    async def _read(self, limit: int) -> list[Row]:
        """Up to `limit` frames as rows of the table, in slices that leave the loop to others in between."""
        rows: list[Row] = []
        while self._buffer and len(rows) < limit:
            began = time.perf_counter()
            for _ in range(min(SLICE, len(self._buffer))):
                noted = self._buffer.popleft()
                self._characters -= len(noted.frame)
                if len(noted.frame) > LONG_CHARACTERS:
                    rows.append((noted, await _long_row_of(noted)))
                    break
                rows.append((noted, row_of(noted)))
                noted.frame = ""  # an answer gets a row of its own from now on
            await asyncio.sleep((time.perf_counter() - began) * (SHARE - 1))
        return rows

    # --- writing --------------------------------------------------------------------------------------------------

    async def _write(self, rows: list[Row]) -> None:
        """One COPY; when the database is away, these frames are lost and counted, nobody waits."""
        if not rows:
            return
        try:
            await self._copy(b"".join(data for _, data in rows))
        except psycopg.DataError as error:  # one frame must not take those of a thousand others with it
            if len(rows) > 1:
                await self._write(rows[: len(rows) // 2])
                await self._write(rows[len(rows) // 2 :])
                return
            _count_dropped(rows, "unfit")
            self._warn("the flight recorder cannot keep a frame: %s", error)
        except (psycopg.Error, OSError, TimeoutError) as error:
            _count_dropped(rows, "database")
            await self.database.close()
            self._warn("the flight recorder lost %d frames: %s", len(rows), error)

    async def _copy(self, data: bytes) -> None:
        async with asyncio.timeout(20):
            connection = await self.database.connection()
            if connection is not self._tuned:  # losing half a second of recording in a power cut is fine
                await connection.execute("SET synchronous_commit = off")
                self._tuned = connection
            async with connection.cursor().copy(_COPY) as copy:
                await copy.write(data)

    def _warn(self, text: str, *values: object) -> None:
        if time.monotonic() - self._warned_at > WARN_EVERY_SECONDS:
            self._warned_at = time.monotonic()
            logger.warning(text, *values)


def _count_dropped(rows: list[Row], reason: str) -> None:
    for noted, _ in rows:
        for direction in noted.directions:
            metrics.frames_dropped.add((direction, reason))


def hash_tag(tag: str) -> str:
    """The same short word for the same tag in any case (OCPP compares idTag without it); fits every idTag field."""
    return _hash_of(tag) if len(tag) <= LONGEST_REMEMBERED else _hash_of.__wrapped__(tag)


@functools.lru_cache(maxsize=4096)
def _hash_of(tag: str) -> str:
    return "#" + crypto.keyed_hash(tag.strip().casefold(), purpose=TAG_PURPOSE)[:16]


def _says_nothing(call: Noted, text: str, head: frames.Head) -> bool:
    """Whether this is the first answer to this CALL, and one that the view can make again from the id alone."""
    message_id = head[1]
    if message_id is not call.message_id or call.answered_after is not None or head[0] != frames.RESULT:
        return False
    return type(message_id) is str and len(text) == len(message_id) + 9 and text.endswith("{}]")  # no escapes in it


def row_of(noted: Noted) -> bytes:
    """One line of COPY's text format."""
    frame = noted.frame
    text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
    size = len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode("utf-8", "replace"))
    is_cut = len(text) > KEPT_CHARACTERS
    seconds = noted.answered_after
    return (
        f"{noted.charger_id}\t{_second(int(noted.at))}.{int(noted.at % 1.0 * 1e6):06d}+00\t"
        f"{noted.direction}\t{noted.kind}\t{_word(noted.action[:60])}\t{_escaped(str(noted.message_id)[:64])}\t"
        f"{_word(noted.error_code[:40])}\t{size}\t{_ABSENT if seconds is None else f'{seconds * 1000:.2f}'}\t"
        f"{'t' if is_cut else 'f'}\t{_escaped(_redacted(text, noted.message_id))}\n"
    ).encode("utf-8", "replace")


async def _long_row_of(noted: Noted) -> bytes:
    """A frame full of tags takes a tenth of a second and more: nobody's answer waits for it."""
    copy = msgspec.structs.replace(noted)
    noted.frame = ""
    return await asyncio.to_thread(row_of, copy)


@functools.lru_cache(maxsize=512)
def _word(text: str) -> str:
    """The same few hundred make up nearly every row; cut before, so that little is remembered."""
    return _escaped(text)


def _redacted(text: str, message_id: frames.MessageId = "") -> str:
    if not _needs_reading(text, message_id):
        return text[:KEPT_CHARACTERS]
    text = text[:KEPT_CHARACTERS]
    try:
        return orjson.dumps(redact_frame(orjson.loads(text), hash_tag)).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        return redact_text(text, hash_tag)


def _needs_reading(text: str, message_id: frames.MessageId) -> bool:
    """What a charger says a thousand times a day differs in its id and in digits, which no secret is known by."""
    if len(text) > ALIKE_CHARACTERS:
        return needs_reading(text)
    start = 0
    if type(message_id) is str and message_id and text.startswith(message_id, 4):  # as in [2,"id"
        start = 4 + len(message_id)
    return _is_of_a_kind_to_read(text[start:].encode("utf-8", "replace").translate(None, b"0123456789"))


@functools.lru_cache(maxsize=2048)
def _is_of_a_kind_to_read(kind: bytes) -> bool:
    return needs_reading(kind.decode())


@functools.lru_cache(maxsize=16)
def _second(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _escaped(text: str) -> str:
    """Nearly always as it is: machines write no line breaks."""
    if "\\" in text or "\n" in text or "\t" in text or "\r" in text or "\x00" in text:
        return text.translate(_ESCAPES)
    return text


recorder = Recorder()
