"""Nights in slots of a quarter of an hour, and prices by local time of day: no Django."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dispatch.core.depot import SLOT_SECONDS

SLOT = timedelta(seconds=SLOT_SECONDS)
AFTER_READY = timedelta(hours=4)
"""A night reaches so far beyond the hour at which all are ready: some leave later."""
Window = tuple[time, time, int]


@dataclass(frozen=True)
class Span:
    """One night: `on` is the evening's date."""

    on: date
    begins_at: datetime
    ready_at: datetime

    @property
    def ends_at(self) -> datetime:
        return self.ready_at + AFTER_READY


def night_at(now: datetime, *, night_from: time, ready_by: time, zone: ZoneInfo) -> Span | None:
    """The night that is running; None by day."""
    today = now.astimezone(zone).date()
    for on in (today, today - timedelta(days=1)):
        begins = datetime.combine(on, night_from, zone)
        ready = datetime.combine(on + timedelta(days=ready_by <= night_from), ready_by, zone)
        if begins <= now < ready + AFTER_READY:
            return Span(on, begins, ready)
    return None


def first_slot(now: datetime) -> datetime:
    """The quarter of an hour that is running."""
    return now - timedelta(seconds=now.timestamp() % SLOT_SECONDS)


def slot_of(at: datetime, first: datetime, *, is_end: bool = False) -> int:
    """The first full slot from `at` on; of what must be over by then, the slot after the last full one."""
    passed = (at - first).total_seconds() / SLOT_SECONDS
    return int(passed // 1) if is_end else int(-(-passed // 1))


def slot_at(first: datetime, number: int) -> datetime:
    return first + number * SLOT


def price_windows(rows: Iterable[Mapping[str, Any]]) -> list[Window]:
    """(from, to, paise per kWh); raises ValueError. One that ends before it begins goes over midnight."""
    return [_window(row) for row in rows]


def _window(row: Mapping[str, Any]) -> Window:
    try:
        begin, end = time.fromisoformat(str(row["from"])), time.fromisoformat(str(row["to"]))
        paise = row["paise_per_kwh"]
    except (KeyError, TypeError):
        raise ValueError("a price needs from, to and paise_per_kwh") from None
    if begin == end or begin.tzinfo or end.tzinfo:
        raise ValueError("a price has two different local times")
    if not isinstance(paise, int) or isinstance(paise, bool) or not 0 <= paise <= 100_000:
        raise ValueError("paise_per_kwh is a whole number up to 100000")
    return begin, end, paise


def prices(first: datetime, slots: int, windows: Sequence[Window], *, other: int, zone: ZoneInfo) -> list[float]:
    """Paise per kWh of every slot, as its beginning says; the first window that covers it counts."""
    return [float(_price(slot_at(first, n).astimezone(zone).time(), windows, other)) for n in range(slots)]


def _price(at: time, windows: Sequence[Window], other: int) -> int:
    for begin, end, paise in windows:
        if begin <= at < end if begin < end else at >= begin or at < end:
            return paise
    return other


def limits(first: datetime, slots: int, steps: Sequence[tuple[int, int]]) -> list[float]:
    """Watts of every slot: the lowest that holds within it. `steps`: (Unix second from which, watts), rising."""
    return [
        float(_lowest(slot_at(first, number).timestamp(), slot_at(first, number + 1).timestamp(), steps))
        for number in range(slots)
    ]


def _lowest(since: float, until: float, steps: Sequence[tuple[int, int]]) -> int:
    before = [watts for moment, watts in steps if moment <= since]
    within = [watts for moment, watts in steps if since < moment < until]
    return min([before[-1] if before else steps[0][1], *within])
