"""Units, phases and contexts become integer Wh, W and percent, as rule 30 of the OCPP reference says."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.services.meters import MeterReading
from ocpp_bridge.metering import normalise, register_at_begin, register_at_end


def sample(value: object, **extra: Any) -> dict[str, Any]:
    return {"value": value, **extra}


def test_a_bare_value_is_the_import_register_in_wh() -> None:
    assert normalise([sample("1234")]).energy_wh == 1234


def test_kwh_written_with_float_noise_is_exact() -> None:
    assert normalise([sample("0.15003999999999998", unit="kWh")]).energy_wh == 150


def test_2x_multiplier_scales() -> None:
    measured = sample(1.5, measurand="Power.Active.Import", unitOfMeasure={"unit": "W", "multiplier": 3})
    assert normalise([measured]).power_w == 1500


def test_the_total_wins_over_the_phases() -> None:
    samples = [sample("300"), *(sample("100", phase=phase) for phase in ("L1", "L2", "L3"))]
    assert normalise(samples).energy_wh == 300


def test_without_a_total_the_phases_are_summed_once() -> None:
    lines = [sample("100", phase=phase) for phase in ("L1", "L2", "L3")]
    neutral = [sample("90", phase=phase) for phase in ("L1-N", "L2-N", "L3-N")]
    assert normalise([*lines, *neutral]).energy_wh == 300


@pytest.mark.parametrize("register", ["Energy.Active.Import.Register", "Energy.Active.Import.Interval"])
def test_the_outlet_wins_over_every_other_place_in_any_order(register: str) -> None:
    """Rule 30: the default location is Outlet, and an inlet counts what the station itself uses, too."""
    outlet = sample("10000", measurand=register, location="Outlet")
    inlet = sample("11000", measurand=register, location="Inlet")
    vehicle = sample("9000", measurand=register, location="EV")
    for said in ([outlet, inlet, vehicle], [vehicle, inlet, outlet], [inlet, {**outlet, "phase": "L1"}]):
        read = normalise(said)
        assert {read.energy_wh, read.interval_wh} == {10_000, None}
    unsaid = {"value": "10000", "measurand": register}
    assert {normalise([inlet, unsaid]).energy_wh, normalise([inlet, unsaid]).interval_wh} == {10_000, None}


def test_without_an_outlet_it_is_always_the_same_place() -> None:
    inlet, vehicle = sample("11000", location="Inlet"), sample("9000", location="EV")
    assert [normalise(said).energy_wh for said in ([inlet, vehicle], [vehicle, inlet])] == [11_000, 11_000]
    lines = [sample("100", location="Inlet", phase=phase) for phase in ("L1", "L2", "L3")]
    assert normalise([vehicle, *lines]).energy_wh == 300
    assert normalise([vehicle, sample("5", location="Roof")]).energy_wh == 9_000


def test_power_of_the_outlet_and_charge_of_the_vehicle() -> None:
    powers = [sample("50", measurand="Power.Active.Import", unit="kW", location=place) for place in ("Outlet", "Inlet")]
    powers[1]["value"] = "53"
    soc = sample("61", measurand="SoC", location="EV")
    read = normalise([*powers, soc])
    assert (read.power_w, read.soc_percent) == (50_000, 61)


def test_units_are_known_in_any_case_and_nothing_is_guessed() -> None:
    for unit, wh in (("KWH", 1500), ("kwh", 1500), (" kWh ", 1500), ("WH", 2), ("MWh", 1_500_000), ("", 2)):
        assert normalise([sample("1.5", unit=unit)]).energy_wh == wh, unit
        assert normalise([sample(1.5, unitOfMeasure={"unit": unit})]).energy_wh == wh, unit
    power = {"measurand": "Power.Active.Import"}
    for unit, watts in (("KW", 1500), ("MW", 1_500_000), ("w", 2)):
        assert normalise([sample("1.5", unit=unit, **power)]).power_w == watts, unit
    for unknown in ("varh", "kvarh", "Percent", "kW", "A", 7, {}):
        assert normalise([sample("1.5", unit=unknown)]).energy_wh is None, unknown
    assert normalise([sample("1.5", unit="kWh", **power)]).power_w is None


def test_a_multiplier_may_be_a_whole_float_and_is_never_ignored() -> None:
    for multiplier, wh in ((3.0, 1500), (3, 1500), (0.0, 2), (0.5, None), ("3", None), (13, None), (True, None)):
        said = sample(1.5, unitOfMeasure={"unit": "Wh", "multiplier": multiplier})
        assert normalise([said]).energy_wh == wh, multiplier


def test_signed_data_is_not_read_as_a_number() -> None:
    assert normalise([sample("17", format="SignedData")]).energy_wh is None


def test_soc_outside_0_to_100_is_not_believed() -> None:
    assert normalise([sample("101", measurand="SoC")]).soc_percent is None
    assert normalise([sample("55.5", measurand="SoC")]).soc_percent == 55.5


@pytest.mark.parametrize("value", ["", "NaN", "Infinity", "1e999999", "-5", "twelve", None, True, {}, "9" * 400])
def test_what_is_no_register_reading_is_none(value: object) -> None:
    assert normalise([sample(value)]).energy_wh is None


@pytest.mark.parametrize("samples", [[None], ["x"], [{}], [[]], [{"value": "1", "measurand": []}]])
def test_broken_samples_are_skipped(samples: list[Any]) -> None:
    assert normalise(samples).energy_wh is None


def test_intervals_are_read_beside_the_register() -> None:
    interval = sample("0.5", measurand="Energy.Active.Import.Interval", unit="kWh")
    assert normalise([interval, sample("1200")])[:1] == (1200,)
    assert normalise([interval]).interval_wh == 500
    assert normalise([interval]).energy_wh is None


def test_a_start_carries_its_marked_register_and_an_end_the_last() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)

    def reading(minutes: int, energy_wh: int | None, context: str = "") -> MeterReading:
        return MeterReading(1, 1, "t", now + timedelta(minutes=minutes), now, energy_wh, None, None, context, [], "00")

    unordered = [reading(2, 300), reading(0, 100), reading(3, None), reading(1, 200)]
    assert (register_at_begin(unordered), register_at_end(unordered)) == (100, 300)
    marked = [*unordered, reading(5, 150, "Transaction.Begin"), reading(-5, 290, "Transaction.End")]
    assert (register_at_begin(marked), register_at_end(marked)) == (150, 290)
    assert register_at_begin([reading(0, None)]) is None


kwh = st.decimals("0", "99999", places=3, allow_nan=False, allow_infinity=False)


@given(value=kwh, multiplier=st.integers(-3, 3))
def test_every_way_to_write_a_register_means_the_same(value: Decimal, multiplier: int) -> None:
    wh = int(value * 1000)
    unit = {"unit": "Wh", "multiplier": multiplier}
    scaled = {"value": float(Decimal(wh).scaleb(-multiplier)), "unitOfMeasure": unit}
    assert normalise([sample(str(wh))]).energy_wh == wh
    assert normalise([sample(str(value), unit="kWh")]).energy_wh == wh
    assert normalise([scaled]).energy_wh == wh


def test_what_was_read_once_is_read_alike_and_what_only_looks_alike_is_not() -> None:
    def energy(measure: object) -> int | None:
        return normalise([{"value": 5, "unitOfMeasure": measure}]).energy_wh

    for _ in range(2):
        assert energy({"unit": "kWh"}) == 5_000
        assert energy({"unit": "Wh", "multiplier": 1}) == energy({"unit": "Wh", "multiplier": 1.0}) == 50
        assert energy({"unit": "Wh", "multiplier": True}) is None
        assert energy({"unit": ["Wh"]}) is None
        assert energy("kWh") == 5
