"""The price of a session from OCPI tariff elements: whole numbers inside, one rounding at the end. Pure.

OCPI 2.2.1 mod_tariffs and mod_cdrs: per dimension the first element wins that has a component of it and whose
restrictions match; no match means that dimension is free; FLAT is charged once per element; step_size is applied once,
to the session's total. Elements about reservations live apart. min_price and max_price clamp the sum, without and with
tax. OCPI leaves rounding open: we round the taxable total half up to the paisa, then each tax head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from fractions import Fraction
from typing import Any

from billing.counting import Count
from billing.prepared import Elements, Prepared, PreparedTariff, prepare
from billing.segments import Period
from billing.tariff_elements import Component, PlainPrices, TariffError, plain_prices
from billing.tariff_terms import NO_TERMS, Terms
from billing.totals import (
    Exact,
    Line,
    Rating,
    Tax,
    gst,
    in_whole_paise,
    nearest,
    plain_sum,
    round_half_up,
    sum_up,
)

__all__ = [
    "Line", "Period", "Rating", "Reserved", "TariffError", "Tax", "even_periods", "gst", "prepare",
    "quote", "rate", "rate_reservation", "round_half_up",
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
    elements: Elements,
    periods: Sequence[Period],
    started_at: datetime,
    tz: tzinfo,
    gst_percent: int | Fraction,
    is_interstate: bool = False,
    terms: Terms = NO_TERMS,
    reserved: Reserved | None = None,
) -> Rating:
    """Price a session, with the reservation before it. `started_at` is aware, `tz` the location's zone.

    `elements` as the tariff has them, or as `prepare` returns them. A component's own vat counts before
    `gst_percent`. Raises TariffError when the tariff is empty, malformed or restricted by something nobody measured.
    """
    tariff = prepare(elements)
    prepared = tariff.for_sessions()
    count = Count(prepared, periods, started_at, tz)
    if reserved is None and terms.is_plain and prepared.has_one_vat:
        percent = gst_percent if prepared.vat is None or not count.quantities else prepared.vat
        taxable, tax = plain_sum(count.total, percent, is_interstate=is_interstate)
        return Rating(taxable, tax, lambda: in_whole_paise(_exact_lines(count), taxable))
    exact = _exact_lines(count)
    if reserved is not None:
        exact += _reservation_lines(tariff, reserved, tz)
    return sum_up(exact, terms, gst_percent, is_interstate=is_interstate)


def rate_reservation(
    *,
    elements: Elements,
    reserved: Reserved,
    tz: tzinfo,
    gst_percent: int | Fraction,
    is_interstate: bool = False,
    terms: Terms = NO_TERMS,
) -> Rating:
    """Price a reservation alone; the limits of the tariff are about sessions and do not count."""
    untouched = Terms(is_tax_included=terms.is_tax_included)
    return sum_up(
        _reservation_lines(prepare(elements), reserved, tz), untouched, gst_percent, is_interstate=is_interstate
    )


def quote(
    *,
    elements: Sequence[Mapping[str, Any]] | None,
    energy_wh: int,
    duration_s: int,
    idle_s: int = 0,
    at: datetime,
    tz: tzinfo,
    gst_percent: int | Fraction,
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


def is_time_dependent(elements: Elements) -> bool:
    """Does the price depend on when within the session the energy flowed?"""
    return any(element.is_restricted for element in prepare(elements).for_sessions().elements)


# --- how much of what ---------------------------------------------------------------------------------------------


def _exact_lines(count: Count, prefix: str = "") -> list[Exact]:
    return [
        _exact(name, component, Fraction(amount, count.scale * UNITS[name][0]), prefix)
        for (name, component), amount in (
            (count.prepared.components[index], amount) for index, amount in count.quantities.items()
        )
    ]


def _exact(dimension: str, component: Component, quantity: Fraction, prefix: str) -> Exact:
    unit = "reservation" if prefix and dimension == "FLAT" else UNITS[dimension][1]
    return Exact(prefix + dimension, component.element, quantity, unit, component.price_paise, component.vat)


def _reservation_lines(tariff: PreparedTariff, reserved: Reserved, tz: tzinfo) -> list[Exact]:
    """An expired reservation costs its RESERVATION elements and the FLAT of RESERVATION_EXPIRES on top.

    Its time is priced by RESERVATION_EXPIRES where that has a TIME component (OCPI 2.2.1, ReservationRestrictionType).
    """
    lines = _about_reservation(tariff.reservation, reserved, tz)
    if not reserved.is_expired or tariff.expired is None:
        return lines
    if any(name == "TIME" for name, _ in tariff.expired.components):
        lines = [line for line in lines if line.dimension != RESERVED + "TIME"]
    return [*lines, *_about_reservation(tariff.expired, reserved, tz)]


def _about_reservation(prepared: Prepared | None, reserved: Reserved, tz: tzinfo) -> list[Exact]:
    """Its time has a step_size of its own."""
    if prepared is None:
        return []
    return _exact_lines(Count(prepared, [Period(reserved.seconds, 0)], reserved.started_at, tz), RESERVED)


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
