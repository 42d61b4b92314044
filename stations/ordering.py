"""Which of two words of one source is the newer, though its clock may be wrong. Pure."""

from datetime import datetime, timedelta

AHEAD_AT_MOST = timedelta(minutes=2)
STEADILY_AHEAD_AT_MOST = timedelta(days=1)
"""A clock that is always ahead, such as Indian time that is called UTC (5:30), still orders its own words."""


def believed(said_at: datetime, received_at: datetime) -> datetime:
    """When it was said, by a clock that is ahead by no more than that: the order of its own words stays."""
    return min(said_at, received_at + AHEAD_AT_MOST)


def is_older(new: datetime | None, held: datetime | None, now: datetime) -> bool:
    """Whether something newer than `new` is held. A held time that lies ahead of `now` outranks only what is ahead,
    too, and none by more than a day: one message of a clock that is years ahead must not silence its source for years.
    """
    if new is None or held is None or new >= held:
        return False
    limit = now + AHEAD_AT_MOST
    return held <= limit or (new > limit and held <= now + STEADILY_AHEAD_AT_MOST)
