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
