"""What a session drew, from whatever evidence there is: pure arithmetic, tried with thousands of cases."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import reconstruction as rec
from billing.reconstruction import Evidence, Numbered, Sample, account, counts_anew, idle_seconds, skipped

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
PLUG_W = 60_000


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def evidence(*samples: tuple[float, int], **fields: object) -> Evidence:
    defaults: dict[str, object] = {
        "started_at": NOON, "ended_at": at(30), "meter_start_wh": 1_000, "meter_stop_wh": 11_000,
        "samples": tuple(Sample(at(minutes), wh) for minutes, wh in samples), "max_power_w": PLUG_W,
    }  # fmt: skip
    return Evidence(**{**defaults, **fields})  # type: ignore[arg-type]


def test_stop_minus_start_is_billable() -> None:
    result = account(evidence((10, 4_000), (20, 8_000)))
    assert (result.energy_wh, result.grade, result.reasons) == (10_000, "billable", ())


TWO: list[tuple[float, int]] = [(10, 4_000), (20, 8_000)]
OPEN: dict[str, object] = {"meter_stop_wh": None}


@pytest.mark.parametrize(
    ("samples", "fields", "energy_wh", "reasons", "grade"),
    [
        (TWO, {"meter_stop_wh": None}, 7_000, {rec.NO_METER_STOP}, "estimated"),
        ([(10, 4_000), (29.5, 10_900)], {"meter_stop_wh": None}, 9_900, set(), "billable"),
        ([(0.5, 1_100), (20, 8_000)], {"meter_start_wh": None}, 9_900, set(), "billable"),
        (TWO, {"meter_start_wh": None}, 7_000, {rec.NO_METER_START}, "estimated"),
        (TWO, {"meter_stop_wh": 500}, 7_000, {rec.BACKWARDS}, "review"),
        (TWO, {"meter_stop_wh": 900_000}, 7_000, {rec.TOO_MUCH}, "review"),
        (TWO, {"meter_stop_wh": 1_000}, 7_000, {rec.DISAGREES}, "review"),
        ([(10, 4_000), (11, 4_000_000), (20, 8_000)], {}, 10_000, {rec.JUMPED}, "billable"),
        ([(10, 4_000), (15, 100), (20, 2_000)], OPEN, 5_000, {rec.NO_METER_STOP, rec.RESET}, "review"),
        ([(10, 404_000), (20, 408_000)], {"meter_stop_wh": 412_000}, 8_000, {rec.TOO_MUCH}, "review"),
        (TWO, {"meter_start_wh": 500_000, "meter_stop_wh": 510_000}, 10_000, {rec.JUMPED}, "billable"),
        ([], {"meter_start_wh": None, "meter_stop_wh": None}, 0, {rec.NO_METER}, "review"),
        ([], {"meter_stop_wh": None}, 0, {rec.NO_METER_STOP, rec.NO_METER}, "review"),
        ([(10, 4_000)], {"is_start_reported": False}, 10_000, {rec.NO_START}, "review"),
        ([(10, 4_000)], {**OPEN, "is_stop_reported": False}, 3_000, {rec.NO_STOP}, "estimated"),
        ([(10, 4_000)], {"battery_wh": 5_000}, 10_000, {rec.OVER_BATTERY}, "review"),
    ],
)  # fmt: skip
def test_what_is_believed(
    samples: list[tuple[float, int]], fields: dict[str, object], energy_wh: int, reasons: set[str], grade: str
) -> None:
    result = account(evidence(*samples, **fields))
    assert (result.energy_wh, set(result.reasons), result.grade) == (energy_wh, reasons, grade)


def test_marked_ends_are_as_good_as_start_and_stop() -> None:
    samples = (Sample(at(2), 1_000, context=rec.BEGIN), Sample(at(25), 9_000, context=rec.END))
    result = account(evidence(meter_start_wh=None, meter_stop_wh=None, samples=samples))
    assert (result.energy_wh, result.grade) == (8_000, "billable")


def test_intervals_are_summed_without_the_clock_aligned_ones() -> None:
    samples = [Sample(at(minute), None, interval_wh=500) for minute in range(1, 30, 4)]
    clock = Sample(at(15), None, interval_wh=4_000, context=rec.CLOCK)
    result = account(evidence(meter_start_wh=None, meter_stop_wh=None, samples=(*samples[:4], clock, *samples[4:])))
    assert (result.energy_wh, result.reasons) == (8 * 500, ())


def still(register_wh: int, *samples: Sample) -> Evidence:
    return evidence(meter_start_wh=register_wh, meter_stop_wh=register_wh, samples=samples)


def test_zeros_of_a_meter_without_a_register_hide_no_interval() -> None:
    told = [Sample(at(minute), None, interval_wh=1_000) for minute in range(3, 31, 3)]
    result = account(still(0, *told))
    assert (result.energy_wh, result.grade, result.meter_stop_wh) == (10_000, "billable", None)
    assert account(still(0, *(one._replace(register_wh=0) for one in told))).energy_wh == 10_000
    assert rec.INTERVALS_LOST in account(still(0, *told[:2], *told[7:])).reasons
    assert account(still(0, *(one._replace(interval_wh=0) for one in told))) == account(still(0))


@pytest.mark.parametrize(
    "ends", [{"meter_start_wh": 0, "meter_stop_wh": None}, {"meter_start_wh": None, "meter_stop_wh": 0}]
)
def test_one_zero_of_a_meter_without_a_register_hides_no_interval_but_is_looked_at(ends: dict[str, object]) -> None:
    told = tuple(Sample(at(minute), None, interval_wh=1_000) for minute in range(3, 31, 3))
    result = account(evidence(samples=told, is_stop_reported=ends["meter_stop_wh"] is not None, **ends))
    assert (result.energy_wh, result.grade, result.meter_start_wh) == (10_000, "review", None)
    assert rec.NO_METER in result.reasons


def test_a_register_that_stands_while_energy_flows_is_asked_about() -> None:
    intervals = [Sample(at(minute), 7_000, interval_wh=1_000) for minute in range(3, 31, 3)]
    result = account(still(7_000, *intervals))
    assert (result.energy_wh, result.grade, result.reasons) == (10_000, "review", (rec.DISAGREES,))
    power = [Sample(at(minute), 7_000, power_w=50_000) for minute in range(3, 31, 3)]
    for register_wh in (0, 7_000):
        result = account(still(register_wh, *(one._replace(register_wh=register_wh) for one in power)))
        assert (result.energy_wh, result.grade, result.reasons) == (0, "review", (rec.DISAGREES,))


def test_a_register_of_whole_kilowatt_hours_may_stand_for_a_while() -> None:
    trickle = [Sample(at(minute), 7_000, power_w=1_500) for minute in range(3, 31, 3)]
    assert account(still(7_000, *trickle)) == account(still(7_000))
    spike = [Sample(at(3), 7_000, power_w=0), Sample(at(15), 7_000, power_w=50_000), Sample(at(29), 7_000, power_w=0)]
    assert account(still(7_000, *spike)).grade == "billable"
    back = [Sample(at(minute), 7_000, power_w=-50_000) for minute in range(3, 31, 3)]  # the vehicle gives
    assert account(still(7_000, *back)).grade == "billable"


def test_a_lost_interval_is_an_estimate() -> None:
    samples = tuple(Sample(at(minute), None, interval_wh=500) for minute in (1, 5, 9, 25, 29))
    result = account(evidence(meter_start_wh=None, meter_stop_wh=None, samples=samples))
    assert (result.grade, result.reasons) == ("estimated", (rec.INTERVALS_LOST,))


def test_gaps_name_what_is_missing() -> None:
    result = account(
        evidence(
            (2, 1_500),
            (4, 2_000),
            (20, 8_000),
            is_start_reported=False,
            is_stop_reported=False,
            sequence=[Numbered(number, NOON, NOON) for number in (1, 2, 2, 5)],
        )
    )
    assert list(result.gaps) == [
        {"kind": "start"},
        {"kind": "stop"},
        {"kind": "samples", "from": at(4).isoformat(), "to": at(20).isoformat()},
        {"kind": "samples", "from": at(20).isoformat(), "to": at(30).isoformat()},
        {"kind": "messages", "from": 0, "to": 0},
        {"kind": "messages", "from": 3, "to": 4},
    ]


@pytest.mark.parametrize(
    ("sequence", "holes"),
    [([0, 0, 0], []), ([0, 1, 2, 3], []), ([3, 0, 1], [(2, 2)]), ([], []), ([7], []), ([412, 413, 415], [(414, 414)])],
)
def test_skipped_numbers(sequence: list[int], holes: list[tuple[int, int]]) -> None:
    assert skipped(sequence) == holes


@pytest.mark.parametrize(
    ("told", "is_anew"),
    [
        ([(0, 0), (1, 5), (2, 10), (1, 15)], True),
        ([(0, 0), (1, 5), (2, 10), (1, 5)], False),  # said again
        ([(0, 0), (0, 5), (0, 10)], False),
        ([(0, 0), (2, 10), (1, 5)], False),  # overtaken
        ([(0, 0), (1, 5), (1, 10), (2, 15)], False),
        ([], False),
    ],
)
def test_numbers_that_begin_again(told: list[tuple[int, float]], is_anew: bool) -> None:
    events = [Numbered(number, at(minute), at(minute)) for number, minute in told]
    assert counts_anew(events) == is_anew
    account_ = account(evidence((10, 4_000), (20, 8_000), sequence=events))
    assert (rec.COUNTED_ANEW in account_.reasons, account_.grade) == (is_anew, "estimated" if is_anew else "billable")


@pytest.mark.parametrize(
    ("marks", "seconds"),
    [
        ([], 0),
        ([(0, "quiet"), (10, "quiet")], 0),
        ([(0, "delivering"), (20, "quiet"), (25, "quiet")], 600),
        ([(0, "delivering"), (10, "quiet"), (15, "delivering"), (25, "full")], 300),
        ([(0, "delivering"), (10, "limited"), (12, "quiet"), (20, "full")], 600),
        ([(20, "full"), (0, "delivering"), (25, "limited")], 300),
        ([(0, "delivering"), (40, "full")], 0),
    ],
)
def test_idle_is_the_tail_without_what_the_station_held_back(marks: list[tuple[float, str]], seconds: int) -> None:
    assert idle_seconds([(at(minutes), state) for minutes, state in marks], at(30)) == seconds


steps = st.lists(st.integers(0, 900), min_size=1, max_size=40)


@given(steps=steps, wrong=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 10**12)), max_size=5))
def test_wild_samples_never_change_a_sound_start_and_stop(steps: list[int], wrong: list[tuple[int, int]]) -> None:
    registers = [1_000]
    for step in steps:
        registers.append(registers[-1] + step)
    samples = [Sample(at(number + 1), wh) for number, wh in enumerate(registers[1:])]
    true = account(evidence(samples=tuple(samples), meter_stop_wh=registers[-1], ended_at=at(len(registers))))
    for place, wh in wrong:
        samples[place % len(samples)] = Sample(samples[place % len(samples)].at, wh)
    result = account(evidence(samples=tuple(samples), meter_stop_wh=registers[-1], ended_at=at(len(registers))))
    assert true.grade == "billable"
    assert result.energy_wh == true.energy_wh or result.grade != "billable"


@given(
    registers=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 10**7)), max_size=20),
    start=st.none() | st.integers(0, 10**7),
    stop=st.none() | st.integers(0, 10**7),
    has_start=st.booleans(),
    has_stop=st.booleans(),
)
def test_energy_is_never_negative_and_doubt_always_has_a_reason(
    registers: list[tuple[int, int]], start: int | None, stop: int | None, has_start: bool, has_stop: bool
) -> None:
    samples = tuple(Sample(at(minutes), wh) for minutes, wh in sorted(registers))
    result = account(
        evidence(
            samples=samples, meter_start_wh=start, meter_stop_wh=stop, ended_at=at(120), is_start_reported=has_start,
            is_stop_reported=has_stop,
        )
    )  # fmt: skip
    assert result.energy_wh >= 0
    assert (result.grade == "billable") == (not set(result.reasons) - {rec.JUMPED})
    if result.grade == "billable":
        assert rec.is_possible(result.energy_wh, 7_200, PLUG_W)
