"""OCPI tariffs to the paisa: the worked examples of the specification, limits, tax, power, reservations, and a slow
reference that counts second by second."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating import Period, Rating, Reserved, TariffError, quote, rate, rate_reservation
from billing.tariff_terms import NO_TERMS, Terms, read_terms
from billing.totals import round_half_up

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
SATURDAY = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # 13:00 in Amsterdam
MONDAY = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)  # 09:30 in Amsterdam
Elements = list[dict[str, Any]]


def part(kind: str, price: Any, step: int = 1, vat: Any = None) -> dict[str, Any]:
    return {"type": kind, "price": price, "step_size": step, **({} if vat is None else {"vat": vat})}


def element(*parts: dict[str, Any], **restrictions: Any) -> dict[str, Any]:
    return {"price_components": list(parts), **({"restrictions": restrictions} if restrictions else {})}


def price(
    elements: Elements, *periods: Period, at: datetime = SATURDAY, terms: dict[str, Any] | None = None, gst: int = 0,
    reserved: Reserved | None = None,
) -> tuple[int, int]:  # fmt: skip
    """(without, with) tax, in paise or cents."""
    rated = rate(
        elements=elements, periods=periods, started_at=at, tz=AMSTERDAM, gst_percent=gst, is_interstate=True,
        terms=read_terms(terms), reserved=reserved,
    )  # fmt: skip
    assert sum(line.amount_paise for line in rated.lines) == rated.taxable_paise
    return rated.taxable_paise, rated.total_paise


def hours(hours: float, kwh: float = 0, *, is_parking: bool = False, **flow: Any) -> Period:
    return Period(Fraction(str(hours)) * 3600, Fraction(str(kwh)) * 1000, is_parking, **flow)


# --- worked examples of OCPI 2.2.1 mod_tariffs and mod_cdrs -----------------------------------------------------
COMPLEX = [
    element(part("FLAT", 2.50, 1, 15)),
    element(part("TIME", 1.00, 900, 20), max_current=32),
    element(part("TIME", 2.00, 600, 20), min_current=32,
            day_of_week=["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY"]),
    element(part("TIME", 1.25, 600, 20), min_current=32, day_of_week=["SATURDAY", "SUNDAY"]),
    element(part("PARKING_TIME", 5.00, 300, 10), start_time="09:00", end_time="18:00",
            day_of_week=["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY"]),
    element(part("PARKING_TIME", 6.00, 300, 10), start_time="10:00", end_time="17:00", day_of_week=["SATURDAY"]),
]  # fmt: skip


def test_the_complex_tariff_on_a_saturday() -> None:
    charging, parking = hours(1.9, 20, current_a=43), hours(1.25, is_parking=True)
    assert price(COMPLEX, charging, parking) == (12_38, 13_98)  # 12.375 and 13.975; 12.28 in print is a slip


def test_the_complex_tariff_on_a_monday() -> None:
    assert price(COMPLEX, hours(1.5, current_a=16), at=MONDAY) == (2_50 + 1_50, 2_88 + 1_80)  # 4.675
    assert price(COMPLEX, hours(0.5, current_a=43), hours(1, is_parking=True), at=MONDAY) == (8_50, 9_58)


def test_current_that_nobody_measured_cannot_price() -> None:
    with pytest.raises(TariffError, match="current"):
        price(COMPLEX, hours(1))


TARIFF_14 = [element(part("ENERGY", 0.20, 100, 10)), element(part("PARKING_TIME", 2.00, 300, 10))]


@pytest.mark.parametrize(
    ("elements", "periods", "expected"),
    [
        ([element(part("ENERGY", 0.25, 1, 10))], [hours(1, 20)], (5_00, 5_50)),
        ([element(part("ENERGY", 0.25, 1))], [hours(1, 20)], (5_00, 5_00)),
        ([element(part("TIME", 2.00, 60, 10))], [hours(2.5, 9)], (5_00, 5_50)),
        ([element(part("TIME", 2.00, 300, 10))], [Period(Fraction(11838, 100) * 60, 0)], (4_00, 4_40)),
        ([element(part("FLAT", 4.00, 1, 10))], [hours(7, 50)], (4_00, 4_40)),
        ([element(part("FLAT", 0, 1, 0))], [hours(7, 50)], (0, 0)),
        ([element(part("TIME", 3.00, 60), part("PARKING_TIME", 5.00, 300))],
         [hours("0.35"), Period(7 * 60, 0, True)], (1_05 + 83, 1_05 + 83)),
        ([element(part("ENERGY", 0.27), max_kwh=4), element(part("ENERGY", 0.35))], [hours(1, 12)], (3_88, 3_88)),
        ([element(part("ENERGY", 0.27, 500), max_kwh=32), element(part("ENERGY", 0.35, 500))],
         [hours(2, "33.6")], (9_34, 9_34)),
        (TARIFF_14, [hours(1, "3.13"), Period(301, 0, True)], (64 + 33, 1_07)),
    ],
)  # fmt: skip
def test_worked_examples(elements: Elements, periods: list[Period], expected: tuple[int, int]) -> None:
    assert price(elements, *periods) == expected


def test_power_decides_where_it_is_measured() -> None:
    """The specification's tariff by max_power: up to 16 kW, up to 32 kW, and above."""
    elements = [
        element(part("ENERGY", 0.20), max_power=16),
        element(part("ENERGY", 0.35), max_power=32),
        element(part("ENERGY", 0.50)),
    ]
    flows = [hours("0.5", 2, power_w=6_000), hours("0.5", 9, power_w=16_000), hours("0.5", 20, power_w=50_000)]
    assert price(elements, *flows) == (40 + 3_15 + 10_00, 13_55)
    assert price([element(part("PARKING_TIME", 6), max_power=16)], hours(1, is_parking=True)) == (6_00, 6_00)


# --- limits and tax ---------------------------------------------------------------------------------------------
KWH = [element(part("ENERGY", 10, 1, 18))]
LIMITS = {"min_price": {"before_taxes": "50"}, "max_price": {"before_taxes": "200.00"}}


@pytest.mark.parametrize(
    ("kwh", "terms", "expected"),
    [
        (3, LIMITS, (50_00, 59_00)),
        (12, LIMITS, (120_00, 141_60)),
        (99, LIMITS, (200_00, 236_00)),
        (3, {"min_price": {"before_taxes": "50", "after_taxes": "60"}}, (50_00, 60_00)),
        (3, {"min_price": {"before_taxes": "20", "after_taxes": "60"}}, (30_00, 60_00)),
        (99, {"max_price": {"before_taxes": "900", "after_taxes": "1000"}}, (900_00, 1000_00)),
        (10, {"tax_included": "YES"}, (84_75, 100_00)),
        (10, {"tax_included": "YES", "max_price": {"before_taxes": "50", "after_taxes": "59"}}, (50_00, 59_00)),
        (10, {"tax_included": "NO"}, (100_00, 118_00)),
    ],
)
def test_limits_clamp_without_and_with_tax(kwh: int, terms: dict[str, Any], expected: tuple[int, int]) -> None:
    assert price(KWH, hours(1, kwh), terms=terms, gst=18) == expected
    offered = quote(
        elements=KWH, energy_wh=kwh * 1000, duration_s=3600, at=SATURDAY, tz=AMSTERDAM, gst_percent=18,
        terms=read_terms(terms),
    )  # fmt: skip
    assert offered is not None
    assert abs(offered - expected[1]) <= 1  # two heads round apart, where one was asked for above


def test_a_limit_is_a_line_of_its_own() -> None:
    rated = rate(
        elements=KWH, periods=[hours(1, 3)], started_at=SATURDAY, tz=AMSTERDAM, gst_percent=18, terms=read_terms(LIMITS)
    )
    assert [(line.dimension, line.amount_paise) for line in rated.lines] == [("ENERGY", 30_00), ("MIN_PRICE", 20_00)]


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(TariffError):
        price(KWH, hours(1, 3), terms={"max_price": {"before_taxes": "25", "after_taxes": "20"}})


def test_an_own_tax_of_a_component_counts_and_none_is_not_zero() -> None:
    mixed = [element(part("ENERGY", 10, 1, 5), part("FLAT", 100, 1, 0), part("TIME", 60))]
    assert price(mixed, hours(1, 10), gst=18) == (260_00, 100_00 * 105 // 100 + 100_00 + 70_80)


@pytest.mark.parametrize(
    ("days", "is_valid"), [(-1, False), (0, True), (6, True), (7, False)]
)  # start_date_time inclusive, end_date_time exclusive
def test_a_tariff_outside_its_validity_quotes_nothing(days: int, is_valid: bool) -> None:
    terms = read_terms({"start_date_time": "2026-11-21T12:00:00Z", "end_date_time": "2026-11-28T12:00:00"})
    at = SATURDAY + timedelta(days=days)
    offered = quote(elements=KWH, energy_wh=1, duration_s=1, at=at, tz=AMSTERDAM, gst_percent=18, terms=terms)
    assert (offered is not None) == is_valid


@pytest.mark.parametrize(
    "raw", [{"min_price": 5}, {"min_price": {}}, {"max_price": {"before_taxes": "x"}}, {"end_date_time": "soon"}]
)
def test_terms_that_cannot_be_read_are_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(TariffError):
        read_terms(raw)


# --- reservations -----------------------------------------------------------------------------------------------
BOOKED = [
    element(part("TIME", 5.00, 60, 20), reservation="RESERVATION"),
    element(part("FLAT", 4.00, 1, 20), reservation="RESERVATION_EXPIRES"),
    element(part("ENERGY", 0.25, 1, 20)),
]


def reservation(elements: Elements, minutes: int, *, is_expired: bool) -> Rating:
    return rate_reservation(
        elements=elements, reserved=Reserved(SATURDAY, minutes * 60, is_expired), tz=AMSTERDAM, gst_percent=0
    )


def test_a_reservation_costs_its_time_and_more_when_nobody_comes() -> None:
    assert reservation(BOOKED, 15, is_expired=False).taxable_paise == 1_25
    assert reservation(BOOKED, 15, is_expired=True).taxable_paise == 1_25 + 4_00
    assert price(BOOKED, hours(1, 20), reserved=Reserved(SATURDAY, 900)) == (1_25 + 5_00, 1_50 + 6_00)


def test_the_time_of_an_expired_reservation_has_its_own_price() -> None:
    elements = [*BOOKED, element(part("TIME", 6.00, 600, 20), reservation="RESERVATION_EXPIRES")]
    lines = reservation(elements, 15, is_expired=True).lines
    assert [(line.dimension, line.amount_paise) for line in lines] == [
        ("RESERVATION_FLAT", 4_00), ("RESERVATION_TIME", 2_00),  # 15 minutes count as 20
    ]  # fmt: skip
    assert reservation([element(part("ENERGY", 1))], 15, is_expired=True).taxable_paise == 0


# --- against a slow reference -----------------------------------------------------------------------------------
KOLKATA = ZoneInfo("Asia/Kolkata")
NIGHT = datetime(2026, 11, 20, 18, 28, tzinfo=UTC)  # Friday 23:58 in Bengaluru
KINDS = ["ENERGY", "TIME", "PARKING_TIME", "FLAT"]
prices = st.integers(0, 9_999).map(lambda number: f"{number / 100:.2f}")


@st.composite
def tariffs(draw: st.DrawFn) -> Elements:
    made = []
    for _ in range(draw(st.integers(1, 4))):
        limits: dict[str, Any] = {}
        if draw(st.booleans()):
            limits["start_time"] = draw(st.sampled_from(["00:00", "23:58", "23:59", "00:01"]))
        if draw(st.booleans()):
            limits["end_time"] = draw(st.sampled_from(["00:00", "23:59", "00:02"]))
        if draw(st.booleans()):
            limits["day_of_week"] = draw(st.lists(st.sampled_from(["FRIDAY", "SATURDAY"]), min_size=1))
        if draw(st.booleans()):
            limits["start_date"] = "2026-11-21"
        for name, most in (("min_kwh", 3), ("max_kwh", 3), ("min_duration", 300), ("max_duration", 300)):
            if draw(st.booleans()):
                limits[name] = draw(st.integers(0, most))
        for name in ("min_power", "max_power"):
            if draw(st.integers(0, 3)) == 0:
                limits[name] = draw(st.sampled_from([0, 10, 36, 50]))
        kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, unique=True))
        steps, vats = st.integers(0, 700), st.sampled_from([None, 0, 5, 18])
        made.append(element(*[part(kind, draw(prices), draw(steps), draw(vats)) for kind in kinds], **limits))
    return made


@st.composite
def sessions(draw: st.DrawFn) -> list[tuple[int, int]]:
    """(seconds, Wh per second); nothing flows while parking, and kWh limits are crossed on whole seconds."""
    rate_wh = draw(st.sampled_from([5, 10, 20]))
    lengths = draw(st.lists(st.integers(1, 150), min_size=1, max_size=4))
    return [(length, draw(st.sampled_from([0, rate_wh]))) for length in lengths]


@st.composite
def terms_told(draw: st.DrawFn) -> dict[str, Any]:
    limits = {name: {"before_taxes": draw(prices)} for name in ("min_price", "max_price") if draw(st.booleans())}
    return {**limits, **({"tax_included": "NO"} if draw(st.booleans()) else {})}


class Slow:
    """OCPI's text, one second after another, in plain loops; shares nothing with the product."""

    def __init__(self, elements: Elements, session: list[tuple[int, int]], at: datetime) -> None:
        self.elements, self.bought, self.flats, self.last = elements, {}, [], {}  # type: ignore[var-annotated]
        second, wh = 0, 0
        for length, speed in session:
            for _ in range(length):
                self._second(at + timedelta(seconds=second), second, wh, speed)
                second, wh = second + 1, wh + speed
        self._steps()

    def _second(self, now: datetime, second: int, wh: int, speed: int) -> None:
        time_kind = "TIME" if speed else "PARKING_TIME"
        for kind, amount in (("ENERGY", Fraction(speed)), (time_kind, Fraction(1)), ("FLAT", Fraction(1))):
            chosen = self._choose(kind, now.astimezone(KOLKATA), second, wh, speed)
            if not amount or chosen is None:
                continue
            if kind == "FLAT":
                self.flats += [chosen] if chosen not in self.flats else []
            else:
                self.bought[kind, chosen] = self.bought.get((kind, chosen), Fraction(0)) + amount
                self.last[kind] = chosen

    def _choose(self, kind: str, local: datetime, second: int, wh: int, speed: int) -> int | None:
        for index, raw in enumerate(self.elements):
            if self._part(index, kind) and self._applies(raw.get("restrictions", {}), local, second, wh, speed):
                return index
        return None

    def _part(self, index: int, kind: str) -> dict[str, Any] | None:
        return next((one for one in self.elements[index]["price_components"] if one["type"] == kind), None)

    def _applies(self, limits: dict[str, Any], local: datetime, second: int, wh: int, speed: int) -> bool:
        clock, start, end = f"{local:%H:%M}", limits.get("start_time", "00:00"), limits.get("end_time", "00:00")
        in_time = start <= clock < ("24:00" if end == "00:00" else end)
        if end != "00:00" and end < start:
            in_time = clock >= start or clock < end
        return (
            in_time
            and (f"{local:%A}".upper() in limits.get("day_of_week", [f"{local:%A}".upper()]))
            and f"{local:%Y-%m-%d}" >= limits.get("start_date", "")
            and limits.get("min_kwh", 0) * 1000 <= wh < limits.get("max_kwh", 10**9) * 1000
            and limits.get("min_duration", 0) <= second < limits.get("max_duration", 10**9)
            and limits.get("min_power", 0) * 1000 <= speed * 3600 < limits.get("max_power", 10**9) * 1000
        )

    def _steps(self) -> None:
        """ENERGY once; of the two times only the parking where there is any."""
        for kind in ("ENERGY", "PARKING_TIME" if "PARKING_TIME" in self.last else "TIME"):
            if kind not in self.last:
                continue
            step = self._part(self.last[kind], kind)["step_size"]  # type: ignore[index]
            total = sum(amount for (name, _), amount in self.bought.items() if name == kind)
            while step > 1 and total % step:
                total += 1
                self.bought[kind, self.last[kind]] += 1

    def before(self, terms: dict[str, Any]) -> Fraction:
        """In paise, clamped."""
        total = sum((Fraction(self._part(index, "FLAT")["price"]) for index in self.flats), Fraction(0))  # type: ignore[index]
        for (kind, index), amount in self.bought.items():
            per = 1000 if kind == "ENERGY" else 3600
            total += amount * Fraction(self._part(index, kind)["price"]) / per  # type: ignore[index]
        if "min_price" in terms:
            total = max(total, Fraction(terms["min_price"]["before_taxes"]))
        if "max_price" in terms:
            total = min(total, Fraction(terms["max_price"]["before_taxes"]))
        return total * 100


@given(tariffs(), sessions(), st.integers(0, 120), terms_told())
def test_equals_the_slow_reference_to_the_paisa(
    elements: Elements, session: list[tuple[int, int]], seconds: int, told: dict[str, Any]
) -> None:
    at = NIGHT + timedelta(seconds=seconds)
    periods = [Period(length, length * speed, not speed, power_w=speed * 3600) for length, speed in session]
    rated = rate(elements=elements, periods=periods, started_at=at, tz=KOLKATA, gst_percent=18, terms=read_terms(told))
    assert rated.taxable_paise == round_half_up(Slow(elements, session, at).before(told))
    assert sum(line.amount_paise for line in rated.lines) == rated.taxable_paise
    assert rated.tax.cgst_paise == rated.tax.sgst_paise


@given(tariffs(), sessions(), st.booleans())
def test_tax_included_comes_to_what_is_written(
    elements: Elements, session: list[tuple[int, int]], has_vat: bool
) -> None:
    """Prices with tax in them: the sum with tax is the sum of the prices."""
    for component in (one for raw in elements for one in raw["price_components"]):
        component.pop("vat", None)
    periods = [Period(length, length * speed, not speed, power_w=speed * 3600) for length, speed in session]
    with_tax = Terms(is_tax_included=True)
    arguments: dict[str, Any] = {"elements": elements, "periods": periods, "started_at": NIGHT, "tz": KOLKATA}
    plain = rate(**arguments, gst_percent=0, terms=NO_TERMS).taxable_paise
    assert rate(**arguments, gst_percent=18, terms=with_tax).total_paise == plain
