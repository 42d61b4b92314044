"""Tells the apps above about committed pings, in a thread, because their handlers may wait for Valkey."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import close_old_connections, connections
from psycopg.rows import TupleRow

from fleetcharge.lib.events import publish_all
from vehicles.events import SocLow, SocRecovered, VehicleMove, VehiclesMoved
from vehicles.registry import VehicleRef

PAUSE_SECONDS = 0.02  # where pings come in by the thousand, so that they are told in fifty messages a second at most

logger = logging.getLogger(__name__)


class Announcements:
    """Events in commit order, the first at once. Moves of the same vehicle that wait melt into the newest one."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._moves: dict[int, VehicleMove] = {}
        self._crossings: list[SocLow | SocRecovered] = []
        self._draining: Future[None] | None = None

    def add(self, changed: Iterable[TupleRow], refs: Mapping[int, VehicleRef]) -> None:
        """Queue the news of rows that sql.STORE returned; never blocks."""
        with self._lock:
            for row in changed:
                self._add(row, refs[row[0]].organisation_id)
            if self._draining is None and (self._moves or self._crossings):
                self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="pings-announce")
                self._draining = self._thread.submit(self._drain)

    async def close(self) -> None:
        """Deliver what is queued, then let go of the thread and its database connection."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.wrap_future(thread.submit(connections.close_all))
            thread.shutdown(wait=False)

    def _add(self, row: TupleRow, organisation_id: int) -> None:
        vehicle_id, version, was_low, is_low, latitude, longitude, speed, heading, soc, is_charging, at, soc_at = row
        if latitude is not None:
            self._moves[vehicle_id] = VehicleMove(
                vehicle_id, organisation_id, latitude, longitude, speed, heading, soc, is_charging, is_low, at
            )
        if is_low and not was_low:
            self._crossings.append(SocLow(vehicle_id, organisation_id, soc, version, soc_at))
        elif was_low and not is_low:
            self._crossings.append(SocRecovered(vehicle_id, organisation_id, soc, soc_at))

    def _take(self) -> list[object]:
        with self._lock:
            moves, crossings = self._moves, self._crossings
            self._moves, self._crossings = {}, []
            if not moves and not crossings:
                self._draining = None
            return [*([VehiclesMoved(tuple(moves.values()))] if moves else []), *crossings]

    def _drain(self) -> None:
        while events := self._take():
            try:
                publish_all(events)
            except Exception:  # the database went away; the latch is in the row, sweeps find it
                logger.exception("%d telemetry events were not announced", len(events))
            finally:
                close_old_connections()
            time.sleep(PAUSE_SECONDS)
