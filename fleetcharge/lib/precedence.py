"""What somebody waits for goes first: while it is worked on, sweeps of this process stand aside between two rows.

Threads share one interpreter: beside four sweeps a plan takes four times as long.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

from django.db import transaction

MOST_SECONDS, SHARE = 2.0, 0.5
"""A sweep waits this long in one go, and half of its time where there is always somebody in a hurry."""


class Precedence:
    """Of one process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in_a_hurry = 0
        self._own = _OfThread()

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """For work that computes: who waits for a network is in nobody's way. Also as a decorator."""
        before, self._own.is_hurried = self._own.is_hurried, True
        self._count(1)
        try:
            yield
        finally:
            self._own.is_hurried = before
            self._count(-1)

    def stand_aside(self) -> None:
        """Between two rows of a sweep; not inside a transaction, whose locks somebody may wait for."""
        if not self._in_a_hurry or self._own.is_hurried or transaction.get_connection().in_atomic_block:
            return
        patience, began = self._own.patience(time.monotonic()), time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: not self._in_a_hurry, timeout=patience)
        self._own.has_waited(patience, began, time.monotonic())

    def _count(self, step: int) -> None:
        with self._changed:
            self._in_a_hurry += step
            self._changed.notify_all()


class _OfThread(threading.local):
    is_hurried = False
    _left, _at = MOST_SECONDS, 0.0

    def patience(self, now: float) -> float:
        return min(MOST_SECONDS, self._left + (now - self._at) * SHARE)

    def has_waited(self, patience: float, began: float, now: float) -> None:
        self._left, self._at = max(0.0, patience - (now - began)), now


_precedence = Precedence()
hurried, stand_aside = _precedence.hurried, _precedence.stand_aside
