"""Every rule: a fraud that it catches and an honest case that it must not; missing evidence is never guilt."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import matching
from billing.matching import DEFAULTS, RULESET_VERSION, Evidence, judge, packed, rulesets, with_changes
from billing.matching.catalogue import BY_ID, CHECKS, RULES, as_markdown
from billing.matching.facts import Duty, LimitUse, Neighbour, Price, Series, Track, Week, Witness

START = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
MINUTES = 40
END = START + timedelta(minutes=MINUTES)
HERE = (129_716_000, 775_946_000)
METRE = 1e7 / 111_195  # e7 of latitude


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def track(metres: Any = 0, *, first: int = -30, last: int = 76, every: int = 2, **columns: Any) -> Track:
    """A ping every two minutes; each column a number, or a function of the minute."""
    minutes = range(first, last + 1, every)

    def column(value: Any) -> str:
        return packed([value(minute) if callable(value) else value for minute in minutes])

    def north(minute: float) -> int:
        return HERE[0] + round((metres(minute) if callable(metres) else metres) * METRE)

    columns = {
        "speed_dkmh": 0,
        "accuracy_m": 10,
        "soc_permille": lambda m: 300 if m <= 0 else 770,
        "flags": 0,
    } | columns
    return Track(
        seconds=packed([minute * 60 for minute in minutes]), latitude_e7=column(north), longitude_e7=column(HERE[1]),
        **{name: column(value) for name, value in columns.items()},
    )  # fmt: skip


def series(*points: tuple[float, int]) -> Series:
    return Series(seconds=packed([round(m * 60) for m, _ in points]), values=packed([value for _, value in points]))


DUTY = Duty(starts_at=at(-120), ends_at=at(360), driver=7)


def evidence(**fields: Any) -> Evidence:
    """Honest: there all the time and gone soon after, on shift, 10 kWh into 20 kWh from 30 to 77 %."""
    honest: dict[str, Any] = {
        "session": 100, "started_at": START, "ended_at": END, "energy_wh": 10_000, "latitude_e7": HERE[0],
        "longitude_e7": HERE[1], "base_radius_m": 150, "plug": "ccs2", "plugs": ("ccs2", "type2_socket"),
        "connector_power_w": 60_000, "usable_wh": 20_000, "max_dc_power_w": 20_000, "max_ac_power_w": 3_300,
        "track": track(lambda m: 0 if m <= MINUTES + 4 else 900), "shifts": (DUTY,), "has_shift_plan": True,
        "token_driver": 7, "power": series((0, 15_000), (38, 0)), "meter_wh": 10_000, "is_site_allowed": True,
        "register": series((0, 1_000), (20, 6_000), (40, 11_000)),
    }  # fmt: skip
    return Evidence(**{**honest, **fields})


def other(**fields: Any) -> Neighbour:
    """Another session of the vehicle, at the site, long over."""
    values: dict[str, Any] = {
        "session": 90, "starts_at": at(-300), "ends_at": at(-260), "energy_wh": 8_000, "latitude_e7": HERE[0],
        "longitude_e7": HERE[1], "is_same_vehicle": True, "is_same_connector": False,
    }  # fmt: skip
    return Neighbour(**{**values, **fields})


def far(kilometres: float) -> int:
    return HERE[0] + round(kilometres * 1000 * METRE)


def fired(judgement: matching.Judgement) -> set[str]:
    return {finding.rule for finding in judgement.findings if not finding.is_inconclusive}


@dataclass
class Case:
    """A rule, what it must catch, what it must leave alone."""

    rule: str
    fraud: dict[str, Any]
    honest: dict[str, Any]


def ago(minutes: int) -> Neighbour:
    return other(session=minutes, starts_at=at(-minutes), ends_at=at(9 - minutes))


soon_again = partial(other, starts_at=at(-30), ends_at=at(-15))
THIRD = "abaaf49ab91096529a6b646ec25b228fcf0437e1e099bd68e3646be8e537c8aa"
SECOND = "5e0f3d87d708328e85a2a99c59a84e0f1fe3e54e41f76a087e1de85650cb949a"
STOOD_THERE = Witness(vehicle="KA 01 XX 1", distance_m=20, soc_rise_percent=40)
FLAT = {"soc_permille": 300}
NO_SOC = {"soc_permille": -1}
CASES = [
    Case("L1", {"track": track(4_200)}, {"track": track(405)}),
    Case("L2", {"track": track(300)}, {"track": track(155)}),
    Case("L4", {"track": track(lambda m: m * 100, every=1, speed_dkmh=60)},
         {"track": track(lambda m: m % 4 * 30, speed_dkmh=10, accuracy_m=30)}),
    Case("L4", {"track": track(lambda m: m * 20)}, {"track": track(lambda m: m * 20), "power": series((0, 0))}),
    Case("L5", {"neighbours": (other(starts_at=at(10), ends_at=at(30), latitude_e7=far(3)),)},
         {"neighbours": (other(starts_at=at(-60), ends_at=at(1), latitude_e7=far(3)),)}),
    Case("L5", {"neighbours": (other(starts_at=at(-60), ends_at=at(-10), latitude_e7=far(60)),)},
         {"neighbours": (other(starts_at=at(-200), ends_at=at(-60), latitude_e7=far(60)),)}),
    Case("L5", {"neighbours": (other(starts_at=at(0), ends_at=at(40)),)},
         {"neighbours": (other(starts_at=at(0), ends_at=at(40), is_same_vehicle=False, is_same_connector=True),)}),
    Case("L6", {"track": track(4_200), "witnesses": (STOOD_THERE,)}, {"witnesses": (STOOD_THERE,)}),
    Case("L7", {"is_site_allowed": False}, {"is_site_allowed": None}),
    Case("L8", {"track": track(0, flags=16)}, {"track": track(0, flags=8)}),
    Case("L8", {"jumps": 3, "track": track(0, accuracy_m=5)},
         {"jumps": 3, "track": track(0, accuracy_m=lambda m: 5 + m % 6)}),
    Case("L8", {"jumps": 3, "track": track(0, accuracy_m=lambda m: 5 if m % 4 else -1, every=1)},
         {"jumps": 3, "track": track(0, accuracy_m=-1)}),  # that tracker never tells any
    Case("T1", {"shifts": (Duty(starts_at=at(-900), ends_at=at(-31), driver=7),)},
         {"shifts": (Duty(starts_at=at(-900), ends_at=at(-30), driver=7),)}),
    Case("T1", {"shifts": (Duty(starts_at=at(300), ends_at=at(900), driver=7),)},
         {"shifts": (Duty(starts_at=at(300), ends_at=at(900), driver=7),), "is_depot": True}),
    Case("T2", {"token_driver": 8}, {"token_driver": None}),
    Case("T3", {"known_at": at(-6)}, {"known_at": at(-5)}),
    Case("T3", {"known_at": END + timedelta(days=91)}, {"known_at": END + timedelta(days=89)}),
    Case("T3", {"heard_started_at": at(6)}, {"heard_started_at": at(4)}),
    Case("E1", {"energy_wh": 18_000, "meter_wh": 18_000}, {"energy_wh": 17_400, "meter_wh": 17_400}),
    Case("E2", {"track": track(0, soc_permille=lambda m: 300 if m <= 0 else 670)},
         {"track": track(0, soc_permille=lambda m: 300 if m <= 0 else 740)}),
    Case("E3", {"track": track(0, **FLAT)}, {"track": track(0, **FLAT), "energy_wh": 400, "meter_wh": 400}),
    Case("E3", {"track": track(0, **NO_SOC), "charger_soc_start_percent": 30.0, "charger_soc_end_percent": 31.0},
         {"track": track(0, **NO_SOC), "charger_soc_start_percent": 30.0, "charger_soc_end_percent": 77.0}),
    Case("E4", {"connector_power_w": 15_000}, {"connector_power_w": 15_200}),
    Case("E4", {"is_dc": False}, {"is_dc": False, "max_ac_power_w": 0}),
    Case("E4", {"connector_power_w": 20_000, "power": series((0, 0), (15, 20_000))},
         {"connector_power_w": 20_000, "power": series((15, 20_000))}),  # nobody knows of the first quarter
    Case("E5", {"network_wh": 10_300}, {"network_wh": 10_150}),
    Case("E5", {"register": series((0, 1_000), (20, 6_000), (30, 5_900))},
         {"register": series((0, 1_000), (30, 1_000))}),
    Case("E5", {"register": series((0, 1_000), (10, 1_000), (20, 1_000), (30, 1_000))},
         {"register": series((0, 1_000), (10, 1_000), (20, 1_000), (30, 1_000)), "power": series((0, 0))}),
    Case("E6", {"plug": "is17017_2_6"}, {"plug": "unknown"}),
    Case("E7", {"week": Week(driven_m=300_000, bought_wh=80_000, soc_change_percent=0, wh_per_km=200, sessions=9)},
         {"week": Week(driven_m=300_000, bought_wh=80_000, soc_change_percent=30, wh_per_km=200, sessions=9)}),
    Case("F1", {"reference": "A-1", "neighbours": (other(reference="A-1"),)},
         {"reference": "A-1", "neighbours": (other(reference="A-2"),)}),
    Case("F1", {"neighbours": (other(starts_at=at(1), ends_at=at(40), energy_wh=9_900, is_same_connector=True),)},
         {"neighbours": (other(starts_at=at(1), ends_at=at(40), energy_wh=5_000, is_same_connector=True),)}),
    Case("F2", {"neighbours": tuple(map(ago, (900, 700, 500, 300)))},
         {"neighbours": tuple(map(ago, (1500, 700, 500, 300)))}),
    Case("F2", {"track": track(0, **FLAT), "neighbours": (soon_again(soc_rise_percent=0.5),)},
         {"track": track(0, **FLAT), "neighbours": (soon_again(soc_rise_percent=40.0),)}),
    Case("F3", {"price": Price(asked=20_000, by_tariff=18_000, is_disputed=True)},
         {"price": Price(asked=18_100, by_tariff=18_000, is_disputed=True)}),
    Case("F3", {"idle_paise": 5_000, "idle_seconds": 1_200, "charger_soc_end_percent": 60.0},
         {"idle_paise": 5_000, "idle_seconds": 1_200, "charger_soc_end_percent": 95.0}),
    Case("F4", {"limits": (LimitUse(name="a day", limit=10_000, used=10_001),)},
         {"limits": (LimitUse(name="a day", limit=10_000, used=10_000),)}),
    Case("F5", {"track": track(0)}, {"track": track(lambda m: 0 if m < MINUTES + 20 else 900)}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{each.rule}-{number}" for number, each in enumerate(CASES)])
def test_the_rule_catches_the_fraud_and_leaves_the_honest_case_alone(case: Case) -> None:
    assert case.rule in fired(judge(evidence(**case.fraud)))
    assert case.rule not in fired(judge(evidence(**case.honest)))


def soc(before: int, after: int) -> dict[str, Any]:
    return {"track": track(0, soc_permille=lambda m: before if m <= 0 else after)}


def driven(km: int, bought_wh: int, wh_per_km: int) -> dict[str, Any]:
    told = {"driven_m": km * 1000, "bought_wh": bought_wh, "wh_per_km": wh_per_km}
    return {"week": Week(soc_change_percent=0, sessions=9, **told)}


LARGE = {"usable_wh": 100_000, "energy_wh": 50_000, "meter_wh": 50_000}
MINUTE = {"track": track(0, every=1, speed_dkmh=lambda m: 60 if m in {10, 11} else 0)}
LINES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("L1", {"track": track(4_200, first=8, last=8)}, {"near_moment_minutes": 12}),
    ("L4", MINUTE, {"moving_seconds": 61}),
    ("L4", MINUTE, {"standing_kmh": 6}),
    ("L4", {"track": track(lambda m: 0 if m < 20 else 330)}, {"moving_m": 320}),
    ("L4", {"track": track(lambda m: m * 20), "power": series((0, 600))}, {"delivering_w": 600}),
    ("L1", {"heard_started_at": at(-70), "track": track(9_000)}, {"clock_far_minutes": 80}),
    ("E2", {**LARGE, **soc(300, 700)}, {"rise_off_percent": 18}),
    ("E2", {**soc(300, 700), "energy_wh": 9_950, "meter_wh": 9_950}, {"rise_off_wh": 1_400, "rise_off_percent": 13}),
    ("E2", {**soc(300, 790), "energy_wh": 7_200, "meter_wh": 7_200}, {"health_least_percent": 90}),
    ("E2", {**LARGE, **soc(300, 330), "energy_wh": 5_000, "meter_wh": 5_000}, {"soc_step_percent": 0}),
    ("E2", {**LARGE, **soc(300, 770), "energy_wh": 60_000, "meter_wh": 60_000, "is_dc": False},
     {"ac_efficiency_percent": 100}),
    ("E3", {**soc(300, 300), "energy_wh": 3_000, "meter_wh": 3_000}, {"no_rise_wh": 3_001}),
    ("E3", soc(300, 310), {"no_rise_percent": 0}),
    ("E3", {"track": track(0, soc_permille=lambda m: 300 if m <= -26 or m >= MINUTES else -1)},
     {"soc_fresh_minutes": 25}),
    ("E5", {"network_wh": 1_090, "meter_wh": 1_000}, {"meter_off_wh": 80}),
    ("E7", driven(49, 80_000, 200), {"week_least_km": 48}),
    ("E7", driven(60, 9_900, 50), {"week_least_wh": 9_000}),
    ("F1", {"neighbours": (other(starts_at=at(1), ends_at=at(40), energy_wh=9_850, is_same_connector=True),)},
     {"duplicate_energy_percent": 1}),
    ("F2", {**soc(300, 315), "neighbours": (soon_again(soc_rise_percent=0.5),)}, {"useless_rise_percent": 1}),
    ("F3", {"price": Price(asked=18_150, by_tariff=18_000)}, {"price_off_percent": 0}),
    ("F3", {"price": Price(asked=2_080, by_tariff=2_000)}, {"price_rounding_paise": 50}),
    ("F3", {"price": Price(asked=100_450, by_tariff=100_000)}, {"price_off_paise": 400}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "fields", "moved"), LINES, ids=[next(iter(moved)) for _, _, moved in LINES])
def test_a_line_is_drawn_where_it_is_said_to_be(rule: str, fields: dict[str, Any], moved: dict[str, int]) -> None:
    as_drawn, elsewhere = (rule in fired(judge(evidence(**fields), with_changes(terms))) for terms in ({}, moved))
    assert as_drawn != elsewhere


def test_presence_is_half_of_the_time() -> None:
    most_away = evidence(track=track(lambda m: 0 if m <= 18 else 900), power=series((0, 0)))
    assert judge(most_away).verdict == "inconclusive"
    assert judge(most_away, with_changes({"present_percent": 40})).verdict == "verified"


def test_every_rule_that_can_accuse_has_its_cases() -> None:
    assert {case.rule for case in CASES} == set(BY_ID) - {"L3"}  # no data accuses nobody


def test_an_honest_session_is_verified() -> None:
    judgement = judge(evidence())
    assert (judgement.verdict, judgement.points, judgement.findings) == ("verified", 0, ())
    assert judgement.dwell == HERE


@pytest.mark.parametrize(
    ("fields", "points"),
    [({"track": track(4_200)}, {"L1": 60}), ({"token_driver": 8}, {"T2": 20}), ({"plug": "chademo"}, {"E6": 45}),
     ({"track": track(lambda m: 0 if m < 45 else 900, soc_permille=lambda m: 300 if m <= 0 else 670)}, {"E2": 30}),
     ({"track": track(lambda m: 0 if m < 45 else 900, soc_permille=lambda m: 300 if m <= 0 else 500)}, {"E2": 50}),
     ({"track": track(lambda m: 0 if m < 45 else 900, **FLAT)}, {"E3": 50})],
)  # fmt: skip
def test_each_finds_once_what_the_catalogue_says(fields: dict[str, Any], points: dict[str, int]) -> None:
    judgement = judge(evidence(power=series((0, 0)), **fields))
    assert {each.rule: each.points for each in judgement.findings} == points
    assert judgement.points == sum(points.values())


def test_the_words_name_the_distance() -> None:
    finding = judge(evidence(track=track(4_200))).findings[0]
    assert finding.text == "The tracker was never closer than 4.2 km to the station"
    assert (finding.evidence["distance_m"], finding.evidence["radius_m"]) == (4_200, 160)


def test_no_evidence_at_all_is_no_guilt() -> None:
    bare = Evidence(
        started_at=START, ended_at=END, energy_wh=10_000, latitude_e7=HERE[0], longitude_e7=HERE[1], base_radius_m=150
    )
    judgement = judge(bare)
    assert (judgement.verdict, judgement.points, fired(judgement)) == ("inconclusive", 0, set())
    assert {"L3", "E2"} <= {each.rule for each in judgement.findings if each.is_inconclusive}


def test_pings_only_before_the_session_prove_nothing() -> None:
    judgement = judge(evidence(track=track(4_200, first=-30, last=-25)))
    assert (judgement.verdict, "L1" in fired(judgement)) == ("inconclusive", False)


def test_passing_by_is_not_presence() -> None:
    judgement = judge(evidence(track=track(lambda m: 0 if m <= 2 else 4_200, first=0), power=series((0, 0))))
    assert (judgement.verdict, judgement.is_presence_proven) == ("inconclusive", False)


@pytest.mark.parametrize(
    "fields",
    [{"reference": "A", "neighbours": (other(reference="A"),)}, {"network_wh": 12_000}, {"known_at": at(-60)},
     {"price": Price(asked=20_000, by_tariff=18_000, is_disputed=True)}],
    ids=["F1", "E5", "T3", "F3"],
)  # fmt: skip
def test_a_networks_error_is_never_a_question_to_the_driver(fields: dict[str, Any]) -> None:
    judgement = judge(evidence(**fields))
    assert (judgement.verdict, judgement.points) == ("invalid", 0)
    assert [each.asks for each in judgement.findings] == ["network"]


def test_the_first_of_two_records_is_billed() -> None:
    told_again = other(session=101, starts_at=at(1), ends_at=at(40), energy_wh=9_950, is_same_connector=True)
    assert judge(evidence(neighbours=(told_again,))).verdict == "verified"


BILLED_TWICE_OVER = {"energy_wh": 20_000, "network_wh": 20_000, "connector_power_w": 20_000}
NO_RISE = {**BILLED_TWICE_OVER, "meter_wh": 0, "track": track(lambda m: 0 if m < 45 else 900, **FLAT)}


@pytest.mark.parametrize("fields", [BILLED_TWICE_OVER, NO_RISE], ids=["twice the meter", "nothing by the meter"])
def test_energy_that_a_network_alone_names_is_not_held_against_the_vehicle(fields: dict[str, Any]) -> None:
    """E1 to E4 look at what the meter says was delivered; E5 asks the network."""
    judgement = judge(evidence(**fields))
    assert (judgement.verdict, judgement.points, fired(judgement)) == ("invalid", 0, {"E5"})


def test_energy_that_record_and_meter_agree_on_is_held_against_the_vehicle() -> None:
    judgement = judge(evidence(energy_wh=20_000, network_wh=20_000, meter_wh=19_900))
    assert {"E1", "E2", "E4"} <= fired(judgement)


def test_energy_that_nobody_asks_for_is_compared_with_nothing() -> None:
    judgement = judge(evidence(energy_wh=0, meter_wh=None, register=Series()))
    assert (judgement.verdict, fired(judgement)) == ("verified", set())


@pytest.mark.parametrize("health_percent", [70, 80, 100])
def test_the_rise_of_an_aged_battery_is_no_doubt(health_percent: int) -> None:
    """60 % of what it was, honestly charged: less energy than the model's battery would have taken."""
    energy_wh = 60 * 20_000 * health_percent // 100 // 94
    judgement = judge(evidence(**soc(300, 900), energy_wh=energy_wh, meter_wh=energy_wh))
    assert (judgement.verdict, fired(judgement) - {"F5"}) == ("verified", set())


def told(*points: tuple[float, int], stays: int) -> dict[str, Any]:
    """Of a network, without a meter of ours; the van drives off after so many minutes."""
    return {
        "power": Series(), "register": Series(), "told_power": series(*points),
        "track": track(lambda m: 0 if m < stays else 900, speed_dkmh=lambda m: 0 if m < stays else 300, every=1,
                       soc_permille=-1),
    }  # fmt: skip


@pytest.mark.parametrize(("stays", "expected"), [(15, {"L4"}), (MINUTES - 3, set()), (MINUTES + 2, set())])
def test_driving_off_while_the_networks_record_says_that_power_flowed(stays: int, expected: set[str]) -> None:
    """Its clock may be five minutes off."""
    assert fired(judge(evidence(**told((0, 15_000), (MINUTES, 0), stays=stays)))) == expected


def test_driving_off_after_the_charge_by_the_record_is_no_doubt() -> None:
    assert fired(judge(evidence(**told((0, 15_000), (15, 0), stays=20)))) == set()


ZONE = {"heard_started_at": at(-330), "track": track(9_000, **FLAT), "shifts": (), "neighbours": (other(),)}


def test_a_record_told_in_another_zone_is_a_question_to_the_network_alone() -> None:
    judgement = judge(evidence(record_started_at=START, **ZONE))
    assert (judgement.verdict, judgement.points, fired(judgement)) == ("invalid", 0, {"T3"})
    in_the_future = judge(evidence(known_at=at(-300), track=track(9_000, **FLAT), shifts=()))
    assert (in_the_future.verdict, in_the_future.points) == ("invalid", 0)


def test_a_clock_that_is_off_by_minutes_excuses_no_absence() -> None:
    judgement = judge(evidence(heard_started_at=at(-20), track=track(9_000)))
    assert (judgement.verdict, "L1" in fired(judgement)) == ("blocked", True)
    own = judge(evidence(record_started_at=at(330), heard_started_at=START, track=track(9_000)))
    assert own.verdict == "blocked"  # the record's clock is off, and the session's is not


def test_absence_outweighs_a_record_in_doubt() -> None:
    assert judge(evidence(track=track(4_200), network_wh=12_000)).verdict == "blocked"


def test_an_organisation_draws_its_own_lines() -> None:
    lenient = with_changes({"l1_points": 0, "l4_points": 0})
    assert judge(evidence(track=track(4_200)), lenient).points == 0
    assert judge(evidence(track=track(300)), with_changes({"near_miss_m": 100})).verdict == "blocked"


@pytest.mark.parametrize(
    "changes",
    [{"l9_points": 1}, {"l1_points": -1}, {"l1_points": 1.5}, {"l1_points": True}, {"l1_points": 10**9},
     {"review_from_points": 60}, {"review_from_points": 0}, {"dc_efficiency_percent": 0}, {"loss_percent": 100}],
)  # fmt: skip
def test_unusable_lines_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(matching.UnusableTerms):
        with_changes(changes)


def test_stored_evidence_gives_the_same_verdict_again() -> None:
    once = evidence(
        track=track(300), token_driver=8, neighbours=(other(),), limits=(LimitUse(name="x", limit=1, used=2),)
    )
    again = matching.from_json(matching.as_json(once))
    assert again == once
    assert judge(again) == judge(once)
    assert matching.input_hash(again) == matching.input_hash(once)
    assert matching.input_hash(evidence(energy_wh=9_999)) != matching.input_hash(evidence())
    assert matching.input_hash(once, with_changes({"l1_points": 1})) != matching.input_hash(once, DEFAULTS)


@given(st.lists(st.integers(-(2**40), 2**40), max_size=40))
def test_packed_numbers_come_back(values: list[int]) -> None:
    assert matching.unpacked(packed(values)).tolist() == values


@given(
    st.lists(st.tuples(st.integers(-1800, 4200), st.integers(-500_000, 500_000), st.integers(-1, 900)), max_size=30),
    st.integers(0, 100_000),
)
def test_any_evidence_gets_an_answer_whose_points_explain_it(raw: list[tuple[int, int, int]], energy_wh: int) -> None:
    pings = sorted(raw)
    unknown = packed([-1] * len(pings))
    made = Track(
        seconds=packed([second for second, _, _ in pings]), latitude_e7=packed([HERE[0] + off for _, off, _ in pings]),
        longitude_e7=packed([HERE[1]] * len(pings)), speed_dkmh=packed([speed for _, _, speed in pings]),
        accuracy_m=unknown, soc_permille=unknown, flags=packed([0] * len(pings)),
    )  # fmt: skip
    judgement = judge(evidence(track=made, energy_wh=energy_wh, meter_wh=energy_wh))
    assert judgement.points == sum(each.points for each in judgement.findings if each.asks == "driver")
    assert all(each.points == 0 for each in judgement.findings if each.is_inconclusive)
    expected = "blocked" if judgement.points >= 60 else "review" if judgement.points >= 20 else None
    assert judgement.verdict == (expected or ("verified" if judgement.is_presence_proven else "inconclusive"))


SINCE_THE_FOURTH = {
    "clock_far_minutes", "told_to_others", "record", "told_power", "price_rounding_paise", "health_least_percent",
}  # fmt: skip


def as_of_then(now: Any) -> dict[str, Any]:
    """Evidence or lines, without what only rulesets since the fourth know."""
    return {name: value for name, value in msgspec.to_builtins(now).items() if name not in SINCE_THE_FOURTH}


@pytest.mark.parametrize(("version", "known"), [("2026-11.2", SECOND), ("2026-11.3", THIRD)])
def test_earlier_rulesets_judge_as_they_did(version: str, known: str) -> None:
    """Of every case, as each judged it when it was the newest."""
    digest = sha256()
    for case in CASES:
        for fields in (case.fraud, case.honest):
            told = as_of_then(evidence(**fields))
            again = rulesets.rerun(version=version, evidence=told, thresholds=as_of_then(DEFAULTS))
            digest.update(rulesets.canonical(again.verdict, again.points, again.findings, again.input_hash))
    assert digest.hexdigest() == known


def test_the_third_ruleset_held_a_networks_energy_against_the_vehicle() -> None:
    told = as_of_then(evidence(**BILLED_TWICE_OVER))
    again = rulesets.rerun(version="2026-11.3", evidence=told, thresholds=as_of_then(DEFAULTS))
    assert (again.verdict, again.points) == ("blocked", 130)


@pytest.mark.parametrize("version", ["2026-11.2", "2026-11.3", RULESET_VERSION])
def test_evidence_stored_before_a_fact_or_a_line_was_known_gives_the_same_answer(version: str) -> None:
    """The hash of then is made here of structs that have no such field."""
    told, newer = evidence(track=track(300), neighbours=(other(),)), {"week", "witnesses", "idle_paise", "f4_points"}

    def before(now: Any) -> Any:
        names = [name for name in now.__struct_fields__ if name not in newer]
        return msgspec.defstruct("Before", names)(*(getattr(now, name) for name in names))

    stored, lines = (
        {name: value for name, value in msgspec.to_builtins(now).items() if name not in newer}
        for now in (told, DEFAULTS)
    )
    stored["neighbours"][0].pop("soc_rise_percent")
    known = {name: getattr(other(), name) for name in other().__struct_fields__ if name != "soc_rise_percent"}
    neighbour = msgspec.defstruct("Neighbour", list(known))(**known)
    then = before(told)
    then.neighbours = (neighbour,)
    again = rulesets.rerun(version=version, evidence=json.loads(json.dumps(stored)), thresholds=lines)
    plain = msgspec.json.encode([version, then, before(DEFAULTS)], order="deterministic")
    assert again.input_hash == sha256(plain).hexdigest()
    assert again.verdict == judge(told).verdict


@pytest.mark.parametrize("version", ["2026-11.1", "2026-11.2", "2026-11.3", RULESET_VERSION])
@pytest.mark.parametrize("stored", [{}, {"started_at": "noon"}, {"pings": 3}, {"unheard": 1}])
def test_what_was_never_evidence_is_said_to_be_none(version: str, stored: dict[str, Any]) -> None:
    with pytest.raises(rulesets.UnreadableEvidence):
        rulesets.rerun(version=version, evidence=stored, thresholds={})


def test_the_catalogue_is_whole_and_the_documentation_prints_it() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES) == 23
    assert len(CHECKS) == 19  # L1-L3, T1-T2 and E2-E3 are looked at together
    page = Path(__file__).resolve().parents[2] / "docs" / "billing.md"
    assert as_markdown() in page.read_text()
