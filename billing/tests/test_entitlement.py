"""The rule itself, over thousands of cases: more money, more time and fewer rules never turn a yes into a no."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.entitlement import ACCEPTED, FLOOR_WH, Facts, Limit, judge

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
FLOOR = 50_00
MAYBE = st.none() | st.booleans()
PAISE = st.none() | st.integers(0, 5_000_00)
LIMITS = st.lists(
    st.builds(
        Limit, st.sampled_from(["organisation", "cost_centre", "site", "vehicle", "driver", "tariff"]),
        st.sampled_from(["session", "day", "week", "month"]), st.booleans(), PAISE, st.none() | st.integers(0, 50_000),
        st.integers(0, 1_000_00), st.integers(0, 20_000),
    ).map(lambda one: one._replace(used_paise=0, used_wh=0) if one.period == "session" else one),
    max_size=3,
)  # fmt: skip
GOOD = Facts(
    token_id=1, organisation_id=1, is_active=True, valid_until=None, vehicle_id=1, driver_id=1, is_vehicle_active=True,
    is_driver_active=True, shift_id=None, location_id=1, site_owner_id=None, network_owner_id=1, has_contract=False,
    is_site_listed=False, has_site_list=False, wallet_state="active", available_paise=1_000_00, needs_shift=False,
    allows_parallel_use=False, parallel_session_id=None, time_zone="Asia/Kolkata", has_limits=True,
)  # fmt: skip
CHANGES: dict[str, Any] = {
    "token_id": st.none(),
    "is_active": st.just(False),
    "valid_until": st.integers(-60, 60).map(lambda minutes: NOON + timedelta(minutes=minutes)),
    "is_vehicle_active": MAYBE,
    "is_driver_active": MAYBE,
    "shift_id": st.just(1),
    "location_id": st.none(),
    "site_owner_id": st.sampled_from([None, 1, 2]),
    "network_owner_id": st.sampled_from([None, 1, 2]),
    "has_contract": st.booleans(),
    "is_site_listed": st.booleans(),
    "has_site_list": st.booleans(),
    "wallet_state": st.sampled_from([None, "hold_only", "frozen"]),
    "available_paise": st.integers(-100_00, 100_00),
    "needs_shift": st.booleans(),
    "allows_parallel_use": st.booleans(),
    "parallel_session_id": st.just(1),
}
FACTS = (
    st.sets(st.sampled_from(sorted(CHANGES)), max_size=3)
    .flatmap(lambda names: st.fixed_dictionaries({name: CHANGES[name] for name in sorted(names)}))
    .map(lambda changes: GOOD._replace(**changes))
)


@given(FACTS, LIMITS)
def test_a_yes_survives_every_ease(facts: Facts, limits: list[Limit]) -> None:
    easier = facts._replace(
        is_active=True, valid_until=None, is_vehicle_active=None, is_driver_active=None, needs_shift=False,
        has_site_list=False, wallet_state="active", available_paise=10**9, allows_parallel_use=True,
    )  # fmt: skip
    if judge(facts, limits, at=NOON, floor_paise=FLOOR).reason == ACCEPTED:
        assert judge(easier, limits, at=NOON, floor_paise=FLOOR).reason == ACCEPTED
        assert judge(facts, limits[1:], at=NOON, floor_paise=FLOOR).reason == ACCEPTED


@given(FACTS, LIMITS)
def test_a_bound_is_the_tightest_of_all_and_enough_to_begin_with(facts: Facts, limits: list[Limit]) -> None:
    verdict = judge(facts, limits, at=NOON, floor_paise=FLOOR)
    if verdict.reason != ACCEPTED:
        assert (verdict.max_energy_wh, verdict.max_paise) == (None, None)
        return
    for limit in limits:
        if not limit.is_hard:
            continue
        if limit.left_paise is not None:
            assert verdict.max_paise is not None and verdict.max_paise <= limit.left_paise
            assert limit.period == "session" or limit.left_paise >= FLOOR
        if limit.left_wh is not None:
            assert verdict.max_energy_wh is not None and verdict.max_energy_wh <= limit.left_wh
            assert limit.period == "session" or limit.left_wh >= FLOOR_WH


@given(FACTS, LIMITS)
def test_a_soft_limit_never_refuses_or_bounds(facts: Facts, limits: list[Limit]) -> None:
    soft = [limit._replace(is_hard=False) for limit in limits]
    assert judge(facts, soft, at=NOON, floor_paise=FLOOR) == judge(facts, [], at=NOON, floor_paise=FLOOR)


@given(FACTS, LIMITS, st.integers(0, 1_000_00))
def test_spending_more_never_helps(facts: Facts, limits: list[Limit], more: int) -> None:
    poorer = [one._replace(used_paise=one.used_paise + more, used_wh=one.used_wh + more) for one in limits]
    if judge(facts, poorer, at=NOON, floor_paise=FLOOR).reason == ACCEPTED:
        assert judge(facts, limits, at=NOON, floor_paise=FLOOR).reason == ACCEPTED


@given(FACTS, LIMITS)
def test_nobody_charges_at_another_fleets_depot(facts: Facts, limits: list[Limit]) -> None:
    closed = facts._replace(location_id=1, site_owner_id=2)
    assert judge(closed, limits, at=NOON, floor_paise=FLOOR).reason != ACCEPTED
