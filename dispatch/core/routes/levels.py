"""Levels: the most charge a vehicle can have at a place by each instant, as a broken line that only rises.

A level is two rows, instants (rising strictly) and Wh (never falling). Before its first point the place cannot be
reached; after its last one the charge stays, since waiting is allowed. What a vehicle can do turns levels into levels
without error, so a plan found with them is the best there is: driving shifts them, and charging lifts them
(`charged`).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from dispatch.core.curves import line_at

NEVER = float("inf")
TINY = 1e-6
"""Wh and seconds (or paise) that make no difference."""


class Level(NamedTuple):
    at: list[float]
    wh: list[float]


class Gauge(NamedTuple):
    """A charge curve on the axis of the search (seconds, or paise), from empty."""

    at: Sequence[float]
    wh: Sequence[float]


Window = tuple[float, float]
ALWAYS: tuple[Window, ...] = ((0.0, NEVER),)


def first_with(level: Level, wh: float) -> float:
    """The first instant with that charge; NEVER when it does not come to it."""
    if wh <= level.wh[0]:
        return level.at[0]
    if wh > level.wh[-1]:
        return level.at[-1] if wh <= level.wh[-1] + TINY else NEVER
    right = bisect_left(level.wh, wh)
    low, high = level.wh[right - 1], level.wh[right]
    return level.at[right - 1] + (wh - low) / (high - low) * (level.at[right] - level.at[right - 1])


def driven(level: Level, takes: float, wh: float, least_wh: float) -> Level | None:
    """After a drive that takes so long and so much, arriving with `least_wh` or more."""
    needs = wh + least_wh
    first = first_with(level, needs)
    if first == NEVER:
        return None
    skip = bisect_right(level.at, first)
    at = [first + takes, *[t + takes for t in level.at[skip:]]]
    return Level(at, [max(needs, level.wh[0]) - wh, *[e - wh for e in level.wh[skip:]]])


def not_before(level: Level, instant: float) -> Level:
    """Those who come earlier wait."""
    if level.at[0] >= instant:
        return level
    skip = bisect_right(level.at, instant)
    return Level([instant, *level.at[skip:]], [line_at(level.at, level.wh, instant), *level.wh[skip:]])


def not_after(level: Level, instant: float) -> Level | None:
    """Who comes later is turned away."""
    if level.at[0] > instant + TINY:
        return None
    if level.at[-1] <= instant:
        return level
    keep = max(1, bisect_left(level.at, instant))
    end = [] if level.at[keep - 1] >= instant else [(instant, line_at(level.at, level.wh, instant))]
    return Level([*level.at[:keep], *[t for t, _ in end]], [*level.wh[:keep], *[e for _, e in end]])


def covers(level: Level, other: Level) -> bool:
    """Whether `level` is as good as `other` at every instant."""
    at, wh = level
    other_at, other_wh = other
    if at[0] > other_at[0] + TINY or wh[-1] < other_wh[-1] - TINY:
        return False
    if any(line_at(at, wh, t) < e - TINY for t, e in zip(other_at, other_wh, strict=True)):
        return False
    inside = bisect_right(at, other_at[0])
    return all(e >= line_at(other_at, other_wh, t) - TINY for t, e in zip(at[inside:], wh[inside:], strict=True))


def charged(arrival: Level, gauge: Gauge, windows: Sequence[Window] = ALWAYS) -> Level | None:
    """What can be had at a charger that works in `windows` (in order and apart), from what one arrives with.

    None when it never opens again.
    """
    level: Level | None = None
    for opens, closes in windows:
        if arrival.at[0] >= closes:
            continue
        if level is None:
            level = _lifted(not_before(arrival, opens), gauge, closes)
        else:
            level = _joined(level, opens, _lifted(_at_least(not_before(arrival, opens), level.wh[-1]), gauge, closes))
    return level


def _at_least(level: Level, wh: float) -> Level:
    """Whoever has less has this much: charged before."""
    first = first_with(level, wh)
    if wh <= level.wh[0]:
        return level
    if first == NEVER:
        return Level([level.at[0]], [wh])
    skip = bisect_right(level.at, first)
    start = [level.at[0]] if first > level.at[0] else []
    return Level([*start, first, *level.at[skip:]], [wh] * (len(start) + 1) + level.wh[skip:])


def _joined(level: Level, opens: float, later: Level) -> Level:
    """`level` up to an instant, `later` from there: a step up, as steep as makes no difference."""
    keep = bisect_left(level.at, opens - TINY)
    out = _Line(Level(level.at[:keep], level.wh[:keep]))
    out.add(opens - TINY, level.wh[-1])
    return Level([*out.at, *later.at], [*out.wh, *later.wh])


def _lifted(arrival: Level, gauge: Gauge, closes: float) -> Level:
    """Charging from the first instant of `arrival` until `closes`; who comes later is too late.

    Measured on the gauge, a charging vehicle advances with the clock, so the best is the running maximum of "gauge
    reading minus clock" over the instants one could have begun at.
    """
    arrival = not_after(arrival, closes) or arrival
    if arrival.wh[0] >= gauge.wh[-1]:  # fuller than the plug can make it
        return arrival
    out = _Line()
    best = -NEVER
    before = 0.0, 0.0  # instant, lead
    for instant, wh, reading in _readings(arrival, gauge):
        lead = reading - instant
        if best == -NEVER:
            out.add(instant, wh)
        elif lead <= best:
            out.follow(gauge, before[0], instant, best)
        else:
            start, lag = before
            if lag < best:  # who arrives later overtakes who charges since
                start += (best - lag) / (lead - lag) * (instant - start)
                out.follow(gauge, before[0], start, best)
            out.add(instant, wh)
        best = max(best, lead)
        before = instant, lead
    out.follow(gauge, before[0], max(before[0], closes), best)
    return _topped(Level(out.at, out.wh), arrival)


def _readings(arrival: Level, gauge: Gauge) -> list[tuple[float, float, float]]:
    """The arrival's points with their readings, up to a full gauge, and where the gauge bends between them."""
    points: list[tuple[float, float, float]] = []
    last_at, last_wh = arrival.at[0], arrival.wh[0]
    for instant, wh in zip(arrival.at, arrival.wh, strict=True):
        if wh > last_wh:
            slope = (instant - last_at) / (wh - last_wh)
            for bend in range(bisect_right(gauge.wh, last_wh), bisect_left(gauge.wh, wh)):
                at = last_at + (gauge.wh[bend] - last_wh) * slope
                points.append((at, gauge.wh[bend], gauge.at[bend]))
        points.append((instant, wh, line_at(gauge.wh, gauge.at, wh)))
        last_at, last_wh = instant, wh
    return [one for one in points if one[1] <= gauge.wh[-1]]


def _topped(level: Level, arrival: Level) -> Level:
    """Who arrives fuller than the plug makes it keeps what he has."""
    if arrival.wh[-1] <= level.wh[-1] + TINY:
        return level
    out = _Line(level)
    top = level.wh[-1]
    start = first_with(arrival, top)
    out.add(max(start, level.at[-1]), top)
    for instant, wh in zip(arrival.at, arrival.wh, strict=True):
        if wh > top:
            out.add(instant, wh)
    return Level(out.at, out.wh)


class _Line:
    """A level while it grows."""

    def __init__(self, level: Level | None = None) -> None:
        self.at = list(level.at) if level else []
        self.wh = list(level.wh) if level else []

    def add(self, instant: float, wh: float) -> None:
        if not self.at or instant > self.at[-1]:
            self.at.append(instant)
            self.wh.append(max(wh, self.wh[-1]) if self.wh else wh)
        elif wh > self.wh[-1]:
            self.wh[-1] = wh

    def follow(self, gauge: Gauge, start: float, end: float, lead: float) -> None:
        """Charge from `start` to `end` with the gauge `lead` ahead of the clock."""
        bend = bisect_right(gauge.at, start + lead)
        while bend < len(gauge.at) and gauge.at[bend] <= end + lead:
            self.add(gauge.at[bend] - lead, gauge.wh[bend])
            bend += 1
        if end < NEVER:
            self.add(end, line_at(gauge.at, gauge.wh, end + lead))
