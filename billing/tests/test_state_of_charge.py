"""Which states of charge are believed: what a station reads of a vehicle is wrong at the plug's both ends."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.reconstruction import Evidence, Sample
from billing.state_of_charge import Charge, charge_of

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
BATTERY_WH, POWER_W = 40_000, 24_000  # a point a minute


def told(
    *percents: float | None, gain: int = 400, power_w: int | None = POWER_W, battery: int | None = BATTERY_WH
) -> Evidence:
    """A sample each minute, each `gain` Wh after the one before."""
    samples = tuple(
        Sample(NOON + timedelta(minutes=number), 1_000 + gain * number, power_w, None, "", percent)
        for number, percent in enumerate(percents)
    )
    end = samples[-1]
    return Evidence(
        started_at=NOON, ended_at=end.at, meter_start_wh=1_000, meter_stop_wh=end.register_wh, samples=samples,
        max_power_w=60_000, battery_wh=battery,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("percents", "charge"),
    [
        ((45, 46, 47, 48), Charge(45, 48, is_odd=False)),
        ((45, None, 47, 48), Charge(45, 48, is_odd=False)),
        ((45, 46, 47, 0), Charge(45, 47, is_odd=False)),  # on unplugging
        ((0, 45, 46, 47), Charge(45, 47, is_odd=False)),  # before the vehicle has said a word
        ((0, 0, 45, 46, 47), Charge(45, 47, is_odd=False)),
        ((0, 1, 2, 3), Charge(0, 3, is_odd=False)),  # truly empty
        ((45, 46, 99, 48, 49), Charge(45, 49, is_odd=True)),
        ((99, 45, 46, 47), Charge(45, 47, is_odd=True)),
        ((45, 46, 20, 48), Charge(45, 48, is_odd=True)),
        ((46, 45, 44, 45), Charge(46, 45, is_odd=False)),  # a gauge settles
        ((45, 0), Charge(45, None, is_odd=False)),
        ((0, 45), Charge(None, 45, is_odd=False)),
        ((45, 45, 45, 45), Charge(45, 45, is_odd=False)),  # a charge that does not rise is a finding, not an error
        ((45,), None),
        ((None, None), None),
    ],
)
def test_the_samples_that_follow_from_each_other_are_believed(
    percents: tuple[float | None, ...], charge: Charge | None
) -> None:
    assert charge_of(told(*percents)) == charge


def test_it_falls_where_nothing_flows_and_rises_by_what_the_energy_explains() -> None:
    assert charge_of(told(80, 70, 60, gain=0, power_w=0)) == Charge(80, 60, is_odd=False)  # heating, or giving
    assert charge_of(told(80, 70, 60, 0, gain=0, power_w=0)) == Charge(80, 60, is_odd=False)
    assert charge_of(told(40, 60, 80, gain=8_000)) == Charge(40, 80, is_odd=False)
    assert charge_of(told(40, 60, 61, gain=0, power_w=0)) == Charge(60, 61, is_odd=True)
    assert charge_of(told(40, 60, 80, gain=0, battery=None)) == Charge(40, 80, is_odd=False)
