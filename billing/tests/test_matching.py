"""Rules add points only for what was seen; missing evidence is inconclusive, never guilt."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import matching
from billing.matching import Evidence, Ping, PowerSample, ShiftWindow, judge

START = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
END = START + timedelta(minutes=40)
HERE = (12.9716, 77.5946)
METRE = 1 / 111_195  # degrees of latitude


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def pings(metres_away: float = 0, first: int = -30, last: int = 70, **fields: Any) -> tuple[Ping, ...]:
    fields = {"speed_kmh": 0.0, "accuracy_m": 10, **fields}
    return tuple(
        Ping(at(minute), HERE[0] + metres_away * METRE, HERE[1], **fields) for minute in range(first, last + 1, 2)
    )


def evidence(**fields: Any) -> Evidence:
    """An honest session: there all the time, on shift, 10 kWh into a 20 kWh battery from 30 to 77 %."""
    duty = ShiftWindow(START - timedelta(hours=2), START + timedelta(hours=6), driver_id=7)
    with_soc = tuple(replace(ping, soc_percent=30.0 if ping.at <= START else 77.0) for ping in pings())
    honest = {
        "started_at": START, "ended_at": END, "energy_wh": 10_000, "latitude": HERE[0], "longitude": HERE[1],
        "base_radius_m": 150, "pings": with_soc, "shifts": (duty,), "has_shift_plan": True, "token_driver_id": 7,
        "usable_wh": 20_000, "power": (PowerSample(START, 20_000), PowerSample(at(38), 0)),
    }  # fmt: skip
    return Evidence(**{**honest, **fields})


def points(judgement: matching.Judgement) -> dict[str, int]:
    return {finding.rule: finding.points for finding in judgement.findings}


def test_an_honest_session_is_verified() -> None:
    judgement = judge(evidence())
    assert (judgement.verdict, judgement.points, judgement.findings) == ("verified", 0, ())


def test_a_vehicle_far_away_is_blocked_with_the_distance_as_evidence() -> None:
    judgement = judge(evidence(pings=pings(4_200)))
    assert judgement.verdict == "blocked"
    finding = judgement.findings[0]
    assert (finding.rule, finding.points, finding.evidence["distance_m"]) == ("L1", 60, 4200)
    assert finding.text == "The tracker was never closer than 4.2 km to the station"


@pytest.mark.parametrize(("metres", "expected"), [(155, {}), (165, {"L2": 15}), (405, {"L2": 15}), (415, {"L1": 60})])
def test_the_radius_grows_with_the_receivers_own_doubt(metres: int, expected: dict[str, int]) -> None:
    found = points(judge(evidence(pings=pings(metres), power=())))  # 150 m + 10 m accuracy, then 250 m more
    assert {rule: value for rule, value in found.items() if rule[0] == "L"} == expected


def test_no_ping_is_no_guilt() -> None:
    judgement = judge(evidence(pings=()))
    assert (judgement.verdict, judgement.points) == ("inconclusive", 0)
    assert {finding.rule for finding in judgement.findings if finding.is_inconclusive} == {"L3", "E2"}


def test_pings_only_before_the_session_prove_nothing() -> None:
    judgement = judge(evidence(pings=pings(4_200, first=-30, last=-25), power=()))
    assert (judgement.verdict, points(judgement)["L3"]) == ("inconclusive", 0)


def test_passing_by_is_not_presence() -> None:
    """Near at the start, then silent: no rule fires, and nothing is proven either."""
    away = pings(4_200, first=4, last=70)
    judgement = judge(evidence(pings=(*pings(0, first=0, last=2), *away), power=()))
    assert (judgement.verdict, judgement.is_presence_proven) == ("inconclusive", False)


def test_moving_while_the_charger_delivers_is_suspicious() -> None:
    driving = tuple(
        Ping(at(minute), HERE[0] + minute * 100 * METRE, HERE[1], speed_kmh=6.0, accuracy_m=10) for minute in range(41)
    )
    assert points(judge(evidence(pings=driving)))["L4"] == 50
    assert "L4" not in points(judge(evidence(pings=driving, power=(PowerSample(START, 0),))))


def test_jitter_of_a_parked_receiver_is_not_movement() -> None:
    shaky = tuple(
        Ping(at(minute), HERE[0] + (minute % 2) * 60 * METRE, HERE[1], speed_kmh=1.0, accuracy_m=30)
        for minute in range(-10, 50)
    )
    assert "L4" not in points(judge(evidence(pings=shaky)))


def test_off_shift_needs_a_look() -> None:
    yesterday = ShiftWindow(START - timedelta(days=1), START - timedelta(hours=16), driver_id=7)
    judgement = judge(evidence(shifts=(yesterday,)))
    assert (judgement.verdict, points(judgement)["T1"]) == ("review", 25)


def test_half_an_hour_of_grace_around_the_shift() -> None:
    ended = ShiftWindow(START - timedelta(hours=9), START - timedelta(minutes=30), driver_id=7)
    assert judge(evidence(shifts=(ended,))).verdict == "verified"


def test_no_shift_plan_is_no_guilt() -> None:
    judgement = judge(evidence(shifts=(), has_shift_plan=False))
    assert (judgement.verdict, points(judgement)) == ("verified", {"T1": 0})


def test_another_drivers_card_needs_a_look() -> None:
    judgement = judge(evidence(token_driver_id=8))
    assert (judgement.verdict, points(judgement)["T2"]) == ("review", 20)


def test_more_than_the_battery_takes() -> None:
    found = points(judge(evidence(energy_wh=18_000)))  # from 30 %: at most 14 kWh / 0.85 + 1 = 17.47
    assert found["E1"] == 50
    assert "E1" not in points(judge(evidence(energy_wh=17_400)))


def test_no_rise_is_found_once_not_twice() -> None:
    flat = tuple(replace(ping, soc_percent=30.0) for ping in pings())
    assert points(judge(evidence(pings=flat))) == {"E3": 50}


@pytest.mark.parametrize(("soc_after", "expected"), [(77.0, {}), (67.0, {"E2": 30}), (50.0, {"E2": 50})])
def test_energy_and_charge_must_match(soc_after: float, expected: dict[str, int]) -> None:
    told = tuple(replace(ping, soc_percent=30.0 if ping.at <= START else soc_after) for ping in pings())
    assert points(judge(evidence(pings=told))) == expected


def test_the_chargers_own_reading_fills_in_for_the_vehicle() -> None:
    judgement = judge(evidence(pings=pings(), charger_soc_start_percent=30, charger_soc_end_percent=30))
    assert points(judgement) == {"E3": 50}
    assert judgement.findings[0].evidence["soc_before_from"] == "charger"


def test_stored_evidence_gives_the_same_verdict_again() -> None:
    once = evidence(pings=pings(300), token_driver_id=8)
    again = matching.from_json(matching.as_json(once))
    assert again == once
    assert judge(again) == judge(once)
    assert matching.input_hash(again) == matching.input_hash(once)
    assert matching.input_hash(replace(once, energy_wh=9_999)) != matching.input_hash(once)


@given(
    st.lists(st.tuples(st.integers(-1800, 4200), st.floats(-0.05, 0.05), st.floats(0, 90)), max_size=30),
    st.integers(0, 100_000),
)
def test_any_evidence_gets_an_answer_whose_points_explain_it(
    raw: list[tuple[int, float, float]], energy_wh: int
) -> None:
    track = tuple(
        Ping(START + timedelta(seconds=seconds), HERE[0] + off, HERE[1], speed) for seconds, off, speed in sorted(raw)
    )
    judgement = judge(evidence(pings=track, energy_wh=energy_wh))
    assert judgement.points == sum(finding.points for finding in judgement.findings)
    assert all(finding.points == 0 for finding in judgement.findings if finding.is_inconclusive)
    expected = "blocked" if judgement.points >= 60 else "review" if judgement.points >= 20 else None
    assert judgement.verdict == (expected or ("verified" if judgement.is_presence_proven else "inconclusive"))
