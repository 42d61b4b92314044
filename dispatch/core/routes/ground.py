"""A problem laid out for the search: one axis (seconds, or paise), and the least still to come from every place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dispatch.core.routes.levels import ALWAYS, NEVER, Gauge, Window
from dispatch.core.routes.problem import Charger, Problem

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """What a visit is taken to cost when that is not the charger's own wait and price."""

    wait_seconds: float
    paise_per_kwh: float


@dataclass
class Ahead:
    """The least still to come after leaving stop `i`, or charger `c` on the way to stop `i + 1` (the rows `_at`).

    `straight`: without charging any more; `more`: with another charge. `straight_wh` must be on board, `more_wh` is
    drawn at least; `onward` is the least charge from which a charger or the end can be reached at all.
    """

    straight: list[float]
    straight_wh: list[float]
    more: list[float]
    more_wh: list[float]
    onward: list[float]
    straight_at: list[list[float]]
    straight_wh_at: list[list[float]]
    more_at: list[list[float]]
    more_wh_at: list[list[float]]
    onward_at: list[list[float]]


class Far(NamedTuple):
    """From a place to each charger: axis, Wh, what must be left, and both together."""

    arcs: Array
    wh: Array
    least: Array
    needs: Array


class FarAhead(NamedTuple):
    """What `Ahead` knows of each charger on the way to a stop, with what a visit costs and how full it makes."""

    straight: Array
    straight_wh: Array
    more: Array
    more_wh: Array
    over: Array
    top: Array
    is_dead_end: npt.NDArray[np.bool_]


class Fixed(NamedTuple):
    """What neither prices nor the clock change: seconds and Wh from place to place (NEVER: no way), what must be left,
    and between chargers the least Wh by one hop and by any."""

    seconds: Array
    wh: Array
    least: Array
    wh_rows: list[list[float]]
    least_rows: list[list[float]]
    hops_wh: Array
    ways_wh: Array


def fixed_of(problem: Problem) -> Fixed:
    last, first = len(problem.stops) - 1, len(problem.stops)
    seconds, wh = _matrix(problem.seconds), _matrix(problem.wh)
    is_way = np.isfinite(seconds) & np.isfinite(wh)
    seconds, wh = np.where(is_way, seconds, NEVER), np.where(is_way, wh, NEVER)
    least = np.maximum(problem.reserve_wh, problem.reserve_share_of_leg * np.where(is_way, wh, 0))
    least[:, last] = np.maximum(least[:, last], problem.final_wh)
    hops_wh = wh[first:, first:].copy()
    np.fill_diagonal(hops_wh, NEVER)
    return Fixed(seconds, wh, least, wh.tolist(), least.tolist(), hops_wh, _closed(hops_wh))


class Ground:
    """Arcs, gauges and bounds. `is_timed` False leaves the clock out: nothing opens, closes or gets ready.

    `fixed`: of the same problem, where another ground was made of it already.
    """

    def __init__(
        self, problem: Problem, terms: Mapping[tuple[int, int], Terms] | None = None, fixed: Fixed | None = None
    ) -> None:
        self.problem = problem
        self.fixed = fixed or fixed_of(problem)
        self.last = len(problem.stops) - 1
        self.count = len(problem.chargers)
        self.is_timed = problem.paise_per_minute is None
        self.scale = 1.0 if problem.paise_per_minute is None else problem.paise_per_minute / 60
        self._fill(terms or {})
        self.windows = [windows_of(one) if self.is_timed else ALWAYS for one in problem.chargers]
        self.opens = np.array([windows[0][0] if windows else NEVER for windows in self.windows])
        """Nobody begins to charge before, at each charger."""
        self.service = [stop.service_seconds * self.scale for stop in problem.stops]
        steepest = {id(gauge): _steepest(gauge) for row in self.gauges for gauge in row}
        rates = [max((steepest[id(row[c])] for row in self.gauges), default=0.0) for c in range(self.count)]
        self.rate, self.rate_array = max(rates, default=0.0), np.array(rates)
        self.ahead = self._look_ahead()
        self.far = [self._far(place) for place in range(self.last + 1 + self.count)]
        self.far_ahead = [self._far_ahead(gap) for gap in range(self.last)]

    def _far(self, place: int) -> Far:
        first = self.last + 1
        arcs, wh, least = (matrix[place, first:] for matrix in (self._arcs, self._wh, self._least))
        return Far(arcs, wh, least, wh + least)

    def _far_ahead(self, gap: int) -> FarAhead:
        ahead, top = self.ahead, np.array([one.curve.wh[-1] for one in self.problem.chargers])
        return FarAhead(
            straight=np.array(ahead.straight_at[gap]), straight_wh=np.array(ahead.straight_wh_at[gap]),
            more=np.array(ahead.more_at[gap]), more_wh=np.array(ahead.more_wh_at[gap]), over=np.array(self.over[gap]),
            top=top, is_dead_end=np.array(ahead.onward_at[gap]) > top,
        )  # fmt: skip

    def _fill(self, terms: Mapping[tuple[int, int], Terms]) -> None:
        problem = self.problem
        self._arcs, self._wh, self._least = self.fixed.seconds * self.scale, self.fixed.wh, self.fixed.least
        self.arcs, self.wh, self.least = self._arcs.tolist(), self.fixed.wh_rows, self.fixed.least_rows
        own = [Terms(one.wait_seconds, one.paise_per_kwh) for one in problem.chargers]
        rows = [[terms.get((i + 1, c), own[c]) for c in range(self.count)] for i in range(self.last)]
        made: dict[tuple[int, float], Gauge] = {}
        self.gauges = [[self._gauge(made, c, term.paise_per_kwh) for c, term in enumerate(row)] for row in rows]
        fees = [0.0 if self.is_timed else one.fee_paise for one in problem.chargers]
        self.over = [[term.wait_seconds * self.scale + fees[c] for c, term in enumerate(row)] for row in rows]

    def _gauge(self, made: dict[tuple[int, float], Gauge], c: int, paise_per_kwh: float) -> Gauge:
        if (c, paise_per_kwh) not in made:
            curve = self.problem.chargers[c].curve
            paise = 0.0 if self.is_timed else paise_per_kwh / 1000 / self.problem.battery_per_metered
            at = [seconds * self.scale + wh * paise for seconds, wh in zip(curve.seconds, curve.wh, strict=True)]
            made[c, paise_per_kwh] = Gauge(at, curve.wh)
        return made[c, paise_per_kwh]

    def _look_ahead(self) -> Ahead:
        back = _Backwards(self)
        for stop in range(self.last - 1, -1, -1):
            back.step(stop)
        return back.ahead()


class _Backwards:
    """The bounds, from the end of the route to its beginning."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self.hops_wh, self.ways_wh = ground, ground.fixed.hops_wh, ground.fixed.ways_wh
        self.over: list[float] | None = None
        last, count = ground.last, ground.count
        self.straight, self.straight_wh, self.more, self.more_wh, self.onward, self.rest, self.rest_wh = (
            [value] * (last + 1) for value in (0.0, 0.0, NEVER, NEVER, 0.0, 0.0, 0.0)
        )
        self.rest_wh[last] = max(ground.problem.reserve_wh, ground.problem.final_wh)
        self.at: list[list[list[float]]] = [[[NEVER] * count for _ in range(last)] for _ in range(5)]
        self.top = np.array([one.curve.wh[-1] for one in ground.problem.chargers])

    def _visit(self, over: list[float]) -> None:
        """What a visit costs on the way to this stop, and so the ways from charger to charger."""
        if over != self.over:
            first = self.ground.last + 1
            self.over, self.hops = over, self.ground._arcs[first:, first:] + np.array(over)[None, :]
            np.fill_diagonal(self.hops, NEVER)
            self.ways = _closed(self.hops)

    def step(self, i: int) -> None:
        """From stop `i` and the chargers on the way to the next one, whose figures are known."""
        ground, first, j = self.ground, self.ground.last + 1, i + 1
        self._visit(ground.over[i])
        arc, wh = ground.arcs[i][j] + ground.service[j], ground.wh[i][j]
        arcs, whs = ground._arcs[first:, j] + ground.service[j], ground._wh[first:, j]
        rest, rest_wh = _least_of(self.ways, arcs + self.rest[j]), _least_of(self.ways_wh, whs + self.rest_wh[j])
        more = np.minimum(_least_of(self.hops, rest), arcs + self.more[j])
        more_wh = np.minimum(_least_of(self.hops_wh, rest_wh), whs + self.more_wh[j])
        straight_whs = whs + np.maximum(ground._least[first:, j], self.straight_wh[j])
        onward = self._onward(i, whs)
        figures = (arcs + self.straight[j], straight_whs, more, more_wh, onward)
        for rows, row in zip(self.at, figures, strict=True):
            rows[i] = row.tolist()
        self.straight[i] = arc + self.straight[j]
        self.straight_wh[i] = wh + max(ground.least[i][j], self.straight_wh[j])
        to = ground._arcs[i, first:] + np.array(ground.over[i])
        self.more[i] = min(_min(to + rest), arc + self.more[j])
        self.more_wh[i] = min(_min(ground._wh[i, first:] + rest_wh), wh + self.more_wh[j])
        self.rest[i] = min(arc + self.rest[j], self.more[i])
        self.rest_wh[i] = min(wh + self.rest_wh[j], self.more_wh[i])
        to_charger = np.where(onward <= self.top, ground._wh[i, first:] + ground._least[i, first:], NEVER)
        self.onward[i] = min(wh + max(ground.least[i][j], self.onward[j]), _min(to_charger))

    def _onward(self, i: int, whs: Array) -> Array:
        """The least charge that leads on from each charger, perhaps over others that lead on."""
        ground, first = self.ground, self.ground.last + 1
        onward: Array = whs + np.maximum(ground._least[first:, i + 1], self.onward[i + 1])
        hops = self.hops_wh + ground._least[first:, first:]
        leads = onward <= self.top
        while True:
            onward = np.minimum(onward, np.where(leads[None, :], hops, NEVER).min(axis=1, initial=NEVER))
            if (onward <= self.top).sum() == leads.sum():
                return onward
            leads = onward <= self.top

    def ahead(self) -> Ahead:
        return Ahead(self.straight, self.straight_wh, self.more, self.more_wh, self.onward, *self.at)


def windows_of(charger: Charger) -> tuple[Window, ...]:
    """When a vehicle can be charged there."""
    hours = charger.hours or ALWAYS
    ready = charger.ready_seconds
    return tuple((max(opens, ready), closes) for opens, closes in hours if closes > max(opens, ready))


def _matrix(rows: object) -> Array:
    matrix: Array = np.array(rows, dtype=float)  # None becomes nan
    filled: Array = np.where(np.isnan(matrix), NEVER, np.maximum(matrix, 0.0))
    return filled


def _closed(hops: Array) -> Array:
    """Least way from charger to charger over any others (Floyd-Warshall)."""
    ways = hops.copy()
    np.fill_diagonal(ways, 0.0)
    for k in range(len(ways)):
        np.minimum(ways, ways[:, k, None] + ways[None, k, :], out=ways)
    return ways


def _least_of(ways: Array, then: Array) -> Array:
    least: Array = (ways + then[None, :]).min(axis=1, initial=NEVER)
    return least


def _min(values: Array) -> float:
    return float(values.min(initial=NEVER))


def _steepest(gauge: Gauge) -> float:
    pairs = zip(zip(gauge.at, gauge.wh, strict=True), zip(gauge.at[1:], gauge.wh[1:], strict=True), strict=False)
    return max((d - b) / (c - a) for (a, b), (c, d) in pairs)
