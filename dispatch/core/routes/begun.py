"""The best plans that begin at one charger each, found on one ground: where the clock changes nothing behind the first.

Everybody who begins there waits there for as long, so that wait is known beforehand. With it the search leaves the
clock out; a plan that costs by the clock what the search says is the best one.
"""

from collections.abc import Collection
from typing import NamedTuple

from dispatch.core.routes.ground import Ground
from dispatch.core.routes.labelling import Search
from dispatch.core.routes.levels import NEVER, TINY
from dispatch.core.routes.problem import Plan, Problem
from dispatch.core.routes.walk import Walk


class Sure(NamedTuple):
    """The best plan; None: there is none."""

    plan: Plan | None


class Begun:
    """The plans of one problem in rupees."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._ground = Ground(problem)

    def at(self, charger: int, gap: int, among: Collection[int]) -> Sure | None:
        """Straight to stop `gap` and then to `charger`, over others `among` these; None: this way nobody can tell."""
        wait_seconds = self._wait_at(charger, gap)
        if wait_seconds is None or any(self._problem.chargers[c].price_bands for c in among):
            return None
        search = Search(self._ground, among=among)
        start = search.begun_at(gap, charger, wait_seconds)
        found = search.run_from(start)
        if found is None:
            return Sure(None)
        plan = Walk(self._problem).go(found.charges).plan()
        return Sure(plan) if plan is not None and plan.objective <= found.bound + TINY else None

    def _wait_at(self, charger: int, gap: int) -> float | None:
        """Seconds between arriving there and charging; None: it hangs on the hour in another way."""
        problem, now = self._problem, 0.0
        for stop in range(1, gap + 1):
            now = max(now + (problem.seconds[stop - 1][stop] or 0.0), problem.stops[stop].earliest_seconds or 0.0)
            now += problem.stops[stop].service_seconds
        one, seconds = problem.chargers[charger], problem.seconds[gap][len(problem.stops) + charger]
        if one.hours or one.ready_seconds == NEVER:
            return None
        return max(one.wait_seconds, one.ready_seconds - now - (seconds or 0.0))
