"""Surya Charge in the city: the UBC simulator with a living world behind its catalogue."""

import hashlib
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetcharge.demo.bays import Bay, Booking
from fleetcharge.demo.blueprint import CCS2
from fleetcharge.demo.manifest import UBC_BAP, UBC_KEY
from fleetcharge.demo.network import Network
from fleetcharge.demo.peers.ubc import BPP, CDS, KEY, Plug, Sale, SuryaCharge, _public

HELD_FOR = timedelta(minutes=30)
SALES_KEPT = 300
Answer = tuple[dict[str, Any], dict[str, Any] | None]


class CitySurya(SuryaCharge):
    """`secret` makes its keys, so that a restart of the city changes nobody's registry."""

    def __init__(self, network: Network, base: str, secret: str, our_public_key: str) -> None:
        self.network = network
        self.bay_of: dict[str, Bay] = {}
        super().__init__(self._plugs())
        self.base = base
        self.keys = {name: _key(secret, name) for name in (BPP, CDS)}
        self.registry = {(name, KEY): _public(key) for name, key in self.keys.items()}
        self.registry[UBC_BAP, UBC_KEY] = our_public_key
        self.heard, self.refused, self.answers = deque(maxlen=50), deque(maxlen=50), deque(maxlen=50)  # type: ignore[assignment]

    def _plugs(self) -> list[Plug]:
        found = []
        for site in self.network.sites:
            for bay in site.bays:
                kind = "CCS2" if bay.plug == CCS2 else "Type2"
                plug = Plug(site.id, bay.number, f"Surya {site.name}", site.latitude, site.longitude, kind,
                            bay.max_power_w / 1000)  # fmt: skip
                self.bay_of[plug.item_id] = bay
                found.append(plug)
        return found

    def _discover(self, body: dict[str, Any]) -> tuple[dict[str, Any], None]:
        for item_id, plug in self.plugs.items():
            plug.status = self.bay_of[item_id].status
        return super()._discover(body)

    def _select(self, body: dict[str, Any]) -> Answer:
        for transaction_id in list(self.sales)[:-SALES_KEPT]:
            del self.sales[transaction_id]
        self._look(body["message"]["order"]["beckn:orderItems"][0]["beckn:orderedItem"])
        return super()._select(body)

    def _confirm(self, body: dict[str, Any]) -> Answer:
        sale = self.sales[body["context"]["transaction_id"]]
        self._look(sale.item_id)
        answer = super()._confirm(body)
        if sale.status == "CONFIRMED":
            self.bay_of[sale.item_id].booking = Booking(sale.transaction_id, "", datetime.now(UTC) + HELD_FOR)
        return answer

    def _look(self, item_id: str) -> None:
        """Who has the plug, as it is in the world."""
        bay, plug = self.bay_of[item_id], self.plugs[item_id]
        if bay.booking:
            plug.booked_by = bay.booking.number
        else:
            plug.booked_by = "" if bay.is_free_for("") and not bay.expected else "a passer-by"

    def _free(self, sale: Sale) -> None:
        super()._free(sale)
        bay = self.bay_of[sale.item_id]
        if bay.booking and bay.booking.number == sale.transaction_id:
            bay.booking = None


def _key(secret: str, name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{secret}:{name}".encode()).digest())
