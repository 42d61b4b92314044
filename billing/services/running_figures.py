"""The running figures of sessions under load: made of what is stored of them, at intervals."""

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson
import psycopg

from billing.events import SessionMetered
from billing.services import meter_sql
from fleetcharge.lib.db import AsyncDatabase, fetch_planned
from fleetcharge.lib.events import publish

FIGURES_EVERY_SECONDS = 0.25
CROWD = 32  # readings in one batch
AT_ONCE = 200  # sessions in one statement
MOST_REMEMBERED = 50_000
Key = tuple[int, str]  # charger, transaction

logger = logging.getLogger(__name__)


class Told(Protocol):
    """A reading, as far as it matters here."""

    charger_id: int
    transaction_ref: str


class RunningFigures:
    """Which sessions' running figures are left for later: those that are told of faster than anybody looks.

    Rewriting a session for each of a hundred samples a second costs more than storing them. Their figures are made of
    the stored samples, four times a second; `catch_up_left_behind` does it where a process ended before that.
    """

    def __init__(self, database: AsyncDatabase, announce: Callable[[Sequence[Sequence[Any]]], None]) -> None:
        self._database, self._announce = database, announce
        self._told: dict[Key, float] = {}  # when a session was last written about
        self._behind: dict[Key, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_closing = asyncio.Event()

    def is_crowded(self, readings: Sequence[Told]) -> bool:
        """Many at once, most of them of sessions of a moment ago; and so until all have caught up."""
        if self._behind:
            return True
        if len(readings) < CROWD:
            return False
        now, told = time.monotonic(), self._told
        keys = {(reading.charger_id, reading.transaction_ref) for reading in readings}
        again = sum(now - told.get(key, -math.inf) < FIGURES_EVERY_SECONDS for key in keys)
        if len(told) > MOST_REMEMBERED:
            told.clear()
        told.update(dict.fromkeys(keys, now))
        return again > len(keys) / 2

    def leave_behind(self, readings: Sequence[Told]) -> None:
        for reading in readings:
            self._behind[reading.charger_id, reading.transaction_ref] = None
        if self._task is None or self._task.done():
            self._is_closing = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        while self._behind:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_closing.wait(), FIGURES_EVERY_SECONDS)
            try:
                await self.catch_up()
            except (psycopg.Error, OSError):
                logger.warning("the running figures of %d sessions wait for the database", len(self._behind))
                if self._is_closing.is_set():
                    return

    async def catch_up(self) -> None:
        """Move the figures of all that were left behind; raises psycopg.Error, and knows them still."""
        while keys := list(itertools.islice(self._behind, AT_ONCE)):
            for key in keys:
                del self._behind[key]
            try:
                [(moved,)] = await self._database.fetch(meter_sql.CATCH_UP, [_keys_json(keys)])
            except BaseException:
                self._behind.update(dict.fromkeys(keys))
                raise
            if moved:
                self._announce(orjson.loads(moved))

    async def close(self) -> None:
        """Catch up, or leave it to the sweep when the database is away."""
        self._is_closing.set()
        if self._task is not None and not self._task.done():
            await self._task


def catch_up_left_behind(*, now: datetime) -> int:
    """Move the figures of sessions whose newest samples moved none for a minute; returns of how many.

    It happens when a process ends between a storm of samples and the figures that follow it.
    """
    bounds = {"before": now - timedelta(minutes=1), "since": now - timedelta(hours=1)}
    keys = [(row[0], row[1]) for row in fetch_planned(meter_sql.LEFT_BEHIND, bounds)]
    for first in range(0, len(keys), AT_ONCE):
        [(moved,)] = fetch_planned(meter_sql.CATCH_UP, [_keys_json(keys[first : first + AT_ONCE])])
        if moved:
            publish(SessionMetered(tuple(tuple(row) for row in orjson.loads(moved))))
    return len(keys)


def _keys_json(keys: Sequence[Key]) -> str:
    return orjson.dumps([{"charger_id": charger_id, "transaction_ref": ref} for charger_id, ref in keys]).decode()
