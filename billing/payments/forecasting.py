"""What a fleet will spend in the next hours, from the same hours of the weeks before. Pure."""

from collections.abc import Mapping
from math import ceil

HOURS_OF_A_WEEK = 168
PERCENTILE = 90


def forecast_paise(spend: Mapping[int, int], *, first_hour: int, hours: int, weeks: int) -> int:
    """The sum of the 90th percentiles of each hour of the week. `spend`: paise by hour since the epoch.

    Hours without spend count as 0 from the first week in which there was any; without history it is 0.
    """
    known = [hour for hour, paise in spend.items() if paise and hour < first_hour]
    if not known:
        return 0
    seen_weeks = min(weeks, ceil((first_hour - min(known)) / HOURS_OF_A_WEEK))
    return sum(_percentile(_same_hour(spend, first_hour + offset, first_hour, seen_weeks)) for offset in range(hours))


def _same_hour(spend: Mapping[int, int], hour: int, before: int, weeks: int) -> list[int]:
    """The same hour of earlier weeks, only such as are over."""
    ago = hour
    while ago >= before:
        ago -= HOURS_OF_A_WEEK
    return [spend.get(ago - week * HOURS_OF_A_WEEK, 0) for week in range(weeks)]


def _percentile(values: list[int]) -> int:
    """Nearest rank."""
    return sorted(values)[ceil(PERCENTILE * len(values) / 100) - 1]
