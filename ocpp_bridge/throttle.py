"""Who knocks or talks too much is slowed down: failed handshakes are counted, floods wait. Memory stays bounded."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_KEYS = 10_000

CHARACTERS_FOR_ONE = 16 * 1024


class Bucket:
    """So many messages a second from one charger, after a burst: the rest waits in its socket, nothing is dropped.

    A long message counts as several: one for every 16 Ki characters beyond the first.

    The clock is only asked when the credit is used up. A charger that replays an outage waits for each answer and
    never notices; a rate of 0 means no limit.
    """

    __slots__ = ("_burst", "_clock", "_credit", "_filled_at", "_rate", "pauses")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._credit, self._filled_at, self.pauses = (burst if rate > 0 else math.inf), clock(), 0

    def spend(self, size: int = 0) -> bool:
        """Take what a message of `size` characters costs; False: so much credit is not left, and nothing was taken."""
        cost = 1 + size // CHARACTERS_FOR_ONE
        if self._credit < cost:
            return False
        self._credit -= cost
        return True

    def take(self, size: int = 0) -> float:
        """Take it all the same; how many seconds to wait before the next one is read, 0 nearly always."""
        self._credit -= 1 + size // CHARACTERS_FOR_ONE
        if self._credit >= 0:
            return 0.0
        now = self._clock()
        self._credit = min(self._burst, self._credit + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._credit >= 0:
            return 0.0
        self.pauses += 1
        return -self._credit / self._rate


class Throttle:
    """At most `limit` failures per key in a sliding-by-window `seconds`; the oldest key is forgotten when full."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._seconds, self._clock = limit, seconds, clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def is_blocked(self, key: str) -> bool:
        started, count = self._failures.get(key, (0.0, 0))
        return count >= self._limit and self._clock() - started < self._seconds

    def fail(self, key: str) -> bool:
        """Count one failure; True when it is the one that blocks the key."""
        now = self._clock()
        started, count = self._failures.pop(key, (now, 0))
        if now - started >= self._seconds:
            started, count = now, 0
        self._failures[key] = (started, count + 1)
        if len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)
        return count + 1 == self._limit

    def forgive(self, key: str) -> None:
        self._failures.pop(key, None)
