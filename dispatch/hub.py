"""One LiveHub per realtime process: a single bus subscription, current state in arrays, many browsers."""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import numpy as np
import orjson
import redis.asyncio as aioredis
from django.conf import settings
from django.db import close_old_connections, connections

from dispatch import details, live, live_reads, wire
from dispatch.boards import Board, StatusBook, VehicleBoard
from dispatch.cells import FleetCells
from dispatch.details import DetailBook
from dispatch.pictures import Look, Picture
from dispatch.sights import Sights

T = TypeVar("T")
logger = logging.getLogger(__name__)

COALESCE_SECONDS = 0.01
CLOCK_SECONDS = 5.0
STATIONS_AGAIN_SECONDS = 60.0
KPI_SECONDS = 1.0


class Listener(Protocol):
    """What the hub asks of a browser's socket; every method returns at once."""

    organisation_id: int
    user_id: int
    is_paused: bool

    def alert(self, payload: dict[str, Any]) -> None: ...
    def session(self, payload: dict[str, Any]) -> None: ...
    def kpi(self, text: str) -> None: ...
    def resync(self, why: str) -> None: ...
    def details(self, payload: dict[str, Any]) -> None: ...
    def check(self, now: float) -> None: ...


class LiveHub:
    """Owns the boards. Everything runs on the event loop; the database is read in one thread of its own, in order."""

    def __init__(self) -> None:
        self.epoch = int(time.time() * 1000) & 0x7FFFFFFF
        self.listeners: set[Listener] = set()
        self.stations = Board(wire.STATION)
        self.depots: dict[int, Board] = defaultdict(lambda: Board(wire.STATION))
        self.vehicles: dict[int, VehicleBoard] = {}
        self.revisions: dict[int, int] = {}
        self.sights = Sights(self._picture_of, self.revision_of, settings.LIVE_HZ)
        self._cells: dict[int, FleetCells] = {}
        self._statuses: dict[int, StatusBook] = {}
        self._details: dict[int, DetailBook] = defaultdict(DetailBook)
        self._alerts_told: dict[int, int] = {}
        """The last revision of each fleet's alerts that its browsers were told of."""
        self._dirty: dict[Board, set[int]] = defaultdict(set)
        self._hints: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._meters: dict[int, list[Any]] = {}
        self._loading: dict[int, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._flush_handle: asyncio.TimerHandle | None = None
        self._refresh_task: asyncio.Task[None] | None = None
        self._has_stations = False
        self._is_subscribed = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="live-db")

    # --- life -----------------------------------------------------------------------------------------------------
    def start(self) -> None:
        if not self._tasks:
            jobs = (self._listen, self._tell_kpis, self._watch_clock)
            self._tasks = [asyncio.create_task(_forever(job), name=job.__name__) for job in jobs]

    async def stop(self) -> None:
        """For tests and shutdown: ends the tasks and gives the database connection back."""
        tasks = [*self._tasks, *self._loading.values(), *([self._refresh_task] if self._refresh_task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(self._pool, connections.close_all)
        self._pool.shutdown()

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run an ORM read in the hub's own thread, never in Django's single shared one."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _with_fresh_connection, function, *args)

    async def prepare(self, organisation_id: int) -> None:
        """Make sure the boards of this fleet exist and follow the bus."""
        self.start()
        with contextlib.suppress(TimeoutError):  # without the bus we still show the last known state
            await asyncio.wait_for(self._is_subscribed.wait(), 3)
        await self._ensure_loaded(organisation_id)
        await self._begin_alerts(organisation_id)

    async def _begin_alerts(self, organisation_id: int) -> None:
        """The first browser of a fleet for a while asks for what it missed; it needs no second telling of all that."""
        if not self._of(organisation_id):
            revision = await self.read(live_reads.alert_revision, organisation_id)
            if not self._of(organisation_id):
                self._alerts_told[organisation_id] = revision

    def cells_of(self, organisation_id: int) -> FleetCells:
        """The overviews of one fleet, which its browsers share."""
        if organisation_id not in self._cells:
            sites = (self.stations, self.depots[organisation_id])
            self._cells[organisation_id] = FleetCells(self.vehicles[organisation_id].board, sites)
        return self._cells[organisation_id]

    def statuses_of(self, organisation_id: int) -> StatusBook:
        if organisation_id not in self._statuses:
            self._statuses[organisation_id] = StatusBook(self.vehicles[organisation_id].board)
        return self._statuses[organisation_id]

    def let_go(self, listener: Listener) -> None:
        """It is gone, and with the last one of its fleet what only browsers need."""
        self.listeners.discard(listener)
        if all(other.organisation_id != listener.organisation_id for other in self.listeners):
            self._cells.pop(listener.organisation_id, None)
            self._statuses.pop(listener.organisation_id, None)

    def _picture_of(self, look: Look) -> Picture:
        sites = (self.stations, self.depots[look.organisation_id])
        cells = self.cells_of(look.organisation_id)
        return Picture(look, self.vehicles[look.organisation_id].board, sites, cells)

    def revision_of(self, organisation_id: int) -> int:
        return self.revisions.get(organisation_id, 0)

    def sockets_of(self, user_id: int) -> int:
        return sum(listener.user_id == user_id for listener in self.listeners)

    # --- boards ---------------------------------------------------------------------------------------------------
    async def _ensure_loaded(self, organisation_id: int) -> None:
        if organisation_id in self.revisions:
            return
        task = self._loading.get(organisation_id)
        if task is None or task.done():
            task = self._loading[organisation_id] = asyncio.create_task(self._load(organisation_id))
        await asyncio.shield(task)

    async def _load(self, organisation_id: int) -> None:
        """Vehicles of one fleet and, the first time, every site; rows the bus brought meanwhile are newer and win."""
        board = self.vehicles.setdefault(organisation_id, VehicleBoard())
        if not self._has_stations:
            self._place_stations(await self.read(live_reads.station_rows), None)
            self._has_stations = True
        state = await self.read(live_reads.fleet_state, organisation_id)
        now = time.time()
        board.marks, board.active = state.marks, state.active
        self._mark(board.board, board.move_all(state.vehicles, now).tolist())
        self._mark(board.board, board.board.keep_only(row[0] for row, _ in state.vehicles))
        self._mark(board.board, board.refresh_all(now).tolist())
        self.revisions[organisation_id] = state.revision

    def _place_stations(self, rows: list[tuple[live_reads.Row, int | None]], asked: Iterable[int] | None) -> None:
        """Put sites on the public board or their owner's; whatever was asked for and is not there is gone."""
        found = {row[0]: owner for row, owner in rows}
        for row, owner in rows:
            board = self.stations if owner is None else self.depots[owner]
            self._mark(board, [board.put(row)])
        for board, owner in [(self.stations, None), *((depot, owner) for owner, depot in self.depots.items())]:
            candidates = board.index if asked is None else asked
            missing = [pk for pk in candidates if pk not in found or found[pk] != owner]
            self._mark(board, [board.drop(pk) for pk in missing])

    async def _resync(self, why: str) -> None:
        self._place_stations(await self.read(live_reads.station_rows), None)
        for organisation_id in list(self.revisions):
            await self._load(organisation_id)
        for listener in self.listeners:
            listener.resync(why)
        self.sights.begin_anew()

    # --- the bus --------------------------------------------------------------------------------------------------
    async def _listen(self) -> None:
        client = aioredis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=3, health_check_interval=10)
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(live.CHANNEL)
                had_state = bool(self.revisions)
                self._is_subscribed.set()
                if had_state:
                    await self._resync("feed")
                while True:
                    message = await subscription.get_message(timeout=5.0)
                    if message is not None:
                        self.handle(orjson.loads(message["data"]))
        finally:
            self._is_subscribed.clear()
            await client.aclose()

    def handle(self, message: dict[str, Any]) -> None:
        """One bus message. Unknown kinds are of a newer release and ignored."""
        kind = message.get("k")
        if kind == "vehicles":
            self._move_vehicles(message["rows"])
        elif kind == "sessions":
            self._meters.update({row[0]: row for row in message["rows"]})
        elif kind in ("stations", "marks", "alerts"):
            self._hints[kind][message.get("o", 0)].update(message["ids"])
        elif kind == "static":
            self._hints["static"][0].add(0)
        self._flush_soon()

    def _move_vehicles(self, rows: list[list[Any]]) -> None:
        by_fleet: dict[int, list[tuple[live_reads.Row, float]]] = defaultdict(list)
        for organisation_id, at, *row in rows:
            by_fleet[organisation_id].append((tuple(row), at))
        for organisation_id, told in by_fleet.items():
            board = self.vehicles.get(organisation_id)
            if board is not None:
                self._mark(board.board, board.move_all(told, time.time()).tolist())

    # --- telling browsers -----------------------------------------------------------------------------------------
    def _mark(self, board: Board, indexes: Iterable[int | None]) -> None:
        changed = {index for index in indexes if index is not None}
        if changed:
            self._dirty[board] |= changed
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_later(COALESCE_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flush_handle = None
        if (self._hints or self._meters) and (self._refresh_task is None or self._refresh_task.done()):
            self._refresh_task = asyncio.create_task(self._follow_hints())
        if self._dirty:
            changed = {board: np.fromiter(rows, np.intp, len(rows)) for board, rows in self._dirty.items()}
            self._dirty = defaultdict(set)
            for cells in self._cells.values():
                cells.mark(changed)
            self.sights.mark(changed)

    async def _follow_hints(self) -> None:
        """Read what the hints point at, all of a kind in one query, until none are left."""
        while self._hints or self._meters:
            hints, self._hints = self._hints, defaultdict(lambda: defaultdict(set))
            meters, self._meters = self._meters, {}
            try:
                await self._follow(hints)
                await self._tell_sessions(meters)
            except Exception:
                logger.exception("live hub could not read what changed")
                await asyncio.sleep(1)
                for kind, by_owner in hints.items():
                    for owner, ids in by_owner.items():
                        self._hints[kind][owner] |= ids

    async def _follow(self, hints: dict[str, dict[int, set[int]]]) -> None:
        if ids := hints.get("stations", {}).get(0):
            self._place_stations(await self.read(live_reads.station_rows, ids), ids)
        for organisation_id, ids in hints.get("marks", {}).items():
            await self._remark(organisation_id, ids)
        for organisation_id in hints.get("alerts", {}):
            await self._tell_alerts(organisation_id)
        if "static" in hints:
            await self._check_revisions()

    async def _remark(self, organisation_id: int, vehicle_ids: set[int]) -> None:
        board = self.vehicles.get(organisation_id)
        if board is not None:
            marks = await self.read(live_reads.vehicle_marks, organisation_id, vehicle_ids)
            self._mark(board.board, board.mark_all(marks, time.time()).tolist())

    async def _remark_all(self, organisation_id: int) -> None:
        """A hint may have been lost: read every mark of the fleet."""
        board = self.vehicles[organisation_id]
        board.marks = await self.read(live_reads.vehicle_marks, organisation_id)
        self._mark(board.board, board.refresh_all(time.time()).tolist())

    async def _recharge(self, organisation_id: int) -> None:
        """Charges that no ping brings; positions that the bus brought meanwhile are newer and win."""
        board = self.vehicles[organisation_id]
        rows = await self.read(live_reads.untold_rows, organisation_id)
        self._mark(board.board, board.move_all(rows, time.time()).tolist())

    async def _tell_alerts(self, organisation_id: int) -> None:
        """By revision, not by what the hint names: hints get lost, and who has seen one revision has seen all below."""
        if organisation_id not in self._alerts_told:
            return  # nobody of this fleet has looked yet
        payloads = await self.read(live_reads.alerts_after, organisation_id, self._alerts_told[organisation_id])
        for payload in payloads:
            self._alerts_told[organisation_id] = payload["revision"]
            for listener in self._of(organisation_id):
                listener.alert(payload)
        if about := {payload["vehicle_id"] for payload in payloads} - {None}:
            await self._remark(organisation_id, about)

    async def _tell_sessions(self, meters: dict[int, list[Any]]) -> None:
        if meters and self.listeners:
            for organisation_id, payload in await self.read(live_reads.sessions, meters):
                for listener in self._of(organisation_id):
                    listener.session(payload)

    def _of(self, organisation_id: int) -> list[Listener]:
        return [listener for listener in self.listeners if listener.organisation_id == organisation_id]

    # --- the clock ------------------------------------------------------------------------------------------------
    async def _tell_kpis(self) -> None:
        while True:
            await asyncio.sleep(KPI_SECONDS)
            self._look_for_alerts()
            self.sights.weigh(time.monotonic())
            watched = {listener.organisation_id for listener in self.listeners if not listener.is_paused}
            for organisation_id in watched:
                await self._tell_kpis_of(organisation_id)
            for listener in list(self.listeners):
                listener.check(time.monotonic())

    def _look_for_alerts(self) -> None:
        """As if the bus had told of one in each fleet: it may have, and nobody heard it."""
        for listener in self.listeners:
            self._hints["alerts"][listener.organisation_id].update()
            self._flush_soon()

    async def _tell_kpis_of(self, organisation_id: int) -> None:
        """One fleet whose figures cannot be read costs no other fleet its own."""
        try:
            figures = await self.read(live_reads.kpis, organisation_id)
        except Exception:
            logger.exception("no figures for organisation %s", organisation_id)
            return
        text = orjson.dumps({"type": "kpi", **figures, **self._freshness(organisation_id)}).decode()
        for listener in self._of(organisation_id):
            listener.kpi(text)

    def _freshness(self, organisation_id: int) -> dict[str, Any]:
        """The line may be well while no position comes through; the page says how old the newest is.

        `fleet_box`: where the fleet is, for pages that see a part of it or none.
        """
        now = datetime.now(UTC)
        board = self.vehicles.get(organisation_id)
        newest = min(board.newest_at(), now.timestamp()) if board else 0.0
        newest_at = datetime.fromtimestamp(newest, UTC).isoformat() if newest > 0 else None
        box = board.board.box() if board else None
        return {"server_time": now.isoformat(), "newest_position_at": newest_at, "fleet_box": box}

    async def _watch_clock(self) -> None:
        """What changes because time passes: vehicles grow silent, words about chargers grow old."""
        stations_read_at = time.monotonic()
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            now = time.time()
            for board in self.vehicles.values():
                self._mark(board.board, board.refresh_all(now).tolist())
            for cells in self._cells.values():
                cells.forget(time.monotonic())
            if self.listeners:
                await self._check_revisions()
            for organisation_id in {listener.organisation_id for listener in self.listeners}:
                await self._remark_all(organisation_id)
                await self._recharge(organisation_id)
            if self.listeners and time.monotonic() - stations_read_at > STATIONS_AGAIN_SECONDS:
                self._place_stations(await self.read(live_reads.station_rows), None)
                stations_read_at = time.monotonic()

    async def details_since(self, organisation_id: int, revision: int) -> dict[str, Any] | None:
        """What a page that holds this revision lacks; it may have it from the API, where it was newer than here."""
        if revision != self._details[organisation_id].revision:
            await self._check_details(organisation_id)
        return self._details[organisation_id].since(revision)

    async def _check_details(self, organisation_id: int) -> None:
        """A stop done, a shift begun: tell what changed, and nothing else."""
        held = self._details[organisation_id].revision
        found = await self.read(details.read_if_moved, organisation_id, held)
        if found is None or self._details[organisation_id].revision != held:  # somebody else was faster
            return
        message = self._details[organisation_id].turn(*found)
        for listener in self._of(organisation_id):
            listener.details(message)

    async def _check_revisions(self) -> None:
        """A new plate or site: load the boards again and tell the pages to fetch the static part."""
        for organisation_id in {listener.organisation_id for listener in self.listeners}:
            await self._check_details(organisation_id)
            revision = await self.read(live_reads.revision, organisation_id)
            if revision != self.revisions.get(organisation_id):
                self._place_stations(await self.read(live_reads.station_rows), None)
                await self._load(organisation_id)
                self.sights.revision_moved(organisation_id)


def _with_fresh_connection(function: Callable[..., T], *args: Any) -> T:
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()


async def _forever(job: Callable[[], Awaitable[None]]) -> None:
    """Supervise a hub task: it ends only with the process."""
    delay = 0.5
    while True:
        started = time.monotonic()
        try:
            await job()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.warning("live hub: %s failed: %r", getattr(job, "__name__", job), error)
        delay = 0.5 if time.monotonic() - started > 30 else min(15.0, delay * 2)
        await asyncio.sleep(delay)


_hubs: dict[asyncio.AbstractEventLoop, LiveHub] = {}


def hub() -> LiveHub:
    """The hub of this process (one per event loop, so that tests can have many)."""
    loop = asyncio.get_running_loop()
    for old in [known for known in _hubs if known.is_closed()]:
        del _hubs[old]
    return _hubs.setdefault(loop, LiveHub()) if loop not in _hubs else _hubs[loop]
