"""Reading the many ways trackers write an instant."""

from datetime import UTC, datetime

SECONDS_END = 2**31  # Traccar's rule: a smaller number is seconds, a larger one milliseconds


def microseconds(value: float | str | None) -> int | None:
    """Microseconds since 1970 UTC from Unix seconds, Unix milliseconds or ISO 8601 with a zone; None if unreadable."""
    if isinstance(value, str):
        return _from_text(value)
    if value is None or not 0 < value < 1e14:
        return None
    return round(value * 1_000_000) if value < SECONDS_END else round(value * 1_000)


def _from_text(text: str) -> int | None:
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return microseconds(float(text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else to_microseconds(at)


def to_microseconds(at: datetime) -> int:
    """An aware datetime as microseconds since 1970 UTC, exactly."""
    delta = at - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
