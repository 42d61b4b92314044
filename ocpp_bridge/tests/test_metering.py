"""Units, phases and contexts become integer Wh, W and percent, as rule 30 of the OCPP reference says."""

from typing import Any

import pytest

from ocpp_bridge.metering import normalise


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
