"""What simulated CPOs tell of our vehicles at their bays: OCPI sessions while they charge, records afterwards."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleetcharge.demo.bays import ENDED, Bay, Visit
from fleetcharge.demo.blueprint import CCS2
from fleetcharge.demo.curves import Pack
from fleetcharge.demo.network import COUNTRY, Network, NetworkSite, Operator
from fleetcharge.demo.ocpi import instant

Raw = dict[str, Any]
STEP_KWH = 0.5


@dataclass
class Uses:
    """The visits of one network's bays, in the words of one OCPI version. `price_per_kwh` is that of `tariff`."""

    version: str
    network: Network
    operator: Operator
    tariff_of: dict[str, Raw]
    price_of: dict[str, float]

    def sessions(self, now: datetime) -> list[Raw]:
        """Those that run first, then those that are over; the oldest of each first."""
        return [
            self._session(self._site(bay), bay, visit, now) for bay, visit in (*running(self.network), *self._over())
        ]

    def records(self) -> list[Raw]:
        return [self._record(self._site(bay), bay, visit) for bay, visit in self._over()]

    def _over(self) -> Iterable[tuple[Bay, Visit]]:
        return tuple(self.network.left)

    def _site(self, bay: Bay) -> NetworkSite:
        return self.network.site_of[bay.key]

    def _session(self, site: NetworkSite, bay: Bay, visit: Visit, now: datetime) -> Raw:
        end = visit.ended_at
        raw = {
            "id": visit.key, "kwh": round(visit.energy_wh / 1000, 4), "currency": "INR",
            "status": "COMPLETED" if end else "ACTIVE", "charging_periods": [_period(visit, end or now)],
            "last_updated": instant(end or now), **self._use(visit),
        }  # fmt: skip
        if self.version == "2.1.1":
            raw |= {"start_datetime": instant(visit.began_at), "location": self._old_place(site, bay)}
            return raw | ({"end_datetime": instant(end)} if end else {})
        raw |= {"start_date_time": instant(visit.began_at), "location_id": site.id, "evse_uid": bay.key}
        return self._owned({**raw, "connector_id": "1", **({"end_date_time": instant(end)} if end else {})})

    def _record(self, site: NetworkSite, bay: Bay, visit: Visit) -> Raw:
        end, kwh = visit.ended_at or visit.began_at, round(visit.energy_wh / 1000, 4)
        tariff_id = next(iter(self.tariff_of)) if len(self.tariff_of) == 1 else self._tariff_id(bay)
        cost = round(kwh * self.price_of[tariff_id], 4)
        raw: Raw = {
            "id": visit.key, "start_date_time": instant(visit.began_at), "currency": "INR",
            "tariffs": [self.tariff_of[tariff_id]], "charging_periods": [_period(visit, end)], "total_energy": kwh,
            "total_time": round((end - visit.began_at).total_seconds() / 3600, 4), "last_updated": instant(end),
            **self._use(visit),
        }  # fmt: skip
        if self.version == "2.1.1":
            return raw | {"stop_date_time": instant(end), "total_cost": cost, "location": self._old_place(site, bay)}
        money = {"excl_vat": cost}
        return self._owned(raw | {
            "end_date_time": instant(end), "session_id": visit.key, "total_cost": money, "total_energy_cost": money,
            "cdr_location": {
                **_address(site), "evse_uid": bay.key, "evse_id": self._evse_id(bay), "connector_id": "1",
                "connector_standard": _standard(bay), "connector_format": "CABLE" if bay.is_dc else "SOCKET",
                "connector_power_type": "DC" if bay.is_dc else "AC_3_PHASE",
            },
        })  # fmt: skip

    def _tariff_id(self, bay: Bay) -> str:
        """DC first, as tariffs are listed."""
        first, second = self.tariff_of
        return first if bay.is_dc else second

    def _use(self, visit: Visit) -> Raw:
        if self.version == "2.1.1":
            return {"auth_id": visit.token, "auth_method": "WHITELIST"}
        token = {"uid": visit.token, "type": "RFID", "contract_id": visit.token}
        return {"cdr_token": {**token, "country_code": COUNTRY, "party_id": "FLC"}, "auth_method": "WHITELIST"}

    def _owned(self, raw: Raw) -> Raw:
        return {"country_code": COUNTRY, "party_id": self.operator.party, **raw}

    def _evse_id(self, bay: Bay) -> str:
        return f"{COUNTRY}*{self.operator.party}*E{bay.key.replace('-', '')}"

    def _old_place(self, site: NetworkSite, bay: Bay) -> Raw:
        """2.1.1 puts the whole site in, with the one unit."""
        plug = {
            "id": "1", "standard": _standard(bay), "format": "CABLE" if bay.is_dc else "SOCKET", "voltage": 500,
            "power_type": "DC" if bay.is_dc else "AC_3_PHASE", "amperage": bay.max_power_w // 500,
            "last_updated": instant(site.updated_at),
        }  # fmt: skip
        unit = {"uid": bay.key, "evse_id": self._evse_id(bay), "status": "CHARGING", "connectors": [plug],
                "last_updated": instant(site.updated_at)}  # fmt: skip
        return {**_address(site), "type": "PARKING_LOT", "postal_code": "560001", "evses": [unit],
                "last_updated": instant(site.updated_at)}  # fmt: skip


def telling(session: Raw) -> str:
    """What makes it worth telling again: its end, or some more energy."""
    return f"{session['status']} {session['kwh'] // STEP_KWH}"


def running(network: Network) -> list[tuple[Bay, Visit]]:
    """Our vehicles that charge there."""
    bays = (bay for bay in network.all_bays if bay.visit and bay.visit.vehicle)
    return [(bay, bay.visit) for bay in bays if bay.visit and network.has_charged(bay.visit)]


# --- over a restart -----------------------------------------------------------------------------------------------
def to_memory(network: Network, now: datetime) -> list[Raw]:
    """What was used and, as if the power had been cut just now, what is being used."""
    return [
        {"bay": bay.key, "key": visit.key, "vehicle": visit.vehicle, "token": visit.token,
         "began_at": visit.began_at.isoformat(), "ended_at": (visit.ended_at or now).isoformat(),
         "energy_wh": visit.energy_wh}
        for bay, visit in (*network.left, *running(network))
    ]  # fmt: skip


def from_memory(network: Network, rows: Iterable[Raw]) -> None:
    for row in rows:
        began_at, ended_at = (datetime.fromisoformat(row[name]) for name in ("began_at", "ended_at"))
        visit = Visit(
            row["key"], row["vehicle"], row["token"], Pack(1, 100, 1, 1), 100, began_at, state=ENDED,
            energy_wh=row["energy_wh"], ended_at=ended_at,
        )  # fmt: skip
        if bay := network.bays.get(row["bay"]):
            network.left.append((bay, visit))


def _period(visit: Visit, until: datetime) -> Raw:
    hours = round((until - visit.began_at).total_seconds() / 3600, 4)
    volumes = {"ENERGY": round(visit.energy_wh / 1000, 4), "TIME": hours}
    dimensions = [{"type": name, "volume": volume} for name, volume in volumes.items()]
    return {"start_date_time": instant(visit.began_at), "dimensions": dimensions}


def _address(site: NetworkSite) -> Raw:
    where = {"latitude": f"{site.latitude:.6f}", "longitude": f"{site.longitude:.6f}"}
    return {"id": site.id, "name": site.name, "address": site.address, "city": "Bengaluru", "country": "IND",
            "coordinates": where}  # fmt: skip


def _standard(bay: Bay) -> str:
    return "IEC_62196_T2_COMBO" if bay.plug == CCS2 else "IEC_62196_T2"
