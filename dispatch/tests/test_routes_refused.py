"""A route that cannot be driven gets a reason, what is missing, and what would help; a plan gets its plan B."""

from dataclasses import replace
from math import ceil, inf

import pytest

from dispatch.core import routes
from dispatch.core.routes import Backup, Charger, Infeasible, Plan, Problem, Stop
from dispatch.tests import route_oracles
from dispatch.tests.test_routes import CURVE

SEEDS = range(150)


def refused(problem: Problem) -> Infeasible:
    answer = routes.answer(problem)
    assert isinstance(answer, Infeasible)
    return answer


def ways(answer: Infeasible) -> dict[str, routes.WayOut]:
    return {way.kind: way for way in answer.ways_out}


def on_a_line(*kilometres: float, chargers: tuple[float, ...] = (), **values) -> Problem:
    """Stops and chargers along one road: a minute and 200 Wh a kilometre, a battery for 100 km."""
    places = [*kilometres, *chargers]
    km = [[abs(a - b) for b in places] for a in places]
    defaults = {
        "stops": [Stop() for _ in kilometres], "chargers": [Charger(10 + n, CURVE) for n in range(len(chargers))],
        "seconds": [[d * 60 for d in row] for row in km], "wh": [[d * 200 for d in row] for row in km],
        "battery_wh": 20_000, "start_wh": 4_000,
    }  # fmt: skip
    return Problem(**{**defaults, **values})


def test_the_missing_energy_is_named_with_the_farthest_charger():
    problem = on_a_line(0, 15, 150, chargers=(5, 18, 55), reserve_wh=1_000)
    assert isinstance(routes.answer(problem), Plan)
    answer = refused(replace(problem, start_wh=1_800))
    assert (answer.reason, answer.farthest_stop, answer.blocked_stop) == ("start_too_low", 0, 1)
    assert answer.deficit_wh == pytest.approx(200)
    assert (answer.farthest_charger, answer.nearest_charger) == (None, 10)
    assert answer.nearest_missing_wh == pytest.approx(200)


def test_the_farthest_charger_is_the_one_along_the_route():
    answer = refused(on_a_line(0, 15, 150, chargers=(5, 18, 40), start_wh=4_000))
    assert answer.reason == "leg_too_long"
    assert (answer.deficit_wh, answer.farthest_stop, answer.blocked_stop) == (None, 1, 2)
    assert answer.farthest_charger == 12
    assert answer.farthest_charger_wh == pytest.approx(20_000 - 22 * 200)


def test_two_stops_without_a_road_between_them():
    problem = on_a_line(0, 10, 20)
    cut = [[None if {a, b} == {1, 2} else 600 for b in range(3)] for a in range(3)]
    answer = refused(replace(problem, seconds=cut))
    assert (answer.reason, answer.blocked_stop, answer.farthest_stop) == ("unreachable", 2, 1)
    assert ways(answer)["skip_stop"].value == 1


def test_what_would_help_is_shown_with_its_plan():
    helps = ways(refused(on_a_line(0, 10, 17, reserve_wh=1_000)))
    assert set(helps) == {"use_reserve", "drive_economically", "charge_first"}
    assert helps["charge_first"].value == pytest.approx(400)
    assert helps["charge_first"].plan.arrivals[-1].arrival_wh == pytest.approx(1_000, abs=1)
    assert helps["drive_economically"].value == pytest.approx(1 - 3_000 / 3_400, abs=0.001)
    beyond = ways(refused(on_a_line(0, 30, 15, reserve_wh=1_000)))
    assert beyond["skip_stop"].value == 1
    assert beyond["skip_stop"].plan.duration_seconds == pytest.approx(900)


def test_the_reserve_is_the_last_thing_to_be_used():
    helps = ways(refused(on_a_line(0, 18, reserve_wh=1_000)))
    assert helps["use_reserve"].value == pytest.approx(400, abs=5)
    assert helps["use_reserve"].plan.arrivals[-1].arrival_wh == pytest.approx(400, abs=5)


def test_coming_late_says_by_how_much():
    problem = on_a_line(0, 10, 30, chargers=(12,))
    late = replace(problem, stops=[Stop(), Stop(300.0), Stop(latest_seconds=1_200.0)])
    answer = refused(late)
    assert (answer.reason, answer.deficit_wh, answer.blocked_stop) == ("too_late", None, 2)
    way = ways(answer)["arrive_late"]
    assert way.value == pytest.approx(way.plan.arrivals[-1].arrives_seconds - 1_200)
    assert way.value > 600
    closed = replace(problem, chargers=[Charger(10, CURVE, hours=((0, 60),))])
    assert refused(closed).reason == "too_late"


def test_the_missing_energy_is_exactly_enough():
    """Against trying every whole charge at the start."""
    named = 0
    for seed in SEEDS:
        problem = route_oracles.in_small_numbers(seed, reserve=seed % 2 == 0)
        if problem.reserve_share_of_leg or isinstance(answer := routes.answer(problem), Plan):
            continue
        enough = [
            wh for wh in range(int(problem.battery_wh) + 1)
            if route_oracles.by_trying_everything(replace(problem, start_wh=float(wh))) < inf
        ]  # fmt: skip
        assert (answer.deficit_wh is None) == (not enough)
        if answer.deficit_wh is not None:
            named += 1
            assert ceil(problem.start_wh + answer.deficit_wh - 1e-6) == enough[0]
            assert isinstance(ways(answer)["charge_first"].plan, Plan)
    assert named > 5


def test_every_way_out_can_be_driven():
    seen = set()
    for seed in SEEDS:
        problem = route_oracles.in_small_numbers(seed, reserve=True, windows=seed % 2 == 0, hours=seed % 3 == 0)
        answer = routes.answer(problem)
        if isinstance(answer, Infeasible):
            seen |= {way.kind for way in answer.ways_out}
            assert all(way.value >= 0 for way in answer.ways_out)
            assert all(way.plan or way.kind == "charge_first" for way in answer.ways_out)
    assert seen == {"use_reserve", "skip_stop", "drive_economically", "charge_first", "arrive_late"}


def plan_and_backups(problem: Problem) -> tuple[Plan, tuple[Backup, ...]]:
    plan = routes.answer(problem)
    assert isinstance(plan, Plan)
    return plan, routes.backups(problem, plan)


def test_plan_b_starts_where_the_charger_failed():
    problem = on_a_line(0, 30, chargers=(12, 14), start_wh=4_000)
    plan, (backup,) = plan_and_backups(problem)
    (visit,) = plan.visits
    assert isinstance(backup.on_arrival, Plan)
    assert backup.on_arrival.visits[0].connector_id != visit.connector_id
    assert backup.decide_before_stop == 0
    at = problem.wh[0][2 + visit.charger]
    assert at is not None
    assert visit.arrival_wh == 4_000 - at


def test_a_charger_without_a_second_one_is_the_point_of_no_return():
    plan, (backup,) = plan_and_backups(on_a_line(0, 30, chargers=(14,)))
    assert isinstance(backup.on_arrival, Infeasible)
    assert backup.decide_before_stop is None
    assert plan.visits[0].connector_id == 10


def test_plan_b_keeps_to_the_clock():
    hours = ((0.0, 1_800.0),)
    problem = on_a_line(0, 30, chargers=(12, 14))
    chargers = [replace(problem.chargers[0], ready_seconds=2_000.0), replace(problem.chargers[1], hours=hours)]
    _, (backup,) = plan_and_backups(replace(problem, chargers=chargers))
    assert isinstance(backup.on_arrival, Plan)
    plan_b = backup.on_arrival.visits[0]
    assert plan_b.connector_id == 10
    assert plan_b.starts_seconds == pytest.approx(2_000 - 840)  # counted from the failure, after 14 km
