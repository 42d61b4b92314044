"""Which day a ping belongs to: days end at midnight in India, where vehicles sleep; imports no Django."""

from datetime import UTC, date, datetime, timedelta

from vehicles.fixes import DAY, SECOND

INDIA_AHEAD_US = 19_800 * SECOND
_EPOCH_DAY = date(1970, 1, 1)


def day_number(at_us: int) -> int:
    """Days since 1970 by India's clock."""
    return (at_us + INDIA_AHEAD_US) // DAY


def begin_of(number: int) -> int:
    """Its first instant, in microseconds since 1970."""
    return number * DAY - INDIA_AHEAD_US


def day_of(number: int) -> date:
    return _EPOCH_DAY + timedelta(days=number)


def span_of(day: date) -> tuple[datetime, datetime]:
    """The first instant of the day and of the next one, in UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(microseconds=INDIA_AHEAD_US)
    return start, start + timedelta(days=1)
