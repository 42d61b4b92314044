"""Failed handshakes are counted, so that nobody tries keys all night; memory stays bounded."""

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_KEYS = 10_000


class Throttle:
    """At most `limit` failures per key in a sliding-by-window `seconds`; the oldest key is forgotten when full."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._seconds, self._clock = limit, seconds, clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def is_blocked(self, key: str) -> bool:
        started, count = self._failures.get(key, (0.0, 0))
        return count >= self._limit and self._clock() - started < self._seconds

    def fail(self, key: str) -> None:
        now = self._clock()
        started, count = self._failures.pop(key, (now, 0))
        if now - started >= self._seconds:
            started, count = now, 0
        self._failures[key] = (started, count + 1)
        if len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def forgive(self, key: str) -> None:
        self._failures.pop(key, None)
