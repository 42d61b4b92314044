"""The flight recorder: every frame of every socket, noted in a microsecond, written when there is time.

The hot path only counts and appends to a bounded buffer. One background task takes out tags and secrets and writes the
rest, the frames of a charger together in a row (packs.py). It never uses more than a share of the loop's time; what
does not fit is dropped and counted. Answers never wait for it.

An empty answer, as every meter sample gets, is kept with its CALL, as a latency, when that is not written yet; readers
(recordings.py) see both frames all the same.
"""

import asyncio
import contextlib
import functools
import logging
import math
import struct
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import orjson
import psycopg
from django.conf import settings

from fleetcharge.lib import crypto
from fleetcharge.lib.db import AsyncDatabase
from ocpp_bridge import frames, metrics, packs
from ocpp_bridge.packs import OUT, Kept
from ocpp_bridge.redaction import needs_reading, redact_frame, redact_text

_ANSWERS = frozenset({frames.RESULT, frames.ERROR, frames.RESULT_ERROR})
TAG_PURPOSE = "recorded-tag"
BUFFER_FRAMES, BUFFER_CHARACTERS = 50_000, 64 * 1024 * 1024
KEPT_CHARACTERS = 256 * 1024
BATCH = 10_000
SLICE_SECONDS = 0.0002
IDLE_SECONDS = 0.5
SHARE = 5  # after each slice of work the loop belongs to others for (SHARE - 1) times as long
ALIKE_CHARACTERS = 2048
LONG_CHARACTERS = 16 * 1024  # is read in a thread
LONGEST_REMEMBERED = 300
WARN_EVERY_SECONDS = 60.0

_COPY = "COPY ocpp_bridge_frame_pack (charger_id, at, until, frames) FROM STDIN (FORMAT BINARY)"
_COPY_HEAD, _COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_ROW = struct.Struct("!hiqiqiqi")  # four fields, each behind its length; the last is the frames
_SECONDS_TO_2000 = 946_684_800  # where PostgreSQL's time begins

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


@dataclass(frozen=True, slots=True)
class Pack:
    """Frames of one charger as a row of COPY's binary format."""

    kept: Sequence[Kept]
    row: bytes


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
        self._is_closing, self._is_writing = asyncio.Event(), asyncio.Lock()

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
            self._is_closing.set()  # not cancelled: what it is writing would be lost
            await self._task
            self._is_closing.clear()
            await self.flush()
        await self.database.close()

    async def flush(self) -> None:
        """Write everything noted so far."""
        async with self._is_writing:
            while self._buffer:
                await self._write(await self._read(BATCH))

    async def _run(self) -> None:
        while not self._is_closing.is_set():
            if len(self._buffer) < BATCH:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_closing.wait(), IDLE_SECONDS)
            try:
                await self._write_some()
            except Exception:
                logger.exception("the flight recorder stumbled")

    async def _write_some(self) -> None:
        """What came since the last time, at most BATCH of it."""
        async with self._is_writing:
            if self._buffer:
                await self._write(await self._read(BATCH))

    async def _read(self, limit: int) -> list[Pack]:
        """Up to `limit` frames, those of a charger together."""
        by_charger: defaultdict[int, list[Kept]] = defaultdict(list)
        breath = Breath()
        for _ in range(min(limit, len(self._buffer))):
            if not self._buffer:  # emptied by a start in another loop
                break
            noted = self._buffer.popleft()
            self._characters -= len(noted.frame)
            by_charger[noted.charger_id].append(await self._kept(noted))
            if breath.is_due:
                await breath.take()
        return await _packed(by_charger, breath)

    async def _kept(self, noted: Noted) -> Kept:
        """From now on an answer to this is kept by itself."""
        if len(noted.frame) > LONG_CHARACTERS:
            return await _long_kept_of(noted)
        kept = kept_of(noted)
        noted.frame = ""
        return kept

    # --- writing --------------------------------------------------------------------------------------------------

    async def _write(self, rows: list[Pack]) -> None:
        """One COPY; when the database is away, these frames are lost and counted, nobody waits."""
        if not rows:
            return
        try:
            await self._copy(b"".join((_COPY_HEAD, *(pack.row for pack in rows), _COPY_END)))
        except (psycopg.Error, OSError, TimeoutError) as error:
            lost = _count_dropped(rows, "database")
            await self.database.close()
            self._warn("the flight recorder lost %d frames: %s", lost, error)

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


class Breath:
    """After each slice of the recorder's work the loop belongs to others, for (SHARE - 1) times as long."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def is_due(self) -> bool:
        return time.perf_counter() - self._began > SLICE_SECONDS

    async def take(self) -> None:
        await asyncio.sleep((time.perf_counter() - self._began) * (SHARE - 1))
        self._began = time.perf_counter()


async def _packed(by_charger: dict[int, list[Kept]], breath: Breath) -> list[Pack]:
    found = []
    for charger_id, kept in by_charger.items():
        for portion in packs.portions(kept):
            found.append(Pack(portion, _row(charger_id, portion)))
            if breath.is_due:
                await breath.take()
    return found


def _row(charger_id: int, kept: Sequence[Kept]) -> bytes:
    """One row of COPY's binary format."""
    data = packs.pack(kept)
    begins, ends = min(one.at for one in kept), max(one.ended_at for one in kept)  # clocks are set back, too
    began, ended = math.floor(_moment(begins)), math.ceil(_moment(ends))  # around them, however they are rounded
    return _ROW.pack(4, 8, charger_id, 8, began, 8, ended, len(data)) + data


def _moment(at: float) -> float:
    """Microseconds since 2000, as PostgreSQL sends a timestamptz."""
    return (at - _SECONDS_TO_2000) * 1e6


def _count_dropped(rows: list[Pack], reason: str) -> int:
    lost = [direction for pack in rows for one in pack.kept for direction in one.directions]
    for direction in lost:
        metrics.frames_dropped.add((direction, reason))
    return len(lost)


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


def kept_of(noted: Noted) -> Kept:
    """The frame without secrets, cut to what we keep."""
    frame = noted.frame
    text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
    size = len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode("utf-8", "replace"))
    seconds = noted.answered_after
    return Kept(
        noted.at,
        noted.direction,
        noted.kind,
        _clean(noted.action[:60]),
        _clean(str(noted.message_id)[:64]),
        _clean(noted.error_code[:40]),
        size,
        None if seconds is None else round(seconds * 1000, 2),
        len(text) > KEPT_CHARACTERS,
        _clean(_redacted(text, noted.message_id)),
    )


async def _long_kept_of(noted: Noted) -> Kept:
    """A frame full of tags takes a tenth of a second and more: nobody's answer waits for it."""
    copy = msgspec.structs.replace(noted)
    noted.frame = ""
    return await asyncio.to_thread(kept_of, copy)


def _clean(text: str) -> str:
    """Nearly always as it is: no U+0000, which readers stumble over, and nothing that is no UTF-8."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


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


recorder = Recorder()
