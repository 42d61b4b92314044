"""CityPlug's sites that VoltGrid lists too, in its own words: one is plainly the same, two a person has to look at."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from fleetcharge.demo.bays import Bay
from fleetcharge.demo.network import CITYPLUG, Network, NetworkSite, Operator

METRES = 1 / 111_195
AS_LISTED = (
    (6, "{name}", "{address}"),
    (45, "{name} multi-level car park, basement two, south gate", ""),
    (52, "Municipal parking complex beside the flyover, {name}", ""),
)
"""How far north of the true place, name and address, of the first sites."""


@dataclass
class Partner:
    """`network` is the true one: the same bays, whose status both tell."""

    network: Network
    operator: Operator = CITYPLUG
    told: dict[str, str] = field(default_factory=dict)

    def sites(self) -> list[NetworkSite]:
        return [
            replace(
                site, name=name.format(name=site.name), address=address.format(name=site.name, address=site.address),
                latitude=round(site.latitude + metres * METRES, 6),
            )
            for site, (metres, name, address) in zip(self.network.sites, AS_LISTED, strict=False)
        ]  # fmt: skip

    def site_of(self, key: str) -> NetworkSite | None:
        return next((site for site in self.sites() if any(bay.key == key for bay in site.bays)), None)

    def bays(self) -> Iterator[Bay]:
        for site in self.sites():
            yield from site.bays

    def changed(self) -> list[str]:
        """The keys of bays that were not told as they are now."""
        now = {bay.key: self.network.status(bay) for bay in self.bays()}
        changed = [key for key, status in now.items() if self.told.get(key) != status]
        self.told = now
        return changed
