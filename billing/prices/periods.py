"""The months of a subscription, and how many of their days belong to which plan: whole days, exact shares. Pure."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

CALENDAR = "calendar"


@dataclass(frozen=True)
class Span:
    """From `start` until before `end`."""

    start: date
    end: date

    @property
    def days(self) -> int:
        return max(0, (self.end - self.start).days)


@dataclass(frozen=True)
class Term:
    """From that day on by that plan version; of several the one with the highest `number` counts."""

    number: int
    starts_on: date
    version: int


@dataclass(frozen=True)
class Share:
    """So many days of a period belong to a plan version."""

    version: int
    days: int
    of_days: int

    def of(self, amount: int) -> Fraction:
        return Fraction(amount * self.days, self.of_days)


def period_of(cycle: str, anchor: date, day: date) -> Span:
    """The month that `day` is in: the calendar's, or the one counted from the anchor's day (or the month's last)."""
    if cycle == CALENDAR:
        first = day.replace(day=1)
        return Span(first, months_after(first, 1))
    count = (day.year - anchor.year) * 12 + day.month - anchor.month
    if months_after(anchor, count) > day:
        count -= 1
    return Span(months_after(anchor, count), months_after(anchor, count + 1))


def months_after(day: date, count: int) -> date:
    """31 January and one month is the last of February; and two are 31 March."""
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def periods(cycle: str, lived: Span) -> list[Span]:
    """All that `lived` touches, whole ones."""
    found, day = [], lived.start
    while day < lived.end:
        found.append(period_of(cycle, lived.start, day))
        day = found[-1].end
    return found


def shares(period: Span, lived: Span, terms: Sequence[Term]) -> list[Share]:
    """Whose days the period has, in order; days before the start and after the end belong to nobody."""
    span = Span(max(period.start, lived.start), min(period.end, lived.end))
    cuts = sorted({span.start, *(term.starts_on for term in terms if span.start < term.starts_on < span.end)})
    found = []
    for start, end in zip(cuts, [*cuts[1:], span.end], strict=True):
        version = version_on(terms, start)
        if version is not None and end > start:
            found.append(Share(version, (end - start).days, period.days))
    return found


def version_on(terms: Sequence[Term], day: date) -> int | None:
    begun = [term for term in terms if term.starts_on <= day]
    return max(begun, key=lambda term: term.number).version if begun else None


def day_before(day: date) -> date:
    return day - timedelta(days=1)
