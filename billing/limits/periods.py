"""When a limit's period begins. Pure."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SESSION, DAY, WEEK, MONTH = "session", "day", "week", "month"


def starts(at: datetime, zone: ZoneInfo) -> dict[str, date]:
    """The first day of the day, the week (Monday) and the month that `at` is in, on the fleet's calendar."""
    today = at.astimezone(zone).date()
    return {DAY: today, WEEK: today - timedelta(days=today.weekday()), MONTH: today.replace(day=1)}


def zone_of(name: str) -> ZoneInfo:
    """The fleet's zone; India's when somebody wrote nonsense."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("Asia/Kolkata")
