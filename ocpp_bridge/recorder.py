"""The flight recorder: every frame of every socket, noted in a microsecond, written when there is time.

The hot path only counts and appends to a bounded buffer. One background task takes out tags and secrets and writes the
rest. It never uses more than a share of the loop's time; what does not fit is dropped and counted. Answers never wait
for it.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections import deque
from datetime import UTC, datetime

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
BATCH, SLICE = 1_000, 25
IDLE_SECONDS = 0.5
SHARE = 5  # after each slice of work the loop belongs to others for (SHARE - 1) times as long
ALIKE_CHARACTERS = 2048
WARN_EVERY_SECONDS = 60.0

_COPY = """
COPY ocpp_bridge_frame
(charger_id, at, direction, kind, action, message_id, error_code, size_bytes, latency_ms, is_cut, payload) FROM STDIN
"""
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\x00": None})

logger = logging.getLogger(__name__)
Noted = tuple[int, int, float, str | bytes, frames.Head]  # charger, direction, epoch seconds, the frame
Row = tuple[int, bytes]  # direction, a line of COPY's text format


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

    def note(self, charger_id: int, direction: int, frame: str | bytes, head: frames.Head) -> None:
        """Count one frame as it passes, and remember it; direction IN is from the charger. Costs a microsecond."""
        kind, _, action, error_code, seconds = head
        metrics.frames.add((direction, action if kind else "(malformed)"))
        if kind in _ANSWERS:
            metrics.answered(direction, error_code, seconds)
        if not self._is_on:
            return
        self._characters = characters = self._characters + len(frame)
        if characters < BUFFER_CHARACTERS and len(self._buffer) < BUFFER_FRAMES:
            self._buffer.append((charger_id, direction, time.time(), frame, head))
        else:
            self._characters -= len(frame)
            metrics.frames_dropped.add((direction, "overload"))

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
                self._characters -= len(noted[3])
                rows.append((noted[1], row_of(*noted)))
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
            metrics.frames_dropped.add((rows[0][0], "unfit"))
            self._warn("the flight recorder cannot keep a frame: %s", error)
        except (psycopg.Error, OSError, TimeoutError) as error:
            for direction, _ in rows:
                metrics.frames_dropped.add((direction, "database"))
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


@functools.lru_cache(maxsize=4096)
def hash_tag(tag: str) -> str:
    """The same short word for the same tag in any case (OCPP compares idTag without it); fits every idTag field."""
    return "#" + crypto.keyed_hash(tag.strip().casefold(), purpose=TAG_PURPOSE)[:16]


def row_of(charger_id: int, direction: int, at: float, frame: str | bytes, head: frames.Head) -> bytes:
    """One line of COPY's text format."""
    text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
    size = len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode("utf-8", "replace"))
    kind, message_id, action, error_code, seconds = head
    second, fraction = divmod(at, 1.0)
    latency_ms = "\\N" if seconds is None else f"{seconds * 1000:.2f}"
    names = _names(action[:60], str(message_id)[:64], error_code[:40])
    row = (
        f"{charger_id}\t{_second(int(second))}.{int(fraction * 1e6):06d}+00\t{direction}\t{kind}\t{names}\t{size}\t"
        f"{latency_ms}\t{'t' if len(text) > KEPT_CHARACTERS else 'f'}\t"
        f"{_escaped(_redacted(text, message_id))}\n"
    )
    return row.encode("utf-8", "replace")


def _names(*words: str) -> str:
    """Nearly all of them are as plain as that."""
    together = "".join(words)
    return "\t".join(words if together.isprintable() and "\\" not in together else map(_escaped, words))


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
    if message_id and type(message_id) is str and text.startswith("[") and text.startswith(f'"{message_id}"', 3):
        start = len(message_id) + 4
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
