"""The price of a session from OCPI tariff elements: exact fractions inside, one rounding at the end. Pure.

OCPI 2.2.1 mod_tariffs and mod_cdrs: per dimension the first element wins that has a component of it and whose
restrictions match; no match means that dimension is free; FLAT is charged once per element; step_size is applied once,
to the session's total. OCPI leaves rounding open: we round the taxable total half up to the paisa, then each tax head.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Any

from billing.tariff_elements import Component, Element, PlainPrices, TariffError, parse_elements, plain_prices

__all__ = ["Line", "Period", "Rating", "TariffError", "Tax", "gst", "quote", "rate", "round_half_up"]

SECONDS_PER_DAY = 86_400
UNITS = {"ENERGY": (1000, "kWh"), "TIME": (3600, "h"), "PARKING_TIME": (3600, "h"), "FLAT": (1, "session")}


@dataclass(frozen=True)
class Period:
    """A stretch of a session during which energy flows evenly; `is_parking`: plugged in, not taking energy."""

    seconds: Fraction | int
    energy_wh: Fraction | int
    is_parking: bool = False


@dataclass(frozen=True)
class Line:
    """One priced component: `quantity` in kWh, hours or sessions, `unit_price_paise` exact, `amount_paise` whole."""

    dimension: str
    element: int
    quantity: Fraction
    unit: str
    unit_price_paise: Fraction
    amount_paise: int


@dataclass(frozen=True)
class Tax:
    """GST in its heads; central and state are equal, integrated stands alone."""

    cgst_paise: int = 0
    sgst_paise: int = 0
    igst_paise: int = 0

    @property
    def total_paise(self) -> int:
        return self.cgst_paise + self.sgst_paise + self.igst_paise


@dataclass(frozen=True)
class Rating:
    taxable_paise: int
    tax: Tax
    lines: tuple[Line, ...] = field(default=())

    @property
    def total_paise(self) -> int:
        return self.taxable_paise + self.tax.total_paise


@dataclass(frozen=True)
class _Segment:
    """A piece of a period on which no restriction changes its mind. Offsets from the start of the session."""

    offset_s: Fraction
    energy_before_wh: Fraction
    seconds: Fraction
    energy_wh: Fraction
    is_parking: bool


def rate(
    *,
    elements: Sequence[Mapping[str, Any]],
    periods: Sequence[Period],
    started_at: datetime,
    tz: tzinfo,
    gst_percent: int,
    is_interstate: bool = False,
) -> Rating:
    """Price a session. `started_at` is aware, `tz` the location's zone.

    Raises TariffError when the tariff is empty, malformed or restricted by something we do not measure.
    """
    parsed = parse_elements(elements)
    segments = _segments(parsed, periods, started_at, tz)
    quantities = _round_up_to_steps(_quantities(parsed, segments, started_at, tz))
    exact = [(key, qty, qty * _unit_price(parsed, key)) for key, qty in quantities.items()]
    taxable = round_half_up(sum((amount for _, _, amount in exact), Fraction(0)))
    if taxable < 0:
        raise TariffError("the price is below zero")
    amounts = _whole_paise([amount for _, _, amount in exact], taxable)
    lines = tuple(
        Line(dimension, element, qty, UNITS[dimension][1], _unit_price(parsed, (dimension, element)), paise)
        for ((dimension, element), qty, _), paise in zip(exact, amounts, strict=True)
    )
    return Rating(taxable, gst(taxable, gst_percent, is_interstate=is_interstate), lines)


def quote(
    *,
    elements: Sequence[Mapping[str, Any]] | None,
    energy_wh: int,
    duration_s: int,
    idle_s: int = 0,
    at: datetime,
    tz: tzinfo,
    gst_percent: int,
) -> int | None:
    """Paise including GST for charging `energy_wh` in `duration_s`, then `idle_s` plugged in.

    None without a usable tariff: an unknown price is not a price of 0.
    """
    if not elements:
        return None
    try:
        plain = plain_prices(elements)
        if plain is not None:
            taxable = _plain_taxable(plain, energy_wh, duration_s, idle_s)
            return taxable + gst(taxable, gst_percent).total_paise
        periods = even_periods(energy_wh=energy_wh, charging_s=duration_s, idle_s=idle_s)
        rated = rate(elements=elements, periods=periods, started_at=at, tz=tz, gst_percent=gst_percent)
    except TariffError:
        return None
    return rated.total_paise


def even_periods(*, energy_wh: int, charging_s: int, idle_s: int) -> list[Period]:
    """The session as one even charge and one idle tail; used where no meter series says better."""
    return (
        [Period(charging_s, energy_wh), Period(idle_s, 0, is_parking=True)]
        if idle_s
        else [Period(charging_s, energy_wh)]
    )


def gst(taxable_paise: int, percent: int, *, is_interstate: bool = False) -> Tax:
    """Each head rounded half up; SGST is a copy of CGST, never computed apart."""
    if is_interstate:
        return Tax(igst_paise=_nearest(taxable_paise * percent, 100))
    half = _nearest(taxable_paise * percent, 200)
    return Tax(cgst_paise=half, sgst_paise=half)


def round_half_up(value: Fraction) -> int:
    """The nearest integer, halves upwards (our amounts are never negative)."""
    return floor(value + Fraction(1, 2))


def is_time_dependent(elements: Sequence[Mapping[str, Any]]) -> bool:
    """Does the price depend on when within the session the energy flowed?"""
    return any(element.is_restricted for element in parse_elements(elements))


# --- where restrictions can change their mind ---------------------------------------------------------------------


def _segments(
    elements: Sequence[Element], periods: Sequence[Period], started_at: datetime, tz: tzinfo
) -> list[_Segment]:
    total_s = sum((Fraction(period.seconds) for period in periods), Fraction(0))
    at_times = _time_cuts(elements, started_at, total_s, tz)
    at_energies = sorted({limit for element in elements for limit in element.energy_limits_wh})
    segments: list[_Segment] = []
    offset, energy = Fraction(0), Fraction(0)
    for period in periods:
        seconds, energy_wh = Fraction(period.seconds), Fraction(period.energy_wh)
        cuts = _shares(at_times, offset, seconds) | _shares(at_energies, energy, energy_wh)
        marks = [Fraction(0), *sorted(cuts), Fraction(1)]
        for low, high in pairwise(marks):
            segments.append(
                _Segment(
                    offset + low * seconds, energy + low * energy_wh, (high - low) * seconds, (high - low) * energy_wh,
                    period.is_parking,
                )
            )  # fmt: skip
        offset, energy = offset + seconds, energy + energy_wh
    return segments or [_Segment(Fraction(0), Fraction(0), Fraction(0), Fraction(0), False)]


def _shares(cuts: Iterable[Fraction], start: Fraction, length: Fraction) -> set[Fraction]:
    """Which cuts fall inside, as a share of the length."""
    return {(cut - start) / length for cut in cuts if start < cut < start + length}


def _time_cuts(elements: Sequence[Element], started_at: datetime, total_s: Fraction, tz: tzinfo) -> list[Fraction]:
    """Offsets where a clock time, a local day or a duration limit is crossed."""
    cuts = {limit for element in elements for limit in element.duration_limits_s}
    clock_times = {time for element in elements for time in element.clock_cuts}
    if clock_times:
        ended_at = started_at + timedelta(seconds=ceil(total_s))
        day, last_day = started_at.astimezone(tz).date(), ended_at.astimezone(tz).date()
        while day <= last_day:
            for time in clock_times:
                for fold in (0, 1):  # a wall-clock time happens twice when clocks go back
                    instant = datetime.combine(day, time, tz).replace(fold=fold)
                    cuts.add(_seconds(instant.astimezone(UTC) - started_at.astimezone(UTC)))
            day += timedelta(days=1)
        cuts |= _clock_changes(started_at, ended_at, tz)
    return sorted(cuts)


def _clock_changes(started_at: datetime, ended_at: datetime, tz: tzinfo) -> set[Fraction]:
    """The second at which daylight saving starts or ends, if within the session."""
    low, high = started_at.astimezone(UTC), ended_at.astimezone(UTC)
    if low.astimezone(tz).utcoffset() == high.astimezone(tz).utcoffset():
        return set()
    low = low.replace(microsecond=0)
    start = low
    before = low.astimezone(tz).utcoffset()
    first, last = 0, ceil((high - low).total_seconds())
    while last - first > 1:
        middle = (first + last) // 2
        if (start + timedelta(seconds=middle)).astimezone(tz).utcoffset() == before:
            first = middle
        else:
            last = middle
    return {_seconds(start + timedelta(seconds=last) - started_at.astimezone(UTC))}


def _seconds(span: timedelta) -> Fraction:
    return Fraction(span // timedelta(microseconds=1), 1_000_000)


# --- how much of what ---------------------------------------------------------------------------------------------

Key = tuple[str, int]


def _quantities(
    elements: Sequence[Element], segments: Sequence[_Segment], started_at: datetime, tz: tzinfo
) -> tuple[dict[Key, Fraction], dict[str, Component]]:
    """Quantity per (dimension, element) in order of first use, and the last component that each dimension used."""
    quantities: dict[Key, Fraction] = {}
    last_used: dict[str, Component] = {}
    for segment in segments:
        local = (started_at.astimezone(UTC) + timedelta(microseconds=floor(segment.offset_s * 1_000_000))).astimezone(
            tz
        )
        for dimension, amount in _drawn(segment):
            index = _first_match(elements, dimension, segment, local)
            if index is None:
                continue
            key = (dimension, index)
            if dimension == "FLAT":
                quantities[key] = Fraction(1)
            else:
                quantities[key] = quantities.get(key, Fraction(0)) + amount / UNITS[dimension][0]
            last_used[dimension] = elements[index].components[dimension]
    return quantities, last_used


def _drawn(segment: _Segment) -> list[tuple[str, Fraction]]:
    drawn = [("FLAT", Fraction(1))]
    if segment.energy_wh:
        drawn.append(("ENERGY", segment.energy_wh))
    if segment.seconds:
        drawn.append(("PARKING_TIME" if segment.is_parking else "TIME", segment.seconds))
    return drawn


def _first_match(elements: Sequence[Element], dimension: str, segment: _Segment, local: datetime) -> int | None:
    for index, element in enumerate(elements):
        if dimension in element.components and element.matches(local, segment.offset_s, segment.energy_before_wh):
            return index
    return None


def _round_up_to_steps(
    counted: tuple[dict[Key, Fraction], dict[str, Component]],
) -> dict[Key, Fraction]:
    """The surplus of a total goes to the last component of its dimension; TIME before PARKING_TIME stays exact."""
    quantities, last_used = counted
    timed = "PARKING_TIME" if "PARKING_TIME" in last_used else "TIME"
    for dimension in ("ENERGY", timed):
        component = last_used.get(dimension)
        if component is None or component.step_size <= 1:
            continue
        step = Fraction(component.step_size, UNITS[dimension][0])
        total = sum((qty for (name, _), qty in quantities.items() if name == dimension), Fraction(0))
        quantities[(dimension, component.element)] += ceil(total / step) * step - total
    return quantities


def _unit_price(elements: Sequence[Element], key: Key) -> Fraction:
    dimension, index = key
    return elements[index].components[dimension].price_paise


def _whole_paise(exact: Sequence[Fraction], total: int) -> list[int]:
    """Largest remainder: whole paise per line that add up to the rounded total."""
    whole = [floor(amount) for amount in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (whole[i] - exact[i], i))
    for index in by_remainder[: total - sum(whole)]:
        whole[index] += 1
    return whole


# --- the short way, for tariffs without restrictions ---------------------------------------------------------------


def _plain_taxable(plain: PlainPrices, energy_wh: int, charging_s: int, idle_s: int) -> int:
    """Whole numbers over one common denominator; 18,000 divides by 1000 Wh and by 3600 s."""
    prices, steps = plain.prices, plain.steps
    energy_wh = _stepped(energy_wh, steps.get("ENERGY", 0))
    if idle_s and "PARKING_TIME" in prices:
        idle_s = _stepped(idle_s, steps["PARKING_TIME"])
    else:
        charging_s = _stepped(charging_s, steps.get("TIME", 0))
    hours = charging_s * prices.get("TIME", 0) + idle_s * prices.get("PARKING_TIME", 0)
    exact = prices.get("FLAT", 0) * 18_000 + energy_wh * prices.get("ENERGY", 0) * 18 + hours * 5
    if exact < 0:
        raise TariffError("the price is below zero")
    return _nearest(exact, 18_000 * plain.denominator)


def _stepped(amount: int, step_size: int) -> int:
    return amount if step_size <= 1 else -(-amount // step_size) * step_size


def _nearest(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
