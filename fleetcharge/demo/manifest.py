"""What the seed tells the city: addresses, identities and secrets, in one private JSON file."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

FILE_NAME = "demo_city.json"
USERS_FILE_NAME = "demo_users.json"
UBC_BAP, UBC_KEY = "fleet.demo.example", "demo-1"  # who we are on UBC


@dataclass
class PlugFacts:
    number: int
    plug: str
    max_power_w: int
    public_id: str


@dataclass
class ChargerFacts:
    """`quirks` are names of quirks.Quirk."""

    identity: str
    password: str
    protocol: str
    model: str
    site: str
    latitude: float
    longitude: float
    plugs: list[PlugFacts]
    quirks: list[str] = field(default_factory=list)


@dataclass
class VehicleFacts:
    """`fleet` is the organisation's slug; watts, watt-hours and Wh/km as in the catalogue."""

    id: int
    fleet: str
    registration: str
    device_id: str
    token_uid: str
    vehicle_class: str
    plugs: list[str]
    battery_wh: int
    max_ac_power_w: int
    max_dc_power_w: int
    charge_curve: list[list[float]]
    consumption_wh_per_km: int
    driver_id: int
    is_off_shift: bool = False


@dataclass
class FleetKeys:
    """API keys of one organisation."""

    telemetry: str
    integrator: str


@dataclass
class Manifest:
    seed: int
    digest: str
    demo_port: int
    token_a: str
    ubc_public_key: str = ""
    fleets: dict[str, FleetKeys] = field(default_factory=dict)
    chargers: list[ChargerFacts] = field(default_factory=list)
    vehicles: list[VehicleFacts] = field(default_factory=list)

    def secret_of(self, network: str) -> str:
        """What a simulated network shares with us, told from one secret."""
        return hashlib.sha256(f"{self.token_a}:{network}".encode()).hexdigest()[:48]

    def save(self, directory: Path) -> None:
        write_private(directory / FILE_NAME, asdict(self))

    @classmethod
    def load(cls, directory: Path) -> Self | None:
        """None when there is none, or one of an older form."""
        try:
            return cls._read(json.loads((directory / FILE_NAME).read_text()))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def _read(cls, raw: dict[str, Any]) -> Self:
        chargers = [
            ChargerFacts(**{**charger, "plugs": [PlugFacts(**plug) for plug in charger["plugs"]]})
            for charger in raw.pop("chargers")
        ]
        vehicles = [VehicleFacts(**vehicle) for vehicle in raw.pop("vehicles")]
        fleets = {slug: FleetKeys(**keys) for slug, keys in raw.pop("fleets").items()}
        return cls(chargers=chargers, vehicles=vehicles, fleets=fleets, **raw)


def write_private(path: Path, content: object) -> None:
    """Replace the file in one step; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=1)
    fresh.replace(path)
