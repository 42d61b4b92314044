"""One decision along a route: the best plan, the same with each of the first chargers forced, and plan B.

Pure: everything follows from the stored problem. Its chargers stand in the order in which they looked good; the first
few are each tried as the vehicle's first charge, so that a dispatcher sees what every other choice would have cost.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dispatch.core import routes
from dispatch.core.routes import Answer, Backup, Plan, Problem
from dispatch.core.routes.answers import part

FORCED, FORCED_ON_LONG_ROUTES, LONG_ROUTE = 10, 4, 6
"""So many chargers are tried as the first one; fewer on a route of so many stops, where each one takes its time."""
COMPANIONS = 4
"""Of the others, so many are at hand for a second charge on a plan that was forced."""


@dataclass(frozen=True)
class Decision:
    """`forced`: by charger of the problem, the best plan found that begins with it; None: there is none.

    `backups`: plan B of the first visit, with chargers to be told by their connectors, not by number.
    """

    answer: Answer
    forced: dict[int, Plan | None]
    backups: tuple[Backup, ...] = ()

    @property
    def plan(self) -> Plan | None:
        return self.answer if isinstance(self.answer, Plan) else None


@dataclass(frozen=True)
class Figures:
    """What a plan means for the vehicle until it leaves its first charger, and what charging costs in all.

    `drive_seconds` is until it arrives there, with the stops it serves before; `delay_seconds` is against driving the
    same route without charging. `price_paise` is what the energy costs, `fee_paise` what comes per visit.
    """

    arrival_wh: float
    departure_wh: float
    energy_wh: float
    drive_seconds: float
    wait_seconds: float
    charge_seconds: float
    delay_seconds: float
    time_paise: float
    price_paise: float
    fee_paise: float


def decide(problem: Problem, known: Answer | None = None) -> Decision:
    """The answer with everything a person needs to judge it. `known`: the core's answer, when it was asked already."""
    best = routes.answer(problem) if known is None else known
    if not isinstance(best, Plan) or not best.visits:
        return Decision(best, {})
    count = FORCED if len(problem.stops) <= LONG_ROUTE else FORCED_ON_LONG_ROUTES
    tried = dict.fromkeys((*range(min(count, len(problem.chargers))), best.visits[0].charger))
    begun = None if problem.paise_per_minute is None else routes.Begun(problem)
    forced = {charger: _forced(problem, begun, best, charger) for charger in tried}
    best = min([best, *(plan for plan in forced.values() if plan)], key=lambda plan: plan.objective)
    forced[best.visits[0].charger] = best
    return Decision(best, forced, _backups(problem, best))


def charger_at(problem: Problem, decision: Decision, connector_id: int) -> int | None:
    """Of the chargers that stand for a plug (one for each time it is free) the one that is best as the first."""
    of_plug = [
        (plan.objective, charger) for charger, plan in decision.forced.items()
        if plan is not None and problem.chargers[charger].connector_id == connector_id
    ]  # fmt: skip
    return min(of_plug)[1] if of_plug else None


def beginning_at(problem: Problem, decision: Decision, charger: int) -> Decision | None:
    """The same decision with another first charger: others of the fleet need the best one more. None: it cannot be."""
    plan = decision.forced.get(charger)
    return None if plan is None else Decision(plan, decision.forced, _backups(problem, plan))


def _backups(problem: Problem, plan: Plan) -> tuple[Backup, ...]:
    """Of the first charge; the next ones are planned again when they are nearer."""
    first = plan.visits[0]
    few = [c for c in _few(problem, plan) if c == first.charger or not _is_same_plug(problem, c, first.charger)]
    numbered = _numbered(replace(plan, visits=plan.visits[:1]), few.index)
    return routes.backups(part_of(problem, few), numbered)


def _is_same_plug(problem: Problem, one: int, other: int) -> bool:
    return problem.chargers[one].connector_id == problem.chargers[other].connector_id


def figures(problem: Problem, plan: Plan) -> Figures:
    visit = plan.visits[0]
    delay = max(0.0, plan.duration_seconds - undisturbed_seconds(problem))
    return Figures(
        arrival_wh=visit.arrival_wh, departure_wh=visit.departure_wh,
        energy_wh=(visit.departure_wh - visit.arrival_wh) / problem.battery_per_metered,
        drive_seconds=visit.arrives_seconds, wait_seconds=visit.starts_seconds - visit.arrives_seconds,
        charge_seconds=visit.leaves_seconds - visit.starts_seconds, delay_seconds=delay,
        time_paise=delay / 60 * (problem.paise_per_minute or 0.0), price_paise=plan.price_paise,
        fee_paise=plan.fee_paise,
    )  # fmt: skip


def undisturbed_seconds(problem: Problem) -> float:
    """What the route takes without charging, were there charge enough; 0 where it leads nowhere but to a charger."""
    now = 0.0
    for number, (place, to) in enumerate(pairwise(range(len(problem.stops))), 1):
        stop = problem.stops[number]
        now = max(now + (problem.seconds[place][to] or 0.0), stop.earliest_seconds or 0.0) + stop.service_seconds
    return now


def first_missing_wh(problem: Problem, charger: int) -> float:
    """What lacks at the start to drive straight to a charger; infinite when there is no road."""
    place = len(problem.stops) + charger
    wh = problem.wh[0][place]
    return float("inf") if wh is None else max(0.0, wh + problem.least_wh(0, place) - problem.start_wh)


def part_of(problem: Problem, chargers: Iterable[int]) -> Problem:
    """The same route with some of its chargers."""
    return part(problem, range(len(problem.stops)), list(chargers))


def _few(problem: Problem, best: Plan, first: int | None = None) -> list[int]:
    """The charger that is tried, those of the best plan, and some that look good."""
    asked = [] if first is None else [first]
    visited = [visit.charger for visit in best.visits]
    return list(dict.fromkeys([*asked, *visited, *range(min(COMPANIONS, len(problem.chargers)))]))


def _forced(problem: Problem, begun: routes.Begun | None, best: Plan, charger: int) -> Plan | None:
    """The best plan found whose first charge is there: where the way over it is shortest, or where the best one has
    its first charge."""
    if charger == best.visits[0].charger:
        return best
    few = _few(problem, best, charger)
    gaps = {_gap(problem, charger), best.visits[0].before_stop - 1}
    plans = [_begun_at_first(problem, begun, few, gap) for gap in sorted(gaps)]
    return min((plan for plan in plans if plan and plan.visits), key=lambda plan: plan.objective, default=None)


def _begun_at_first(problem: Problem, begun: routes.Begun | None, few: Sequence[int], gap: int) -> Plan | None:
    """The best plan over a few chargers that goes to the first of them after stop `gap`."""
    sure = begun.at(few[0], gap, few) if begun else None
    if sure is not None:
        return sure.plan
    plan = routes.solve(_begun_with_first(part_of(problem, few), gap))
    return None if plan is None else _numbered(plan, few.__getitem__)


def _gap(problem: Problem, charger: int) -> int:
    """The stop after which the way over a charger is shortest."""
    place = len(problem.stops) + charger

    def detour(stop: int) -> float:
        legs = (problem.seconds[stop][place], problem.seconds[place][stop + 1], problem.seconds[stop][stop + 1])
        there, on, straight = legs
        return float("inf") if there is None or on is None else there + on - (straight or 0.0)

    return min(range(len(problem.stops) - 1), key=lambda stop: (detour(stop), stop))


def _begun_with_first(problem: Problem, gap: int) -> Problem:
    """The problem whose only way leads over its first charger after stop `gap`."""
    first, places = len(problem.stops), range(len(problem.wh))
    closed = {(stop, first + c) for stop in range(gap + 1) for c in range(len(problem.chargers))}
    closed = (closed | {(gap, gap + 1)}) - {(gap, first)}
    wh = [[None if (a, b) in closed else problem.wh[a][b] for b in places] for a in places]
    return replace(problem, wh=wh)


def _numbered(plan: Plan, number_of: Callable[[int], int]) -> Plan:
    """The same plan with its chargers counted anew."""
    return replace(plan, visits=tuple(replace(one, charger=number_of(one.charger)) for one in plan.visits))
