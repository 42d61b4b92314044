"""Our rows as OCPI 2.2.1 objects, for a CPO that asks what we hold."""

from datetime import datetime
from typing import Any

from stations import plugs
from stations.cpo.ocpi.objects.base import now_text
from stations.models import EVSE, Connector, Location, Tariff


def location_out(location: Location, external_id: str) -> dict[str, Any]:
    """`external_id` is the CPO's own id of the site."""
    party = location.party
    evses = list(location.evses.prefetch_related("connectors__tariff"))
    return {
        "country_code": party.country_code if party else location.country_code,
        "party_id": party.party_id if party else "",
        "id": external_id,
        "publish": True,
        "name": location.name,
        "address": location.address,
        "city": location.city,
        "postal_code": location.postal_code,
        "state": location.state,
        "country": "IND",
        "coordinates": {"latitude": f"{location.latitude:.6f}", "longitude": f"{location.longitude:.6f}"},
        "operator": {"name": party.name if party else ""},
        "time_zone": location.time_zone,
        "opening_times": location.opening_times,
        "evses": [evse_out(evse) for evse in evses],
        "last_updated": _newest(location.source_updated_at or location.created_at, *map(_changed_at, evses)),
    }


def evse_out(evse: EVSE) -> dict[str, Any]:
    connectors = [connector for connector in evse.connectors.all() if not connector.is_removed]
    return {
        "uid": evse.uid,
        "status": "REMOVED" if evse.is_removed else (connectors[0].raw_status if connectors else "") or "UNKNOWN",
        "capabilities": evse.capabilities,
        "physical_reference": evse.physical_reference,
        "connectors": [connector_out(connector) for connector in connectors],
        "last_updated": now_text(_changed_at(evse) or evse.location.created_at),
    }


def _changed_at(evse: EVSE) -> datetime | None:
    """A status moves its EVSE's `last_updated`, and so its site's."""
    stamps = [evse.source_updated_at, *(connector.status_at for connector in evse.connectors.all())]
    return max(filter(None, stamps), default=None)


def _newest(*stamps: datetime | None) -> str:
    return now_text(max(stamp for stamp in stamps if stamp is not None))


def connector_out(connector: Connector) -> dict[str, Any]:
    return {
        "id": connector.external_id,
        "standard": connector.raw_plug or plugs.TO_OCPI.get(connector.plug, "UNKNOWN"),
        "format": connector.format,
        "power_type": connector.power_type,
        "max_voltage": connector.max_voltage_v,
        "max_amperage": connector.max_current_a,
        "max_electric_power": connector.max_power_w,
        "tariff_ids": connector.tariff_ids or ([connector.tariff.external_id] if connector.tariff else []),
        "last_updated": now_text(connector.evse.source_updated_at or connector.status_since),
    }


def tariff_out(tariff: Tariff, party: tuple[str, ...]) -> dict[str, Any]:
    return {
        "country_code": party[0],
        "party_id": party[1],
        "id": tariff.external_id,
        "currency": tariff.currency,
        "elements": tariff.elements,
        "tax_included": "N/A",
        **tariff.terms,
        "last_updated": now_text(tariff.source_updated_at or tariff.valid_from),
    }
