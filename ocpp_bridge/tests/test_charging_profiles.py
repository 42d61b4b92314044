"""Watts as profiles and back, limits by the hour, and answers that make no sense (rule 34)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_bridge.charging.ceilings import Books, Ceiling
from ocpp_bridge.charging.profiles import (
    STATION_MAX,
    TX,
    TX_DEFAULT,
    Abilities,
    Wiring,
    abilities,
    composite_of,
    exceeds,
    fewer,
    held_at,
    joined,
    profile_of,
    purposes_for,
    rounded,
    to_limit,
    to_watts,
    unit_for,
)
from ocpp_bridge.charging.windows import limits_over

AC, ONE_PHASE, DC = Wiring(3, 230), Wiring(1, 230), Wiring(0, 400)
WIRINGS = st.builds(Wiring, st.integers(0, 3), st.integers(100, 1000))
UNITS = st.sampled_from(["A", "W"])
START = 1_800_000_000


@given(st.integers(0, 2_000_000), UNITS, WIRINGS)
def test_rounding_never_breaks_a_limit(watts: int, unit: str, wiring: Wiring) -> None:
    limit = to_limit(watts, unit, wiring)
    assert limit * 10 == int(limit * 10)
    understood = to_watts(limit, unit, wiring)
    assert understood <= watts
    assert watts - understood <= wiring.watts_per_ampere // 10 + 1
    assert to_limit(understood, unit, wiring) == limit


@pytest.mark.parametrize(
    ("watts", "unit", "wiring", "limit"),
    [
        (11_040, "A", AC, "16.0"),
        (11_039, "A", AC, "15.9"),
        (1_380, "A", ONE_PHASE, "6.0"),
        (50_000, "W", DC, "50000.0"),
    ],
)
def test_amperes_are_per_phase(watts: int, unit: str, wiring: Wiring, limit: str) -> None:
    assert str(to_limit(watts, unit, wiring)) == limit


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Abilities()),
        (
            {"ChargeProfileMaxStackLevel": "0", "MaxChargingProfilesInstalled": "4", "ChargingScheduleMaxPeriods": "2",
             "ChargingScheduleAllowedChargingRateUnit": "Current,Power"},
            Abilities(0, 4, 2, frozenset("AW")),
        ),
        ({"SmartChargingCtrlr.RateUnit": "A", "SmartChargingCtrlr.PeriodsPerSchedule": "24"},
         Abilities(None, None, 24, frozenset("A"))),
        ({"ChargeProfileMaxStackLevel": "many", "ChargingScheduleMaxPeriods": "-1",
          "ChargingScheduleAllowedChargingRateUnit": "Volts"}, Abilities()),
    ],
)  # fmt: skip
def test_abilities_are_read_by_either_versions_names(values: dict[str, str | None], expected: Abilities) -> None:
    assert abilities(values) == expected


def test_the_unit_is_amperes_for_ac_unless_the_charger_takes_only_watts() -> None:
    assert [unit_for(AC, Abilities()), unit_for(DC, Abilities())] == ["A", "W"]
    assert unit_for(AC, Abilities(units=frozenset("W"))) == "W"
    assert unit_for(DC, Abilities(units=frozenset("A"))) == "A"


@given(st.lists(st.integers(0, 50_000), min_size=1, max_size=12), st.integers(1, 6))
def test_fewer_periods_never_allow_more(powers: list[int], most: int) -> None:
    held = [[at, at + 1, watts] for at, watts in enumerate(powers)]
    short = fewer(joined(held), most)
    assert len(short) <= most
    assert all((held_at(short, at) or 0) <= powers[at] for at in range(len(powers)))
    assert held_at(short, len(powers)) is None


def test_a_sessions_profile_is_absolute_and_ends() -> None:
    held = rounded([[START, START + 600, 11_040], [START + 600, START + 1800, 5_000]], "A", AC)
    profile = profile_of(held, purpose="tx", evse_number=2, unit="A", wiring=AC, stack_level=1)
    assert profile == {
        "profile_id": 7_302_002, "stack_level": 1, "purpose": "tx", "kind": "absolute", "unit": "A",
        "start_at": datetime.fromtimestamp(START, UTC).isoformat(), "duration_seconds": 1800,
        "periods": [
            {"start_seconds": 0, "limit": "16.0", "phases": 3}, {"start_seconds": 600, "limit": "7.2", "phases": 3},
        ],
    }  # fmt: skip


# --- what chargers answer -------------------------------------------------------------------------------------------


def answer(*periods: Any, **more: Any) -> dict[str, Any]:
    schedule = {"chargingRateUnit": "W", "duration": 600, "chargingSchedulePeriod": list(periods)} | more
    return {"status": "Accepted", "chargingSchedule": schedule}


def read(response: object) -> Any:
    return composite_of(response, wiring=DC, asked_at=START, asked_seconds=600)


def test_a_composite_schedule_is_read_in_both_shapes() -> None:
    periods = [{"startPeriod": 0, "limit": 5000.0}, {"startPeriod": 60, "limit": 7000}]
    expected = [[START, START + 60, 5_000], [START + 60, START + 600, 7_000]]
    assert read(answer(*periods)).held == expected
    start = datetime.fromtimestamp(START, UTC).isoformat().replace("+00:00", "Z")
    newer = {"evseId": 1, "scheduleStart": start, "duration": 600, "chargingRateUnit": "W"}
    newer |= {"chargingSchedulePeriod": periods}
    assert read({"status": "Accepted", "schedule": newer}).held == expected


@pytest.mark.parametrize(
    ("response", "flaw"),
    [
        (answer({"startPeriod": 0, "limit": -1}), "limit -1"),
        (answer({"startPeriod": 0, "limit": "all"}), "limit all"),
        (answer({"startPeriod": 0, "limit": 1e300}), "limit 1e+300"),
        (answer({"startPeriod": -5, "limit": 10}), "limit 10"),
        (answer({"startPeriod": 0, "limit": 10}, duration=10**9), "duration 1000000000"),
        (answer({"startPeriod": 0, "limit": 10}, duration=0), "duration 0"),
        (answer({"startPeriod": 0, "limit": 10}, chargingRateUnit="kW"), "unit kW"),
        (answer({"startPeriod": 9, "limit": 1}, {"startPeriod": 3, "limit": 2}), "order"),
        (answer(), "no period"),
        (answer("now"), "limit None"),
        ({"status": "Accepted"}, "no schedule"),
        ({"status": "Accepted", "schedule": []}, "no schedule"),
        ({"status": "Accepted", "scheduleStart": "soon", "schedule": answer()["chargingSchedule"]}, "start"),
    ],
)
def test_absurd_answers_are_flawed_and_never_fatal(response: object, flaw: str) -> None:
    found = read(response)
    assert found.held is None
    assert flaw in found.flaws


NAMES = (
    "status", "schedule", "chargingSchedule", "chargingSchedulePeriod", "limit", "chargingRateUnit", "startPeriod",
    "duration", "scheduleStart",
)  # fmt: skip
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["Accepted", "W", "A", "", "2026"])
TREE = st.recursive(
    LEAF, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(NAMES), part, max_size=5)
)


@given(TREE, TREE)
def test_no_answer_raises(response: object, schedule: object) -> None:
    for said in (response, {"status": "Accepted", "schedule": schedule}, answer(response, schedule)):
        found = read(said)
        assert found.held is None or all(len(row) == 3 for row in found.held)


@pytest.mark.parametrize("response", [None, {}, {"status": "Rejected"}, {"error": "NotSupported"}, "yes", [1]])
def test_no_answer_is_no_verdict(response: object) -> None:
    found = read(response)
    assert (found.is_answered, found.held, found.flaws) == (False, None, ())


def test_only_more_than_wanted_is_wrong() -> None:
    wanted = [[START, START + 600, 5_000]]
    assert not exceeds([[START, START + 900, 4_000]], wanted, now=START, tolerance_w=100)
    assert not exceeds([[START, START + 900, 5_090]], wanted, now=START, tolerance_w=100)
    assert exceeds([[START, START + 60, 100], [START + 60, START + 900, 6_000]], wanted, now=START, tolerance_w=100)
    assert not exceeds([[START, START + 60, 9_000]], wanted, now=START + 60, tolerance_w=100), "that is over"


# --- ceilings -------------------------------------------------------------------------------------------------------


def test_a_ceiling_is_the_sessions_profile_then_the_default_then_everything() -> None:
    default, session = [[START, None, 3_000]], [[START, START + 600, 9_000]]
    held = Ceiling(22_000, (default,), True, (session,), True)
    assert [held.at(START), held.at(START + 599), held.at(START + 600)] == [9_000, 9_000, 3_000]
    assert Ceiling(22_000).at(START) == 22_000
    assert Ceiling(22_000, (default,), True).at(START) == 3_000
    assert Ceiling(22_000, (), False, (session,), True).at(START + 600) == 22_000


def test_what_may_be_in_force_counts_until_it_is_known() -> None:
    low, high = [[START, None, 3_000]], [[START, None, 9_000]]
    assert Ceiling(22_000, (low, high), True).at(START) == 9_000
    assert Ceiling(22_000, (low,), False).at(START) == 22_000, "asked for the first time: not accepted yet"
    assert Ceiling(22_000, (low,), True, measured_w=12_000).at(START) == 12_000


def test_a_charger_keeps_its_own_limit_for_all_its_plugs() -> None:
    plugs = {1: Ceiling(60_000), 2: Ceiling(60_000), 3: Ceiling(22_000)}
    books = Books([(START, 100_000)], START, START + 60, plugs, {1: 7, 2: 7, 3: 8}, {7: 60_000})
    assert (books.total_at(START), books.excess()) == (82_000, 0)


# --- limits by the hour ---------------------------------------------------------------------------------------------

EVENING = {"from": "18:00", "to": "22:00", "limit_w": 20_000}
NIGHT = {"from": "23:00", "to": "05:00", "limit_w": 80_000}


def limits(now: str, *windows: dict[str, Any], other_load_w: int = 0) -> list[tuple[str, int]]:
    found = limits_over(
        limit_w=100_000, windows=windows, other_load_w=other_load_w, time_zone="Asia/Kolkata",
        now=datetime.fromisoformat(now), hours=24,
    )  # fmt: skip
    return [(datetime.fromtimestamp(at, UTC).strftime("%d %H:%M"), watts) for at, watts in found]


def test_windows_are_in_local_time_and_the_lowest_decides() -> None:
    assert limits("2026-11-21T10:00:00+00:00", EVENING) == [("21 10:00", 100_000), ("21 12:30", 20_000),
                                                            ("21 16:30", 100_000)]  # fmt: skip
    assert limits("2026-11-21T20:00:00+00:00", NIGHT) == [("21 20:00", 80_000), ("21 23:30", 100_000),
                                                          ("22 17:30", 80_000)]  # fmt: skip
    both = {"from": "19:00", "to": "20:00", "limit_w": 50_000}
    assert limits("2026-11-21T10:00:00+00:00", EVENING, both)[1] == ("21 12:30", 20_000)


def test_the_building_comes_first() -> None:
    assert limits("2026-11-21T13:00:00+00:00", EVENING, other_load_w=30_000)[0] == ("21 13:00", 0)
    assert limits("2026-11-21T10:00:00+00:00", other_load_w=30_000) == [("21 10:00", 70_000)]


def test_a_limit_said_in_tenths_is_what_the_words_say() -> None:
    from ocpp_bridge.saying import tenth

    assert tenth(str(to_limit(5_000, "A", AC))) == float(Decimal("7.2"))


@pytest.mark.parametrize(
    ("most", "plugs", "has_station_max", "said"),
    [
        (None, 2, True, {TX, TX_DEFAULT, STATION_MAX}),
        (5, 2, True, {TX, TX_DEFAULT, STATION_MAX}),
        (4, 2, True, {TX, TX_DEFAULT}),
        (3, 2, True, {TX}),
        (1, 2, True, {TX}),
        (2, 1, False, {TX, TX_DEFAULT}),
        (1, 1, False, {TX}),
        (9, 1, False, {TX, TX_DEFAULT}),
    ],
)
def test_with_too_little_room_sessions_come_first(
    most: int | None, plugs: int, has_station_max: bool, said: set[str]
) -> None:
    known = Abilities(max_profiles=most)
    assert purposes_for(known, plugs=plugs, has_station_max=has_station_max) == said
