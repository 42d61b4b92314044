"""The networks of the city side by side, each behind a door of its own that can be shut."""

from pathlib import Path

from fleetcharge.demo.city import City
from fleetcharge.demo.cityplug import FILE_NAME as CITYPLUG_FILE
from fleetcharge.demo.cityplug import CityPlug
from fleetcharge.demo.control import Peer
from fleetcharge.demo.cpo import Cpo
from fleetcharge.demo.manifest import Manifest
from fleetcharge.demo.surya import CitySurya

VOLTGRID, CITYPLUG, SURYA = "voltgrid", "cityplug", "surya"


class Peers:
    """`doors` by the name of the network, as the control door and the addresses name it."""

    def __init__(self, city: City, manifest: Manifest, base: str, var: Path, voltgrid: Cpo) -> None:
        secret = manifest.secret_of(CITYPLUG)
        self.cityplug = CityPlug(city.cityplug, f"{base}/{CITYPLUG}", var / CITYPLUG_FILE, secret)
        self.surya = CitySurya(city.surya, f"{base}/{SURYA}", manifest.secret_of(SURYA), manifest.ubc_public_key)
        self.doors = {VOLTGRID: Peer(voltgrid), CITYPLUG: Peer(self.cityplug), SURYA: Peer(self.surya)}
        for peer, door in ((voltgrid, self.doors[VOLTGRID]), (self.cityplug, self.doors[CITYPLUG])):
            peer.is_running = door.answers
