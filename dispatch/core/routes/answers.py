"""Why a route cannot be driven, what is missing and what would help; and plan B of every charge where it can."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from dispatch.core.routes.ground import Ground
from dispatch.core.routes.levels import NEVER, TINY
from dispatch.core.routes.problem import Answer, Backup, Charger, Infeasible, Plan, Problem, Stop, WayOut

Solve = Callable[[Problem], Plan | None]
ECONOMY_AT_MOST = 0.3
"""No driver saves more than this of a leg's energy by driving slowly."""
WAYS_OF_A_KIND = 3
HALVINGS = 12


def explain(problem: Problem, solve: Solve, *, with_ways_out: bool = True) -> Infeasible:
    """The answer for a route that `solve` found no plan for."""
    ground = Ground(unclocked(problem))
    needs = ground.ahead.onward[0]
    reach = _Reach(ground)
    deficit = needs - problem.start_wh
    if deficit > 0:
        reason, blocked = _lacking(ground, needs)
        missing = None if needs > problem.battery_wh else deficit
    else:
        reason, blocked, missing = "too_late", _first_too_late(problem, solve), None
    ways = _ways_out(problem, solve, reason, missing) if with_ways_out else ()
    nearest = reach.nearest() if reach.farthest is None else None
    ids = [one.connector_id for one in problem.chargers]
    return Infeasible(
        reason=reason, deficit_wh=missing, blocked_stop=reach.stop + 1 if reason == "start_too_low" else blocked,
        farthest_stop=reach.stop,
        farthest_charger=None if reach.farthest is None else ids[reach.farthest],
        farthest_charger_wh=None if reach.farthest is None else reach.arrival_wh,
        nearest_charger=None if nearest is None else ids[nearest[0]],
        nearest_missing_wh=None if nearest is None else nearest[1],
        ways_out=ways, core_version=problem.core_version,
    )  # fmt: skip


def unclocked(problem: Problem) -> Problem:
    """The same route with energy as the only matter."""
    stops = [replace(stop, earliest_seconds=None, latest_seconds=None) for stop in problem.stops]
    chargers = [replace(one, ready_seconds=0.0, hours=()) for one in problem.chargers]
    return replace(problem, stops=stops, chargers=chargers, paise_per_minute=None)


def _lacking(ground: Ground, needs: float) -> tuple[str, int | None]:
    """Why the energy does not do, and the stop that cannot be reached even from a full battery."""
    battery = ground.problem.battery_wh
    if needs <= battery:
        return "start_too_low", None
    blocked = max(i for i in range(ground.last) if ground.ahead.onward[i] > battery)
    ways = min(ground.ahead.straight[blocked], ground.ahead.more[blocked])
    return ("unreachable" if ways == NEVER else "leg_too_long"), blocked + 1


class _Reach:
    """How far the charge leads, filling up wherever that helps; the clock is left out."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self.stop, self.arrival_wh = ground, 0, 0.0
        self.farthest: int | None = None
        self.first = ground.last + 1
        self.top = [one.curve.wh[-1] for one in ground.problem.chargers]
        wh = ground.problem.start_wh
        while self.stop < ground.last and wh >= 0:
            at = self._chargers(wh)
            if at:
                place = self.stop + 1
                self.farthest = min(at, key=lambda c: (ground.wh[self.first + c][place], c))
                self.arrival_wh = at[self.farthest]
            wh = self._next(wh, at)
            self.stop += wh >= 0

    def _arrival(self, place: int, wh: float, to: int) -> float:
        """What is left on arrival; -1 when that is too little."""
        left = wh - self.ground.wh[place][to]
        return left if left >= self.ground.least[place][to] else -1.0

    def _chargers(self, wh: float) -> dict[int, float]:
        """The chargers in reach before the next stop, with the most charge on arrival."""
        at: dict[int, float] = {}
        fresh = [(self.stop, wh)]
        while fresh:
            place, on_board = fresh.pop()
            for c in range(self.ground.count):
                left = -1.0 if place == self.first + c else self._arrival(place, on_board, self.first + c)
                if left >= 0 and left > at.get(c, -1.0):
                    if c not in at:
                        fresh.append((self.first + c, max(self.top[c], left)))
                    at[c] = left
        return at

    def _next(self, wh: float, at: dict[int, float]) -> float:
        place = self.stop + 1
        over = [self._arrival(self.first + c, max(self.top[c], left), place) for c, left in at.items()]
        return max([self._arrival(self.stop, wh, place), *over])

    def nearest(self) -> tuple[int, float] | None:
        """The charger with the least missing from the start, and how much."""
        ground = self.ground
        missing = [
            (ground.wh[0][self.first + c] + ground.least[0][self.first + c] - ground.problem.start_wh, c)
            for c in range(ground.count)
        ]
        least = min(missing, default=(NEVER, 0))
        return None if least[0] == NEVER else (least[1], least[0])


def _first_too_late(problem: Problem, solve: Solve) -> int | None:
    """The first stop that cannot be reached in time."""
    for last in range(1, len(problem.stops)):
        if solve(part(problem, list(range(last + 1)), range(len(problem.chargers)))) is None:
            return last
    return None


def part(
    problem: Problem, places: Sequence[int], chargers: Sequence[int], stops: Sequence[Stop] | None = None
) -> Problem:
    """The route over some of its places (stops, or chargers as its beginning), with some of its chargers."""
    first = len(problem.stops)
    kept = [*places, *(first + c for c in chargers)]
    return replace(
        problem,
        stops=[problem.stops[place] for place in places] if stops is None else stops,
        chargers=[problem.chargers[c] for c in chargers],
        seconds=[[problem.seconds[a][b] for b in kept] for a in kept],
        wh=[[problem.wh[a][b] for b in kept] for a in kept],
        final_wh=problem.final_wh if places[-1] == first - 1 else 0.0,
    )


def _ways_out(problem: Problem, solve: Solve, reason: str, missing: float | None) -> tuple[WayOut, ...]:
    ways = [*_skipping(problem, solve)]
    if reason == "too_late":
        return (*_late(problem, solve), *ways)
    if missing is not None:
        plan = solve(replace(problem, start_wh=min(problem.battery_wh, problem.start_wh + missing + 0.1)))
        ways.append(WayOut("charge_first", missing, plan))
    return (*_on_reserve(problem, solve), *_economically(problem, solve), *ways)


def _skipping(problem: Problem, solve: Solve) -> list[WayOut]:
    """Without one of the stops in between: the best three."""
    everything, chargers = range(len(problem.stops)), range(len(problem.chargers))
    ways = []
    for stop in range(1, len(problem.stops) - 1):
        plan = solve(part(problem, [place for place in everything if place != stop], chargers))
        if plan is not None:
            ways.append(WayOut("skip_stop", float(stop), plan))
    return sorted(ways, key=lambda way: way.plan.objective if way.plan else NEVER)[:WAYS_OF_A_KIND]


def _scaled(problem: Problem, share: float) -> Problem:
    return replace(
        problem, reserve_wh=problem.reserve_wh * share, final_wh=problem.final_wh * share,
        reserve_share_of_leg=problem.reserve_share_of_leg * share,
    )  # fmt: skip


def _on_reserve(problem: Problem, solve: Solve) -> list[WayOut]:
    """Into the reserve, as little as will do."""
    share = _most(lambda part_of_it: _is_enough(_scaled(problem, part_of_it)), 0.0, 1.0)
    if share is None:
        return []
    plan = solve(_scaled(problem, share))
    if plan is None:
        return []
    left = [*(one.arrival_wh for one in plan.visits), *(one.arrival_wh for one in plan.arrivals)]
    return [WayOut("use_reserve", min(left), plan)]


def _economically(problem: Problem, solve: Solve) -> list[WayOut]:
    """Using less on the way: slower, without air conditioning."""

    def saving(share: float) -> Problem:
        return replace(problem, wh=[[None if wh is None else wh * share for wh in row] for row in problem.wh])

    share = _most(lambda part_of_it: _is_enough(saving(part_of_it)), 1 - ECONOMY_AT_MOST, 1.0)
    plan = None if share is None else solve(saving(share))
    return [] if share is None or plan is None else [WayOut("drive_economically", 1 - share, plan)]


def _is_enough(problem: Problem) -> bool:
    return Ground(unclocked(problem)).ahead.onward[0] <= problem.start_wh + TINY


def _most(holds: Callable[[float], bool], low: float, high: float) -> float | None:
    """The largest value (to a few thousandths) at which something still holds; None when not even at `low`."""
    if not holds(low):
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _late(problem: Problem, solve: Solve) -> list[WayOut]:
    """Coming late, as early as possible."""
    plan = solve(replace(problem, stops=[replace(stop, latest_seconds=None) for stop in problem.stops]))
    if plan is None:
        return []
    limits = [problem.stops[one.stop].latest_seconds for one in plan.arrivals]
    late = [one.arrives_seconds - limit for one, limit in zip(plan.arrivals, limits, strict=True) if limit is not None]
    return [WayOut("arrive_late", max([0.0, *late]), plan)]


def backups(problem: Problem, plan: Plan, answer: Callable[[Problem], Answer]) -> tuple[Backup, ...]:
    """Plan B of every visit."""
    return tuple(_backup(problem, plan, number, answer) for number in range(len(plan.visits)))


def _backup(problem: Problem, plan: Plan, number: int, answer: Callable[[Problem], Answer]) -> Backup:
    visit = plan.visits[number]
    there = len(problem.stops) + visit.charger
    left = list(range(visit.before_stop, len(problem.stops)))
    on_arrival = answer(_rest(problem, there, left, visit.charger, visit.arrives_seconds, visit.arrival_wh))
    leaves = {0: (0.0, problem.start_wh)} | {one.stop: (one.leaves_seconds, one.arrival_wh) for one in plan.arrivals}
    for stop in range(visit.before_stop - 1, -1, -1):
        ahead = list(range(stop + 1, len(problem.stops)))
        if _can_be_driven(_rest(problem, stop, ahead, visit.charger, *leaves[stop]), answer):
            return Backup(number, on_arrival, stop)
    return Backup(number, on_arrival, None)


def _can_be_driven(problem: Problem, answer: Callable[[Problem], Answer]) -> bool:
    """Where nothing is closed, and nobody turned away, the charge alone decides that."""
    may_be_too_late = any(stop.latest_seconds is not None for stop in problem.stops) or any(
        one.hours or one.ready_seconds == NEVER for one in problem.chargers
    )
    return isinstance(answer(problem), Plan) if may_be_too_late else _is_enough(problem)


def _rest(problem: Problem, here: int, left: list[int], without: int, now: float, wh: float) -> Problem:
    """What is left of the route from a place, an instant and a charge, without one charger."""
    stops = [Stop(), *(_sooner(problem.stops[stop], now) for stop in left)]
    chargers = [c for c in range(len(problem.chargers)) if c != without]
    rest = part(problem, [here, *left], chargers, stops)
    return replace(rest, start_wh=wh, chargers=[charger_sooner(one, now) for one in rest.chargers])


def _sooner(stop: Stop, now: float) -> Stop:
    earliest = None if stop.earliest_seconds is None else max(0.0, stop.earliest_seconds - now)
    return replace(
        stop,
        earliest_seconds=earliest,
        latest_seconds=None if stop.latest_seconds is None else stop.latest_seconds - now,
    )


def charger_sooner(charger: Charger, now: float) -> Charger:
    """The charger with its clock set to zero at `now`; closed for good, it is never ready."""
    hours = tuple((max(0.0, opens - now), closes - now) for opens, closes in charger.hours if closes > now)
    is_over = bool(charger.hours) and not hours
    return replace(
        charger, ready_seconds=NEVER if is_over else max(0.0, charger.ready_seconds - now), hours=hours,
        price_bands=tuple((start - now, price) for start, price in charger.price_bands),
    )  # fmt: skip
