"""What hot paths committed, told to its subscribers a moment later, by a thread of its own and many facts at once."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections, connections

from fleetcharge.lib.events import deliver

MOST_WAITING = 100_000

logger = logging.getLogger(__name__)


class Announcer:
    """Takes events that were set aside. The first are told at once, and what comes within `every_seconds` together.

    What a process that dies has not told is found by the sweeps, as with every event.
    """

    def __init__(self, name: str, *, every_seconds: float = 0.1) -> None:
        self._name, self._every_seconds = name, every_seconds
        self._lock = threading.Lock()
        self._waiting: list[object] = []
        self._is_telling = False
        self._is_closing = threading.Event()
        self._pool: ThreadPoolExecutor | None = None

    def announce(self, events: Sequence[object]) -> None:
        """Returns at once and never fails, as what happened is committed; from any thread."""
        if not events:
            return
        with self._lock:
            self._keep(events)
            if self._is_telling:
                return
            try:
                self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix=self._name)
                self._pool.submit(self._tell)
            except RuntimeError:  # no thread to be had; the next one may have more luck
                logger.exception("%s: %d events have to wait", self._name, len(self._waiting))
            else:
                self._is_telling = True

    def _keep(self, events: Sequence[object]) -> None:
        """Behind subscribers that take for ever the oldest are left to the sweeps."""
        self._waiting += events
        if (too_many := len(self._waiting) - MOST_WAITING) > 0:
            del self._waiting[:too_many]
            logger.warning("%s: %d events were not told, too many wait", self._name, too_many)

    def close(self) -> None:
        """Tell what waits and let go of the thread and its database connection; whoever announces later starts anew."""
        self._is_closing.set()
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.submit(connections.close_all).result()
            pool.shutdown()
        self._is_closing.clear()

    def _tell(self) -> None:
        while events := self._taken():
            close_old_connections()
            try:
                deliver(events)
            except Exception:
                logger.exception("%s: %d events were not told", self._name, len(events))
            finally:
                close_old_connections()
            self._is_closing.wait(self._every_seconds)

    def _taken(self) -> list[object]:
        with self._lock:
            events, self._waiting = self._waiting, []
            self._is_telling = bool(events)
        return events
