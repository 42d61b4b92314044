"""What the clock on the wall of a location says, in whole seconds; offsets of a zone are kept by day. Pure."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_PER_DAY = 86_400
FIRST_ORDINAL = EPOCH.toordinal()
PROBE_EVERY_S = 900
"""No zone changes its clock twice in a quarter of an hour."""


@lru_cache(maxsize=16_384)
def offsets(tz: tzinfo, day: int) -> tuple[tuple[int, int], ...]:
    """(until that second of the UTC day, seconds east of UTC); `day` since 1970. Nearly always one."""
    first, found = day * SECONDS_PER_DAY, []
    known = _east(tz, first)
    for second in range(PROBE_EVERY_S, SECONDS_PER_DAY + 1, PROBE_EVERY_S):
        east = _east(tz, first + second)
        if east != known:
            changes_at = _change(tz, first + second - PROBE_EVERY_S, first + second) - first
            if changes_at < SECONDS_PER_DAY:  # midnight belongs to the next day
                found.append((changes_at, known))
                known = east
    return (*found, (SECONDS_PER_DAY, known))


def _east(tz: tzinfo, second: int) -> int:
    offset = (EPOCH + timedelta(seconds=second)).astimezone(tz).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _change(tz: tzinfo, low: int, high: int) -> int:
    """The first second of the later offset."""
    before = _east(tz, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _east(tz, middle) == before else (low, middle)
    return high
