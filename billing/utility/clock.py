"""A billing period cut into the utility's blocks, and its day into time-of-day slots. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

ALL_DAY, DAY_MINUTES, QUARTER = "All day", 24 * 60, 15
MICROSECOND = timedelta(microseconds=1)


class BadSlots(ValueError):
    """The slots do not make up one day."""


@dataclass(frozen=True)
class Slot:
    """Local time, in minutes after midnight; it ends before `until`, which may lie on the next day."""

    name: str
    since: int
    until: int

    def covers(self, minute: int) -> bool:
        if self.since < self.until:
            return self.since <= minute < self.until
        return minute >= self.since or minute < self.until


def slots_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Slot, ...]:
    """`[{"name": "Peak", "from": "18:00", "to": "22:00"}, ...]`; none at all is one slot of the whole day.

    A name may come twice (morning and evening peak). Raises BadSlots unless each quarter of an hour is in exactly one.
    """
    if not rows:
        return (Slot(ALL_DAY, 0, DAY_MINUTES),)
    slots = []
    for row in rows:
        name = str(row.get("name") or "").strip()
        if not name or len(name) > 20:
            raise BadSlots("A slot needs a name of at most 20 letters.")
        slots.append(Slot(name, _minutes(row.get("from")), _minutes(row.get("to")) or DAY_MINUTES))
    for minute in range(0, DAY_MINUTES, QUARTER):
        found = [slot.name for slot in slots if slot.covers(minute)]
        if len(found) != 1:
            told = " and ".join(found) or "no slot"
            raise BadSlots(f"{minute // 60:02d}:{minute % 60:02d} is in {told}.")
    return tuple(slots)


def _minutes(text: Any) -> int:
    hours, _, minutes = str(text or "").partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2):
        raise BadSlots(f"{text!r} is no time like 18:00.")
    total = int(hours) * 60 + int(minutes)
    if total > DAY_MINUTES or total % QUARTER:
        raise BadSlots(f"{text!r} is not on a quarter of an hour of the day.")
    return total % DAY_MINUTES


@dataclass(frozen=True)
class Grid:
    """Blocks of `minutes` from a local midnight on; numbers count real time, so a day may have 92 or 100 of them."""

    started_at: datetime
    ended_at: datetime
    minutes: int
    zone: tzinfo

    @property
    def count(self) -> int:
        return -((self.started_at - self.ended_at) // timedelta(minutes=self.minutes))

    def start_of(self, block: int) -> datetime:
        return self.started_at + block * timedelta(minutes=self.minutes)

    def overlaps(self, since: datetime, until: datetime) -> Iterator[tuple[int, int]]:
        """Each block that the time touches, and for how many microseconds; blocks may lie outside of the period."""
        width = timedelta(minutes=self.minutes)
        block = (since - self.started_at) // width
        while (start := self.start_of(block)) < until:
            yield block, (min(until, start + width) - max(since, start)) // MICROSECOND
            block += 1

    def is_inside(self, block: int) -> bool:
        return 0 <= block < self.count

    def slot_names(self, slots: Sequence[Slot]) -> list[str]:
        """The slot of every block, by the local time at which it begins."""
        by_minute: dict[int, str] = {}
        names = []
        for block in range(self.count):
            local = self.start_of(block).astimezone(self.zone)
            minute = local.hour * 60 + local.minute
            if minute not in by_minute:
                by_minute[minute] = next(slot.name for slot in slots if slot.covers(minute))
            names.append(by_minute[minute])
        return names

    def day_of(self, block: int) -> str:
        return self.start_of(block).astimezone(self.zone).date().isoformat()
