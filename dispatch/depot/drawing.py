"""A night as it is drawn: plugs along the hours, what they draw together under the limit, prices. No queries."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone

from dispatch.core.depot import SLOT_SECONDS
from dispatch.depot.clock import SLOT
from dispatch.depot.models import NightPlan
from dispatch.depot.nights import UNLIMITED_W

WIDTH, LEFT, MARGIN = 960, 112, 14
"""Of the drawing, in its own units; the plugs' names before it, room for the last hour's name."""
TOP, ROW, LOAD, BAND = 24, 36, 92, 14
"""The hours, a row per plug, the power of all of them, and the prices below."""
LETTER = 7.2
Rows = Sequence[Mapping[str, Any]]


class Bar(NamedTuple):
    """`kind`: stay or charge."""

    x: float
    width: float
    kind: str
    title: str
    is_short: bool = False
    plate: str = ""


class PlugRow(NamedTuple):
    name: str
    y: int
    bars: list[Bar]


class Price(NamedTuple):
    """One price, as long as it holds; `tone`: low, mid or high of this night."""

    x: float
    width: float
    tone: str
    paise_per_kwh: int
    title: str


@dataclass(frozen=True)
class Drawing:
    """`limit`: points of the site's limit, "" where nobody shares its power."""

    plugs: list[PlugRow]
    hours: list[tuple[float, datetime]]
    load: str
    limit: str
    most_w: int
    load_y: int
    prices: list[Price]
    now_x: float | None
    height: int
    width: int = WIDTH + MARGIN

    @property
    def load_end(self) -> int:
        return self.load_y + LOAD

    @property
    def band_y(self) -> int:
        return self.load_end + 6


def draw(plan: NightPlan, places: Mapping[int, str], *, now: datetime) -> Drawing:
    """In the place's own time, which is the active one. `places`: names of the EVSEs to draw, in their order."""
    axis = Axis(plan.starts_at, len(plan.snapshot["limits_w"]))
    stays: Rows = plan.result["stays"]
    load, limits = load_of(stays, axis), [float(watts) for watts in plan.snapshot["limits_w"]]
    is_limited = max(limits) < UNLIMITED_W
    most_w = max([1.0, *load, *(limits if is_limited else [])])
    load_y = TOP + ROW * len(places) + 18
    return Drawing(
        plugs=[_plug(name, number, evse_id, stays, axis) for number, (evse_id, name) in enumerate(places.items())],
        hours=list(axis.hours()), load=_area(load, axis, most_w, load_y),
        limit=_line(limits, axis, most_w, load_y) if is_limited else "", most_w=round(most_w), load_y=load_y,
        prices=list(_prices(plan.snapshot["paise_per_kwh"], axis)),
        now_x=axis.x(now) if axis.begins_at <= now < axis.ends_at else None, height=load_y + LOAD + BAND + 10,
    )  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """The slots of the night from left to right."""

    begins_at: datetime
    slots: int

    @property
    def ends_at(self) -> datetime:
        return self.begins_at + self.slots * SLOT

    def x(self, at: datetime) -> float:
        share = (at - self.begins_at) / (self.ends_at - self.begins_at)
        return round(LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT), 1)

    def at(self, slot: int) -> float:
        return self.x(self.begins_at + slot * SLOT)

    def slots_of(self, since: str, until: str) -> range:
        first, last = ((moment(one) - self.begins_at) // SLOT for one in (since, until))
        return range(max(0, first), min(self.slots, last))

    def hours(self) -> Iterator[tuple[float, datetime]]:
        """Full ones."""
        at = timezone.localtime(self.begins_at).replace(minute=0, second=0, microsecond=0)
        while at <= self.ends_at:
            if at >= self.begins_at:
                yield self.x(at), at
            at += timedelta(hours=1)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def load_of(stays: Rows, axis: Axis) -> list[float]:
    """Watts of every slot, of all plugs together."""
    load = [0.0] * axis.slots
    for row in stays:
        for since, until, watts in row["charges"]:
            for slot in axis.slots_of(since, until):
                load[slot] += watts
    return load


def cost_paise(row: Mapping[str, Any], plan: NightPlan) -> int:
    """What a vehicle's night costs at the prices by which it was planned."""
    axis, prices = Axis(plan.starts_at, len(plan.snapshot["paise_per_kwh"])), plan.snapshot["paise_per_kwh"]
    paise: float = sum(
        watts * SLOT_SECONDS / 3600 / 1000 * prices[slot]
        for since, until, watts in row["charges"]
        for slot in axis.slots_of(since, until)
    )
    return round(paise)


def told(charge: Sequence[Any]) -> str:
    begins, ends = (timezone.localtime(moment(at)) for at in charge[:2])
    return f"{begins:%H:%M}–{ends:%H:%M} {charge[2] / 1000:.1f} kW"


def _plug(name: str, number: int, evse_id: int, stays: Rows, axis: Axis) -> PlugRow:
    here = [row for row in stays if row["evse"] == evse_id]
    return PlugRow(name, TOP + number * ROW, [bar for row in here for bar in _bars(row, axis)])


def _bars(row: Mapping[str, Any], axis: Axis) -> Iterator[Bar]:
    """Where it stands, with its plate where there is room, and when it charges."""
    is_short, plate = bool(row["missing_wh"]), str(row["registration"])
    since, until = row.get("stands") or (row["arrives_at"], row["leaves_at"])
    left, width = _span(since, until, axis)
    yield Bar(left, width, "stay", plate, is_short, plate if width > LETTER * len(plate) else "")
    for charge in row["charges"]:
        yield Bar(*_span(charge[0], charge[1], axis), "charge", f"{plate} {told(charge)}", is_short)


def _span(since: str, until: str, axis: Axis) -> tuple[float, float]:
    left, right = axis.x(moment(since)), axis.x(moment(until))
    return left, round(max(0.0, right - left), 1)


def _corners(values: Sequence[float], axis: Axis, most: float, top: int) -> Iterator[str]:
    for slot, value in enumerate(values):
        y = round(top + LOAD * (1 - value / most), 1)
        yield from (f"{axis.at(slot)},{y}", f"{axis.at(slot + 1)},{y}")


def _line(values: Sequence[float], axis: Axis, most: float, top: int) -> str:
    return " ".join(_corners(values, axis, most, top))


def _area(values: Sequence[float], axis: Axis, most: float, top: int) -> str:
    bottom = top + LOAD
    return f"{axis.at(0)},{bottom} {_line(values, axis, most, top)} {axis.at(axis.slots)},{bottom}"


def _prices(paise: Sequence[float], axis: Axis) -> Iterator[Price]:
    low, high = min(paise), max(paise)
    for first, last in _runs(paise):
        tone = "low" if paise[first] == low else "high" if paise[first] == high else "mid"
        left, right = axis.at(first), axis.at(last)
        begins, ends = (timezone.localtime(axis.begins_at + slot * SLOT) for slot in (first, last))
        yield Price(left, round(right - left, 1), tone, round(paise[first]), f"{begins:%H:%M}–{ends:%H:%M}")


def _runs(values: Iterable[float]) -> list[tuple[int, int]]:
    """Slots of equal value: from, to."""
    runs: list[tuple[int, int]] = []
    before: float | None = None
    for slot, value in enumerate(values):
        if value == before:
            runs[-1] = runs[-1][0], slot + 1
        else:
            runs.append((slot, slot + 1))
        before = value
    return runs
