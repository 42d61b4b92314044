"""VoltGrid's OCPI 2.2.1 objects and answers, built from the simulated network; no I/O."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fleetcharge.demo.bays import Bay
from fleetcharge.demo.blueprint import CCS2
from fleetcharge.demo.network import COUNTRY, NAME, PARTY, VOLTGRID, Network, NetworkSite, Operator

TARIFFS: dict[str, tuple[str, float, float]] = {
    "VG-DC": ("VoltGrid DC", 21.0, 120.0),
    "VG-AC": ("VoltGrid AC", 13.5, 60.0),
}
TARIFFS_SINCE = "2026-01-01T00:00:00Z"
MODULES = (
    ("credentials", "SENDER"), ("locations", "SENDER"), ("tariffs", "SENDER"), ("sessions", "SENDER"),
    ("cdrs", "SENDER"), ("commands", "RECEIVER"),
)  # fmt: skip


def instant(at: datetime) -> str:
    """OCPI DateTime in UTC, with milliseconds: two changes within a second must keep their order."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(data: object = None, code: int = 1000, message: str = "Success") -> dict[str, Any]:
    body: dict[str, Any] = {"status_code": code, "status_message": message, "timestamp": instant(datetime.now(UTC))}
    return body if data is None else {"data": data, **body}


def versions(base: str) -> list[dict[str, str]]:
    return [{"version": "2.2.1", "url": f"{base}/ocpi/2.2.1"}]


def details(base: str) -> dict[str, Any]:
    endpoints = [
        {
            "identifier": name,
            "role": role,
            "url": f"{base}/ocpi/2.2.1/{name if name == 'credentials' else f'cpo/{name}'}",
        }
        for name, role in MODULES
    ]
    return {"version": "2.2.1", "endpoints": endpoints}


def credentials(base: str, token: str) -> dict[str, Any]:
    role = {"role": "CPO", "country_code": COUNTRY, "party_id": PARTY, "business_details": {"name": NAME}}
    return {"token": token, "url": f"{base}/ocpi/versions", "roles": [role]}


def location(network: Network, site: NetworkSite, operator: Operator = VOLTGRID) -> dict[str, Any]:
    return {
        "country_code": COUNTRY,
        "party_id": operator.party,
        "id": site.id,
        "publish": True,
        "name": site.name,
        "address": site.address,
        "city": "Bengaluru",
        "state": "Karnataka",
        "country": "IND",
        "coordinates": {"latitude": f"{site.latitude:.6f}", "longitude": f"{site.longitude:.6f}"},
        "operator": {"name": operator.name},
        "time_zone": "Asia/Kolkata",
        "opening_times": {"twentyfourseven": True},
        "charging_when_closed": True,
        "evses": [evse(network, bay, operator) for bay in site.bays],
        "last_updated": instant(site.updated_at),
    }


def evse(network: Network, bay: Bay, operator: Operator = VOLTGRID) -> dict[str, Any]:
    return {
        "uid": bay.key,
        "evse_id": f"{COUNTRY}*{operator.party}*E{bay.key.replace('-', '')}",
        "status": network.status(bay),
        "capabilities": ["RFID_READER", "RESERVABLE"],
        "connectors": [connector(network, bay)],
        "physical_reference": f"Bay {bay.number}",
        "last_updated": instant(network.updated[bay.key]),
    }


def connector(network: Network, bay: Bay) -> dict[str, Any]:
    is_dc = bay.plug == CCS2
    return {
        "id": "1",
        "standard": "IEC_62196_T2_COMBO" if is_dc else "IEC_62196_T2",
        "format": "CABLE" if is_dc else "SOCKET",
        "power_type": "DC" if is_dc else "AC_3_PHASE",
        "max_voltage": 500 if is_dc else 230,
        "max_amperage": bay.max_power_w // 500 if is_dc else bay.max_power_w // 690,
        "max_electric_power": bay.max_power_w,
        "tariff_ids": ["VG-DC" if is_dc else "VG-AC"],
        "last_updated": instant(network.updated[bay.key]),
    }


def tariffs() -> list[dict[str, Any]]:
    return [_tariff(external_id, *facts) for external_id, facts in TARIFFS.items()]


def _tariff(external_id: str, name: str, per_kwh: float, per_idle_hour: float) -> dict[str, Any]:
    components = [
        {"type": "ENERGY", "price": per_kwh, "step_size": 1},
        {"type": "PARKING_TIME", "price": per_idle_hour, "step_size": 60},
    ]
    return {
        "country_code": COUNTRY,
        "party_id": PARTY,
        "id": external_id,
        "currency": "INR",
        "type": "REGULAR",
        "tariff_alt_text": [{"language": "en", "text": name}],
        "elements": [{"price_components": components}],
        "last_updated": TARIFFS_SINCE,
    }


def page(items: Sequence[Any], offset: int, limit: int) -> tuple[Sequence[Any], int | None]:
    """One page and the offset of the next one, None on the last."""
    following = offset + limit
    return items[offset:following], following if following < len(items) else None


def sites_since(sites: list[NetworkSite], since: datetime | None) -> list[NetworkSite]:
    """Oldest change first, as OCPI wants lists sorted; by id where equal."""
    changed = [site for site in sites if since is None or site.updated_at >= since]
    return sorted(changed, key=lambda site: (site.updated_at, site.id)) if since else sites
