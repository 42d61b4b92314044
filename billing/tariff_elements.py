"""OCPI TariffElements, read strictly: what we cannot measure we refuse to price. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, time
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Any

import orjson

DIMENSIONS = ("ENERGY", "FLAT", "TIME", "PARKING_TIME")
RESERVATION, RESERVATION_EXPIRES = "RESERVATION", "RESERVATION_EXPIRES"
WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
MIDNIGHT = time(0, 0)
NOT_LOCAL = time(0, 0, tzinfo=UTC)
MAX_NUMBER = 10**9
_SANE_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{0,15})?([eE][+-]?\d{1,2})?")


Number = int | Fraction
"""Exact either way; an int wherever it is a whole one, as that counts faster."""


class TariffError(ValueError):
    """The tariff cannot be applied; the session waits in the exception queue instead of costing nothing."""


@dataclass(frozen=True)
class Component:
    """`price_paise` per kWh, hour or session; `step_size` in Wh or seconds; `element` is its element's index.

    `vat` in percent; None: the tariff does not say, which differs from 0.
    """

    price_paise: Fraction
    step_size: int
    element: int
    vat: Fraction | None = None


@dataclass(frozen=True)
class Moment:
    """What flows just now: watts, and amperes summed over the phases. None: nobody measured it."""

    power_w: Fraction | None = None
    current_a: Fraction | None = None


@dataclass(frozen=True)
class Element:
    """Components by dimension and the restrictions that switch them on (all must match).

    Lower limits are inclusive, upper ones exclusive (OCPI 2.2.1 TariffRestrictions).
    """

    components: Mapping[str, Component]
    start_time: time | None = None
    end_time: time | None = None
    start_date: date | None = None
    end_date: date | None = None
    weekdays: frozenset[int] | None = None
    min_wh: Fraction | None = None
    max_wh: Fraction | None = None
    min_s: Fraction | None = None
    max_s: Fraction | None = None
    min_w: Fraction | None = None
    max_w: Fraction | None = None
    min_a: Fraction | None = None
    max_a: Fraction | None = None

    @property
    def is_restricted(self) -> bool:
        return bool(self.clock_cuts or self.energy_limits_wh or self.duration_limits_s or self.is_momentary)

    @property
    def is_momentary(self) -> bool:
        """Restricted by what flows at the moment, which a session's totals cannot decide."""
        return any(limit is not None for limit in (self.min_w, self.max_w, self.min_a, self.max_a))

    @property
    def clock_cuts(self) -> frozenset[time]:
        times = {value for value in (self.start_time, self.end_time) if value is not None}
        if self.weekdays is not None or self.start_date or self.end_date:
            times.add(MIDNIGHT)
        return frozenset(times)

    @property
    def energy_limits_wh(self) -> frozenset[Fraction]:
        return frozenset(limit for limit in (self.min_wh, self.max_wh) if limit is not None)

    @property
    def duration_limits_s(self) -> frozenset[Fraction]:
        return frozenset(limit for limit in (self.min_s, self.max_s) if limit is not None)

    def matches_moment(self, moment: Moment) -> bool:
        """Raises TariffError when what flows decides, and nobody measured it."""
        power = _momentary(moment.power_w, self.min_w, self.max_w, "power")
        return power and _momentary(moment.current_a, self.min_a, self.max_a, "current")

    def matches_clock(self, now: time) -> bool:
        start = self.start_time or MIDNIGHT
        if self.end_time is None or self.end_time == MIDNIGHT:  # 00:00 as an end is the end of the day
            return now >= start
        if self.end_time < start:  # over midnight
            return now >= start or now < self.end_time
        return start <= now < self.end_time

    def matches_day(self, today: date) -> bool:
        if self.weekdays is not None and today.weekday() not in self.weekdays:
            return False
        return (self.start_date is None or today >= self.start_date) and (
            self.end_date is None or today < self.end_date
        )


@dataclass(frozen=True)
class PlainPrices:
    """A tariff without restrictions in whole numbers: `prices` / `denominator` are paise per kWh, hour or session.

    `vat` is the tax of all of them; None: not told.
    """

    denominator: int
    prices: Mapping[str, int]
    steps: Mapping[str, int]
    vat: Fraction | None = None


@dataclass(frozen=True)
class Parsed:
    """Elements in order: those of charging, of a reservation, and of one that expired unused."""

    charging: tuple[Element, ...]
    reservation: tuple[Element, ...]
    expired: tuple[Element, ...]


def parse_elements(elements: Sequence[Mapping[str, Any]]) -> tuple[Element, ...]:
    """Elements in order, without those about reservations; raises TariffError when nothing can be priced."""
    parsed = parse_tariff(elements).charging
    if not any(element.components for element in parsed):
        raise TariffError("the tariff has no price component")
    return parsed


def parse_tariff(elements: Sequence[Mapping[str, Any]]) -> Parsed:
    """All elements, by what they are about; raises TariffError when one cannot be read."""
    return parse_bytes(bytes_of(elements))


def plain_prices(elements: Sequence[Mapping[str, Any]]) -> PlainPrices | None:
    """The tariff in whole numbers when nothing restricts it and one tax is on all of it, else None.

    Raises TariffError like `parse_elements`.
    """
    return _plain(bytes_of(elements))


def bytes_of(elements: Any) -> bytes:
    """The tariff as a cache key: reading one costs a hundred times more than looking it up."""
    try:
        return orjson.dumps(elements)
    except TypeError:
        raise TariffError("the tariff is not JSON") from None


@lru_cache(maxsize=4096)
def _plain(raw: bytes) -> PlainPrices | None:
    elements = parse_elements(orjson.loads(raw))
    if any(element.is_restricted for element in elements):
        return None
    first: dict[str, Component] = {}
    for element in elements:
        for dimension, component in element.components.items():
            first.setdefault(dimension, component)
    taxes = {component.vat for component in first.values()}
    if len(taxes) > 1:
        return None
    denominator = lcm(*(component.price_paise.denominator for component in first.values()))
    return PlainPrices(
        denominator,
        {name: int(component.price_paise * denominator) for name, component in first.items()},
        {name: component.step_size for name, component in first.items()},
        taxes.pop(),
    )


@lru_cache(maxsize=4096)
def parse_bytes(raw: bytes) -> Parsed:
    found: dict[str, list[Element]] = {"": [], RESERVATION: [], RESERVATION_EXPIRES: []}
    for item in _list(orjson.loads(raw), "the tariff"):
        element = _object(item, "a tariff element")
        restrictions = _object(element.get("restrictions") or {}, "restrictions")
        same_kind = found.setdefault(str(restrictions.get("reservation") or ""), [])
        same_kind.append(_element(element, restrictions, len(same_kind)))
    return Parsed(tuple(found[""]), tuple(found[RESERVATION]), tuple(found[RESERVATION_EXPIRES]))


def _element(raw: Mapping[str, Any], restrictions: Mapping[str, Any], index: int) -> Element:
    components: dict[str, Component] = {}
    for item in _list(raw.get("price_components") or [], "price_components"):
        component = _object(item, "a price component")
        dimension = component.get("type")
        if not isinstance(dimension, str) or dimension not in DIMENSIONS:
            raise TariffError(f"unknown price component {dimension!r}")
        components.setdefault(dimension, _component(component, index))
    return Element(components=components, **_restrictions(restrictions))


def _component(raw: Mapping[str, Any], index: int) -> Component:
    vat = None if raw.get("vat") is None else number_of(raw["vat"], "vat")
    if vat is not None and not 0 <= vat <= 100:
        raise TariffError(f"vat is no percentage: {raw['vat']!r}")
    return Component(number_of(raw.get("price"), "price") * 100, _step(raw.get("step_size")), index, vat)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise TariffError(f"{name} is not a list")
    return value


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TariffError(f"{name} is not an object")
    return value


def _step(value: Any) -> int:
    """A whole number however it is written (`1`, `"1"`, `"1.0"`); what is below one steps nothing."""
    step = number_of(value or 0, "step_size")
    if step.denominator != 1:
        raise TariffError(f"step_size is not a whole number: {value!r}")
    return max(int(step), 0)


def _restrictions(raw: Mapping[str, Any]) -> dict[str, Any]:
    days = _list(raw["day_of_week"], "day_of_week") if raw.get("day_of_week") else None
    return {
        "start_time": _time(raw.get("start_time")),
        "end_time": _time(raw.get("end_time")),
        "start_date": _date(raw.get("start_date")),
        "end_date": _date(raw.get("end_date")),
        "weekdays": frozenset(_weekday(day) for day in days) if days else None,
        "min_wh": _limit(raw.get("min_kwh"), 1000),
        "max_wh": _limit(raw.get("max_kwh"), 1000),
        "min_s": _limit(raw.get("min_duration"), 1),
        "max_s": _limit(raw.get("max_duration"), 1),
        "min_w": _limit(raw.get("min_power"), 1000),
        "max_w": _limit(raw.get("max_power"), 1000),
        "min_a": _limit(raw.get("min_current"), 1),
        "max_a": _limit(raw.get("max_current"), 1),
    }


def _within(value: Fraction, minimum: Fraction | None, maximum: Fraction | None) -> bool:
    return (minimum is None or value >= minimum) and (maximum is None or value < maximum)


def _momentary(value: Fraction | None, minimum: Fraction | None, maximum: Fraction | None, name: str) -> bool:
    if minimum is None and maximum is None:
        return True
    if value is None:
        limit = f"max_{name}" if minimum is None else f"min_{name}"
        raise TariffError(f"restricted by {limit}, which a session's totals cannot decide")
    return _within(value, minimum, maximum)


def number_of(value: Any, name: str) -> Fraction:
    """Exactly what is written: `12.5` and `"12.50"` are the same number, without a detour over binary floats."""
    text = "" if isinstance(value, bool) else str(value)
    try:
        number = Fraction(text) if _SANE_NUMBER.fullmatch(text.strip()) else None
    except (ValueError, ZeroDivisionError):
        number = None
    if number is None or abs(number) > MAX_NUMBER:
        raise TariffError(f"{name} is not a usable number: {text[:40]!r}")
    return number


def _limit(value: Any, factor: int) -> Fraction | None:
    return None if value is None else number_of(value, "limit") * factor


def _time(value: Any) -> time | None:
    try:
        clock = time.fromisoformat(value) if value else None
    except (TypeError, ValueError):
        clock = NOT_LOCAL
    if clock is not None and clock.tzinfo is not None:
        raise TariffError(f"not a local clock time: {value!r}")
    return clock


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if value else None
    except (TypeError, ValueError):
        raise TariffError(f"not a date: {value!r}") from None


def _weekday(value: Any) -> int:
    try:
        return WEEKDAYS.index(value)
    except ValueError:
        raise TariffError(f"not a weekday: {value!r}") from None
