"""A tariff made ready for counting: prices as whole numbers, and what applies at each local clock time. Pure."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Any, NamedTuple

from billing.local_clock import FIRST_ORDINAL
from billing.segments import Period
from billing.tariff_elements import (
    MIDNIGHT,
    Component,
    Element,
    Number,
    TariffError,
    bytes_of,
    parse_bytes,
)

DIMENSIONS = ("FLAT", "ENERGY", "TIME", "PARKING_TIME")
"""In the order in which a stretch of a session uses them."""
WEIGHTS = {"FLAT": 18_000, "ENERGY": 18, "TIME": 5, "PARKING_TIME": 5}
"""Sessions, Wh and seconds on one denominator: 18,000 divides by 1000 Wh and by 3600 s."""
NOTHING, WITHOUT_END = -1, 10**30
Chosen = tuple[int, int, int, int]


class Gate(NamedTuple):
    """A component that kWh, duration or what flows (`momentary`) may switch off, if anything can."""

    component: int
    min_wh: Number
    max_wh: Number
    min_s: Number
    max_s: Number
    is_open: bool
    momentary: Element | None


class Row(NamedTuple):
    """Per dimension the component that applies (`NOTHING`: free), or the gates to try in order where more decides.

    `cells` keeps what was found between two limits of kWh and of duration; None where what flows decides, too.
    """

    flat: int
    energy: int
    time: int
    parking: int
    gates: tuple[tuple[Gate, ...], ...] | None
    cells: dict[tuple[int, int], Chosen] | None


@dataclass(frozen=True)
class Prepared:
    """Elements of one kind (of charging, of a reservation). `prices` are over `denominator` paise, weighted."""

    elements: tuple[Element, ...]
    components: tuple[tuple[str, Component], ...]
    weights: tuple[int, ...]
    denominator: int
    steps: tuple[int, ...]
    vat: Fraction | None
    has_one_vat: bool
    boundaries: tuple[Number, ...]
    times: tuple[time, ...]
    dates: tuple[int, ...]
    is_by_day: bool
    at_wh: tuple[Number, ...]
    at_s: tuple[Number, ...]
    is_by_clock: bool
    is_gated: bool
    has_steps: bool
    _rows: dict[int, tuple[Row, ...]] = field(default_factory=dict, compare=False, repr=False)

    def rows_of(self, day: int) -> tuple[Row, ...]:
        """One per stretch between `boundaries` of that local day (counted from 1970)."""
        key = bisect_right(self.dates, day) * 7 + (day + 3) % 7 if self.is_by_day else 0
        rows = self._rows.get(key)
        if rows is None:
            rows = self._rows[key] = tuple(self._row(day, clock) for clock in self.times)
        return rows

    def _row(self, day: int, clock: time) -> Row:
        today = date.fromordinal(day + FIRST_ORDINAL)
        on = [element.matches_day(today) and element.matches_clock(clock) for element in self.elements]
        gates = tuple(tuple(self._gates(dimension, on)) for dimension in DIMENSIONS)
        if any(not gate.is_open for chain in gates for gate in chain):
            is_momentary = any(gate.momentary is not None for chain in gates for gate in chain)
            return Row(NOTHING, NOTHING, NOTHING, NOTHING, gates, None if is_momentary else {})
        flat, energy, charging, parking = (chain[0].component if chain else NOTHING for chain in gates)
        return Row(flat, energy, charging, parking, None, None)

    def _gates(self, dimension: str, on: Sequence[bool]) -> list[Gate]:
        """In order, up to the first that nothing but the clock restricts."""
        found = []
        for index, (name, component) in enumerate(self.components):
            if name == dimension and on[component.element]:
                gate = _gate(index, self.elements[component.element])
                found.append(gate)
                if gate.is_open:
                    break
        return found


@dataclass(frozen=True)
class PreparedTariff:
    """What `rating` prices by; `charging` is None when nothing of it is about a session."""

    charging: Prepared | None
    reservation: Prepared | None
    expired: Prepared | None

    def for_sessions(self) -> Prepared:
        if self.charging is None:
            raise TariffError("the tariff has no price component")
        return self.charging


Elements = Sequence[Mapping[str, Any]] | PreparedTariff


def prepare(elements: Elements) -> PreparedTariff:
    """Once per tariff version; many sessions by the same one are priced fastest by what this returns.

    Raises TariffError when the tariff cannot be read.
    """
    return elements if isinstance(elements, PreparedTariff) else _prepare(bytes_of(elements))


@lru_cache(maxsize=4096)
def _prepare(raw: bytes) -> PreparedTariff:
    parsed = parse_bytes(raw)
    return PreparedTariff(_ready(parsed.charging), _ready(parsed.reservation), _ready(parsed.expired))


def _ready(elements: tuple[Element, ...]) -> Prepared | None:
    components = tuple(item for element in elements for item in element.components.items())
    if not components:
        return None
    denominator = lcm(*(component.price_paise.denominator for _, component in components))
    is_by_day = any(element.weekdays is not None or element.start_date or element.end_date for element in elements)
    times = tuple(sorted({MIDNIGHT}.union(*(element.clock_cuts for element in elements))))
    vats = {component.vat for _, component in components}
    return Prepared(
        elements=elements,
        components=components,
        weights=tuple(int(each.price_paise * denominator) * WEIGHTS[name] for name, each in components),
        denominator=denominator * WEIGHTS["FLAT"],
        steps=tuple(component.step_size for _, component in components),
        vat=next(iter(vats)) if len(vats) == 1 else None,
        has_one_vat=len(vats) == 1,
        boundaries=tuple(_seconds(clock) for clock in times),
        times=times,
        dates=tuple(sorted(_dates(elements))),
        is_by_day=is_by_day,
        at_wh=_sorted(limit for element in elements for limit in element.energy_limits_wh),
        at_s=_sorted(limit for element in elements for limit in element.duration_limits_s),
        is_by_clock=is_by_day or len(times) > 1,
        is_gated=any(not _gate(0, element).is_open for element in elements),
        has_steps=any(component.step_size > 1 for _, component in components),
    )


def _dates(elements: Sequence[Element]) -> set[int]:
    told = {day for element in elements for day in (element.start_date, element.end_date) if day is not None}
    return {day.toordinal() - FIRST_ORDINAL for day in told}


def _gate(index: int, element: Element) -> Gate:
    limits = (element.min_wh, element.max_wh, element.min_s, element.max_s)
    if not element.is_momentary and all(limit is None for limit in limits):
        return Gate(index, -WITHOUT_END, WITHOUT_END, -WITHOUT_END, WITHOUT_END, True, None)
    least_wh, most_wh, least_s, most_s = limits
    return Gate(
        index, _or(least_wh, -WITHOUT_END), _or(most_wh, WITHOUT_END), _or(least_s, -WITHOUT_END),
        _or(most_s, WITHOUT_END), False, element if element.is_momentary else None,
    )  # fmt: skip


def choose(chain: Sequence[Gate], energy: Number, offset: Number, scale: Number, period: Period) -> int:
    """The first component whose limits hold at `energy` Wh and `offset` s (both times `scale`); NOTHING: it is free."""
    for component, min_wh, max_wh, min_s, max_s, is_open, momentary in chain:
        if is_open or (
            min_wh * scale <= energy < max_wh * scale
            and min_s * scale <= offset < max_s * scale
            and (momentary is None or momentary.matches_moment(period.moment))
        ):
            return component
    return NOTHING


def _or(limit: Fraction | None, otherwise: int) -> Number:
    return otherwise if limit is None else whole(limit)


def whole(number: Number) -> Number:
    """A plain int where it is one: it counts twenty times faster."""
    return number.numerator if number.denominator == 1 else number


def _sorted(limits: Any) -> tuple[Number, ...]:
    return tuple(whole(limit) for limit in sorted(set(limits)))


def _seconds(clock: time) -> Number:
    seconds = clock.hour * 3600 + clock.minute * 60 + clock.second
    return seconds if not clock.microsecond else seconds + Fraction(clock.microsecond, 1_000_000)
