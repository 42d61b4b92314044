"""The core of dispatch: charging along fixed routes, and the whole fleet sent charging at once, without any engine.

    python -m bench.routes [--file PUBLISHED.json.gz] [--routes 133] [--vehicles 1000] [--connectors 5000]

Random routes of the published kind are held against the solver frvcpy, published ones against their optima. The floor
of a route is driving the plan that was found once more on paper; the floor of a fleet is scipy's matching alone on a
matrix that is ready.
"""

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from dispatch.core import assign, routes
from dispatch.core.routes import Plan, Problem
from dispatch.core.routes.labelling import Charge
from dispatch.core.routes.walk import Walk
from dispatch.tests import cities, route_oracles

GOAL_P95_MS, GOAL_MAX_MS, GOAL_FLEET_S, GOAL_MOVED = 15.0, 100.0, 1.0, 0.03
FLIPS = 10


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of this thread's processor time (others on the machine do not count), and what came of it."""
    started = time.thread_time()
    result = work()
    return (time.thread_time() - started) * 1000, result


def row(name: str, taken: Sequence[float]) -> None:
    ordered = sorted(taken)
    p95 = ordered[int(len(ordered) * 0.95)]
    print(f"  {name:<34} p50 {statistics.median(ordered):7.2f} ms   p95 {p95:7.2f} ms   max {ordered[-1]:7.2f} ms")


def walk_again(problem: Problem, plan: Plan) -> Plan | None:
    charges = [Charge(one.before_stop, one.charger, one.departure_wh) for one in plan.visits]
    return Walk(problem).go(charges).plan()


def against_optima(name: str, pairs: Sequence[tuple[Problem, float]], oracle: Sequence[float]) -> None:
    """Our plans beside known optima."""
    taken, floor, gaps, infeasible = [], [], [], 0
    routes.solve(pairs[0][0])
    for problem, optimum in pairs:
        milliseconds, plan = timed(lambda problem=problem: routes.solve(problem))  # type: ignore[misc]
        taken.append(milliseconds)
        if plan is None:
            infeasible += 1
            assert optimum == float("inf"), "a plan was missed"
            continue
        again, walked = timed(lambda problem=problem, plan=plan: walk_again(problem, plan))  # type: ignore[misc]
        assert walked is not None, "a plan cannot be driven"
        floor.append(again)
        gaps.append(plan.duration_seconds / optimum - 1)
    print(f"{name}: {len(gaps)} planned, {infeasible} impossible")
    row("plan", taken)
    row("floor: walk the plan once more", floor)
    if oracle:
        row("frvcpy", oracle)
    print(f"  ratio {statistics.median(taken) / statistics.median(floor):.0f}   duration over the optimum: "
          f"mean {statistics.mean(gaps):.6%}, worst {max(gaps):.6%}")  # fmt: skip
    print(f"  goal: p95 <= {GOAL_P95_MS:.0f} ms, max <= {GOAL_MAX_MS:.0f} ms, mean <= 0.1 %, worst <= 1 %")


def published(path: Path) -> None:
    with gzip.open(path) as file:
        known = json.load(file)
    problems = [route_oracles.published(known["instance"], one["route"]) for one in known["routes"].values()]
    optima = [one["obj"] * 3600 for one in known["routes"].values()]
    against_optima("published routes", list(zip(problems, optima, strict=True)), [])


def random_routes(count: int) -> None:
    problems = [route_oracles.like_published(seed) for seed in range(count)]
    others = [timed(lambda one=one: route_oracles.by_frvcpy(one)) for one in problems]  # type: ignore[misc]
    pairs = list(zip(problems, [optimum for _, optimum in others], strict=True))
    against_optima("random routes of the published kind", pairs, [milliseconds for milliseconds, _ in others])


def large_routes(count: int) -> None:
    print("8 stops, 40 chargers with curves of 11 points, reserve and leg share")
    for name, per_minute, is_clocked in (
        ("least duration", None, False),
        ("least rupees", 400.0, False),
        ("least duration by the clock", None, True),
        ("least rupees by the clock", 400.0, True),
    ):
        wish = {"paise_per_minute": per_minute, "is_clocked": is_clocked}
        problems = [route_oracles.in_a_city(seed, **wish) for seed in range(count)]  # type: ignore[arg-type]
        done = [timed(lambda problem=problem: routes.solve(problem)) for problem in problems]  # type: ignore[misc]
        row(name, [milliseconds for milliseconds, _ in done])
        gaps = [plan.gap for _, plan in done if plan is not None]
        print(f"    {len(gaps)} of {count} possible; within {max(gaps, default=0):.2%} of the best at worst")


def fleet(vehicles: int, connectors: int) -> None:
    print(f"{vehicles} vehicles, {connectors} connectors, the nearest 40 of each")
    city = cities.city(1, vehicles=vehicles, connectors=connectors)
    assign.assign(cities.city(2, vehicles=20, connectors=20))
    milliseconds, found = timed(lambda: assign.assign(city))
    floor, _ = timed(_bare_matching(city))
    ratio = milliseconds / floor
    print(f"  assign {milliseconds:.0f} ms   floor {floor:.0f} ms   ratio {ratio:.1f}   goal <= {GOAL_FLEET_S:.0f} s")
    least = cities.by_linear_program(city)
    print(f"  over a linear program's optimum: {found.matched_paise / least - 1:.6%}   goal <= 0.5 %")
    herd = cities.each_for_himself(city) / cities.by_the_clock(city, found) - 1
    print(f"  each for himself to the nearest free one: +{herd:.0%}   unserved {len(found.unserved)}")
    going = assign.under_way(city, found)
    moved = [
        _flipped(going, found, number) for number in range(0, len(found.places), max(1, len(found.places) // FLIPS))
    ]
    print(f"  going elsewhere after one failure: at most {max(moved):.2%}   goal <= {GOAL_MOVED:.0%}")


def _bare_matching(city: assign.City) -> Callable[[], Any]:
    arcs = assign._Arcs(city)
    count = len(city.vehicles.ids)
    spots, column = np.unique(arcs.connector * assign.PLACES + arcs.place, return_inverse=True)
    cost = np.concatenate([arcs.paise + 1, np.full(count, 2.4e5)])
    who, where = np.r_[arcs.vehicle, np.arange(count)], np.r_[column, len(spots) + np.arange(count)]
    graph = csr_matrix((cost, (who, where)), shape=(count, len(spots) + count))
    return lambda: min_weight_full_bipartite_matching(graph)


def _flipped(going: assign.City, found: assign.Assignment, number: int) -> float:
    after = assign.assign(cities.with_one_broken(going, found.places[number].connector_id))
    now = {place.vehicle_id: place.connector_id for place in after.places}
    return sum(now.get(one.vehicle_id) != one.connector_id for one in found.places) / len(found.places)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--routes", type=int, default=133)
    parser.add_argument("--vehicles", type=int, default=1000)
    parser.add_argument("--connectors", type=int, default=5000)
    options = parser.parse_args()
    if options.file:
        published(options.file)
    random_routes(options.routes)
    large_routes(options.routes)
    fleet(options.vehicles, options.connectors)


if __name__ == "__main__":
    main()
