"""Objects of a CPO into our rows, the same whether they were pushed or pulled."""

from datetime import datetime
from typing import Any

from stations import services
from stations.cpo.ocpi.objects.locations import LocationIn
from stations.cpo.ocpi.objects.tariffs import TariffIn
from stations.models import Source


def take_location(source: Source, location: LocationIn, at: datetime) -> bool:
    """Keep a site, or hide it when its owner does not want it published; True when something was written."""
    doc = location.doc()
    if not location.publish:
        return services.remove_location(
            source=source, external_key=doc.external_key, at=at, updated_at=doc.updated_at
        )  # fmt: skip
    return services.upsert_location(source=source, doc=doc, at=at)[1]


def take_tariff(source: Source, entry: Any, at: datetime) -> None:
    doc = TariffIn.model_validate(entry).doc()
    services.cache_tariff(
        source=source, external_id=doc.external_id, elements=doc.elements, currency=doc.currency, at=at, name=doc.name,
        updated_at=doc.updated_at, terms=doc.terms,
    )  # fmt: skip
