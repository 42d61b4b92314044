"""Plain prices into OCPI tariff elements and back. Pure. Prices are in currency units, without tax."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)
MINUTES = 24 * 60
_LINE = re.compile(r"(\d{1,2}:\d{2})\s*[-–]\s*(\d{1,2}:\d{2})\s+(\d{1,6}(?:\.\d{1,4})?)")


@dataclass(frozen=True)
class Hours:
    """Another energy price from `start` to `end`, local time of the site; over midnight when end is before start."""

    start: time
    end: time
    per_kwh: Decimal

    def minutes(self) -> set[int]:
        start, end = (clock.hour * 60 + clock.minute for clock in (self.start, self.end))
        return set(range(start, end)) if start < end else {*range(start, MINUTES), *range(end)}


@dataclass(frozen=True)
class Prices:
    """What a site of one's own usually charges. Idle is time plugged in without charging."""

    per_kwh: Decimal
    per_session: Decimal = ZERO
    idle_per_hour: Decimal = ZERO
    hours: tuple[Hours, ...] = ()


def elements_of(prices: Prices) -> list[dict[str, Any]]:
    """OCPI 2.2.1 TariffElements: the first that matches counts for its dimension, so hours come before the rest."""
    special = [
        {
            "price_components": [_component("ENERGY", row.per_kwh, 1)],
            "restrictions": {"start_time": f"{row.start:%H:%M}", "end_time": f"{row.end:%H:%M}"},
        }
        for row in prices.hours
    ]
    always = [_component("ENERGY", prices.per_kwh, 1)]
    if prices.per_session:
        always.append(_component("FLAT", prices.per_session, 1))
    if prices.idle_per_hour:
        always.append(_component("PARKING_TIME", prices.idle_per_hour, 60))
    return [*special, {"price_components": always}]


def energy_prices(elements: Any) -> list[Decimal]:
    """Every price of a kWh that OCPI TariffElements name, the least first; what cannot be read is left out."""
    found: set[Decimal] = set()
    for element in elements if isinstance(elements, list) else []:
        for part in element.get("price_components") or []:
            with suppress(ArithmeticError):
                found |= {Decimal(str(part.get("price")))} if part.get("type") == "ENERGY" else set()
    return sorted(found)


def prices_of(elements: list[dict[str, Any]]) -> Prices | None:
    """The prices behind elements that were made here; None for any other tariff."""
    try:
        *special, always = elements
        by_type = {part["type"]: Decimal(part["price"]) for part in always["price_components"]}
        hours = tuple(_hours_of(row) for row in special)
        prices = Prices(by_type["ENERGY"], by_type.get("FLAT", ZERO), by_type.get("PARKING_TIME", ZERO), hours)
    except (ValueError, KeyError, TypeError, IndexError, ArithmeticError):
        return None
    return prices if elements_of(prices) == elements else None


def read_hours(text: str) -> tuple[Hours, ...]:
    """One row per line, as `22:00-06:00 12.50`; ValueError says which line is wrong."""
    rows = []
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"Write each line as 22:00-06:00 12.50; this is not: {line[:40]}")
        start, end = (time.fromisoformat(part.zfill(5)) for part in match.group(1, 2))
        rows.append(Hours(start, end, Decimal(match[3])))
    return without_overlap(rows)


def without_overlap(rows: Iterable[Hours]) -> tuple[Hours, ...]:
    """The rows as they are; ValueError when a minute of the day would have two prices, or a row is empty."""
    taken: set[int] = set()
    rows = tuple(rows)
    for row in rows:
        if row.start == row.end:
            raise ValueError(f"{row.start:%H:%M}-{row.end:%H:%M} is no time at all.")
        if taken & row.minutes():
            raise ValueError(f"{row.start:%H:%M}-{row.end:%H:%M} overlaps another row.")
        taken |= row.minutes()
    return rows


def write_hours(rows: Iterable[Hours]) -> str:
    return "\n".join(f"{row.start:%H:%M}-{row.end:%H:%M} {_text(row.per_kwh)}" for row in rows)


def _hours_of(element: dict[str, Any]) -> Hours:
    start, end = (time.fromisoformat(element["restrictions"][name]) for name in ("start_time", "end_time"))
    return Hours(start, end, Decimal(element["price_components"][0]["price"]))


def _component(dimension: str, price: Decimal, step_size: int) -> dict[str, Any]:
    return {"type": dimension, "price": _text(price), "step_size": step_size}


def _text(price: Decimal) -> str:
    """At least two places, no more than needed: 18.00, 12.345."""
    exact = price.normalize()
    return f"{exact:.2f}" if -int(exact.as_tuple().exponent) < 2 else f"{exact:f}"
