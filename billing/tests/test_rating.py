"""The price is exact: equal to an independent oracle, blind to how a session is cut, never falling with more energy."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating import Period, TariffError, even_periods, gst, quote, rate, round_half_up

KOLKATA = ZoneInfo("Asia/Kolkata")
NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)  # Friday, 12:00 in Bengaluru
Elements = list[dict[str, Any]]


def component(kind: Any, price: Any, step: Any = 1) -> dict[str, Any]:
    return {"type": kind, "price": price, "step_size": step}


def element(*components: dict[str, Any], **restrictions: Any) -> dict[str, Any]:
    return {"price_components": list(components), "restrictions": restrictions or None}


def taxable(
    elements: Elements, energy_wh: int = 0, charging_s: int = 0, idle_s: int = 0, at: datetime = NOON, tz: Any = KOLKATA
) -> int:
    periods = even_periods(energy_wh=energy_wh, charging_s=charging_s, idle_s=idle_s)
    return rate(elements=elements, periods=periods, started_at=at, tz=tz, gst_percent=18).taxable_paise


# --- by hand ------------------------------------------------------------------------------------------------------


def test_energy_flat_and_idle_add_up_with_gst() -> None:
    elements = [element(component("ENERGY", "18.00"), component("FLAT", "10"), component("PARKING_TIME", "60"))]
    periods = even_periods(energy_wh=10_000, charging_s=1800, idle_s=600)
    rated = rate(elements=elements, periods=periods, started_at=NOON, tz=KOLKATA, gst_percent=18)
    assert [(line.dimension, line.amount_paise) for line in rated.lines] == [
        ("FLAT", 10_00), ("ENERGY", 180_00), ("PARKING_TIME", 10_00),
    ]  # fmt: skip
    assert (rated.taxable_paise, rated.tax.cgst_paise, rated.tax.sgst_paise) == (200_00, 18_00, 18_00)
    assert rated.total_paise == 236_00


def test_halves_round_up() -> None:
    assert taxable([element(component("ENERGY", "0.01"))], energy_wh=500) == 1
    assert taxable([element(component("ENERGY", "0.01"))], energy_wh=499) == 0
    assert (round_half_up(Fraction(5, 2)), round_half_up(Fraction(249, 100))) == (3, 2)


def test_tax_heads() -> None:
    assert (gst(105, 18).cgst_paise, gst(105, 18).sgst_paise) == (9, 9)  # 9.45 each
    assert gst(105, 18, is_interstate=True).igst_paise == 19  # 18.90: not the sum of two halves
    assert gst(100, 5).cgst_paise == 3  # 2.5 rounds half up


def test_solar_hours_price_the_part_of_the_session_inside_them() -> None:
    elements = [
        element(component("ENERGY", "13.50"), start_time="09:00", end_time="16:00"),
        element(component("ENERGY", "18.50")),
    ]
    at = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)  # 15:30 local, two hours: a quarter is before 16:00
    assert taxable(elements, energy_wh=10_000, charging_s=7200, at=at) == 2_500 * 1350 // 1000 + 7_500 * 1850 // 1000


def test_a_window_over_midnight_and_an_end_at_midnight() -> None:
    night = [element(component("TIME", "60"), start_time="22:00", end_time="06:00")]
    at = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)  # 21:30 local
    assert taxable(night, charging_s=3600, at=at) == 30_00
    evening = [element(component("TIME", "60"), start_time="22:00", end_time="00:00")]
    assert taxable(evening, charging_s=4 * 3600, at=at) == 120_00


@pytest.mark.parametrize("limits", [{"start_time": "22:00"}, {"end_time": "06:00"}])
def test_a_window_with_one_end_begins_or_ends_at_midnight(limits: dict[str, str]) -> None:
    at = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)  # 23:30 local: half an hour before midnight, half an hour after
    assert taxable([element(component("TIME", "60"), **limits)], charging_s=3600, at=at) == 30_00


def test_days_and_dates_are_the_locations_own() -> None:
    saturday = [element(component("TIME", "60"), day_of_week=["SATURDAY"])]
    at = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)  # Friday 23:30 in Bengaluru
    assert taxable(saturday, charging_s=3600, at=at) == 30_00
    from_saturday = [element(component("TIME", "60"), start_date="2026-11-21", end_date="2026-11-22")]
    assert taxable(from_saturday, charging_s=3600, at=at) == 30_00
    assert taxable(from_saturday, charging_s=3600, at=at + timedelta(days=1)) == 30_00


def test_an_hour_that_happens_twice_is_paid_twice() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    elements = [element(component("TIME", "60"), start_time="02:00", end_time="03:00")]
    at = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)  # clocks go back at 01:00 UTC
    assert taxable(elements, charging_s=4 * 3600, at=at, tz=berlin) == 120_00
    spring = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)  # 02:00 to 03:00 does not exist
    assert taxable(elements, charging_s=4 * 3600, at=spring, tz=berlin) == 0


def test_kwh_limits_include_below_and_exclude_above() -> None:
    elements = [element(component("ENERGY", "10"), max_kwh=5), element(component("ENERGY", "20"), min_kwh=5)]
    assert taxable(elements, energy_wh=8_000, charging_s=3600) == 5 * 10_00 + 3 * 20_00


def test_a_grace_period_is_free() -> None:
    elements = [element(component("PARKING_TIME", "60"), min_duration=1800 + 600)]
    assert taxable(elements, charging_s=1800, idle_s=1200) == 10_00


def test_flat_is_charged_once_per_element() -> None:
    elements = [element(component("FLAT", "5"), max_duration=600), element(component("FLAT", "7"))]
    assert taxable(elements, energy_wh=1, charging_s=1200) == 12_00
    assert taxable([element(component("FLAT", "5"))], charging_s=0) == 5_00


def test_the_first_matching_element_wins_per_dimension() -> None:
    elements = [element(component("ENERGY", "10")), element(component("ENERGY", "99"), component("TIME", "60"))]
    assert taxable(elements, energy_wh=1000, charging_s=60) == 10_00 + 1_00


def test_an_unmatched_dimension_is_free() -> None:
    assert taxable([element(component("ENERGY", "10"))], energy_wh=0, charging_s=3600, idle_s=3600) == 0


@pytest.mark.parametrize(
    ("charging_s", "idle_s", "expected"),
    [
        (7103, 0, 4_00),  # OCPI cdr_example: 118.38 minutes at 2.00 per hour in steps of 300 s are 120 minutes
        (21 * 60, 7 * 60, 21 * 2_00 // 60 + 10 * 3_00 // 60),  # mod_cdrs: charging is exact, parking is rounded up
    ],
)
def test_time_is_rounded_up_once_at_the_end(charging_s: int, idle_s: int, expected: int) -> None:
    elements = [element(component("TIME", "2.00", 300), component("PARKING_TIME", "3.00", 300))]
    assert taxable(elements, charging_s=charging_s, idle_s=idle_s) == expected


def test_energy_is_rounded_up_over_the_whole_session_at_the_last_price() -> None:
    elements = [element(component("ENERGY", "10", 500), max_kwh=1), element(component("ENERGY", "20", 500))]
    assert taxable(elements, energy_wh=1_300, charging_s=3600) == 10_00 + 10_00  # 1.3 kWh count as 1.5


def test_reservation_prices_are_not_charging_prices() -> None:
    elements = [element(component("TIME", "500"), reservation="RESERVATION"), element(component("ENERGY", "10"))]
    assert taxable(elements, energy_wh=1000, charging_s=3600) == 10_00


@pytest.mark.parametrize(
    "elements",
    [
        [],
        [{"price_components": []}],
        [element(component("WATER", "1"))],
        [element(component("ENERGY", "cheap"))],
        [element(component("ENERGY", "1"), min_power=50)],
        [element(component("ENERGY", "1"), start_time="25:00")],
        [element(component("ENERGY", "1"), day_of_week=["CATURDAY"])],
        [element(component("ENERGY", "-1"))],
        ["not an element"],
        "not a list",
        [{"price_components": ["not a component"]}],
        [{"price_components": {"type": "ENERGY"}}],
        [{"price_components": [{"type": ["ENERGY"], "price": 1}]}],
        [element(component("ENERGY", True))],
        [element(component("ENERGY", "1/3"))],
        [element(component("ENERGY", "1e90"))],
        [element(component("ENERGY", "1", "often"))],
        [element(component("ENERGY", "1", "0.5"))],
        [element(component("ENERGY", "1", [1]))],
        [element(component("ENERGY", "1"), day_of_week=5)],
        [element(component("ENERGY", "1"), start_time="10:00+05:30")],
        [element(component("ENERGY", "1"), min_kwh={})],
        [{**element(component("ENERGY", "1")), "restrictions": ["HAPPY_HOUR"]}],
    ],
)
def test_what_cannot_be_priced_is_refused_never_free(elements: Any) -> None:
    with pytest.raises(TariffError):
        taxable(elements, energy_wh=1000, charging_s=60)
    assert quote(elements=elements, energy_wh=1000, duration_s=60, at=NOON, tz=KOLKATA, gst_percent=18) is None


def test_a_step_written_as_a_decimal_is_a_step() -> None:
    assert taxable([element(component("ENERGY", "10", "1000.0"))], energy_wh=1_100) == 20_00


def test_no_tariff_has_no_quote() -> None:
    assert quote(elements=None, energy_wh=1000, duration_s=60, at=NOON, tz=KOLKATA, gst_percent=18) is None


def test_binary_floats_in_json_are_read_as_written() -> None:
    assert taxable([element({"type": "ENERGY", "price": 0.1})], energy_wh=3_000) == 30


# --- against an oracle --------------------------------------------------------------------------------------------

prices = st.integers(0, 5000).map(lambda number: f"{number / 100:.2f}")
DIMENSIONS = ["ENERGY", "TIME", "PARKING_TIME", "FLAT"]


@st.composite
def any_elements(draw: st.DrawFn, kwh_limits: bool = True) -> Elements:
    made = []
    for _ in range(draw(st.integers(1, 4))):
        kinds = draw(st.lists(st.sampled_from(DIMENSIONS), min_size=1, max_size=4, unique=True))
        limits: dict[str, Any] = {}
        if draw(st.booleans()):
            start, end = draw(st.integers(0, 23)), draw(st.integers(0, 23))
            limits |= {"start_time": f"{start:02d}:30", "end_time": f"{end:02d}:00"}
        if draw(st.booleans()):
            limits["day_of_week"] = draw(st.lists(st.sampled_from(["FRIDAY", "SATURDAY", "SUNDAY"]), min_size=1))
        if kwh_limits and draw(st.booleans()):
            limits["min_kwh"] = draw(st.integers(0, 20))
        if kwh_limits and draw(st.booleans()):
            limits["max_kwh"] = draw(st.integers(1, 30))
        if draw(st.booleans()):
            limits["min_duration"] = draw(st.integers(0, 7200))
        made.append(element(*[component(kind, draw(prices)) for kind in kinds], **limits))
    return made


sessions = st.tuples(st.integers(0, 60_000), st.integers(0, 20_000), st.integers(0, 20_000))
starts = st.integers(0, 2 * 86_400).map(lambda seconds: NOON + timedelta(seconds=seconds))


def oracle(elements: Elements, periods: Sequence[Period], at: datetime) -> Fraction:
    """Cut at every instant that could matter, judge each piece at its middle; written apart from the product."""
    total, offset, energy, flats = Fraction(0), Fraction(0), Fraction(0), set()
    for period in periods:
        seconds, wh = Fraction(period.seconds), Fraction(period.energy_wh)
        for low, high in pairwise(oracle_cuts(elements, at, offset, energy, period)):
            middle = (low + high) / 2
            drawn = {"ENERGY": (high - low) * wh / 1000, "FLAT": Fraction(1)}
            drawn["PARKING_TIME" if period.is_parking else "TIME"] = (high - low) * seconds / 3600
            for kind, quantity in drawn.items():
                index = oracle_match(elements, kind, at, offset + middle * seconds, energy + middle * wh)
                if not quantity or index is None or (kind == "FLAT" and index in flats):
                    continue
                total += oracle_prices(elements[index])[kind] * 100 * quantity
                flats |= {index} if kind == "FLAT" else set()
        offset, energy = offset + seconds, energy + wh
    return total


def oracle_cuts(elements: Elements, at: datetime, offset: Fraction, energy: Fraction, period: Period) -> list[Fraction]:
    shares = {Fraction(0), Fraction(1)}
    limits = [raw["restrictions"] or {} for raw in elements]
    if period.seconds:
        instants = [int((NOON + timedelta(minutes=30 * count) - at).total_seconds()) for count in range(-100, 400)]
        instants += [limit["min_duration"] for limit in limits if "min_duration" in limit]
        shares |= {(instant - offset) / period.seconds for instant in instants}
    if period.energy_wh:
        amounts = [limit[name] for limit in limits for name in ("min_kwh", "max_kwh") if name in limit]
        shares |= {(amount * 1000 - energy) / period.energy_wh for amount in amounts}
    return sorted(share for share in shares if 0 <= share <= 1)


def oracle_prices(raw: dict[str, Any]) -> dict[str, Fraction]:
    return {part["type"]: Fraction(part["price"]) for part in raw["price_components"]}


def oracle_match(elements: Elements, kind: str, at: datetime, elapsed: Fraction, wh: Fraction) -> int | None:
    usable = (i for i, raw in enumerate(elements) if kind in oracle_prices(raw) and applies(raw, at, elapsed, wh))
    return next(usable, None)


def applies(raw: dict[str, Any], at: datetime, elapsed: Fraction, wh: Fraction) -> bool:
    limits = raw["restrictions"] or {}
    local = (at + timedelta(microseconds=int(elapsed * 1_000_000))).astimezone(KOLKATA)
    minutes = local.hour * 60 + local.minute + local.second / 60
    if "start_time" in limits:
        start, end = (int(limits[name][:2]) * 60 + int(limits[name][3:]) for name in ("start_time", "end_time"))
        end = end or 1440
        inside = start <= minutes < end if start < end else minutes >= start or minutes < end
        if not inside:
            return False
    if "day_of_week" in limits and local.strftime("%A").upper() not in limits["day_of_week"]:
        return False
    if not limits.get("min_kwh", 0) * 1000 <= wh < limits.get("max_kwh", 10**9) * 1000:
        return False
    return elapsed >= limits.get("min_duration", 0)


@given(any_elements(), sessions, starts)
def test_equals_the_oracle_to_the_paisa(elements: Elements, session: tuple[int, int, int], at: datetime) -> None:
    energy_wh, charging_s, idle_s = session
    periods = [Period(max(charging_s, 1), energy_wh), Period(idle_s, 0, is_parking=True)]
    rated = rate(elements=elements, periods=periods, started_at=at, tz=KOLKATA, gst_percent=18)
    assert rated.taxable_paise == round_half_up(oracle(elements, periods, at))
    assert sum(line.amount_paise for line in rated.lines) == rated.taxable_paise
    assert rated.total_paise == rated.taxable_paise + rated.tax.total_paise


@given(any_elements(), sessions, starts, st.fractions(0, 1))
def test_cutting_a_session_anywhere_changes_nothing(
    elements: Elements, session: tuple[int, int, int], at: datetime, share: Fraction
) -> None:
    energy_wh, charging_s, idle_s = session
    parking = Period(idle_s, 0, is_parking=True)
    halves = [Period(charging_s * part, energy_wh * part) for part in (share, 1 - share)]
    arguments = {"elements": elements, "started_at": at, "tz": KOLKATA, "gst_percent": 18}
    whole = rate(periods=[Period(charging_s, energy_wh), parking], **arguments)
    assert rate(periods=[*halves, parking], **arguments).taxable_paise == whole.taxable_paise


@given(any_elements(kwh_limits=False), sessions, starts, st.integers(0, 20_000))
def test_more_energy_never_costs_less(
    elements: Elements, session: tuple[int, int, int], at: datetime, more_wh: int
) -> None:
    energy_wh, charging_s, idle_s = session
    less = taxable(elements, energy_wh, charging_s, idle_s, at)
    assert taxable(elements, energy_wh + more_wh, charging_s, idle_s, at) >= less


@given(st.lists(st.tuples(st.sampled_from(DIMENSIONS), prices, st.integers(0, 600)), min_size=1), sessions)
def test_a_quote_is_what_rating_books(parts: list[tuple[str, str, int]], session: tuple[int, int, int]) -> None:
    energy_wh, charging_s, idle_s = session
    elements = [element(component(kind, price, step)) for kind, price, step in parts]
    periods = even_periods(energy_wh=energy_wh, charging_s=charging_s, idle_s=idle_s)
    booked = rate(elements=elements, periods=periods, started_at=NOON, tz=KOLKATA, gst_percent=18)
    offered = quote(
        elements=elements, energy_wh=energy_wh, duration_s=charging_s, idle_s=idle_s, at=NOON, tz=KOLKATA,
        gst_percent=18,
    )  # fmt: skip
    assert offered == booked.total_paise
