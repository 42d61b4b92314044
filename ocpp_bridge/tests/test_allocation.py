"""Shares of a site's power: what always holds, tried on thousands of sites, and against a linear program."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from ocpp_bridge.charging.allocation import (
    HOUR,
    Session,
    Share,
    divide,
    fair_share,
    plan_by_deadline,
    plan_fair,
    slots_of,
)

SITE, CHARGER = st.integers(0, 200_000), st.integers(0, 90_000)
LIMITS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 60_000)), max_size=3)


@st.composite
def shares(draw: st.DrawFn, least: bool = True) -> list[Share]:
    found = []
    for key in range(draw(st.integers(0, 7))):
        max_w = draw(st.integers(0, 60_000))
        min_w = draw(st.integers(0, 8_000)) if least else 0
        found.append(Share(key, draw(st.integers(0, 2)), min_w, max_w))
    return found


CAPS = st.dictionaries(st.integers(0, 2), CHARGER)


def total(power: Mapping[int, int], of: Sequence[Share]) -> int:
    return sum(power[share.key] for share in of)


def admitted(power: Mapping[int, int]) -> set[int]:
    return {key for key, watts in power.items() if watts}


@given(SITE, CAPS, shares())
def test_no_limit_is_ever_passed(limit: int, caps: dict[int, int], wanted: list[Share]) -> None:
    power = fair_share(limit, caps, wanted)
    assert total(power, wanted) <= limit
    for group, cap in caps.items():
        assert total(power, [share for share in wanted if share.group == group]) <= cap
    for share in wanted:
        assert power[share.key] == 0 or share.min_w <= power[share.key] <= share.max_w


@given(SITE, CAPS, shares())
def test_nothing_is_left_that_somebody_could_use(limit: int, caps: dict[int, int], wanted: list[Share]) -> None:
    power = fair_share(limit, caps, wanted)
    left = limit - total(power, wanted)
    for share in wanted:
        mates = [other for other in wanted if other.group == share.group]
        room = min(left, caps.get(share.group, left) - total(power, mates) if share.group in caps else left)
        more = 1 if power[share.key] else max(1, share.min_w)
        assert room < more or power[share.key] + more > share.max_w


@given(SITE, CAPS, shares())
def test_nobody_has_less_than_a_neighbour_unless_it_can_take_no_more(
    limit: int, caps: dict[int, int], wanted: list[Share]
) -> None:
    """Max-min: within a charger, two that charge differ by one watt at most, or a bound of their own says why."""
    power = fair_share(limit, caps, wanted)
    charging = [share for share in wanted if power[share.key]]
    for poor, rich in product(charging, charging):
        if power[rich.key] > power[poor.key] + 1 and rich.group == poor.group:
            assert power[poor.key] == poor.max_w or power[rich.key] == max(rich.min_w, rich.floor_w)


@given(SITE, SITE, CAPS, shares(least=False))
def test_a_higher_limit_gives_nobody_less(one: int, other: int, caps: dict[int, int], wanted: list[Share]) -> None:
    low, high = (fair_share(limit, caps, wanted) for limit in sorted((one, other)))
    assert all(low[key] <= high[key] for key in low)


@given(SITE, st.integers(0, 5_000), CAPS, shares())
def test_a_higher_limit_pauses_nobody_and_gives_nobody_less_while_the_same_charge(
    limit: int, more: int, caps: dict[int, int], wanted: list[Share]
) -> None:
    low, high = (fair_share(watts, caps, wanted) for watts in (limit, limit + more))
    assert admitted(low) <= admitted(high)
    if admitted(low) == admitted(high):
        assert all(low[key] <= high[key] for key in low)


def test_with_a_least_current_a_higher_limit_cannot_please_everybody() -> None:
    """Why the promise above is the strongest there is: the second vehicle must come in at somebody's cost."""
    pair = [Share(1, 1, 6_000, 12_000), Share(2, 2, 6_000, 12_000)]
    assert fair_share(11_000, {}, pair) == {1: 11_000, 2: 0}
    assert fair_share(12_000, {}, pair) == {1: 6_000, 2: 6_000}


@given(SITE, CAPS, shares(), st.randoms(use_true_random=False))
def test_the_same_question_has_the_same_answer(limit: int, caps: dict[int, int], wanted: list[Share], dice) -> None:
    assert fair_share(limit, caps, wanted) == fair_share(limit, dict(reversed(caps.items())), list(wanted))


def test_a_safe_share_is_kept_for_the_last_in_line() -> None:
    greedy = Share(1, 1, 0, 50_000, floor_w=50_000)
    kept = Share(2, 2, 1_000, 9_000, safe_w=4_000)
    assert divide(50_000, {}, [greedy, kept]) == {1: 46_000, 2: 4_000}


# --- until the last departure ---------------------------------------------------------------------------------------


@st.composite
def sites(draw: st.DrawFn, least: bool = False) -> tuple[list[tuple[int, int]], dict[int, int], list[Session]]:
    """Limits by time, limits of chargers, vehicles; in steps of ten minutes."""
    limits, moment = [(0, draw(st.integers(0, 60_000)))], 0
    for gap, watts in draw(LIMITS):
        moment += gap * 600
        limits.append((moment, watts))
    sessions = [
        Session(
            key=key,
            group=draw(st.integers(0, 2)),
            min_w=draw(st.integers(0, 5_000)) if least else 0,
            max_w=draw(st.integers(0, 40_000)),
            needed_wh=draw(st.one_of(st.none(), st.integers(0, 60_000))),
            leaves_in_seconds=draw(st.one_of(st.none(), st.integers(1, 40).map(lambda tens: tens * 600))),
        )
        for key in range(draw(st.integers(1, 6)))
    ]
    return limits, draw(CAPS), sessions


def everybody_can_be_served(slots, caps, sessions) -> bool:
    """The oracle: a linear program over watts per slot and vehicle (HiGHS)."""
    urgent = [s for s in sessions if s.leaves_in_seconds is not None and s.needed_wh]
    if not urgent:
        return True
    pairs = [(n, s) for s in urgent for n, slot in enumerate(slots) if slot.start_seconds < s.leaves_in_seconds]
    rows, bounds = [], []
    for n, slot in enumerate(slots):
        rows.append([float(m == n) for m, _ in pairs])
        bounds.append(slot.limit_w)
        for group, cap in caps.items():
            rows.append([float(m == n and s.group == group) for m, s in pairs])
            bounds.append(cap)
    for session in urgent:
        rows.append([-slots[n].seconds / HOUR if s is session else 0.0 for n, s in pairs])
        bounds.append(-session.needed_wh)
    solved = linprog(
        np.zeros(len(pairs)), A_ub=np.array(rows), b_ub=np.array(bounds, float), bounds=[(0, s.max_w) for _, s in pairs]
    )
    return solved.status == 0


def check_limits(plan, caps, sessions) -> None:
    by_key = {session.key: session for session in sessions}
    for slot, power in zip(plan.slots, plan.power_w, strict=True):
        assert sum(power.values()) <= max(slot.limit_w, 0)
        for group, cap in caps.items():
            assert sum(watts for key, watts in power.items() if by_key[key].group == group) <= cap
        for key, watts in power.items():
            assert watts == 0 or by_key[key].min_w <= watts <= by_key[key].max_w


def lacking_ws(plan, session) -> int:
    """Watt-seconds that the plan leaves this vehicle without."""
    if session.leaves_in_seconds is None or session.needed_wh is None:
        return 0
    moments = zip(plan.slots, plan.power_w, strict=True)
    drawn = sum(slot.seconds * power.get(session.key, 0) for slot, power in moments)
    return max(0, session.needed_wh * HOUR - drawn)


def departures(sessions) -> list[int | None]:
    return [session.leaves_in_seconds for session in sessions]


@settings(max_examples=300, deadline=None)
@given(sites())
def test_every_departure_is_met_whenever_any_schedule_can(site) -> None:
    limits, caps, sessions = site
    slots = slots_of(limits, departures(sessions), horizon_seconds=3600)
    plan = plan_by_deadline(slots, caps, sessions)
    check_limits(plan, caps, sessions)
    if everybody_can_be_served(slots, caps, sessions):
        assert plan.missing_wh == {}
    else:
        assert any(lacking_ws(plan, session) for session in sessions)


@settings(max_examples=200, deadline=None)
@given(sites(least=True), st.booleans())
def test_no_plan_passes_a_limit_or_charges_below_the_least_current(site, by_deadline: bool) -> None:
    limits, caps, sessions = site
    slots = slots_of(limits, departures(sessions), horizon_seconds=3600, grid_seconds=0 if by_deadline else 1800)
    plan = (plan_by_deadline if by_deadline else plan_fair)(slots, caps, sessions)
    check_limits(plan, caps, sessions)


@settings(max_examples=200, deadline=None)
@given(sites(least=True), st.booleans())
def test_what_is_said_to_be_missing_is_missing(site, by_deadline: bool) -> None:
    """Energy of the plan plus what it says is missing is what was needed; a watt over the stay is nothing."""
    limits, caps, sessions = site
    slots = slots_of(limits, departures(sessions), horizon_seconds=3600)
    plan = (plan_by_deadline if by_deadline else plan_fair)(slots, caps, sessions)
    for session in sessions:
        lacking = lacking_ws(plan, session)
        expected = -(-lacking // HOUR) if lacking > (session.leaves_in_seconds or 0) else 0
        assert plan.missing_wh.get(session.key, 0) == expected


@settings(max_examples=200, deadline=None)
@given(sites(least=True), st.booleans())
def test_a_plan_leaves_nothing_that_a_vehicle_could_use(site, by_deadline: bool) -> None:
    limits, caps, sessions = site
    slots = slots_of(limits, departures(sessions), horizon_seconds=3600)
    plan = (plan_by_deadline if by_deadline else plan_fair)(slots, caps, sessions)
    for slot, power in zip(plan.slots, plan.power_w, strict=True):
        for session in sessions:
            if session.key in power:
                mates = [other.key for other in sessions if other.group == session.group and other.key in power]
                left = slot.limit_w - sum(power.values())
                if session.group in caps:
                    left = min(left, caps[session.group] - sum(power[key] for key in mates))
                more = 1 if power[session.key] else max(1, session.min_w)
                assert left < more or power[session.key] + more > session.max_w


def test_plain_earliest_deadline_first_would_fail_here() -> None:
    """Two leave after two hours, one after three and needs its full power all the time."""
    sessions = [
        Session(1, 1, 0, 10_000, needed_wh=10_000, leaves_in_seconds=2 * HOUR),
        Session(2, 2, 0, 10_000, needed_wh=10_000, leaves_in_seconds=2 * HOUR),
        Session(3, 3, 0, 10_000, needed_wh=30_000, leaves_in_seconds=3 * HOUR),
    ]
    slots = slots_of([(0, 20_000)], departures(sessions), horizon_seconds=HOUR)
    assert plan_by_deadline(slots, {}, sessions).missing_wh == {}


def test_when_not_all_can_be_served_who_leaves_first_is() -> None:
    sessions = [
        Session(1, 1, 1_400, 7_400, needed_wh=7_000, leaves_in_seconds=2 * HOUR),
        Session(2, 2, 1_400, 7_400, needed_wh=7_000, leaves_in_seconds=HOUR),
        Session(3, 3, 1_400, 7_400),
    ]
    slots = slots_of([(0, 6_000)], departures(sessions), horizon_seconds=HOUR)
    plan = plan_by_deadline(slots, {}, sessions)
    assert plan.power_w[0] == {1: 0, 2: 6_000, 3: 0}
    assert plan.missing_wh == {1: 1_000, 2: 1_000}
    fair = plan_fair(slots, {}, sessions)
    assert fair.power_w[0] == {1: 2_000, 2: 2_000, 3: 2_000}
    assert fair.missing_wh == {1: 2_000, 2: 5_000}


def test_a_limit_that_falls_in_the_evening_is_planned_for() -> None:
    session = Session(1, 1, 0, 11_000, needed_wh=22_000, leaves_in_seconds=3 * HOUR)
    later = Session(2, 2, 0, 11_000, needed_wh=11_000, leaves_in_seconds=4 * HOUR)
    slots = slots_of([(0, 11_000), (HOUR, 5_500)], [3 * HOUR, 4 * HOUR], horizon_seconds=HOUR)
    plan = plan_by_deadline(slots, {}, [later, session])
    assert [slot.limit_w for slot in plan.slots] == [11_000, 5_500, 5_500]
    assert plan.power_w[0] == {1: 11_000, 2: 0}
    assert plan.missing_wh == {2: 5_500}


@pytest.mark.parametrize(("now", "expected"), [(0, 3_000), (1, 9_000)])
def test_who_has_enough_gets_what_the_others_cannot_use(now: int, expected: int) -> None:
    hungry = Session(1, 1, 0, 9_000 if now == 0 else 3_000, needed_wh=50_000)
    slots = slots_of([(0, 12_000)], [], horizon_seconds=HOUR)
    plan = plan_fair(slots, {}, [hungry, Session(2, 2, 0, 20_000, needed_wh=0)])
    assert plan.power_w[0][2] == expected


def hours(*limits: int) -> Any:
    """Slots of an hour each."""
    return slots_of(list(enumerate_hours(limits)), [], horizon_seconds=len(limits) * HOUR)


def enumerate_hours(limits: Sequence[int]) -> list[tuple[int, int]]:
    return [(number * HOUR, watts + number % 2) for number, watts in enumerate(limits)]  # no two alike: none is joined


@pytest.mark.parametrize("split", [plan_by_deadline, plan_fair])
def test_a_session_draws_only_when_it_is_allowed_to(split) -> None:
    """The other one has what it leaves, also in the hour in which it is to be silent."""
    timed = Session(1, 1, 0, 11_000, 11_000, 3 * HOUR, allowed=((0, 0), (HOUR, 7_000), (2 * HOUR, 4_000)))
    free = Session(2, 2, 0, 11_000, 30_000, 3 * HOUR)
    plan = split(hours(11_000, 11_000, 11_000), {}, [timed, free])
    assert plan.power_w[0] == {1: 0, 2: 11_000}
    assert plan.power_w[1][1] <= 7_000
    assert plan.power_w[2][1] <= 4_000


def test_a_departure_is_met_in_the_hours_that_are_allowed() -> None:
    """The one with an hour to itself gives way in the hour that is the other's only one."""
    only_then = Session(1, 1, 0, 10_000, 10_000, 3 * HOUR, allowed=((0, 0), (HOUR, 10_000), (2 * HOUR, 0)))
    any_time = Session(2, 2, 0, 10_000, 20_000, 3 * HOUR)
    plan = plan_by_deadline(hours(10_000, 10_000, 10_000), {}, [any_time, only_then])
    assert plan.missing_wh == {}


def test_what_is_kept_for_a_plug_is_its_own_also_when_nothing_is_allowed() -> None:
    """It may draw that much whenever we are silent."""
    session = Session(1, 1, 0, 10_000, 20_000, 2 * HOUR, safe_w=2_000, allowed=((0, 0),))
    plan = plan_by_deadline(hours(10_000, 10_000), {}, [session])
    assert [power[1] for power in plan.power_w] == [2_000, 2_000]
