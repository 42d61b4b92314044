"""A circuit breaker: a gateway that fails is left alone for a while, then one call finds out for all."""

import threading
import time
from collections.abc import Callable


class Breaker:
    """Opens after `failures` in a row for `rest_s`; then one trial is let through. Thread-safe, one per gateway."""

    def __init__(self, *, failures: int = 5, rest_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures, self._rest_s, self._clock = failures, rest_s, clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        with self._lock:
            return self._clock() < self._open_until

    def may_try(self) -> bool:
        """Whether this call may go out; after the rest only one caller hears yes, until its outcome is known."""
        with self._lock:
            now = self._clock()
            if now < self._open_until:
                return False
            if self._in_a_row >= self._failures:  # this caller is the trial, the others rest on
                self._open_until = now + self._rest_s
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._in_a_row, self._open_until = 0, 0.0

    def failed(self) -> None:
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row >= self._failures:
                self._open_until = self._clock() + self._rest_s

    def rest(self, seconds: float) -> None:
        """The gateway itself asked us to wait (429 with Retry-After)."""
        with self._lock:
            self._open_until = max(self._open_until, self._clock() + seconds)
