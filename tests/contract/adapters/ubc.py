"""A CPO on UBC, with its registry and its discovery service."""

import asyncio
import copy
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from dispatch.models import Reservation
from fleetcharge.demo.peers.ubc import CDS, SuryaCharge, plugs
from stations.cpo.ubc import flow, signing, webhook
from stations.cpo.ubc.models import UBCItem, UBCNetwork, UBCOrder
from stations.models import Location, Source
from tests.contract.adapters.line import Line
from tests.contract.adapters.network import Network

BAP = "fleet.example"
WORDS = {"available": "Available", "charging": "Charging", "faulted": "Faulted"}


class UBC(Network):
    name = slug = "ubc"
    items: list[str]

    def connect(self) -> None:
        self.peer = SuryaCharge(plugs(3))
        self.line = Line(self.peer, too_much_mb=1)
        self.serve_ours(webhook.ubc)
        self.stack.callback(webhook.threads.close)
        self.stack.callback(self.line.close)
        self.line.open()
        self.peer.base = self.line.base
        self._patience, flow.QUIET_SECONDS = flow.QUIET_SECONDS, 0.1  # one BPP answers, in one message
        self.stack.callback(lambda: setattr(flow, "QUIET_SECONDS", self._patience))
        seed, public = signing.new_key_pair()
        self.peer.registry[BAP, "k1"] = public
        network = UBCNetwork(
            source=Source.objects.create(slug=self.slug, name="UBC", kind="ubc-0.9"), subscriber_id=BAP, key_id="k1",
            gateway_id=CDS, gateway_url=f"{self.line.base}/cds", order_kwh=10,
            registry_url=f"{self.line.base}/registry/dedi/lookup/{{subscriber_id}}/subscribers.beckn.one/{{key_id}}",
            areas=[{"latitude": 12.97, "longitude": 77.59, "radius_m": 20_000}],
        )  # fmt: skip
        network.signing_key = seed
        network.save()
        self.poll()
        self.sold = copy.deepcopy(self.peer.plugs)
        self.items = list(self.sold)
        found = dict(UBCItem.objects.values_list("item_id", "connector_id"))
        self.plugs = [found[self.items[0]], found[self.items[2]]]

    def calm(self) -> None:
        self.line.breaks = ""
        self.line.open()
        self.peer.plugs = copy.deepcopy(self.sold)
        self.peer.sales.clear()
        self.peer.owed.clear()
        self.peer.heard.clear()
        self.peer.extra_items = []
        self.peer.on_callback = lambda action, body: body
        self.answers("yes")

    # --- reading --------------------------------------------------------------------------------------------------
    def tell(self, status: str, at: datetime) -> None:
        raise AssertionError("UBC has no message about the status of a plug")

    def change(self, status: str) -> None:
        self.peer.plugs[self.items[0]].status = WORDS[status]

    def spoil(self) -> str:
        spoilt = self.items[2]
        for item in self.items[4:]:
            self.peer.plugs[item].name = "Renamed"

        def spoil(action: str, body: dict[str, Any]) -> dict[str, Any]:
            if action == "on_discover":
                for item in body["message"]["catalogs"][0]["beckn:items"]:
                    if item["beckn:id"] == spoilt:
                        item["beckn:itemAttributes"]["chargingStation"]["serviceLocation"]["geo"] = "here"
            return body

        self.peer.on_callback = spoil
        return spoilt

    def lose_site(self) -> None:
        """Its catalogues leave the site out for longer than three polls."""
        for item in self.items[2:4]:
            del self.peer.plugs[item]
        long_ago = timezone.now() - 4 * timedelta(seconds=self.source().poll_interval_seconds)
        UBCItem.objects.update(seen_at=long_ago)
        Location.objects.filter(source__slug=self.slug).update(created_at=long_ago)
        self.poll()

    def find_site(self) -> None:
        self.peer.plugs = copy.deepcopy(self.sold)
        self.poll()

    # --- promises and sessions ------------------------------------------------------------------------------------
    def answers(self, how: str) -> None:
        self.peer.plugs[self.items[0]].booked_by = "somebody" if how == "no" else ""
        self.peer.silent = {"select"} if how == "never" else set()

    def answer_late(self) -> None:
        self.peer.silent = set()
        asked = next(body for body in reversed(self.peer.heard) if body["context"]["action"] == "select")
        asyncio.run(self.peer._answer("bpp", "select", asked))

    def held(self) -> list[str]:
        return [sale.order_id for sale in self.peer.sales.values() if sale.status == "CONFIRMED"]

    def reference(self, row: Reservation) -> str:
        return str(UBCOrder.objects.get(reservation_key=str(row.key)).order_id)
