"""Tariffs (module `tariffs`); elements keep OCPI's nesting, with prices as decimal strings."""

from typing import Any

from pydantic import Field

from stations.cpo.documents import TariffDoc
from stations.cpo.ocpi.objects.base import DisplayText, Id, Instant, PriceLimit, Wire, exact_text


class TariffIn(Wire):
    """`tax_included` is YES, NO or N/A (OCPI 2.3.0); earlier versions always quote without tax."""

    id: Id
    country_code: str = ""
    party_id: str = ""
    currency: str = Field("INR", min_length=3, max_length=3)
    type: str | None = None
    tariff_alt_text: list[DisplayText] = []
    tariff_alt_url: str | None = None
    min_price: PriceLimit | None = None
    max_price: PriceLimit | None = None
    tax_included: str = "N/A"
    elements: list[dict[str, Any]]
    start_date_time: Instant | None = None
    end_date_time: Instant | None = None
    last_updated: Instant | None = None

    def doc(self) -> TariffDoc:
        name = next((text.text for text in self.tariff_alt_text), "")
        elements = [exact(element) for element in self.elements]
        return TariffDoc(self.id, self.currency, elements, name[:120], self.last_updated, self._terms())

    def _terms(self) -> dict[str, Any]:
        """What is said of the whole price list; what is left out stays out, so that old versions keep their hash."""
        told = {
            "type": (self.type or "")[:30],
            "min_price": self.min_price and self.min_price.model_dump(mode="json", exclude_none=True),
            "max_price": self.max_price and self.max_price.model_dump(mode="json", exclude_none=True),
            "tax_included": "" if self.tax_included.upper() == "N/A" else self.tax_included.upper()[:3],
            "start_date_time": self.start_date_time and exact_text(self.start_date_time),
            "end_date_time": self.end_date_time and exact_text(self.end_date_time),
        }
        return {name: value for name, value in told.items() if value}


def exact(value: Any) -> Any:
    """Numbers become decimal strings, so that a price of 19.5 never passes through a float again."""
    if isinstance(value, dict):
        return {name: str(item) if name == "price" else exact(item) for name, item in value.items()}
    return [exact(item) for item in value] if isinstance(value, list) else value
