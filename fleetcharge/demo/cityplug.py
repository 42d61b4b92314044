"""CityPlug on the wire: a small CPO that still speaks OCPI 2.1.1, with a living world behind it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson

from fleetcharge.demo.bays import Bay, Booking
from fleetcharge.demo.blueprint import CCS2
from fleetcharge.demo.manifest import write_private
from fleetcharge.demo.network import CITYPLUG, COUNTRY, Network, NetworkSite
from fleetcharge.demo.ocpi import instant
from fleetcharge.demo.peers.ocpi import OCPIPeer
from fleetcharge.demo.uses import Uses, telling

FILE_NAME = "demo_cityplug.json"
VERSION, PUSH_PAUSE_SECONDS, PRICE_PER_KWH = "2.1.1", 1.0, 19.0
Raw = dict[str, Any]
logger = logging.getLogger("fleetcharge.demo")


class CityPlug(OCPIPeer):
    """`base_url` is its own address; what the handshake agreed is kept at `path` over restarts."""

    def __init__(self, network: Network, base_url: str, path: Path, token_a: str) -> None:
        super().__init__(VERSION)
        self.network, self.base_url, self.path, self.token_a = network, base_url, path, token_a
        self.accepted, self.page_size, self.calls = token_a, 25, deque(maxlen=50)  # type: ignore[assignment]
        self.stale = set(network.bays)
        self.is_running: Callable[[], bool] = lambda: True
        self.uses = Uses(VERSION, network, CITYPLUG, {"CTP-1": _tariff()}, {"CTP-1": PRICE_PER_KWH})
        self.told: dict[str, str] = {}
        self._recall()

    # --- handshake ------------------------------------------------------------------------------------------------
    def _recall(self) -> None:
        try:
            kept = orjson.loads(self.path.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return
        if kept.get("token_a") == self.token_a:
            self.accepted, self.their, self.their_endpoints = kept["accepted"], kept["their"], kept["endpoints"]

    async def _credentials(self, method: str, version: str, body: Any) -> Any:
        answer = await super()._credentials(method, version, body)
        self.accepted = self.accepted if self.their else self.token_a
        kept = {"token_a": self.token_a, "accepted": self.accepted, "their": self.their}
        write_private(self.path, {**kept, "endpoints": self.their_endpoints})
        self.stale.update(self.network.bays)
        return answer

    def _check_token(self, authorization: bytes) -> None:
        """Who lost its own token may register anew with the first one."""
        if authorization != f"Token {self.token_a}".encode():
            super()._check_token(authorization)

    def credentials(self, version: str, token: str) -> Raw:
        names = {"party_id": CITYPLUG.party, "country_code": COUNTRY, "business_details": {"name": CITYPLUG.name}}
        return {"token": token, "url": f"{self.base_url}/versions", **names}

    # --- what it lists --------------------------------------------------------------------------------------------
    def _list(self, name: str, ids: list[str], query: dict[str, str]) -> Any:
        if name == "locations":
            ordered = sorted(self.network.sites, key=lambda site: (site.updated_at, site.id))
            self.lists["locations"] = [self._location(site) for site in ordered]
        elif name == "tariffs":
            self.lists["tariffs"] = [_tariff()]
        elif name == "sessions":
            self.lists["sessions"] = self.uses.sessions(datetime.now(UTC))
        elif name == "cdrs":
            self.lists["cdrs"] = self.uses.records()
        return super()._list(name, ids, query)

    def _location(self, site: NetworkSite) -> Raw:
        return {
            "id": site.id, "type": "PARKING_LOT", "name": site.name, "address": site.address, "city": "Bengaluru",
            "postal_code": "560001", "country": "IND", "operator": {"name": CITYPLUG.name},
            "coordinates": {"latitude": f"{site.latitude:.6f}", "longitude": f"{site.longitude:.6f}"},
            "evses": [self._evse(bay) for bay in site.bays], "last_updated": instant(site.updated_at),
        }  # fmt: skip

    def _evse(self, bay: Bay) -> Raw:
        is_dc, changed = bay.plug == CCS2, instant(self.network.updated[bay.key])
        connector = {
            "id": "1", "standard": "IEC_62196_T2_COMBO" if is_dc else "IEC_62196_T2", "tariff_id": "CTP-1",
            "format": "CABLE" if is_dc else "SOCKET", "power_type": "DC" if is_dc else "AC_3_PHASE",
            "voltage": 500 if is_dc else 230, "amperage": bay.max_power_w // (500 if is_dc else 690),
            "last_updated": changed,
        }  # fmt: skip
        return {
            "uid": bay.key, "evse_id": f"{COUNTRY}*{CITYPLUG.party}*E{bay.key.replace('-', '')}",
            "status": self.network.status(bay), "capabilities": ["RESERVABLE", "RFID_READER"],
            "connectors": [connector], "physical_reference": f"Bay {bay.number}", "last_updated": changed,
        }  # fmt: skip

    # --- commands -------------------------------------------------------------------------------------------------
    def _command(self, kind: str, body: Raw) -> Raw:
        """Answered at once; the bay's word follows to response_url."""
        if kind != "RESERVE_NOW":
            return {"result": "NOT_SUPPORTED", "timeout": 0}
        until = datetime.fromisoformat(str(body["expiry_date"]).replace("Z", "+00:00"))
        until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
        booking = Booking(str(body["reservation_id"]), str(body["token"]["uid"]), until)
        is_held = self.network.reserve(str(body.get("evse_uid") or ""), booking) == "ACCEPTED"
        self._later(self.tell(str(body["response_url"]), "ACCEPTED" if is_held else "REJECTED"))
        return {"result": "ACCEPTED", "timeout": 30}

    # --- pushing --------------------------------------------------------------------------------------------------
    async def push_forever(self, http: httpx.AsyncClient) -> None:
        """Tell every change of status; what cannot be delivered is told again, newest state only."""
        failures = 0
        while True:
            await asyncio.sleep(min(20.0, PUSH_PAUSE_SECONDS * 2**failures))
            while self.network.changed:
                self.stale.add(self.network.changed.popleft().key)
            if self.is_running() and "locations" in self.their_endpoints:
                is_done = await self._push_stale(http) and await self._push_uses(http)
                failures = 0 if is_done else min(6, failures + 1)

    async def _push_uses(self, http: httpx.AsyncClient) -> bool:
        """Sessions of our vehicles as they grow, and each record once."""
        news = [each for each in self.uses.sessions(datetime.now(UTC)) if self.told.get(each["id"]) != telling(each)]
        try:
            for session in news:
                url = f"{self.their_endpoints['sessions'].rstrip('/')}/{COUNTRY}/{CITYPLUG.party}/{session['id']}"
                (await http.put(url, json=session, headers=self.headers())).raise_for_status()
                if session["status"] == "COMPLETED":
                    record = next(each for each in self.uses.records() if each["id"] == session["id"])
                    answer = await http.post(self.their_endpoints["cdrs"], json=record, headers=self.headers())
                    answer.raise_for_status()
                self.told[session["id"]] = telling(session)
        except httpx.HTTPError:
            return False
        return True

    async def _push_stale(self, http: httpx.AsyncClient) -> bool:
        base = f"{self.their_endpoints['locations'].rstrip('/')}/{COUNTRY}/{CITYPLUG.party}"
        for key in sorted(self.stale):
            site, bay = self.network.site_of[key], self.network.bays[key]
            body = {"status": self.network.status(bay), "last_updated": instant(self.network.updated[key])}
            try:
                answer = await http.patch(f"{base}/{site.id}/{key}", json=body, headers=self.headers())
            except httpx.HTTPError:
                return False
            if answer.status_code >= 500:
                return False
            self.stale.discard(key)
        return True


def _tariff() -> Raw:
    components = [{"type": "ENERGY", "price": PRICE_PER_KWH, "step_size": 1}]
    text = [{"language": "en", "text": "CityPlug, any plug"}]
    return {
        "id": "CTP-1", "currency": "INR", "tariff_alt_text": text, "elements": [{"price_components": components}],
        "last_updated": "2026-01-01T00:00:00Z",
    }  # fmt: skip
