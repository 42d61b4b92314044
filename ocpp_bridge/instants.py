"""Station time: read with suspicion, written as OCPP wants it."""

from datetime import UTC, datetime, timedelta

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(days=1)
ON_TIME = timedelta(0)


def parse_instant(raw: object, *, received_at: datetime, ahead: timedelta = ON_TIME) -> datetime:
    """The station's time in UTC (no offset means UTC); `received_at` for what cannot be true.

    Before 2020 (a clock that lost its battery), more than a day ahead, or unreadable. `ahead`: how far the clocks of
    this model go wrong (a quirk).
    """
    if not isinstance(raw, str):
        return received_at
    try:
        at = datetime.fromisoformat(raw)
        if at.tzinfo is not UTC:
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        if ahead:
            at -= ahead
    except (ValueError, OverflowError):
        return received_at
    return at if EARLIEST <= at <= received_at + MAX_AHEAD else received_at


def parse_date(raw: object) -> datetime | None:
    """Any instant, past or to come, in UTC; None for what is unreadable."""
    try:
        at = datetime.fromisoformat(raw) if isinstance(raw, str) else None
        return at and (at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def to_wire(at: datetime) -> str:
    """UTC with Z and milliseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
