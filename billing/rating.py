"""The price of a session from OCPI tariff elements: exact fractions inside, one rounding at the end. Pure.

OCPI 2.2.1 mod_tariffs and mod_cdrs: per dimension the first element wins that has a component of it and whose
restrictions match; no match means that dimension is free; FLAT is charged once per element; step_size is applied once,
to the session's total. Elements about reservations live apart. min_price and max_price clamp the sum, without and with
tax. OCPI leaves rounding open: we round the taxable total half up to the paisa, then each tax head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from math import ceil, floor
from typing import Any

from billing.segments import Period, Segment, cut
from billing.tariff_elements import (
    Component,
    Element,
    PlainPrices,
    TariffError,
    parse_elements,
    parse_tariff,
    plain_prices,
)
from billing.tariff_terms import NO_TERMS, Terms
from billing.totals import Exact, Line, Rating, Tax, gst, nearest, round_half_up, sum_up

__all__ = [
    "Line", "Period", "Rating", "Reserved", "TariffError", "Tax", "even_periods", "gst", "quote", "rate",
    "rate_reservation", "round_half_up",
]  # fmt: skip

SECONDS_PER_DAY = 86_400
UNITS = {"ENERGY": (1000, "kWh"), "TIME": (3600, "h"), "PARKING_TIME": (3600, "h"), "FLAT": (1, "session")}
RESERVED = "RESERVATION_"
"""Before the dimension of a line that is about the reservation."""


@dataclass(frozen=True)
class Reserved:
    """A reservation that belongs to the session (or stands alone); `is_expired`: nobody came."""

    started_at: datetime
    seconds: Fraction | int
    is_expired: bool = False


def rate(
    *,
    elements: Sequence[Mapping[str, Any]],
    periods: Sequence[Period],
    started_at: datetime,
    tz: tzinfo,
    gst_percent: int,
    is_interstate: bool = False,
    terms: Terms = NO_TERMS,
    reserved: Reserved | None = None,
) -> Rating:
    """Price a session, with the reservation before it. `started_at` is aware, `tz` the location's zone.

    A component's own vat counts before `gst_percent`. Raises TariffError when the tariff is empty, malformed or
    restricted by something we do not measure.
    """
    exact = _lines_of(parse_elements(elements), periods, started_at, tz)
    if reserved is not None:
        exact += _reservation_lines(elements, reserved, tz)
    return sum_up(exact, terms, gst_percent, is_interstate=is_interstate)


def rate_reservation(
    *,
    elements: Sequence[Mapping[str, Any]],
    reserved: Reserved,
    tz: tzinfo,
    gst_percent: int,
    is_interstate: bool = False,
    terms: Terms = NO_TERMS,
) -> Rating:
    """Price a reservation alone; the limits of the tariff are about sessions and do not count."""
    untouched = Terms(is_tax_included=terms.is_tax_included)
    return sum_up(_reservation_lines(elements, reserved, tz), untouched, gst_percent, is_interstate=is_interstate)


def quote(
    *,
    elements: Sequence[Mapping[str, Any]] | None,
    energy_wh: int,
    duration_s: int,
    idle_s: int = 0,
    at: datetime,
    tz: tzinfo,
    gst_percent: int,
    terms: Terms = NO_TERMS,
) -> int | None:
    """Paise including GST for charging `energy_wh` in `duration_s`, then `idle_s` plugged in.

    None without a usable tariff: an unknown price is not a price of 0.
    """
    if not elements or not terms.holds_at(at):
        return None
    try:
        plain = plain_prices(elements) if terms.is_plain else None
        if plain is not None and plain.vat in (None, gst_percent):
            taxable = _plain_taxable(plain, energy_wh, duration_s, idle_s)
            return taxable + gst(taxable, gst_percent).total_paise
        periods = even_periods(energy_wh=energy_wh, charging_s=duration_s, idle_s=idle_s)
        rated = rate(elements=elements, periods=periods, started_at=at, tz=tz, gst_percent=gst_percent, terms=terms)
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


def is_time_dependent(elements: Sequence[Mapping[str, Any]]) -> bool:
    """Does the price depend on when within the session the energy flowed?"""
    return any(element.is_restricted for element in parse_elements(elements))


# --- how much of what ---------------------------------------------------------------------------------------------

Key = tuple[str, int]


def _lines_of(elements: Sequence[Element], periods: Sequence[Period], started_at: datetime, tz: tzinfo) -> list[Exact]:
    segments = cut(elements, periods, started_at, tz)
    quantities = _round_up_to_steps(_quantities(elements, segments, started_at, tz))
    return [_exact(elements[index].components[name], name, qty) for (name, index), qty in quantities.items()]


def _exact(component: Component, dimension: str, quantity: Fraction, prefix: str = "") -> Exact:
    unit = "reservation" if prefix and dimension == "FLAT" else UNITS[dimension][1]
    return Exact(prefix + dimension, component.element, quantity, unit, component.price_paise, component.vat)


def _reservation_lines(elements: Sequence[Mapping[str, Any]], reserved: Reserved, tz: tzinfo) -> list[Exact]:
    """An expired reservation costs its RESERVATION elements and the FLAT of RESERVATION_EXPIRES on top.

    Its time is priced by RESERVATION_EXPIRES where that has a TIME component (OCPI 2.2.1, ReservationRestrictionType).
    """
    parsed, periods, at = parse_tariff(elements), [Period(reserved.seconds, 0)], reserved.started_at
    lines = _about_reservation(parsed.reservation, periods, at, tz)
    if not reserved.is_expired:
        return lines
    expired = _about_reservation(parsed.expired, periods, at, tz)
    if any("TIME" in element.components for element in parsed.expired):
        lines = [line for line in lines if line.dimension != RESERVED + "TIME"]
    return [*lines, *expired]


def _about_reservation(elements: Sequence[Element], periods: Sequence[Period], at: datetime, tz: tzinfo) -> list[Exact]:
    """Its time has a step_size of its own."""
    if not elements:
        return []
    counted = _round_up_to_steps(_quantities(elements, cut(elements, periods, at, tz), at, tz))
    return [_exact(elements[index].components[name], name, qty, RESERVED) for (name, index), qty in counted.items()]


def _quantities(
    elements: Sequence[Element], segments: Sequence[Segment], started_at: datetime, tz: tzinfo
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


def _drawn(segment: Segment) -> list[tuple[str, Fraction]]:
    drawn = [("FLAT", Fraction(1))]
    if segment.energy_wh:
        drawn.append(("ENERGY", segment.energy_wh))
    if segment.seconds:
        drawn.append(("PARKING_TIME" if segment.is_parking else "TIME", segment.seconds))
    return drawn


def _first_match(elements: Sequence[Element], dimension: str, segment: Segment, local: datetime) -> int | None:
    offset, energy, moment = segment.offset_s, segment.energy_before_wh, segment.moment
    for index, element in enumerate(elements):
        if dimension in element.components and element.matches(local, offset, energy, moment):
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
    return nearest(exact, 18_000 * plain.denominator)


def _stepped(amount: int, step_size: int) -> int:
    return amount if step_size <= 1 else -(-amount // step_size) * step_size
