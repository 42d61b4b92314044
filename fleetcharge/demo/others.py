"""The networks of the city side by side, each behind a door of its own that can be shut."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx

from fleetcharge.demo.city import City
from fleetcharge.demo.cityplug import FILE_NAME as CITYPLUG_FILE
from fleetcharge.demo.cityplug import CityPlug
from fleetcharge.demo.control import Peer
from fleetcharge.demo.cpo import Cpo
from fleetcharge.demo.manifest import Manifest
from fleetcharge.demo.network import Network
from fleetcharge.demo.peers.vendor import KaveriCharge, KaveriPlug, KaveriStation
from fleetcharge.demo.surya import CitySurya

VOLTGRID, CITYPLUG, SURYA, KAVERI = "voltgrid", "cityplug", "surya", "kaveri"
KAVERI_TELLS_EVERY_SECONDS = 5.0
KAVERI_SAYS = {"AVAILABLE": "free", "RESERVED": "booked", "OUTOFORDER": "down"}


class CityKaveri(KaveriCharge):
    """The vendor with a living world behind it. Says nothing while its door is shut, and tells it all afterwards."""

    is_running: Callable[[], bool] = staticmethod(lambda: True)

    def __init__(self, network: Network, hook_url: str, secret: str) -> None:
        self.network = network
        super().__init__(_kaveri_stations(network), hook_url=hook_url, secret=secret, key=secret)
        self.answers, self.asked = deque(maxlen=50), deque(maxlen=50)  # type: ignore[assignment]

    def step(self, at: datetime) -> None:
        """What has changed in the world since the last look."""
        for key, bay in self.network.bays.items():
            state = KAVERI_SAYS.get(self.network.status(bay), "in use")
            if self.plugs[key][1].state != state:
                self.change(key, state, at)

    async def push_changes(self, http: httpx.AsyncClient) -> bool:
        return not self.is_running() or await super().push_changes(http)


def _kaveri_stations(network: Network) -> list[KaveriStation]:
    found = []
    for site in network.sites:
        plugs = [
            KaveriPlug(
                bay.key, kind="CCS-2" if bay.is_dc else "Type-2", kw=bay.max_power_w / 1000,
                rate="Rs 19.5/kWh" if bay.is_dc else "Rs.14/-", state=KAVERI_SAYS.get(network.status(bay), "in use"),
            )
            for bay in site.bays
        ]  # fmt: skip
        code = site.bays[0].key.rpartition("-")[0]
        found.append(KaveriStation(code, site.name, site.latitude, site.longitude, plugs))
    return found


class Peers:
    """`doors` by the name of the network, as the control door and the addresses name it."""

    def __init__(self, city: City, manifest: Manifest, base: str, var: Path, voltgrid: Cpo, our_door: str) -> None:
        secret = manifest.secret_of(CITYPLUG)
        self.cityplug = CityPlug(city.cityplug, f"{base}/{CITYPLUG}", var / CITYPLUG_FILE, secret)
        self.surya = CitySurya(city.surya, f"{base}/{SURYA}", manifest.secret_of(SURYA), manifest.ubc_public_key)
        self.kaveri = CityKaveri(city.kaveri, f"{our_door}/hooks/{KAVERI}", manifest.secret_of(KAVERI))
        self.doors = {
            VOLTGRID: Peer(voltgrid), CITYPLUG: Peer(self.cityplug), SURYA: Peer(self.surya), KAVERI: Peer(self.kaveri),
        }  # fmt: skip
        voltgrid.is_running = self.doors[VOLTGRID].answers
        self.cityplug.is_running = self.doors[CITYPLUG].answers
        self.kaveri.is_running = self.doors[KAVERI].answers

    async def push_forever(self, http: httpx.AsyncClient) -> None:
        """Surya never pushes, VoltGrid does so by itself."""
        await asyncio.gather(
            self.cityplug.push_forever(http),
            self.kaveri.push_forever(http, every_seconds=KAVERI_TELLS_EVERY_SECONDS),
        )
