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
        at = datetime.fromisoformat(raw.upper())  # RFC 3339 knows a small t and z, too
        return believed(at, received_at=received_at, ahead=ahead)
    except (ValueError, OverflowError):
        return received_at


def believed(at: datetime, *, received_at: datetime, ahead: timedelta = ON_TIME) -> datetime:
    """As `parse_instant`, of a time that was read; raises OverflowError at the end of time."""
    if at.tzinfo is not UTC:
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if ahead:
        at -= ahead
    return at if EARLIEST <= at <= received_at + MAX_AHEAD else received_at


def parse_date(raw: object) -> datetime | None:
    """Any instant, past or to come, in UTC; None for what is unreadable."""
    try:
        at = datetime.fromisoformat(raw.upper()) if isinstance(raw, str) else None
        return at and (at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def to_wire(at: datetime) -> str:
    """UTC with Z and milliseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
