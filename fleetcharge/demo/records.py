"""What VoltGrid bills for some visits of this morning: charge detail records, one of them dearer than its tariff."""

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from fleetcharge.demo import ocpi
from fleetcharge.demo.bays import Bay
from fleetcharge.demo.manifest import Manifest, VehicleFacts, write_private
from fleetcharge.demo.network import COUNTRY, PARTY, Network, NetworkSite

FILE_NAME, FLEET = "demo_voltgrid_records.json", "namma-logistics"
Raw = dict[str, Any]


@dataclass(frozen=True)
class Use:
    """`price_per_kwh` is what was charged; the tariff says what should have been."""

    hours_ago: float
    kwh: float
    minutes: int
    idle_minutes: int
    price_per_kwh: float


_, DC_PRICE, IDLE_PRICE = ocpi.TARIFFS["VG-DC"]
USES = (
    Use(6.0, 18.4, 42, 0, DC_PRICE),
    Use(4.5, 22.75, 50, 20, DC_PRICE),
    Use(3.0, 26.2, 55, 0, DC_PRICE + 3.5),  # last year's price
)


def records_of(manifest: Manifest, network: Network, directory: Path, now: datetime) -> list[Raw]:
    """Made once and kept: a record never changes, whenever the city is started."""
    path = directory / FILE_NAME
    try:
        kept = orjson.loads(path.read_bytes())
        if kept["digest"] == manifest.digest:
            return list(kept["records"])
    except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError):
        pass
    vehicles = itertools.cycle(vehicle for vehicle in manifest.vehicles if vehicle.fleet == FLEET)
    places = [(site, bay) for site in network.sites for bay in site.bays if bay.is_dc]
    made = [
        record(number, use, vehicle, *place, now)
        for number, (use, vehicle, place) in enumerate(zip(USES, vehicles, places[::5], strict=False), start=1)
    ]
    write_private(path, {"digest": manifest.digest, "records": made})
    return made


def record(number: int, use: Use, vehicle: VehicleFacts, site: NetworkSite, bay: Bay, now: datetime) -> Raw:
    start = (now - timedelta(hours=use.hours_ago)).replace(microsecond=0)
    full = start + timedelta(minutes=use.minutes)
    end = full + timedelta(minutes=use.idle_minutes)
    energy, idle = round(use.kwh * use.price_per_kwh, 4), round(use.idle_minutes / 60 * IDLE_PRICE, 4)
    charging = [{"type": "ENERGY", "volume": use.kwh}, {"type": "TIME", "volume": round(use.minutes / 60, 4)}]
    periods = [{"start_date_time": ocpi.instant(start), "dimensions": charging, "tariff_id": "VG-DC"}]
    raw: Raw = {
        "country_code": COUNTRY, "party_id": PARTY, "id": f"VG-{start:%Y%m%d}-{number:03d}",
        "start_date_time": ocpi.instant(start), "end_date_time": ocpi.instant(end),
        "cdr_token": {
            "country_code": COUNTRY, "party_id": "FLC", "uid": vehicle.token_uid, "type": "RFID",
            "contract_id": vehicle.token_uid,
        },
        "auth_method": "WHITELIST", "cdr_location": _place(site, bay), "currency": "INR",
        "tariffs": [tariff for tariff in ocpi.tariffs() if tariff["id"] == "VG-DC"], "charging_periods": periods,
        "total_cost": {"excl_vat": round(energy + idle, 4)}, "total_energy": use.kwh,
        "total_energy_cost": {"excl_vat": energy}, "total_time": round((end - start).total_seconds() / 3600, 4),
        "last_updated": ocpi.instant(end + timedelta(minutes=2)),
    }  # fmt: skip
    if use.idle_minutes:
        hours = round(use.idle_minutes / 60, 4)
        parked = [{"type": "PARKING_TIME", "volume": hours}]
        periods.append({"start_date_time": ocpi.instant(full), "dimensions": parked, "tariff_id": "VG-DC"})
        raw |= {"total_parking_time": hours, "total_parking_cost": {"excl_vat": idle}}
    return raw


def _place(site: NetworkSite, bay: Bay) -> Raw:
    return {
        "id": site.id, "name": site.name, "address": site.address, "city": "Bengaluru", "country": "IND",
        "coordinates": {"latitude": f"{site.latitude:.6f}", "longitude": f"{site.longitude:.6f}"},
        "evse_uid": bay.key, "evse_id": f"{COUNTRY}*{PARTY}*E{bay.key.replace('-', '')}", "connector_id": "1",
        "connector_standard": "IEC_62196_T2_COMBO", "connector_format": "CABLE", "connector_power_type": "DC",
    }  # fmt: skip
