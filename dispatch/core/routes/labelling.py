"""The exact search: labels are ways along the route, charger by charger, with their levels; the best bound goes first.

After Froger, Mendoza, Jabali and Laporte (2019), "Improved formulations and algorithmic components for the electric
vehicle routing problem with nonlinear charging functions", with one change: a label's level at a charger holds every
amount that may have been charged before (the running maximum of levels.py), so one label stands for all switch points
and curves need not be concave. A label is dropped when another one at its place is at least as good at every instant,
or when even its bound is no better than a plan at hand.
"""

from collections.abc import Collection, Iterator
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from dispatch.core.curves import line_at
from dispatch.core.routes.ground import Array, Ground
from dispatch.core.routes.levels import (
    ALWAYS,
    NEVER,
    TINY,
    Gauge,
    Level,
    Window,
    charged,
    covers,
    driven,
    first_with,
    not_after,
    not_before,
)


class Label:
    """A way to a place: to `stop`, or (`charger` not -1) to a charger after that stop."""

    __slots__ = ("arrival", "before", "charger", "finish", "level", "stop")

    def __init__(
        self, stop: int, charger: int, level: Level, before: "Label | None", arrival: Level | None = None
    ) -> None:
        self.stop, self.charger, self.level, self.before, self.arrival = stop, charger, level, before, arrival
        self.finish = NEVER
        """What the route takes in all when it goes straight on from here."""


LABELS_AT_MOST = 1_000
"""Several times what the hardest routes take; beyond it the plan at hand is given out with its bound."""
MOST = 1e300
"""Anything but NEVER."""


class Charge(NamedTuple):
    """A visit of the best way: before which stop, at which charger, leaving with what."""

    before_stop: int
    charger: int
    departure_wh: float


class Found(NamedTuple):
    objective: float
    charges: tuple[Charge, ...]
    labels: int
    """How many were settled: what the search took."""
    bound: float
    """What no way can beat; the objective itself, unless the search was cut short."""


class Search:
    """One search on one ground. `among`: only over these chargers; None: over any."""

    def __init__(
        self, ground: Ground, labels_at_most: int = LABELS_AT_MOST, among: Collection[int] | None = None
    ) -> None:
        self.ground, self.labels_at_most = ground, labels_at_most
        self.barred = np.full(ground.count, among is not None)
        self.barred[list(among or ())] = False
        self.ahead = ground.ahead
        self.stops = ground.problem.stops
        self.has_windows = ground.is_timed and any(
            one.earliest_seconds is not None or one.latest_seconds is not None for one in self.stops
        )
        self.best = NEVER
        self.at_hand: Label | None = None
        self.heap: list[tuple[float, int, int, Label, int]] = []
        """Bound, the stop (negative), first come; the label, and the charger it is to be led to (-1: made already)."""
        self.pushed = 0
        self.settled: dict[tuple[int, int], list[Level]] = {}

    def run(self) -> Found | None:
        """The best way; None when there is none."""
        return self.run_from(self._begin())

    def begun_at(self, gap: int, c: int, wait_seconds: float) -> Label | None:
        """Straight to stop `gap`, and from there to a charger, where it waits for so long; None: it does not get there.

        On a ground that leaves the clock out.
        """
        label = self._begin()
        for _ in range(gap):
            label = label and self._gone_on(label, label.stop)
        more = (wait_seconds - self.ground.problem.chargers[c].wait_seconds) * self.ground.scale
        return label and self._arrived(label, c, more)

    def run_from(self, start: Label | None) -> Found | None:
        """The best of the ways that begin so."""
        if start is None:
            return None
        self._offer(start)
        count = 0
        while self.heap:
            bound, _, _, label, charger = heappop(self.heap)
            if count >= self.labels_at_most and self.at_hand is not None:
                return Found(self.best, tuple(self._traced(self.at_hand)), count, min(bound, self.best))
            if charger >= 0:
                self._arrive(label, charger)
                continue
            if self._is_done(label, bound):
                return Found(bound, tuple(self._traced(label)), count, bound)
            if self._settle(label):
                count += 1
                self._extend(label)
        return None

    def _begin(self) -> Label | None:
        problem = self.ground.problem
        level: Level | None = Level([0.0], [problem.start_wh])
        return Label(0, -1, level, None) if level and problem.start_wh >= self.ahead.onward[0] - TINY else None

    def _is_done(self, label: Label, bound: float) -> bool:
        """Whether going straight on is the best of all: nothing left in the heap promises less."""
        if label.charger < 0 and label.stop == self.ground.last:
            return True
        return not self.has_windows and label.finish <= bound + TINY

    def _settle(self, label: Label) -> bool:
        """Whether nobody at this place was as good before."""
        at_place = self.settled.setdefault((label.stop, label.charger), [])
        if any(covers(level, label.level) for level in at_place):
            return False
        at_place.append(label.level)
        return True

    def _offer(self, label: Label) -> None:
        """Into the heap with its bound: straight on, or over another charger."""
        ahead, level, i, c = self.ahead, label.level, label.stop, label.charger
        if c < 0:
            straight, wh, more, more_wh = ahead.straight[i], ahead.straight_wh[i], ahead.more[i], ahead.more_wh[i]
        else:
            straight, wh = ahead.straight_at[i][c], ahead.straight_wh_at[i][c]
            more, more_wh = ahead.more_at[i][c], ahead.more_wh_at[i][c]
        label.finish = first_with(level, wh) + straight
        if not self.has_windows and label.finish < self.best:
            self.best, self.at_hand = label.finish, label
        more += level.at[0] + max(0.0, more_wh - level.wh[0]) / self.ground.rate if self.ground.rate else NEVER
        self._push(min(label.finish, more), label, -1)

    def _push(self, bound: float, label: Label, charger: int) -> None:
        if bound < NEVER and bound <= self.best + TINY:
            self.pushed += 1
            heappush(self.heap, (bound, -label.stop, self.pushed, label, charger))

    def _extend(self, label: Label) -> None:
        ground, i = self.ground, label.stop
        if label.charger < 0 and i == ground.last:
            return
        place = i if label.charger < 0 else ground.last + 1 + label.charger
        self._go_on(label, place)
        if ground.count:
            for c, promise in self._promises(label, place):
                self._push(promise, label, c)

    def _promises(self, label: Label, place: int) -> Iterator[tuple[int, float]]:
        """What a visit to each charger can lead to at best, before its level is known."""
        far, ahead, level = self.ground.far[place], self.ground.far_ahead[label.stop], label.level
        leaves, wh = _departures(level, far.needs)
        begins = np.maximum(leaves + far.arcs + ahead.over, self.ground.opens)
        with np.errstate(invalid="ignore"):  # chargers without a road to them
            left = np.where(wh > far.needs, wh - far.wh, far.least)
        rate = self.ground.rate_array if len(level.at) == 1 else self.ground.rate
        missing = ahead.straight_wh - left
        straight = begins + np.maximum(0.0, missing) / rate + ahead.straight
        if len(level.at) == 1:  # all that is missing has to come from that charger
            straight[(ahead.straight_wh > ahead.top) & (missing > 0)] = NEVER
        more = begins + ahead.more + np.maximum(0.0, ahead.more_wh - left) / self.ground.rate
        promise = np.minimum(straight, more)
        promise[ahead.is_dead_end | self.barred] = NEVER
        if label.charger >= 0:
            promise[label.charger] = NEVER
        for c in np.flatnonzero(promise <= min(self.best + TINY, MOST)).tolist():
            yield c, float(promise[c])

    def _go_on(self, label: Label, place: int) -> None:
        if (on := self._gone_on(label, place)) is not None:
            self._offer(on)

    def _gone_on(self, label: Label, place: int) -> Label | None:
        """At the next stop of the route."""
        ground, j = self.ground, label.stop + 1
        least = max(ground.least[place][j], self.ahead.onward[j])
        level = driven(label.level, ground.arcs[place][j], ground.wh[place][j], least)
        if level is not None and ground.is_timed:
            level = _in_time(level, self.stops[j].earliest_seconds, self.stops[j].latest_seconds)
        if level is None:
            return None
        service = ground.service[j]
        done = Level([t + service for t in level.at], level.wh) if service else level
        return Label(j, -1, done, label)

    def _arrive(self, label: Label, c: int) -> None:
        if (there := self._arrived(label, c)) is not None:
            self._offer(there)

    def _arrived(self, label: Label, c: int, more: float = 0.0) -> Label | None:
        """Charging at a charger on the way to the next stop, with a wait that is so much longer."""
        ground, i = self.ground, label.stop
        place = i if label.charger < 0 else ground.last + 1 + label.charger
        there = ground.last + 1 + c
        arcs = ground.arcs[place][there] + ground.over[i][c] + more
        arrival = driven(label.level, arcs, ground.wh[place][there], ground.least[place][there])
        level = arrival and charged(arrival, ground.gauges[i][c], ground.windows[c])
        return None if arrival is None or level is None else Label(i, c, level, label, arrival)

    def _traced(self, label: Label) -> list[Charge]:
        """The charges of the way to `label`, from which it goes straight on."""
        ground, ahead, charges = self.ground, self.ahead, []
        i, c = label.stop, label.charger
        wh = ahead.straight_wh[i] if c < 0 else ahead.straight_wh_at[i][c]
        is_end = label.charger < 0 and label.stop == ground.last
        instant = label.level.at[0] if is_end else first_with(label.level, wh)
        at: Label | None = label
        while at is not None and at.before is not None:
            place = at.before.stop if at.before.charger < 0 else ground.last + 1 + at.before.charger
            if at.charger < 0:
                instant = self._left(at, instant) - ground.arcs[place][at.stop]
            else:
                departure_wh = line_at(at.level.at, at.level.wh, instant)
                charges.append(Charge(at.stop + 1, at.charger, departure_wh))
                instant = self._began(at, instant) - ground.over[at.stop][at.charger]
                instant -= ground.arcs[place][ground.last + 1 + at.charger]
            at = at.before
        return charges[::-1]

    def _left(self, label: Label, instant: float) -> float:
        """When it must have arrived at a stop to be through with it by `instant`."""
        latest = self.stops[label.stop].latest_seconds if self.ground.is_timed else None
        arrived = instant - self.ground.service[label.stop]
        return arrived if latest is None else min(arrived, latest)

    def _began(self, label: Label, instant: float) -> float:
        """The instant to begin charging at for the most charge by `instant`."""
        assert label.arrival is not None  # noqa: S101 (labels at chargers have one)
        gauge, windows = self.ground.gauges[label.stop][label.charger], self.ground.windows[label.charger]
        if len(label.arrival.at) == 1 and windows is ALWAYS:  # nobody gains by beginning later than on arrival
            return min(label.arrival.at[0], instant)
        begins = [t for t in _beginnings(label.arrival, gauge, windows) if t <= instant] or [instant]
        reached = [(_charged_by(label.arrival, gauge, windows, t, instant), t) for t in [*begins, instant]]
        most = max(wh for wh, _ in reached)
        return next(t for wh, t in reached if wh >= most - TINY)


def _departures(level: Level, needs: Array) -> tuple[Array, Array]:
    """The first instant with each of `needs`, and the charge then: that much, or what is on board anyway."""
    at, wh = np.array([*level.at, NEVER]), np.array([*level.wh, NEVER])
    place = np.searchsorted(wh[:-1], needs - TINY)
    before = np.maximum(place - 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (needs - wh[before]) / (wh[place] - wh[before])
        between = at[before] + np.minimum(share, 1.0) * (at[place] - at[before])
    first = place == 0
    leaves: Array = np.where(first, at[0], np.where(place == len(level.at), NEVER, between))
    return leaves, np.where(first, np.maximum(needs, wh[0]), needs)


def _in_time(level: Level, earliest: float | None, latest: float | None) -> Level | None:
    kept = level if latest is None else not_after(level, latest)
    return kept if kept is None or earliest is None else not_before(kept, earliest)


def _beginnings(arrival: Level, gauge: Gauge, windows: tuple[Window, ...]) -> Iterator[float]:
    yield from arrival.at
    for wh in gauge.wh:
        if arrival.wh[0] < wh < arrival.wh[-1]:
            yield first_with(arrival, wh)
    for opens, _ in windows:
        if opens > arrival.at[0]:
            yield opens


def _charged_by(arrival: Level, gauge: Gauge, windows: tuple[Window, ...], begins: float, ends: float) -> float:
    wh = line_at(arrival.at, arrival.wh, begins)
    if wh >= gauge.wh[-1]:
        return wh
    span = sum(max(0.0, min(ends, closes) - max(begins, opens)) for opens, closes in windows)
    return line_at(gauge.at, gauge.wh, line_at(gauge.wh, gauge.at, wh) + span)
