"""Our rows as OCPI 2.2.1 objects, for a CPO that asks what we hold."""

from typing import Any

from django.utils import timezone

from stations import plugs
from stations.cpo.ocpi.wire import now_text
from stations.models import EVSE, Connector, Location, Tariff


def location_out(location: Location, external_id: str) -> dict[str, Any]:
    """`external_id` is the CPO's own id of the site."""
    party = location.party
    return {
        "country_code": party.country_code if party else location.country_code,
        "party_id": party.party_id if party else "",
        "id": external_id,
        "publish": True,
        "name": location.name,
        "address": location.address,
        "city": location.city,
        "postal_code": location.postal_code,
        "country": "IND",
        "coordinates": {"latitude": f"{location.latitude:.6f}", "longitude": f"{location.longitude:.6f}"},
        "time_zone": location.time_zone,
        "evses": [evse_out(evse) for evse in location.evses.prefetch_related("connectors")],
        "last_updated": now_text(location.source_updated_at or location.updated_at),
    }


def evse_out(evse: EVSE) -> dict[str, Any]:
    connectors = list(evse.connectors.all())
    return {
        "uid": evse.uid,
        "status": (connectors[0].raw_status if connectors else "") or "UNKNOWN",
        "capabilities": evse.capabilities,
        "connectors": [connector_out(connector) for connector in connectors],
        "last_updated": now_text(evse.source_updated_at or timezone.now()),
    }


def connector_out(connector: Connector) -> dict[str, Any]:
    return {
        "id": connector.external_id,
        "standard": connector.raw_plug or plugs.TO_OCPI.get(connector.plug, "UNKNOWN"),
        "format": connector.format,
        "power_type": connector.power_type,
        "max_voltage": connector.max_voltage_v,
        "max_amperage": connector.max_current_a,
        "max_electric_power": connector.max_power_w,
        "tariff_ids": [connector.tariff.external_id] if connector.tariff else [],
        "last_updated": now_text(connector.status_at or timezone.now()),
    }


def tariff_out(tariff: Tariff, party: tuple[str, ...]) -> dict[str, Any]:
    return {
        "country_code": party[0],
        "party_id": party[1],
        "id": tariff.external_id,
        "currency": tariff.currency,
        "elements": tariff.elements,
        "last_updated": now_text(tariff.valid_from),
    }
