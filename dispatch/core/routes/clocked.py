"""Least rupees when waits, hours or prices depend on when one comes: plans that agree with the clock, and a bound.

Time and money cannot share one axis here, so the exact search runs with the waits and prices that the last plan met,
until they are the ones it meets. What comes out is always walked by the clock, and is held against a bound: the dearer
of "nobody waits, at the best price" and "the shortest duration, with the least energy at the least price". `Plan.gap`
says how far the best could be below.
"""

from dataclasses import replace

from dispatch.core.routes.ground import Ground, Terms
from dispatch.core.routes.labelling import Found, Search
from dispatch.core.routes.problem import Charger, Plan, Problem, Visit
from dispatch.core.routes.walk import Walk

ROUNDS = 12
SAME_SECONDS, SAME_PAISE = 1.0, 0.5


def cheapest(problem: Problem) -> Plan | None:
    """The best plan found; None when none keeps to the clock."""
    quickest = Search(Ground(replace(problem, paise_per_minute=None))).run()
    if quickest is None:  # and that search is exact: nothing is possible
        return None
    best = Walk(problem).go(quickest.charges).plan()
    terms: dict[tuple[int, int], Terms] = {}
    for _ in range(ROUNDS):
        found = Search(Ground(problem, terms)).run()
        if found is None:
            break
        walk = Walk(problem).go(found.charges)
        best = _cheaper(best, walk.plan())
        if not walk.is_possible or not _learn(problem, terms, walk.visits):
            break
    return None if best is None else replace(best, bound=min(best.objective, _bound(problem, quickest)))


def _cheaper(one: Plan | None, other: Plan | None) -> Plan | None:
    if one is None or other is None:
        return one or other
    return other if other.objective < one.objective else one


def _learn(problem: Problem, terms: dict[tuple[int, int], Terms], visits: list[Visit]) -> bool:
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


def _bound(problem: Problem, quickest: Found) -> float:
    """What no plan can beat, in paise."""
    chargers = [replace(one, paise_per_kwh=least_price(one)) for one in problem.chargers]
    ground = Ground(replace(problem, chargers=chargers))
    free = Search(ground).run()
    bought = 0.0
    if problem.start_wh < ground.ahead.straight_wh[0] and chargers:
        metered = max(0.0, ground.ahead.more_wh[0] - problem.start_wh) / 1000 / problem.battery_per_metered
        bought = metered * min(one.paise_per_kwh for one in chargers) + min(one.fee_paise for one in chargers)
    return max(free.objective if free else 0.0, quickest.objective * ground.scale + bought)


def least_price(charger: Charger) -> float:
    return min([charger.paise_per_kwh, *(price for _, price in charger.price_bands)])
