"""What meters said: appended in one statement per batch, together with the running figures of the sessions."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson
from django.db import close_old_connections, connections

from billing.events import SessionMetered
from billing.services import meter_sql
from billing.services.running_figures import RunningFigures
from fleetcharge.lib.db import AsyncDatabase
from fleetcharge.lib.events import publish

ANNOUNCE_EVERY_SECONDS = 0.25
Figures = tuple[int, int, int, int | None, float | None]

# A few rows of a great table, always by their keys: a plan made while it was small and unknown would walk through it.
database = AsyncDatabase(
    settings={"enable_seqscan": "off", "enable_hashjoin": "off", "plan_cache_mode": "force_generic_plan"}
)


@dataclass(slots=True)
class MeterReading:
    """One sampled moment (OCPP MeterValues, TransactionEvent). `evse_number` is the connector id for OCPP 1.6.

    `transaction_ref` "" means the charger did not say: the session active there at that time is meant.
    `dedupe_key` is 32 hex digits over what a retry repeats. `sampled` is JSON (a list, or an orjson.Fragment of one).
    `interval_wh`: what came since the sample before, where the meter says it so. `sequence`: seqNo of OCPP 2.x.
    """

    charger_id: int
    evse_number: int
    transaction_ref: str
    at: datetime
    received_at: datetime
    energy_wh: int | None
    power_w: int | None
    soc_percent: float | None
    context: str
    sampled: object
    dedupe_key: str
    interval_wh: int | None = None
    sequence: int | None = None


async def write_meter_values(readings: Sequence[MeterReading]) -> list[bool]:
    """Commit many readings at once; True for each that is new. Sessions move forward in time only.

    Raises psycopg.Error when nothing was stored. SessionMetered follows from a thread, newest figures first. Where the
    same sessions are told of again and again within a quarter of a second, their running figures follow after that.
    """
    if not _running.is_crowded(readings):
        return await _write(meter_sql.WRITE, readings)
    if any(not reading.transaction_ref for reading in readings):  # of whose sessions, the database knows
        await _running.catch_up()
        return await _write(meter_sql.WRITE, readings)
    is_new = await _write(meter_sql.STORE, readings)
    _running.leave_behind(readings)
    return is_new


async def _write(statement: str, readings: Sequence[MeterReading]) -> list[bool]:
    [(inserted, *moved)] = await database.fetch(statement, [orjson.dumps(readings).decode()])
    if moved and moved[0]:
        _announcer.announce(orjson.loads(moved[0]))
    if inserted is None:  # all of them; the list is only worth its parsing when there were repeats
        return [True] * len(readings)
    is_new = _first_of_each(readings, set(inserted))
    repeats = [row for row, is_first in zip(readings, is_new, strict=True) if not is_first and row.sequence is not None]
    if repeats:
        await database.fetch(meter_sql.KEEP_NUMBERS, [orjson.dumps(repeats).decode()])
    return is_new


def _first_of_each(readings: Sequence[MeterReading], fresh: set[str]) -> list[bool]:
    """True for the reading that was stored; a twin in the same batch is a repeat."""
    answers = []
    for reading in readings:
        answers.append(reading.dedupe_key in fresh)
        fresh.discard(reading.dedupe_key)
    return answers


class _Announcer:
    """Publishes SessionMetered off the loop, at most every quarter of a second.

    The first figures leave at once; of those that follow too soon only the newest per session are kept. A replay storm
    so costs its writes and nothing else.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, Figures] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_closing = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metered")  # keeps its connection between batches

    def announce(self, figures: Sequence[Sequence[Any]]) -> None:
        self._waiting.update({row[0]: cast(Figures, tuple(row)) for row in figures})
        if self._task is None or self._task.done():
            self._is_closing = asyncio.Event()  # tests use one loop each
            self._task = asyncio.get_running_loop().create_task(self._publish())

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            readings, self._waiting = tuple(self._waiting.values()), {}
            await loop.run_in_executor(self._thread, _publish, SessionMetered(readings))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_closing.wait(), ANNOUNCE_EVERY_SECONDS)

    async def close(self) -> None:
        """Publish what waits and close the thread's database connection."""
        self._is_closing.set()
        if self._task is not None and not self._task.done():
            await self._task
        await asyncio.get_running_loop().run_in_executor(self._thread, connections.close_all)


def _publish(event: SessionMetered) -> None:
    close_old_connections()
    try:
        publish(event)
    finally:
        close_old_connections()


_announcer = _Announcer()
_running = RunningFigures(database, _announcer.announce)


async def close() -> None:
    """Finish and let go of the database (orderly shutdown, end of a test)."""
    await _running.close()
    await _announcer.close()
    await database.close()
