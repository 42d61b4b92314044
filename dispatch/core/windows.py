"""Stretches of time at a plug, in seconds from now: those free between promises, and the one that a plan keeps."""

from collections.abc import Sequence
from math import inf

Window = tuple[float, float]
EVER: Window = (0.0, inf)
DAY_SECONDS = 86_400.0
LEAST_SECONDS = 600.0
"""In less nobody plugs in, charges and leaves."""
MOST_GAPS = 3
"""Of one plug so many are looked at."""
AT_ONCE_SECONDS = 300.0
"""What begins so soon begins now."""
EARLY_SECONDS, LATE_SECONDS, AFTER_SECONDS = 600.0, 900.0, 600.0
"""A place is kept so long before its vehicle is expected, for one that is late, and after it is done."""
UNSURE_SHARE = 0.15
"""Or so much of the time until it comes, where that is more: the farther ahead, the less is known."""


def free(promised: Sequence[Window]) -> list[Window]:
    """Between promises, in order, within the next day; the last one has no end."""
    gaps: list[Window] = []
    since = 0.0
    for begins, ends in sorted(promised):
        gaps += [(since, begins)] if begins - since >= LEAST_SECONDS else []
        since = max(since, ends)
    gaps += [(since, inf)] if since < DAY_SECONDS else []
    return gaps[:MOST_GAPS]


def within(hours: Sequence[Window] | None, gap: Window) -> tuple[Window, ...] | None:
    """What is left of opening hours in a gap. None: always, of the hours as of the answer; no hours: never."""
    if gap == EVER:
        return None if hours is None else tuple(hours)
    opened = (EVER,) if hours is None else hours
    cut = [(max(opens, gap[0]), min(closes, gap[1])) for opens, closes in opened]
    return tuple((opens, closes) for opens, closes in cut if closes > opens)


def lateness(plug_in: float) -> float:
    """How much later than expected a vehicle may come and still find its place."""
    return max(LATE_SECONDS, UNSURE_SHARE * plug_in)


def kept(*, plug_in: float, done: float, gap: Window = EVER, at_least: float = 0.0) -> Window:
    """From when to when a place is kept for a charge, within its gap: so long at least."""
    begins = plug_in - max(EARLY_SECONDS, UNSURE_SHARE * plug_in)
    begins = begins if begins > AT_ONCE_SECONDS else 0.0
    ends = max(done + max(AFTER_SECONDS, UNSURE_SHARE * plug_in), plug_in + lateness(plug_in))
    return max(begins, gap[0]), min(max(ends, begins + at_least), gap[1])
