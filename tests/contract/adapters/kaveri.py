"""A vendor with JSON of its own: one that only pushes, and one that is polled and pushes."""

import asyncio
import copy
from datetime import UTC, datetime

import httpx
from django.utils import timezone

from fleetcharge.demo.peers import vendor
from fleetcharge.demo.peers.vendor import KaveriCharge, stations
from stations.cpo.webhooks import route
from stations.cpo.webhooks.models import DeadLetter, WebhookCount
from stations.models import Source
from stations.news import announcer
from stations.tests.hooks import SECRET, make_feed, make_kaveri
from tests.contract.adapters.line import Line
from tests.contract.adapters.network import Network

WORDS = {"available": "free", "charging": "in use", "faulted": "down"}


class Polled(Network):
    """`rest-poll`: its list is walked with a cursor, its events are pushed."""

    name, slug = "rest-poll", "kaveri"

    def connect(self) -> None:
        self.peer = KaveriCharge(stations(3), secret=SECRET)
        self.peer.page_size = 2
        self.line = Line(self.peer, too_much_mb=17)
        ours = self.serve_ours(route.hooks)
        self.stack.callback(route.threads.close)
        self.stack.callback(announcer.close)
        self.stack.callback(self.line.close)
        self.peer.hook_url = f"{ours}/hooks/{self.slug}"
        self.line.open()
        self.make()
        self.deliver()
        self.kept = copy.deepcopy(self.peer.stations)
        self.remember_plugs("KVR-001-1", "KVR-002-1")

    def make(self) -> None:
        make_kaveri(self.line.base)

    def calm(self) -> None:
        self.line.breaks = ""
        self.line.open()
        self.have(copy.deepcopy(self.kept))
        self.peer.changed.clear()

    def have(self, sites: list[vendor.KaveriStation]) -> None:
        self.peer.stations = sites
        self.peer.plugs = {plug.code: (site, plug) for site in sites for plug in site.plugs}

    def push(self, raw: bytes) -> dict[str, object]:
        """One delivery; what our side answered."""

        async def once() -> int:
            async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
                return int(await self.peer.push(http, raw))

        assert asyncio.run(once()) == 200, self.peer.answers[-1]
        answer: dict[str, object] = self.peer.answers[-1][1]
        return answer

    def tell(self, status: str, at: datetime) -> None:
        self.push(self.peer.envelope([self.peer.change("KVR-001-1", WORDS[status], at)]))

    def spoil(self) -> str:
        self.peer.stations[1].latitude = 999.0
        self.peer.stations[2].title, self.peer.stations[2].changed = "Renamed", datetime.now(UTC)
        return "KVR-002"

    def lose_site(self) -> None:
        del self.peer.stations[1]
        for _ in range(3):
            self.deliver()

    def find_site(self) -> None:
        self.have(copy.deepcopy(self.kept))
        self.deliver()


class Pushing(Polled):
    """`webhook`: it pushes its sites and their plugs; nobody can ask it for anything."""

    name = "webhook"

    def make(self) -> None:
        make_feed(
            kind="webhook", signature_header=vendor.SIGNATURE_HEADER, timestamp_header="", mapping=vendor.POLL_MAPPING,
        )  # fmt: skip

    def deliver(self) -> Source:
        self.push(self.peer.catalogue())
        return self.source()

    def tell(self, status: str, at: datetime) -> None:
        self.peer.change("KVR-001-1", WORDS[status], at)
        self.push(self.peer.catalogue("KVR-001"))

    def refused(self) -> dict[str, str]:
        letters = {row.subject: f"{row.code}: {row.detail}" for row in DeadLetter.objects.waiting()}
        codes = WebhookCount.objects.filter(code__in={each.split(":")[0] for each in letters.values()})
        assert codes.count() == len(letters)
        return letters

    def go_silent(self) -> None:
        """A vendor that only pushes is silent when it does not."""

    def speak(self) -> None:
        self.tell("available", timezone.now())
