"""Drive a route on paper: what a plan takes by the clock, in Wh and in rupees; blind to how it was found."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from dispatch.core.routes.labelling import Charge
from dispatch.core.routes.problem import Arrival, Charger, Plan, Problem, Visit

SLACK_WH, SLACK_SECONDS = 0.01, 0.01
"""Rounding of a search that adds a few hundred numbers; refused beyond it."""
NEVER = float("inf")


class Charging(NamedTuple):
    """When a charge begins and ends, and its price."""

    starts: float
    ends: float
    paise: float


class Walk:
    """The vehicle on its way; `is_possible` turns False at the first broken promise."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.now, self.wh, self.place = 0.0, problem.start_wh, 0
        self.driving = self.charging = self.service = 0.0
        self.visits: list[Visit] = []
        self.arrivals: list[Arrival] = []
        self.is_possible = True

    def go(self, charges: Sequence[Charge]) -> "Walk":
        for stop in range(1, len(self.problem.stops)):
            for charge in charges:
                if charge.before_stop == stop and self.is_possible:
                    self._charge(charge)
            if self.is_possible:
                self._serve(stop)
        return self

    def _drive(self, place: int) -> None:
        seconds, wh = self.problem.seconds[self.place][place], self.problem.wh[self.place][place]
        if seconds is None or wh is None:
            self.is_possible = False
            return
        self.now, self.wh, self.driving = self.now + seconds, self.wh - max(0.0, wh), self.driving + seconds
        self.is_possible = self.wh >= self.problem.least_wh(self.place, place) - SLACK_WH
        self.place = place

    def _serve(self, number: int) -> None:
        self._drive(number)
        stop, arrived = self.problem.stops[number], self.now
        if stop.latest_seconds is not None and arrived > stop.latest_seconds + SLACK_SECONDS:
            self.is_possible = False
        self.now = max(arrived, stop.earliest_seconds or 0.0) + stop.service_seconds
        self.service += stop.service_seconds
        self.arrivals.append(Arrival(number, arrived, self.now, self.wh))

    def _charge(self, charge: Charge) -> None:
        charger = self.problem.chargers[charge.charger]
        self._drive(len(self.problem.stops) + charge.charger)
        arrived, arrival_wh = self.now, self.wh
        target = max(arrival_wh, min(charge.departure_wh, charger.curve.wh[-1]))
        done = charging(charger, arrived + charger.wait_seconds, arrival_wh, target, self.problem.battery_per_metered)
        if done.ends == NEVER:
            self.is_possible = False
            return
        seconds = charger.curve.seconds_between(arrival_wh, target)
        self.charging, self.now, self.wh = self.charging + seconds, done.ends, target
        times = arrived, done.starts, done.ends
        paise = done.paise, charger.fee_paise
        visit = Visit(charge.before_stop, charge.charger, charger.connector_id, *times, arrival_wh, target, *paise)
        self.visits.append(visit)

    def plan(self, bound: float | None = None) -> Plan | None:
        """The plan that was walked; None when it cannot be driven. `bound` None: it is known to be the best."""
        if not self.is_possible:
            return None
        price, fee = sum(one.price_paise for one in self.visits), sum(one.fee_paise for one in self.visits)
        per_minute = self.problem.paise_per_minute
        time = self.now / 60 * (per_minute or 0.0)
        objective = self.now if per_minute is None else time + price + fee
        return Plan(
            visits=tuple(self.visits), arrivals=tuple(self.arrivals), duration_seconds=self.now,
            driving_seconds=self.driving, charging_seconds=self.charging,
            waiting_seconds=max(0.0, self.now - self.driving - self.charging - self.service),
            price_paise=price, fee_paise=fee, time_paise=time, objective=objective,
            bound=objective if bound is None else min(bound, objective), core_version=self.problem.core_version,
        )  # fmt: skip


def charging(charger: Charger, comes: float, from_wh: float, to_wh: float, battery_per_metered: float) -> Charging:
    """When a charge begins and ends for one plugged in at `comes`, and its price; NEVER when it does not open again."""
    begins, at, reading = None, max(comes, charger.ready_seconds), charger.curve.seconds_at(from_wh)
    left, paise, wh = charger.curve.seconds_between(from_wh, to_wh), 0.0, from_wh
    for opens, closes in charger.hours or ((0.0, NEVER),):
        at = max(at, opens)
        if at >= closes:
            continue
        begins = at if begins is None else begins
        for starts, ends, per_kwh in _bands(charger, at, min(closes, at + left)):
            reading += ends - starts
            reached = to_wh if ends - at >= left else min(to_wh, charger.curve.wh_at(reading))
            paise += max(0.0, reached - wh) / 1000 / battery_per_metered * per_kwh
            wh = max(wh, reached)
        spent = min(closes, at + left) - at
        left, at = left - spent, at + spent
        if left <= SLACK_SECONDS / 1000:
            return Charging(begins, at, paise)
    return Charging(begins or NEVER, NEVER, paise)


def _bands(charger: Charger, start: float, end: float) -> list[tuple[float, float, float]]:
    """The time from `start` to `end` cut where the price changes: (from, until, paise per kWh)."""
    edges = [(-NEVER, charger.paise_per_kwh), *charger.price_bands, (NEVER, 0.0)]
    cut = [(max(start, a), min(end, b), price) for (a, price), (b, _) in pairwise(edges)]
    return [one for one in cut if one[1] > one[0]]
