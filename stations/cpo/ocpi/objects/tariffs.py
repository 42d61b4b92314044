"""Tariffs (module `tariffs`); elements keep OCPI's nesting, with prices as decimal strings."""

from typing import Any

from pydantic import Field

from stations.cpo.documents import TariffDoc
from stations.cpo.ocpi.objects.base import DisplayText, Id, Instant, PriceLimit, Wire


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
        return TariffDoc(self.id, self.currency, elements, name[:120], self.last_updated)


def exact(value: Any) -> Any:
    """Numbers become decimal strings, so that a price of 19.5 never passes through a float again."""
    if isinstance(value, dict):
        return {name: str(item) if name == "price" else exact(item) for name, item in value.items()}
    return [exact(item) for item in value] if isinstance(value, list) else value
