"""The pure arithmetic of a decision, by property and by example."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core import choose, curves, energy, waits
from dispatch.engines.crow import CrowEngine

percent = st.floats(0, 100)
VEHICLE = choose.VehicleFacts(18.0, 21_300, 140, 30_000, 7_200)
RULES = choose.Rules(5, 80, 400)


def candidate(**values) -> choose.Candidate:
    defaults = {
        "connector_id": 1, "location_id": 1, "station": "A", "is_dc": True, "plug_power_w": 60_000.0,
        "drive_m": 4_000.0, "drive_seconds": 700.0, "onward_m": None, "onward_seconds": None, "freshness": "live",
        "is_free": True, "is_reservable": True, "wait_seconds": 0.0, "price_paise": 30_000,
    }  # fmt: skip
    return choose.Candidate(**{**defaults, **values})


@given(percent, percent, percent, st.floats(1_000, 400_000), st.floats(1_000, 400_000))
def test_charging_in_two_steps_takes_as_long_as_in_one(a, b, c, plug_w, peak_w):
    low, middle, high = sorted((a, b, c))
    curve = curves.vehicle_curve([], peak_w)

    def seconds(start, end):
        return curves.charge_seconds(curve, battery_wh=40_000, plug_power_w=plug_w, from_percent=start, to_percent=end)

    assert seconds(low, middle) + seconds(middle, high) == pytest.approx(seconds(low, high), abs=1e-6)


@given(percent, percent, st.floats(1_000, 400_000), st.floats(1_000, 400_000))
def test_a_stronger_plug_is_never_slower_and_never_beats_the_vehicle(a, b, weak, strong):
    low, high = sorted((a, b))
    weak, strong = sorted((weak, strong))
    curve = curves.vehicle_curve([], 50_000)
    span = {"battery_wh": 40_000, "from_percent": low, "to_percent": high}
    slow, fast = (curves.charge_seconds(curve, plug_power_w=power, **span) for power in (weak, strong))
    assert fast <= slow + 1e-9
    at_peak = (high - low) / 100 * 40_000 * 3600 / (50_000 * curves.CHARGING_EFFICIENCY)
    assert fast >= at_peak - 1e-6


def test_the_default_curve_is_flat_to_80_percent_and_then_tapers():
    curve = curves.vehicle_curve([], 30_000)
    assert set(curve[:80]) == {30_000.0}
    assert np.all(np.diff(curve[80:]) < 0)
    assert curve[99] == pytest.approx(30_000 * (1 - 0.975 * 0.82))
    hour = curves.charge_seconds(curve, battery_wh=30_000, plug_power_w=60_000, from_percent=0, to_percent=50)
    assert hour == pytest.approx(15_000 * 3600 / (30_000 * 0.93))


def test_no_power_is_no_charging():
    curve = curves.vehicle_curve([[0, 20_000], [50, 0], [100, 0]], 20_000)
    assert curves.charge_seconds(curve, battery_wh=1, plug_power_w=1e5, from_percent=40, to_percent=80) == math.inf


@given(st.floats(0, 200_000), st.floats(50, 1_500), percent)
def test_driving_uses_fifteen_percent_more_than_the_catalogue_says(metres, wh_per_km, soc):
    left = energy.arrival_percent(soc_percent=soc, battery_wh=50_000, distance_m=metres, wh_per_km=wh_per_km)
    assert soc - left == pytest.approx(metres / 1000 * wh_per_km * 1.15 / 500)
    reach = energy.reach_m(soc_percent=soc, least_percent=5, battery_wh=50_000, wh_per_km=wh_per_km)
    at_edge = energy.arrival_percent(soc_percent=soc, battery_wh=50_000, distance_m=reach, wh_per_km=wh_per_km)
    assert at_edge == pytest.approx(min(soc, 5))


def test_waits_are_zero_when_free_and_honest_when_busy():
    free = waits.PlugState(is_free=True)
    assert waits.wait_seconds(free, arrives_in_seconds=0) == 0
    half_hour = waits.evenly([1_800.0])
    assert waits.wait_seconds(waits.PlugState(False, 600.0, law=half_hour), arrives_in_seconds=0) == 1_200 + 120
    assert waits.wait_seconds(waits.PlugState(False, 9_000.0, law=half_hour), arrives_in_seconds=0) == (5 + 2) * 60
    by_curve = waits.PlugState(False, 600.0, curve_remaining_seconds=1_200.0)
    assert waits.wait_seconds(by_curve, arrives_in_seconds=900) == 1_200 + 120 - 900
    queue = waits.PlugState(True, inbound=((300.0, 1_800.0), (5_000.0, 1_800.0)))
    assert waits.wait_seconds(queue, arrives_in_seconds=600) == 300 + 1_800 + 120 - 600


@given(
    st.lists(
        st.builds(
            candidate,
            connector_id=st.integers(1, 10_000),
            drive_m=st.floats(0, 60_000),
            drive_seconds=st.floats(0, 9_000),
            wait_seconds=st.floats(0, 3_600),
            plug_power_w=st.floats(0, 240_000),
            price_paise=st.none() | st.integers(0, 100_000),
            is_free=st.booleans(),
        ),
        max_size=20,
    ),
    st.floats(1, 30),
)
def test_the_choice_is_reachable_and_nothing_reachable_is_cheaper(candidates, soc):
    vehicle = choose.VehicleFacts(soc, 21_300, 140, 30_000, 7_200)
    choice = choose.choose(vehicle, RULES, candidates)
    reachable = [one for one in choice.ranking if not one.problem]
    assert len(choice.ranking) == len(candidates)
    if choice.best is None:
        assert not reachable
    else:
        assert choice.best.arrival_soc_percent >= RULES.reserve_percent - 0.05
        assert choice.best.total_paise == min(one.total_paise for one in reachable)
        assert choice.best.total_paise == (choice.best.time_paise + choice.best.price_paise + choice.best.risk_paise)
    snapshot = json.loads(json.dumps(choose.snapshot_of(vehicle, RULES, candidates)))
    assert choose.replay(snapshot) == choice


def test_a_free_plug_beats_a_busy_one_and_a_cheap_one_beats_a_dear_one():
    busy = candidate(connector_id=2, is_free=False, wait_seconds=900)
    dear = candidate(connector_id=3, price_paise=60_000)
    assert choose.choose(VEHICLE, RULES, [busy, dear, candidate()]).best.connector_id == 1


def test_a_vehicle_of_30_kw_does_not_care_for_120_kw():
    plain, strong = candidate(plug_power_w=30_000.0), candidate(connector_id=2, plug_power_w=120_000.0)
    choice = choose.choose(VEHICLE, RULES, [strong, plain])
    assert choice.best.connector_id == 1
    assert choice.ranking[0].charge_seconds == choice.ranking[1].charge_seconds


def test_fast_is_what_is_fast_for_this_vehicle():
    assert VEHICLE.is_fast(is_dc=True, plug_power_w=18_000)
    assert not VEHICLE.is_fast(is_dc=True, plug_power_w=17_000)
    assert not VEHICLE.is_fast(is_dc=False, plug_power_w=22_000)
    bus = choose.VehicleFacts(18.0, 300_000, 1_100, 240_000, 0)
    assert bus.is_fast(is_dc=True, plug_power_w=25_000)


def test_out_of_reach_names_the_deficit():
    far = candidate(drive_m=40_000.0)
    choice = choose.choose(VEHICLE, RULES, [far])
    assert choice.best is None
    needed = 40 * 140 * 1.15 + max(0.05 * 21_300, 0.15 * 40 * 140 * 1.15)
    assert choice.deficit_wh == round(needed - 0.18 * 21_300)
    assert choice.reach_m == round(0.13 * 21_300 / (140 * 1.15) * 1000)


def test_crow_is_symmetric_and_marks_what_it_cannot_know():
    places = np.array([[12.97, 77.59], [13.05, 77.60], [math.nan, 77.0], [28.6, 77.2]])
    matrix = CrowEngine().matrix(places, places)
    assert matrix.metres[0, 1] == pytest.approx(matrix.metres[1, 0])
    assert matrix.metres[0, 1] == pytest.approx(8_962 * 1.35, rel=0.01)
    assert np.isnan(matrix.seconds[0, 2])
    assert np.isnan(matrix.metres[0, 3])
    line = CrowEngine().route((12.97, 77.59), (13.05, 77.60))
    assert line[0] == (12.97, 77.59)
    assert line[-1] == (13.05, 77.60)


@given(percent, percent, st.floats(3_000, 200_000), st.booleans())
def test_a_charge_curve_takes_as_long_as_its_power_says(a, b, plug_w, is_cold):
    points = [[0, 9_000], [20, 30_000], [70, 28_000], [100, 4_000]] if is_cold else []
    power = curves.vehicle_curve(points, 30_000)
    curve = curves.charge_curve(power, battery_wh=21_300, plug_power_w=plug_w, within_seconds=2.0)
    low, high = sorted((a, b))
    exact = curves.charge_seconds(power, battery_wh=21_300, plug_power_w=plug_w, from_percent=low, to_percent=high)
    assert curve.seconds_between(low * 213, high * 213) == pytest.approx(exact, abs=4.0)
    assert curve.is_concave is not is_cold or plug_w <= 9_000 * 1.1
    assert len(curve.wh) < 40


@given(st.floats(0, 20_000))
def test_a_charge_curve_is_turned_around_without_error(wh):
    curve = curves.ChargeCurve((0.0, 1_000.0, 2_500.0, 6_000.0), (0.0, 12_000.0, 17_000.0, 20_000.0))
    assert curve.wh_at(curve.seconds_at(wh)) == pytest.approx(wh, abs=1e-6)


def test_a_plug_without_power_has_no_charge_curve():
    assert curves.charge_curve(curves.vehicle_curve([], 0), battery_wh=20_000, plug_power_w=50_000) is None
