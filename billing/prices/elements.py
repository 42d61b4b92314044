"""Price lists made from others: with a discount, with included energy, by the Indian template. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Elements = list[dict[str, Any]]
RESERVATION = "reservation"


def discounted(elements: Sequence[Mapping[str, Any]], percent: Decimal) -> Elements:
    """Every price that much lower, exactly."""
    factor = (100 - percent) / 100
    return [
        {
            **element,
            "price_components": [
                {**component, "price": plain(Decimal(str(component["price"])) * factor)}
                for component in element.get("price_components") or []
            ],
        }
        for element in elements
    ]


def with_included(elements: Sequence[Mapping[str, Any]], wh: int) -> Elements:
    """The first `wh` of the session at no further price; then as before. OCPI: the first element that matches wins."""
    if wh <= 0:
        return [dict(element) for element in elements]
    free: dict[str, Any] = {"type": "ENERGY", "price": "0", "step_size": 1}
    if (vat := _vat_of_energy(elements)) is not None:
        free["vat"] = vat
    included = {"price_components": [free], "restrictions": {"max_kwh": plain(Decimal(wh) / 1000)}}
    return [included, *(dict(element) for element in elements)]


def _vat_of_energy(elements: Sequence[Mapping[str, Any]]) -> Any:
    components = (part for element in elements for part in element.get("price_components") or [])
    return next((part.get("vat") for part in components if part.get("type") == "ENERGY"), None)


@dataclass(frozen=True)
class Guideline:
    """Rupees per kWh: the average cost of supply, what of it counts in and outside solar hours, and our service."""

    cost_of_supply: Decimal
    solar_factor: Decimal
    other_factor: Decimal
    solar_from: str
    solar_until: str

    def energy(self, *, is_solar: bool) -> Decimal:
        return self.cost_of_supply * (self.solar_factor if is_solar else self.other_factor)


def by_guideline(guideline: Guideline, *, service_solar: Decimal, service_other: Decimal) -> Elements:
    """Two prices a day: in solar hours, and the rest."""
    solar, other = (
        {"type": "ENERGY", "price": plain(guideline.energy(is_solar=is_solar) + service), "step_size": 1}
        for is_solar, service in ((True, service_solar), (False, service_other))
    )
    hours = {"start_time": guideline.solar_from, "end_time": guideline.solar_until}
    return [{"price_components": [solar], "restrictions": hours}, {"price_components": [other]}]


def plain(number: Decimal) -> str:
    """Without an exponent and without zeros that say nothing."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
