"""Charging along a fixed route is planned exactly: against published optima, another solver and trying everything."""

import gzip
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core import along, curves, routes
from dispatch.core.routes import Charger, Plan, Problem, Stop
from dispatch.core.routes.ground import Ground
from dispatch.core.routes.labelling import Search
from dispatch.core.routes.walk import Walk
from dispatch.tests import route_oracles

MOUNTED = Path(__file__).resolve().parents[3] / "shared/data/frvcp/frvcp_133_published.json.gz"
PUBLISHED = Path(os.environ.get("PUBLISHED_ROUTES") or MOUNTED)
INSTANCES = int(os.environ.get("ROUTE_INSTANCES", "80"))
VARIANTS = {
    "plain": {},
    "waits": {"waits": True},
    "reserve": {"reserve": True},
    "hours": {"hours": True},
    "windows": {"windows": True},
    "prices": {"prices": True},
    "prices and reserve": {"prices": True, "reserve": True},
    "all of the clock": {"waits": True, "reserve": True, "hours": True, "windows": True},
}
CURVE = curves.ChargeCurve((0.0, 1800.0, 3600.0), (0.0, 15_000.0, 20_000.0))


def two_stops(**values) -> Problem:
    """20 km with a charger half way; the battery holds the way there and a little more."""
    defaults = {
        "stops": [Stop(), Stop()], "chargers": [Charger(7, CURVE)],
        "seconds": [[0, 2400, 1200], [2400, 0, 1200], [1200, 1200, 0]],
        "wh": [[0, 12_000, 6_000], [12_000, 0, 6_000], [6_000, 6_000, 0]],
        "battery_wh": 20_000, "start_wh": 8_000,
    }  # fmt: skip
    return Problem(**{**defaults, **values})


def planned(problem: Problem) -> Plan:
    plan = routes.answer(problem)
    assert isinstance(plan, Plan)
    return plan


@pytest.mark.skipif(
    not PUBLISHED.is_file(),
    reason=f"{PUBLISHED} is not there: PUBLISHED_ROUTES may name another one (docs/dispatch.md)",
)
def test_every_published_optimum_is_found():
    with gzip.open(PUBLISHED) as file:
        known = json.load(file)
    for name, route in known["routes"].items():
        plan = planned(route_oracles.published(known["instance"], route["route"]))
        assert plan.duration_seconds == pytest.approx(route["obj"] * 3600, rel=1e-6), name


@pytest.mark.parametrize("seed", range(INSTANCES))
def test_another_exact_solver_finds_the_same_duration(seed):
    problem = route_oracles.like_published(seed)
    plan = routes.solve(problem)
    assert (plan.duration_seconds if plan else float("inf")) == pytest.approx(
        route_oracles.by_frvcpy(problem), abs=1e-3
    )


@pytest.mark.parametrize("variants", VARIANTS.values(), ids=VARIANTS)
def test_no_plan_in_whole_wh_beats_ours_and_ours_can_be_driven(variants):
    """Ours is walked by the clock, so it is possible; nothing tried is better, so it is the best."""
    charged = 0
    for seed in range(INSTANCES):
        problem = route_oracles.in_small_numbers(seed, **variants)
        plan, best = routes.solve(problem), route_oracles.by_trying_everything(problem)
        assert (plan.objective if plan else float("inf")) <= best + 1e-4, seed
        assert plan is None or plan.gap < 1e-6
        charged += bool(plan and plan.visits)
    assert charged > INSTANCES / 10


def test_rupees_by_the_clock_come_with_a_true_bound():
    variants = {"prices": True, "waits": True, "hours": True, "bands": True, "windows": True, "reserve": True}
    best_found = planned_ones = 0
    for seed in range(INSTANCES):
        problem = route_oracles.in_small_numbers(seed, **variants)
        plan, best = routes.solve(problem), route_oracles.by_trying_everything(problem)
        assert plan or best == float("inf"), seed
        if plan:
            assert plan.bound <= best + 1e-4
            planned_ones += best < float("inf")
            best_found += plan.objective <= best + 1e-4
    assert best_found >= 0.9 * planned_ones > 0


@pytest.mark.parametrize("variants", [{}, {"waits": True}, {"waits": True, "hours": True, "windows": True}])
def test_what_begins_at_one_charger_is_planned_as_if_there_were_no_other_way(variants):
    """All on one ground; where the clock would have to be asked nothing is claimed."""
    sure = 0
    for seed in range(INSTANCES):
        problem = route_oracles.in_small_numbers(seed, prices=True, reserve=True, **variants)
        begun, chargers = routes.Begun(problem), range(len(problem.chargers))
        for charger, gap in itertools.product(chargers, range(len(problem.stops) - 1)):
            order = [charger, *(c for c in chargers if c != charger)]
            solved = routes.solve(along._begun_with_first(along.part_of(problem, order), gap))
            if (found := begun.at(charger, gap, order)) is None:
                continue
            sure += 1
            assert (found.plan is None) == (solved is None), seed
            if found.plan and solved:
                assert found.plan.visits[0].charger == charger and found.plan.visits[0].before_stop == gap + 1
                assert solved.bound - 1e-4 <= found.plan.objective <= solved.objective + 1e-4, seed
    assert sure > INSTANCES / 2


def test_only_what_is_missing_is_charged():
    plan = planned(two_stops(reserve_wh=1_000))
    (visit,) = plan.visits
    assert (visit.connector_id, visit.arrival_wh, visit.departure_wh) == (7, 2_000, 7_000)
    assert visit.leaves_seconds - visit.starts_seconds == pytest.approx(600)
    assert plan.duration_seconds == pytest.approx(2400 + 600)
    assert plan.arrivals[-1].arrival_wh == pytest.approx(1_000)


def test_a_wait_counts_once_and_a_promise_to_another_is_waited_out():
    assert planned(two_stops(chargers=[Charger(7, CURVE, wait_seconds=300)])).waiting_seconds == pytest.approx(300)
    plan = planned(two_stops(chargers=[Charger(7, CURVE, ready_seconds=2_000)]))
    assert plan.visits[0].starts_seconds == pytest.approx(2_000)


def test_a_dearer_charger_is_passed_by_when_its_minutes_are_not_worth_it():
    slow = curves.ChargeCurve((0.0, 3600.0), (0.0, 20_000.0))
    row = [1200, 1200, 0, 0]
    both = {
        "seconds": [[0, 2400, 1200, 1200], [2400, 0, 1200, 1200], row, row],
        "wh": [[value * 5 for value in line] for line in ([0, 2400, 1200, 1200], [2400, 0, 1200, 1200], row, row)],
        "chargers": [Charger(1, CURVE, paise_per_kwh=3_000), Charger(2, slow, paise_per_kwh=1_500)],
    }
    assert [one.connector_id for one in planned(two_stops(**both)).visits] == [1]
    for per_minute, connector in ((100, 2), (4_000, 1)):
        plan = planned(two_stops(**both, paise_per_minute=per_minute))
        assert [one.connector_id for one in plan.visits] == [connector]
        assert plan.objective == pytest.approx(plan.time_paise + plan.price_paise + plan.fee_paise)


def test_a_price_that_changes_during_the_charge_is_paid_in_parts():
    charger = Charger(7, CURVE, paise_per_kwh=1_000, price_bands=((1_440.0, 2_000.0),))
    plan = planned(two_stops(chargers=[charger], paise_per_minute=100.0, battery_per_metered=1.0))
    assert plan.visits[0].price_paise == pytest.approx(2_000 + 2 * 2_000)


@pytest.mark.parametrize("hours", [((0, 1_000), (5_000, 6_000)), ((5_000, 9_000),)])
def test_a_closed_charger_is_waited_for(hours):
    plan = planned(two_stops(chargers=[Charger(7, CURVE, hours=hours)]))
    assert plan.visits[0].starts_seconds == pytest.approx(5_000)


def test_a_charge_goes_on_after_a_pause():
    plan = planned(two_stops(chargers=[Charger(7, CURVE, hours=((1_000, 1_320), (4_000, 9_000)))]))
    assert plan.visits[0].starts_seconds == pytest.approx(1_200)
    assert plan.visits[0].leaves_seconds == pytest.approx(4_000 + 360)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_plan_follows_again_from_its_stored_problem(seed):
    problem = route_oracles.in_small_numbers(seed, prices=seed % 2 == 0, hours=seed % 3 == 0, windows=seed % 5 == 0)
    stored = json.loads(json.dumps(routes.to_snapshot(problem)))
    assert stored["core_version"] == routes.VERSION
    assert routes.replay(stored) == routes.answer(problem)


@given(st.integers(0, 10_000), st.floats(0, 4_000))
@settings(max_examples=40, deadline=None)
def test_more_charge_at_the_start_is_never_slower(seed, more):
    problem = route_oracles.like_published(seed)
    fuller = routes.solve(replace(problem, start_wh=min(problem.battery_wh, problem.start_wh + more)))
    plan = routes.solve(problem)
    assert plan is None or (fuller is not None and fuller.duration_seconds <= plan.duration_seconds + 1e-3)


def test_a_problem_that_makes_no_sense_is_refused():
    for wrong in ({"stops": [Stop()]}, {"start_wh": 30_000}, {"start_wh": float("nan")}, {"paise_per_minute": 0}):
        with pytest.raises(ValueError, match=r"\w"):
            two_stops(**wrong)
    with pytest.raises(ValueError, match="rises"):
        curves.ChargeCurve((0.0, 10.0, 10.0), (0.0, 5.0, 6.0))


def test_a_search_cut_short_has_a_plan_and_a_true_bound():
    gaps = []
    for seed in range(40):
        problem = route_oracles.in_a_city(seed, paise_per_minute=400.0)
        found = Search(Ground(problem), labels_at_most=3).run()
        assert found is not None
        plan, best = Walk(problem).go(found.charges).plan(found.bound), planned(problem)
        assert plan is not None
        assert plan.bound - 1e-4 <= best.objective <= plan.objective + 1e-4
        gaps.append(plan.gap)
    assert max(gaps) > 0


def test_a_search_cut_short_never_says_there_is_no_way():
    for seed in range(40):
        problem = route_oracles.like_published(seed)
        found = Search(Ground(problem), labels_at_most=0).run()
        assert (found is None) == (routes.solve(problem) is None)
