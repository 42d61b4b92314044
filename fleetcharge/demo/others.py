"""The networks of the city side by side, each behind a door of its own that can be shut."""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

import httpx

from fleetcharge.demo.city import City
from fleetcharge.demo.cityplug import FILE_NAME as CITYPLUG_FILE
from fleetcharge.demo.cityplug import CityPlug
from fleetcharge.demo.control import Peer
from fleetcharge.demo.cpo import Cpo
from fleetcharge.demo.manifest import Manifest
from fleetcharge.demo.peers.vendor import KaveriCharge, stations
from fleetcharge.demo.surya import CitySurya

VOLTGRID, CITYPLUG, SURYA, KAVERI = "voltgrid", "cityplug", "surya", "kaveri"
KAVERI_TELLS_EVERY_SECONDS = 5.0


class CityKaveri(KaveriCharge):
    """Says nothing while its door is shut, and tells it all afterwards."""

    is_running: Callable[[], bool] = staticmethod(lambda: True)

    def __init__(self, hook_url: str, secret: str) -> None:
        super().__init__(stations(6), hook_url=hook_url, secret=secret, key=secret)
        self.answers, self.asked = deque(maxlen=50), deque(maxlen=50)  # type: ignore[assignment]

    async def push_changes(self, http: httpx.AsyncClient) -> bool:
        return not self.is_running() or await super().push_changes(http)


class Peers:
    """`doors` by the name of the network, as the control door and the addresses name it."""

    def __init__(self, city: City, manifest: Manifest, base: str, var: Path, voltgrid: Cpo, our_door: str) -> None:
        secret = manifest.secret_of(CITYPLUG)
        self.cityplug = CityPlug(city.cityplug, f"{base}/{CITYPLUG}", var / CITYPLUG_FILE, secret)
        self.surya = CitySurya(city.surya, f"{base}/{SURYA}", manifest.secret_of(SURYA), manifest.ubc_public_key)
        self.kaveri = CityKaveri(f"{our_door}/hooks/{KAVERI}", manifest.secret_of(KAVERI))
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
