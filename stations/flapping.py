"""A plug that blinks: how often a status may swing before it is held still (MinimumStatusDuration). Pure."""

from datetime import datetime, timedelta

SWINGS_ALLOWED = 15
ONE_FORGOTTEN_EVERY = timedelta(seconds=20)
CALM_AFTER = timedelta(seconds=30)


def swings(level: float, last_at: datetime | None, at: datetime) -> float:
    """The leaky count of swings with the one at `at`; `level` was true after the one at `last_at`."""
    passed = (at - last_at) / ONE_FORGOTTEN_EVERY if last_at is not None and at > last_at else 0.0
    return max(0.0, level - passed) + 1.0


def is_too_many(level: float) -> bool:
    return level > SWINGS_ALLOWED
