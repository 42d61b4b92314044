"""A depot's bill is divided to the paisa: by slot, by peak, by vehicle-day, losses said aloud."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.utility import allocation as a
from billing.utility.allocation import Charge, Rules, Use, allocate
from billing.utility.clock import BadSlots, Grid, slots_of
from billing.utility.sharing import share_out, spread

INDIA = ZoneInfo("Asia/Kolkata")
TOD = [{"name": "Peak", "from": "18:00", "to": "22:00"}, {"name": "Night", "from": "22:00", "to": "06:00"},
       {"name": "Day", "from": "06:00", "to": "18:00"}]  # fmt: skip


def grid_of(day: str = "2026-11-01", days: int = 1, minutes: int = 15, zone: ZoneInfo = INDIA) -> Grid:
    start = datetime.fromisoformat(day).replace(tzinfo=zone)
    end = (start.replace(tzinfo=None) + timedelta(days=days)).replace(tzinfo=zone)
    return Grid(start.astimezone(UTC), end.astimezone(UTC), minutes, zone)


def divide(charges: list[Charge], uses: list[Use], **fields: Any) -> a.Result:
    grid = grid_of()
    slots = grid.slot_names(slots_of(TOD))
    days = [grid.day_of(block) for block in range(grid.count)]
    return allocate(charges=charges, uses=uses, slots=slots, days=days, **fields)


def test_a_worked_bill() -> None:
    """Two vans in the evening peak, one at night. By hand: peak 100 kWh metered for 80 used, so a fifth is loss."""
    peak, night = 72, 92  # 18:00 and 23:00
    uses = [Use(1, {peak: 60_000}, 11), Use(2, {peak: 20_000}, 12), Use(3, {night: 40_000}, 12)]
    charges = [
        Charge(a.ENERGY, 1_000_00, "Peak", 100_000), Charge(a.ENERGY, 300_00, "Night", 40_000),
        Charge(a.ENERGY, 0, "Day", 0), Charge(a.DEMAND, 400_00), Charge(a.FIXED, 90_00), Charge(a.ARREARS, 77_77),
    ]  # fmt: skip
    result = divide(charges, uses)
    rows = [(p.energy, p.losses, p.demand, p.fixed, p.total) for p in result.parts]
    assert rows == [
        (600_00, 150_00, 300_00, 45_00, 1_095_00),
        (200_00, 50_00, 100_00, 45_00, 395_00),
        (300_00, 0, 0, 0, 300_00),  # the same van on the same day: counted once
    ]
    assert (result.depot.total, result.total) == (0, 1_790_00)
    assert (result.loss_wh, result.loss_permille, result.peak_blocks, result.peak_wh) == (20_000, 142, (72,), 80_000)


def test_losses_and_the_depots_own_load_may_be_the_depots() -> None:
    uses = [Use(1, {72: 60_000}, 11), Use(2, {72: 20_000}, 12)]
    charges = [Charge(a.ENERGY, 1_000_00, "Peak"), Charge(a.DEMAND, 500_00), Charge(a.LATE, 10_00)]
    result = divide(charges, uses, meter={72: 100_000}, rules=Rules(losses=a.TO_DEPOT))
    assert [part.total for part in result.parts] == [600_00 + 300_00, 200_00 + 100_00]
    assert (result.depot.losses, result.depot.demand, result.depot.other) == (200_00, 100_00, 10_00)


def test_who_stayed_off_the_peak_pays_no_demand_charge() -> None:
    uses = [Use(1, {72: 5_000, 73: 1_000}, 1), Use(2, {73: 5_999}, 2)]
    assert [part.demand for part in divide([Charge(a.DEMAND, 100)], uses).parts] == [14, 86]  # block 73 has more
    by_kwh = divide([Charge(a.DEMAND, 120)], uses, rules=Rules(demand=a.BY_KWH))
    assert [part.demand for part in by_kwh.parts] == [60, 60]
    tied = divide([Charge(a.DEMAND, 100)], [Use(1, {10: 500}, 1), Use(2, {20: 500}, 2)])
    assert ([part.demand for part in tied.parts], tied.peak_blocks) == ([50, 50], (10, 20))


def test_duty_follows_the_money_and_a_credit_is_shared_as_a_charge() -> None:
    uses = [Use(1, {72: 1_000}, 1), Use(2, {10: 1_000}, 2)]
    charges = [Charge(a.ENERGY, 300_00, "Peak"), Charge(a.ENERGY, 100_00, "Night"), Charge(a.DUTY, 40_00),
               Charge(a.POWER_FACTOR, -5)]  # fmt: skip
    result = divide(charges, uses)
    assert [part.other for part in result.parts] == [30_00 - 3, 10_00 - 2]
    assert result.total == 440_00 - 5


def test_what_nobody_used_is_the_depots() -> None:
    charges = [Charge(a.ENERGY, 50_00, "Day"), Charge(a.DEMAND, 7_00), Charge(a.FIXED, 1_00), Charge(a.DUTY, 3)]
    result = divide(charges, [])
    assert (result.depot.total, result.total, result.peak_blocks) == (58_03, 58_03, ())
    assert divide([Charge(a.ENERGY, 50_00, "Day")], [Use(1, {72: 500}, 1)]).depot.energy == 50_00


def test_more_in_the_sessions_than_on_the_meter_is_no_negative_loss() -> None:
    result = divide([Charge(a.ENERGY, 100_00, "Peak", 900)], [Use(1, {72: 1_000}, 1)])
    assert (result.parts[0].energy, result.parts[0].losses, result.loss_wh) == (100_00, 0, -100)


KINDS = [a.ENERGY, a.FIXED, a.DEMAND, a.PENALTY, a.FUEL, a.POWER_FACTOR, a.DUTY, a.LATE, a.OTHER]
charges_ = st.lists(
    st.builds(
        Charge, st.sampled_from(KINDS), st.integers(-10**6, 10**9), st.sampled_from(["", "Peak", "Night", "Day"]),
        st.none() | st.integers(0, 10**7),
    ),
    max_size=12,
)  # fmt: skip
blocks_ = st.dictionaries(st.integers(0, 95), st.integers(0, 10**6), max_size=6)
uses_ = st.lists(st.tuples(blocks_, st.none() | st.integers(1, 4)), max_size=8)
rules_ = st.builds(
    Rules, st.sampled_from([a.BY_PEAK, a.BY_KWH, a.EQUALLY]), st.sampled_from([a.BY_KWH, a.TO_DEPOT]),
    st.sampled_from([a.BY_VEHICLE_DAY, a.BY_KWH, a.EQUALLY]),
)  # fmt: skip


@given(charges_, uses_, rules_, st.none() | blocks_)
def test_the_parts_are_the_bill_to_the_paisa(
    charges: list[Charge], used: list[tuple[dict[int, int], int | None]], rules: Rules, meter: dict[int, int] | None
) -> None:
    uses = [Use(number, blocks, vehicle) for number, (blocks, vehicle) in enumerate(used)]
    result = divide(charges, uses, rules=rules, meter=meter)
    assert result.total == sum(charge.amount_paise for charge in charges)
    if all(charge.amount_paise >= 0 for charge in charges):
        assert min([part.total for part in result.parts], default=0) >= 0


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**9), min_size=1).filter(any))
def test_shares_add_up_and_are_never_a_whole_unit_off(amount: int, weights: list[int]) -> None:
    parts, total = share_out(amount, weights), sum(weights)
    assert sum(parts) == amount
    assert all(abs(part * total - amount * weight) < total for part, weight in zip(parts, weights, strict=True))


@given(st.integers(1, 10**6), st.lists(st.integers(-50, 5_000), min_size=1, max_size=20), st.integers(0, 90))
def test_a_sessions_blocks_add_up_to_its_energy(energy_wh: int, steps: list[int], minute: int) -> None:
    grid = grid_of()
    at, register = grid.started_at + timedelta(minutes=minute), 0
    marks = [(at, 0)]
    for step in steps:
        at, register = at + timedelta(minutes=7, seconds=13), register + step
        marks.append((at, register))
    assert sum(spread(energy_wh, marks, grid).values()) == energy_wh


def test_energy_lies_where_the_register_rose() -> None:
    grid = grid_of()
    start = grid.started_at
    marks = [(start, 0), (start + timedelta(minutes=15), 9_000), (start + timedelta(minutes=45), 10_000)]
    assert spread(20_000, marks, grid) == {0: 18_000, 1: 1_000, 2: 1_000}
    silent = [(start + timedelta(minutes=5), 7), (start + timedelta(minutes=20), 7)]
    assert spread(900, silent, grid) == {0: 600, 1: 300}


def test_days_of_23_and_25_hours_have_their_slots_at_the_wall_clock() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for day, count in (("2026-03-29", 92), ("2026-10-25", 100), ("2026-10-26", 96)):
        grid = grid_of(day, zone=berlin)
        names = grid.slot_names(slots_of(TOD))
        assert (grid.count, len(names)) == (count, count)
        assert names.count("Peak") == 16
        first = grid.start_of(names.index("Peak")).astimezone(berlin)
        assert (first.hour, first.minute) == (18, 0)
    half = grid_of(zone=ZoneInfo("Asia/Kathmandu"), minutes=30)
    assert (half.count, half.slot_names(slots_of(TOD)).count("Peak")) == (48, 8)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"name": "Peak", "from": "18:00", "to": "22:00"}], "no slot"),
        ([*TOD, {"name": "Solar", "from": "09:00", "to": "10:00"}], "Day and Solar"),
        ([{"name": "A", "from": "00:10", "to": "00:10"}], "quarter"),
        ([{"name": "A", "from": "noon", "to": "13:00"}], "no time"),
        ([{"name": "", "from": "00:00", "to": "24:00"}], "name"),
    ],
)
def test_slots_that_are_no_day_are_refused(rows: list[dict[str, str]], why: str) -> None:
    with pytest.raises(BadSlots, match=why):
        slots_of(rows)
