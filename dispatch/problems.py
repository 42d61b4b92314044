"""A vehicle's way and the plugs near it, as a problem of `dispatch.core.routes`: where to charge along it, how much?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dispatch import pricing
from dispatch.candidates import Found, Question, is_dc, plug_state, times_at
from dispatch.core import choose, curves, energy, waits
from dispatch.core.routes import Charger, Plan, Problem, Stop
from dispatch.core.routes.answers import part
from dispatch.core.windows import Window
from dispatch.engines.base import RoutingEngine, Table
from dispatch.plug_rows import PlugRow
from dispatch.situation import StopAhead

MOST_CHARGERS, FARTHER_CHARGERS, NEAREST_CHARGERS = 20, 6, 4
"""Of plugs that can be driven to: those that look best; of others, for a second charge; and those that lack least."""
ALIKE = 2
"""Of plugs of one kind at one site so many are looked at: one, and one beside it."""
STOP_SECONDS = 300.0
"""What the work at a stop takes; nobody tells us."""
LEAST_CHARGE_WH, TRICKLE_W = 1000.0, 100.0
"""Prices are read off a charge of this size or more; and no battery takes less than this before it is full."""
LEAST_PAISE_PER_MINUTE = 1.0
"""Where a fleet's minutes cost nothing, the sooner of two equal plans is still the better one."""


class Aim(NamedTuple):
    """What is asked of a plan: the first `stops` of the route, by their due times or not, and what is left at the end.

    No stops: the way to a charger and nothing else, filled up to `final_percent` there.
    """

    stops: int
    is_punctual: bool
    final_percent: float


class Legs(NamedTuple):
    """Places to draw lines between: without charging, to the first charger, from there to the next stop."""

    old: Sequence[tuple[float, float]]
    new: Sequence[tuple[float, float]]
    onward: Sequence[tuple[float, float]]


class Metres(NamedTuple):
    """Of a plan: until its first charger, and more than the route takes without charging."""

    to_charger: float
    added: float


@dataclass(frozen=True)
class Land:
    """The vehicle, its stops and the chosen plugs, with the ways between all of them in this order.

    A plug that is promised to others for a while is one charger for each of the `gaps` between.
    """

    question: Question
    rules: choose.Rules
    stops: Sequence[StopAhead]
    plugs: Sequence[choose.Candidate]
    rows: Mapping[int, PlugRow]
    chargers: Sequence[Charger]
    metres: Table
    seconds: Table
    wh: Table
    gaps: Sequence[Window]

    def _dues(self, aim: Aim) -> list[float | None]:
        """Seconds by which each stop is due; of one that would be late without charging, nothing is asked any more."""
        dues, now = [], 0.0
        for number, stop in enumerate(self.stops):
            now += float(self.seconds[number, number + 1])
            due = (stop.due_at - self.question.now).total_seconds() if stop.due_at and aim.is_punctual else None
            dues.append(due if due is None or due >= now else None)
            now = max(now, self._earliest(stop) or 0.0) + STOP_SECONDS
        return dues

    def _earliest(self, stop: StopAhead) -> float | None:
        """Seconds until its window opens; None when it is open."""
        seconds = (stop.earliest_at - self.question.now).total_seconds() if stop.earliest_at else 0.0
        return seconds if seconds > 0 else None

    def _windows(self, aim: Aim) -> Iterator[Stop]:
        for stop, due in zip(self.stops, self._dues(aim), strict=True):
            yield Stop(STOP_SECONDS, self._earliest(stop), due)

    def place_of(self, charger: int) -> int:
        """Its row in the tables."""
        return len(self.stops) + 2 + charger

    def path(self, aim: Aim, plan: Plan) -> list[int]:
        """The rows of the tables that a plan leads over."""
        path = [0]
        for stop in range(1, max(1, aim.stops) + 1):
            path += [self.place_of(visit.charger) for visit in plan.visits if visit.before_stop == stop]
            path += [stop] if stop <= aim.stops else []
        return path

    def legs(self, plan: Plan) -> "Legs":
        visit = plan.visits[0]
        stops = [self.question.here, *(stop.place for stop in self.question.stops)]
        row = self.rows[visit.connector_id]
        before = stops[: visit.before_stop]
        return Legs(
            old=stops[: visit.before_stop + 1] if len(stops) > 1 else [], new=[*before, _place(row)],
            onward=[_place(row), *stops[visit.before_stop : visit.before_stop + 1]],
        )  # fmt: skip

    def metres_of(self, aim: Aim, plan: Plan) -> "Metres":
        path = self.path(aim, plan)
        legs = [float(self.metres[a, b]) for a, b in pairwise(path)]
        first = path.index(self.place_of(plan.visits[0].charger))
        straight = sum(float(self.metres[stop, stop + 1]) for stop in range(aim.stops))
        return Metres(sum(legs[:first]), sum(legs) - straight)

    def problem(self, aim: Aim) -> Problem:
        """The chargers stand in the order in which they look good."""
        facts, rules = self.question.facts, self.rules
        whole = Problem(
            stops=[Stop(), *self._windows(aim), Stop()],
            chargers=list(self.chargers), seconds=_rows(self.seconds), wh=_rows(self.wh),
            battery_wh=facts.battery_wh, start_wh=min(100.0, max(0.0, facts.soc_percent)) / 100 * facts.battery_wh,
            reserve_wh=rules.reserve_percent / 100 * facts.battery_wh,
            reserve_share_of_leg=energy.RESERVE_SHARE_OF_LEG,
            final_wh=min(100.0, aim.final_percent) / 100 * facts.battery_wh,
            paise_per_minute=max(LEAST_PAISE_PER_MINUTE, rules.cost_per_minute_paise),
        )  # fmt: skip
        end = len(self.stops) + 1
        places = [0, end] if aim.stops == 0 else [*range(aim.stops + 1)]
        return replace(part(whole, places, range(len(self.chargers))), final_wh=whole.final_wh)


def aims(question: Question, rules: choose.Rules, stops: int, *, clear_percent: float) -> Iterator[Aim]:
    """What is asked for, one after the other until there is a plan.

    The whole route, in time before late, and no longer low at its end before just there; then as much of the route as
    can be driven; at last only charging, as full as the fleet charges.
    """
    is_due = any(stop.due_at for stop in question.stops[:stops])
    for is_punctual in (True, False) if is_due else (False,):
        for final in (clear_percent, 0.0):
            if stops:
                yield Aim(stops, is_punctual, final)
    for fewer in range(stops - 1, 0, -1):
        yield Aim(fewer, is_punctual=False, final_percent=clear_percent)
    yield Aim(0, is_punctual=False, final_percent=_full(question, rules))


def _full(question: Question, rules: choose.Rules) -> float:
    return choose.target_of(question.facts, rules, onward_m=rules.direct_m, arrival_percent=0.0)


def land(question: Question, rules: choose.Rules, found: Found, engine: RoutingEngine) -> Land:
    """Everything a plan is made from. The route ends before the first stop that no road leads to."""
    plugs = _unlike(question, found)
    stops = _driven(question, engine)
    way = np.array([question.here, *(stop.place for stop in stops)])
    sites = np.array([_place(found.rows[one.connector_id]) for one in plugs]).reshape(-1, 2)
    make = _Chargers(question, rules)
    looked = [plugs[number] for number in _chosen(question, rules, plugs, way, sites, engine)]
    made = [(one, *each) for one in looked for each in make.at(one, found.rows[one.connector_id])]
    chosen = [one for one, _, _ in made]
    rows = [found.rows[one.connector_id] for one in chosen]
    places = np.vstack([way, np.array([_place(row) for row in rows]).reshape(-1, 2)])
    matrix, again = engine.matrix(places, places), _same_plug(chosen, len(way))
    tables = (np.where(again, np.nan, table.round(1)) for table in (matrix.metres, matrix.seconds))
    metres, seconds = (_with_end(table, len(way)) for table in tables)
    chargers, gaps = [charger for _, charger, _ in made], [gap for _, _, gap in made]
    wh = _wh(question, metres)
    return Land(question, rules, stops, chosen, found.rows, chargers, metres, seconds, wh, gaps)


def _same_plug(chosen: Sequence[choose.Candidate], before: int) -> npt.NDArray[np.bool_]:
    """Pairs of places that are one plug at two times: nobody leaves it for others and waits there for his next turn."""
    plugs = np.array([*range(-before, 0), *(one.connector_id for one in chosen)])
    pairs: npt.NDArray[np.bool_] = (plugs[:, None] == plugs) & ~np.eye(len(plugs), dtype=bool)
    return pairs


def _driven(question: Question, engine: RoutingEngine) -> Sequence[StopAhead]:
    """The stops up to the first one without a road to it."""
    if not question.stops:
        return ()
    way = np.array(question.way)
    legs = np.diagonal(engine.matrix(way[:-1], way[1:]).seconds)
    broken = np.flatnonzero(np.isnan(legs))
    return question.stops[: int(broken[0])] if len(broken) else question.stops


def _surest(question: Question, one: choose.Candidate, row: PlugRow) -> tuple[float, ...]:
    is_own, is_promised = one.connector_id == question.promised, bool(row.promised)
    return not is_own, one.wait_seconds, is_promised, choose.risk_of(one), one.connector_id


def _unlike(question: Question, found: Found) -> list[choose.Candidate]:
    """Of plugs that are alike in all that counts, the two that are surest."""
    kept: dict[tuple[object, ...], list[choose.Candidate]] = {}
    for one in sorted(found.candidates, key=lambda one: _surest(question, one, found.rows[one.connector_id])):
        kept.setdefault((one.location_id, one.is_dc, one.plug_power_w, one.price_paise), []).append(one)
    return [one for alike in kept.values() for one in alike[:ALIKE]]


def _chosen(
    question: Question, rules: choose.Rules, plugs: Sequence[choose.Candidate], way: Table, sites: Table,
    engine: RoutingEngine,
) -> list[int]:  # fmt: skip
    """Rows of the plugs that are looked at closely, best first."""
    if not plugs:
        return []
    there, on = engine.matrix(way, sites), engine.matrix(sites, way)
    straight = np.diagonal(engine.matrix(way[:-1], way[1:]).seconds) if len(way) > 1 else np.zeros(1)
    round_seconds = _ways_round(there.seconds, on.seconds, straight)
    looks = round_seconds * rules.cost_per_minute_paise / 60 + np.array([_worth(rules, one) for one in plugs])
    missing = np.array([_missing_wh(question, rules, one) for one in plugs])
    own = [number for number, one in enumerate(plugs) if one.connector_id == question.promised]
    return list(dict.fromkeys([*own, *_picked(np.where(np.isnan(looks), np.inf, looks), missing)]))


def _ways_round(there: Table, on: Table, straight: Table) -> Table:
    """Least seconds that driving over each plug adds; without stops, the way to it."""
    if len(there) == 1:
        to_plug: Table = there[0]
        return to_plug
    around = there[:-1] + on.T[1:] - straight[:, None]
    least: Table = np.where(np.isnan(around), np.inf, around).min(axis=0)
    return least


def _worth(rules: choose.Rules, one: choose.Candidate) -> float:
    """Paise of waiting, energy and risk there, with time for the usual charge at its power."""
    price = one.price_paise or 0.0
    minutes = one.wait_seconds / 60 + choose.FALLBACK_MINUTES * choose.risk_of(one)
    return price + minutes * rules.cost_per_minute_paise


def _missing_wh(question: Question, rules: choose.Rules, one: choose.Candidate) -> float:
    facts = question.facts
    leg = {"battery_wh": facts.battery_wh, "distance_m": one.drive_m, "wh_per_km": facts.wh_per_km}
    arrival = energy.arrival_percent(soc_percent=facts.soc_percent, **leg)
    return energy.reserve_percent(least_percent=rules.reserve_percent, **leg) - arrival


def _picked(looks: Table, missing: Table) -> list[int]:
    order, in_reach = np.argsort(looks, kind="stable"), missing <= 0
    best = order[in_reach[order]][:MOST_CHARGERS]
    farther = order[~in_reach[order]][:FARTHER_CHARGERS]
    nearest = np.argsort(missing, kind="stable")[:NEAREST_CHARGERS]
    return list(dict.fromkeys([*best.tolist(), *farther.tolist(), *nearest.tolist()]))


def _with_end(table: Table, before: int) -> Table:
    """With a place behind the stops that is nowhere, reached at no cost from every charger: "then it has charged"."""
    count = len(table)
    ended = np.full((count + 1, count + 1), np.nan)
    kept = [*range(before), *range(before + 1, count + 1)]
    ended[np.ix_(kept, kept)] = table
    ended[before + 1 :, before] = 0.0
    ended[before, before] = 0.0
    return ended


def _wh(question: Question, metres: Table) -> Table:
    wh: Table = (metres / 1000 * question.facts.wh_per_km * (1 + energy.MARGIN)).round(1)
    return wh


def _rows(table: Table) -> list[list[float | None]]:
    return [[None if value != value else value for value in row] for row in table.tolist()]


def _place(row: PlugRow) -> tuple[float, float]:
    return row.latitude, row.longitude


def _in_gap(charger: Charger, ready: float, gap: Window, hours: Sequence[Window] | None) -> Charger:
    """A gap without an end needs no hours: it is ready when the gap begins."""
    ending = tuple(span for span in hours or () if isfinite(span[1]))
    return replace(charger, ready_seconds=round(max(ready, gap[0]), 1), hours=ending)


class _Chargers:
    """Chargers as this vehicle would use them; what plugs have in common is worked out once."""

    def __init__(self, question: Question, rules: choose.Rules) -> None:
        self.question, self.rules, facts = question, rules, question.facts
        target = choose.target_of(facts, rules, onward_m=rules.direct_m, arrival_percent=facts.soc_percent)
        wh = curves.metered_wh(battery_wh=facts.battery_wh, from_percent=facts.soc_percent, to_percent=target)
        self.usual_wh = max(LEAST_CHARGE_WH, wh)
        self.curves: dict[tuple[object, ...], curves.ChargeCurve | None] = {}
        self.lines: dict[tuple[object, ...], pricing.Line] = {}

    def at(self, one: choose.Candidate, row: PlugRow) -> list[tuple[Charger, Window]]:
        """One for each gap between promises to others; none where no power flows."""
        curve, price = self._curve(one), self._line(row)
        if curve is None:
            return []
        risk = choose.risk_of(one) * choose.FALLBACK_MINUTES * self.rules.cost_per_minute_paise
        ready = waits.remaining_seconds(plug_state(row, self.question.now))
        charger = Charger(
            connector_id=row.connector_id, curve=curve, paise_per_kwh=round(price.paise_per_kwh, 3),
            price_bands=price.bands, fee_paise=round(price.fee_paise + risk, 1),
        )  # fmt: skip
        return [(_in_gap(charger, ready, gap, hours), gap) for gap, hours in times_at(self.question, row)]

    def _curve(self, one: choose.Candidate) -> curves.ChargeCurve | None:
        facts = self.question.facts
        key = (one.is_dc, one.plug_power_w, tuple(map(tuple, one.curve_points)))
        if key not in self.curves:
            takes = np.maximum(choose.curve_of(facts, one), TRICKLE_W)
            power = one.plug_power_w
            self.curves[key] = curves.charge_curve(takes, battery_wh=facts.battery_wh, plug_power_w=power)
        return self.curves[key]

    def _line(self, row: PlugRow) -> pricing.Line:
        power = self.question.facts.power_w(is_dc=is_dc(row), plug_power_w=row.power_w)
        key = (row.elements, row.terms, row.time_zone, power)
        if key not in self.lines:
            tariff, now = pricing.tariff_of(row), self.question.now
            self.lines[key] = pricing.line(tariff, wh=self.usual_wh, power_w=power, now=now)
        return self.lines[key]
