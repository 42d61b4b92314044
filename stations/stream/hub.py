"""One reader of the database per realtime process: what it finds goes to every stream that may hear it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg

from fleetcharge.lib.db import AsyncDatabase
from stations import changes
from stations.serializers import COARSE

LOOK_SECONDS = 0.1
AWAY_SECONDS = 2.0
MAX_WAITING = 200  # batches that a listener has not taken yet
MAX_REPLAY = 10_000  # changes; whoever missed more reads the whole table again

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """One transition of one connector, and what decides who hears it."""

    organisation_id: int | None
    station: str
    network: str
    plug: str
    max_power_w: int
    latitude: float
    longitude: float
    body: bytes


def change_of(row: Sequence[Any]) -> Change:
    (
        pk, organisation_id, connector, evse, station, network, old, new, reason, raw_status, at, received_at,
        plug, max_power_w, latitude, longitude,
    ) = row  # fmt: skip
    body = {
        "change": pk, "connector": connector, "evse": evse, "station": station, "network": network, "old": old,
        "status": new, "coarse_status": COARSE.get(new, "faulted"), "status_reason": reason, "raw_status": raw_status,
        "status_since": _text(at), "received_at": _text(received_at),
    }  # fmt: skip
    return Change(
        organisation_id, station, network, plug, max_power_w, latitude, longitude, orjson.dumps(body)
    )  # fmt: skip


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Batch:
    """What one look found; `cursor` is where to go on after it. An empty one only moves the cursor."""

    cursor: str
    changes: tuple[Change, ...]


class Listener:
    """One open stream. `hears` decides about each change; a listener that is too slow is let go, and may resume."""

    def __init__(self, hears: Callable[[Change], bool], key_id: int, organisation_id: int) -> None:
        self.hears, self.key_id, self.organisation_id = hears, key_id, organisation_id
        self.waiting: asyncio.Queue[Batch | None] = asyncio.Queue(MAX_WAITING)

    def tell(self, batch: Batch) -> bool:
        """False once it is too far behind."""
        heard = tuple(filter(self.hears, batch.changes))
        if heard:
            try:
                self.waiting.put_nowait(Batch(batch.cursor, heard))
            except asyncio.QueueFull:
                self.let_go()
                return False
        return True

    def let_go(self) -> None:
        """Its stream ends after what it has already; None says so."""
        if self.waiting.full():
            while not self.waiting.empty():  # the cursor it has is right, it will ask for all of this again
                self.waiting.get_nowait()
        self.waiting.put_nowait(None)


class StatusHub:
    """Looks ten times a second while anybody listens, which needs no bus and loses nothing; else not at all."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.cursor = ""
        self.is_closing = False
        self._database = AsyncDatabase()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def join(self, listener: Listener) -> str:
        """From the cursor that comes back on, the listener hears everything. psycopg.Error or OSError: not now."""
        if self.is_closing:
            raise ConnectionError("this process is stopping")
        async with self._looking:
            await self._look()
            self.listeners.add(listener)
            if self._task is None:
                self._task = asyncio.create_task(self._follow(), name="status-stream")
            return self.cursor

    def leave(self, listener: Listener) -> None:
        self.listeners.discard(listener)

    async def missed(self, since: str, until: str) -> tuple[Change, ...] | None:
        """What happened between two cursors; None when it is too much to repeat."""
        rows = await self._database.fetch(
            changes.REPLAY, {"since": since, "until": until, "limit": MAX_REPLAY + 1}
        )  # fmt: skip
        return None if len(rows) > MAX_REPLAY else tuple(change_of(row[1:]) for row in rows)

    def streams_of(self, organisation_id: int) -> int:
        return sum(listener.organisation_id == organisation_id for listener in self.listeners)

    async def close(self) -> None:
        """Every stream ends; clients resume at another process."""
        self.is_closing = True
        for listener in list(self.listeners):
            listener.let_go()
        self.listeners.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._database.close()

    async def _follow(self) -> None:
        while self.listeners:
            pause = LOOK_SECONDS
            try:
                async with self._looking:
                    await self._look()
            except (psycopg.Error, OSError) as error:
                logger.warning("the status stream cannot read: %s", error)
                pause = AWAY_SECONDS
            except Exception:
                logger.exception("the status stream stumbled")
                pause = AWAY_SECONDS
            await asyncio.sleep(pause)
        self.cursor, self._task = "", None  # nobody waits for what happens until the next one comes

    async def _look(self) -> None:
        if not self.cursor:
            [[self.cursor]] = await self._database.fetch(changes.NOW)
            return
        rows = await self._database.fetch(changes.FOLLOW, {"since": self.cursor})
        self.cursor = rows[0][0]
        found = tuple(change_of(row[1:]) for row in rows if row[1] is not None)
        if found:
            batch = Batch(self.cursor, found)
            self.listeners = {listener for listener in self.listeners if listener.tell(batch)}


_hubs: dict[asyncio.AbstractEventLoop, StatusHub] = {}


def hub() -> StatusHub:
    """The hub of this process (one per event loop, so that tests can have many)."""
    loop = asyncio.get_running_loop()
    for old in [known for known in _hubs if known.is_closed()]:
        del _hubs[old]
    return _hubs.setdefault(loop, StatusHub()) if loop not in _hubs else _hubs[loop]
