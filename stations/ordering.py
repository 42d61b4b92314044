"""Which of two words of one source is the newer, though its clock may be wrong. Pure."""

from datetime import datetime, timedelta

AHEAD_AT_MOST = timedelta(minutes=2)


def believed(said_at: datetime, received_at: datetime) -> datetime:
    """When it was said, by a clock that is ahead by no more than that: the order of its own words stays."""
    return min(said_at, received_at + AHEAD_AT_MOST)


def is_older(new: datetime | None, held: datetime | None, now: datetime) -> bool:
    """Whether something newer than `new` is held. A held time that lies ahead of `now` outranks nothing: one message
    of a clock that is years ahead must not silence its source for years.
    """
    return new is not None and held is not None and new < held <= now + AHEAD_AT_MOST
