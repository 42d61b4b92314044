"""Least rupees when waits, hours or prices depend on when one comes: plans that agree with the clock, and a bound.

Time and money cannot share one axis here, so the exact search runs with the waits and prices that the last plan met,
until they are the ones it meets. What comes out is always walked by the clock, and is held against a bound: the dearer
of "nobody waits, at the best price" and "the shortest duration, with the least energy at the least price". `Plan.gap`
says how far the best could be below.
"""

from dataclasses import replace

from dispatch.core.routes.ground import Fixed, Ground, Terms
from dispatch.core.routes.labelling import Found, Search
from dispatch.core.routes.levels import TINY
from dispatch.core.routes.problem import Charger, Plan, Problem, Visit
from dispatch.core.routes.walk import Charging, Walk, charging

ROUNDS, LABELS_OF_A_GUESS = 5, 60
NEVER_OPENS = 1e7
"""Seconds nobody waits."""
SAME_SECONDS, SAME_PAISE = 1.0, 0.5


def cheapest(problem: Problem) -> Plan | None:
    """The best plan found; None when none keeps to the clock."""
    at_best = replace(problem, chargers=[replace(one, paise_per_kwh=least_price(one)) for one in problem.chargers])
    ground = Ground(at_best)
    free = Search(ground).run()
    if free is None:
        return None
    plan = Walk(problem).go(free.charges).plan()
    if plan is not None and plan.objective <= free.bound + TINY:  # who waits, or pays more, does no better
        return plan
    quickest = Search(Ground(replace(problem, paise_per_minute=None), None, ground.fixed)).run()
    if quickest is None:  # and that search is exact: nothing is possible
        return None
    best = Walk(problem).go(quickest.charges).plan()
    for terms in (_on_the_way(problem), {}):
        best = _cheaper(best, _settled(problem, terms, ground.fixed))
    return None if best is None else replace(best, bound=min(best.objective, _bound(ground, free, quickest)))


Known = dict[tuple[int, int], Terms]


def _on_the_way(problem: Problem) -> Known:
    """What one would meet who drives the route without charging: a first guess for every charger before every stop."""
    terms, now, first = {}, 0.0, len(problem.stops)
    for stop in range(1, first):
        for c, charger in enumerate(problem.chargers):
            seconds = problem.seconds[stop - 1][first + c]
            if seconds is not None:
                comes = now + seconds + charger.wait_seconds
                met = charging(charger, comes, charger.curve.wh[0], charger.curve.wh[1], problem.battery_per_metered)
                terms[stop, c] = _terms(problem, charger, met.starts - comes + charger.wait_seconds, met, 0, 1)
        leg = problem.seconds[stop - 1][stop]
        now = max(now + (leg or 0.0), problem.stops[stop].earliest_seconds or 0.0) + problem.stops[stop].service_seconds
    return terms


def _terms(problem: Problem, charger: Charger, wait: float, met: Charging, low: int, high: int) -> Terms:
    metered = (charger.curve.wh[high] - charger.curve.wh[low]) / problem.battery_per_metered
    return Terms(
        min(wait, NEVER_OPENS), met.paise / metered * 1000 if met.ends < NEVER_OPENS else charger.paise_per_kwh
    )


def _settled(problem: Problem, terms: Known, fixed: Fixed) -> Plan | None:
    """The cheapest plan on the way to one whose waits and prices are what it was made with."""
    best = None
    for _ in range(ROUNDS):
        found = Search(Ground(problem, terms, fixed), LABELS_OF_A_GUESS).run()
        if found is None:
            break
        walk = Walk(problem).go(found.charges)
        best = _cheaper(best, walk.plan())
        is_news = _learn(problem, terms, walk.visits)
        if not walk.is_possible and len(walk.visits) < len(found.charges):
            failed = found.charges[len(walk.visits)]
            terms[failed.before_stop, failed.charger] = Terms(NEVER_OPENS, 0.0)
        elif not is_news:
            break
    return best


def _cheaper(one: Plan | None, other: Plan | None) -> Plan | None:
    if one is None or other is None:
        return one or other
    return other if other.objective < one.objective else one


def _learn(problem: Problem, terms: Known, visits: list[Visit]) -> bool:
    """Take over what the visits met; whether anything was news."""
    is_news = False
    for visit in visits:
        metered = (visit.departure_wh - visit.arrival_wh) / problem.battery_per_metered
        charger = problem.chargers[visit.charger]
        price = visit.price_paise / metered * 1000 if metered > 1 else charger.paise_per_kwh
        met = Terms(visit.starts_seconds - visit.arrives_seconds, price)
        known = terms.get((visit.before_stop, visit.charger)) or Terms(charger.wait_seconds, charger.paise_per_kwh)
        is_same = abs(known.wait_seconds - met.wait_seconds) < SAME_SECONDS
        if not (is_same and abs(known.paise_per_kwh - met.paise_per_kwh) < SAME_PAISE):
            is_news, terms[visit.before_stop, visit.charger] = True, met
    return is_news


def _bound(ground: Ground, free: Found, quickest: Found) -> float:
    """What no plan can beat, in paise. `ground`: at the best prices, where `free` is the best when nobody waits."""
    problem, bought = ground.problem, 0.0
    if problem.start_wh < ground.ahead.straight_wh[0] and problem.chargers:
        metered = max(0.0, ground.ahead.more_wh[0] - problem.start_wh) / 1000 / problem.battery_per_metered
        least = min(one.paise_per_kwh for one in problem.chargers), min(one.fee_paise for one in problem.chargers)
        bought = metered * least[0] + least[1]
    return max(free.bound, quickest.bound * ground.scale + bought)


def least_price(charger: Charger) -> float:
    return min([charger.paise_per_kwh, *(price for _, price in charger.price_bands)])
