"""The days a report is about: whole days by the fleet's clock, both ends included."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

USUAL_DAYS, MOST_DAYS = 30, 366


@dataclass(frozen=True)
class Period:
    first: date
    last: date
    zone: ZoneInfo

    @property
    def since(self) -> datetime:
        return midnight(self.first, self.zone)

    @property
    def until(self) -> datetime:
        return midnight(self.last + timedelta(days=1), self.zone)

    def months(self) -> Iterator["Period"]:
        """Its months, the first and the last as far as they belong to it."""
        first = self.first
        while first <= self.last:
            following = (first.replace(day=1) + timedelta(days=31)).replace(day=1)
            yield Period(first, min(self.last, following - timedelta(days=1)), self.zone)
            first = following

    @property
    def month(self) -> str:
        return f"{self.first:%Y-%m}"


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def usual(today: date, zone: ZoneInfo) -> Period:
    return Period(today - timedelta(days=USUAL_DAYS - 1), today, zone)
