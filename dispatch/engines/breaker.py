"""Leaves a road engine alone that failed several times in a row, and tries it again with one question."""

import threading
import time
from collections.abc import Callable

FAILURES_TO_OPEN, OPEN_SECONDS = 3, 30.0


class Breaker:
    """Closed: everybody asks. Open: nobody does. After half a minute one may: its answer closes it, its failure opens
    it for as long again. Of one process, thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failures = 0
        self._open_until_s: float | None = None

    def may_ask(self) -> bool:
        """True at most once in each half minute while it is open: that one is the probe."""
        with self._lock:
            if self._open_until_s is None:
                return True
            if self._clock() < self._open_until_s:
                return False
            self._open_until_s = self._clock() + OPEN_SECONDS
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failures, self._open_until_s = 0, None

    def failed(self) -> bool:
        """True when this failure opened it."""
        with self._lock:
            self._failures += 1
            is_opened = self._failures == FAILURES_TO_OPEN
            if self._failures >= FAILURES_TO_OPEN:
                self._open_until_s = self._clock() + OPEN_SECONDS
            return is_opened
