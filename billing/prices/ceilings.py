"""Is a price above what regulators allow? Every stretch of a week beside its ceiling. Pure; rupees per kWh, no tax."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.local_clock import FIRST_ORDINAL, SECONDS_PER_DAY
from billing.prepared import NOTHING, Prepared, Row, prepare
from billing.prices.elements import Guideline

ENERGY = 1
WITHIN, ABOVE, UNKNOWN = "within", "above", "unknown"


@dataclass(frozen=True)
class Ceiling:
    """The guideline with the highest service charge that may come on top."""

    guideline: Guideline
    service_solar: Decimal
    service_other: Decimal

    def at(self, second: int) -> Decimal:
        low, high = (_second(text) for text in (self.guideline.solar_from, self.guideline.solar_until))
        is_solar = low <= second < high
        return self.guideline.energy(is_solar=is_solar) + (self.service_solar if is_solar else self.service_other)


@dataclass(frozen=True)
class Excess:
    """Local times of day; the price of a kWh there, the highest that could apply, and its ceiling."""

    start: str
    end: str
    price: Decimal
    ceiling: Decimal


def excesses(elements: Sequence[dict[str, Any]], ceiling: Ceiling, *, on: date) -> list[Excess]:
    """In the week from `on`. Of prices that depend on kWh, duration or power, the dearest counts.

    Raises TariffError for a tariff that cannot be read.
    """
    prepared = prepare(elements).for_sessions()
    cuts = sorted({
        *(int(second) for second in prepared.boundaries), _second(ceiling.guideline.solar_from),
        _second(ceiling.guideline.solar_until),
    })  # fmt: skip
    found: dict[tuple[int, int], Excess] = {}
    for day in range(7):
        for start, end in zip(cuts, [*cuts[1:], SECONDS_PER_DAY], strict=True):
            price = _dearest(prepared, on + timedelta(days=day), start)
            allowed = ceiling.at(start)
            known = found.get((start, end))
            if price is not None and price > allowed and (known is None or price > known.price):
                found[start, end] = Excess(_clock(start), _clock(end), price, allowed)
    return [found[key] for key in sorted(found)]


def _dearest(prepared: Prepared, day: date, second: int) -> Decimal | None:
    rows = prepared.rows_of(day.toordinal() - FIRST_ORDINAL)
    index = max(i for i, boundary in enumerate(prepared.boundaries) if boundary <= second)
    prices = [prepared.components[one][1].price_paise for one in _candidates(rows[index])]
    return _rupees(max(prices)) if prices else None


def _candidates(row: Row) -> Iterator[int]:
    if row.gates is not None:
        yield from (gate.component for gate in row.gates[ENERGY])
    elif row.energy != NOTHING:
        yield row.energy


def _rupees(paise: Fraction) -> Decimal:
    return Decimal(paise.numerator) / Decimal(paise.denominator) / 100


def _second(text: str) -> int:
    clock = time.fromisoformat(text)
    return clock.hour * 3600 + clock.minute * 60


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}"
