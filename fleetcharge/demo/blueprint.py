"""What the demo city consists of: a pure function of the seed, so that every start builds the same city."""

import random
from dataclasses import dataclass

from fleetcharge.demo.geography import LOCALITIES
from fleetcharge.demo.quirks import HARMLESS, Quirk

CCS2, TYPE2 = "ccs2", "type2_socket"
TARIFF_DC, TARIFF_AC = "NAMMA-DC", "NAMMA-AC"
TARIFFS: dict[str, tuple[str, str, str]] = {
    TARIFF_DC: ("Namma DC fast", "16.50", "60.00"),
    TARIFF_AC: ("Namma AC", "11.00", "30.00"),
}  # id: name, rupees per kWh, rupees per hour plugged in and full

HUBS = (
    "Marathahalli", "Hebbal", "Koramangala", "Indiranagar", "Whitefield", "HSR Layout", "Electronic City", "KR Puram",
    "Yeshwanthpur", "Peenya", "Majestic", "Jayanagar", "Banashankari", "JP Nagar", "Bellandur", "Kengeri", "Yelahanka",
    "Nagavara", "Rajajinagar", "BTM Layout", "Hoodi", "Nayandahalli",
)  # fmt: skip

# protocol, model, plugs as (kind, watts); repeated over the hubs
CHARGER_KINDS: tuple[tuple[str, str, tuple[tuple[str, int], ...]], ...] = (
    ("ocpp1.6", "DC 120 Duo", ((CCS2, 120_000), (CCS2, 120_000))),
    ("ocpp2.0.1", "DC 60 Duo", ((CCS2, 60_000), (CCS2, 60_000))),
    ("ocpp1.6", "AC 22", ((TYPE2, 22_000),)),
    ("ocpp2.1", "DC 120", ((CCS2, 120_000),)),
    ("ocpp1.6", "DC 60", ((CCS2, 60_000),)),
    ("ocpp1.6", "DC 30 Duo", ((CCS2, 30_000), (CCS2, 30_000))),
    ("ocpp2.0.1", "DC 120 Duo", ((CCS2, 120_000), (CCS2, 120_000))),
)

# index of the charger: how it is odd. Its sessions stay right; see quirks.HARMLESS.
ODD_CHARGERS: dict[int, tuple[Quirk, ...]] = {index * 6 + 4: (quirk,) for index, quirk in enumerate(HARMLESS)}

FIRST_NAMES = (
    "Imran", "Ravi", "Lakshmi", "Suresh", "Anitha", "Manjunath", "Deepa", "Farhan", "Kiran", "Naveen", "Priya", "Gopal",
    "Shanthi", "Venkat", "Asha", "Joseph", "Bharath", "Meena", "Salim", "Girish", "Kavya", "Prakash", "Rehana", "Mohan",
)  # fmt: skip

# share of the fleet, maker, model
LOGISTICS_MODELS = (
    (22, "Tata", "Ace EV"),
    (14, "Mahindra", "ZEO 21"),
    (14, "Euler", "Storm / LongRange"),
    (14, "Switch", "IeV 4"),
    (10, "Montra", "Eviator"),
    (6, "MG", "Windsor EV"),
)
CAB_MODELS = (("Tata", "Nexon EV Long Range"), ("MG", "Windsor EV"), ("BYD", "e6"))


@dataclass(frozen=True)
class PlugPlan:
    """One plug of a charger; `number` counts over the charger from 1."""

    number: int
    plug: str
    max_power_w: int

    @property
    def tariff_id(self) -> str:
        return TARIFF_DC if self.plug == CCS2 else TARIFF_AC


@dataclass(frozen=True)
class ChargerPlan:
    identity: str
    protocol: str
    model: str
    plugs: tuple[PlugPlan, ...]
    quirks: tuple[str, ...] = ()


@dataclass(frozen=True)
class HubPlan:
    name: str
    address: str
    latitude: float
    longitude: float
    chargers: tuple[ChargerPlan, ...]


@dataclass(frozen=True)
class VehiclePlan:
    """`is_off_shift`: nobody is rostered on it today, so its charging is finance's business."""

    registration: str
    device_id: str
    token_uid: str
    manufacturer: str
    model: str
    driver: str
    depot: str
    is_off_shift: bool = False


@dataclass(frozen=True)
class Blueprint:
    """Own hubs, the logistics fleet and the strangers' cabs."""

    seed: int
    hubs: tuple[HubPlan, ...]
    vehicles: tuple[VehiclePlan, ...]
    cabs: tuple[VehiclePlan, ...]


def draw(seed: int, chargers: int = 60, vehicles: int = 80, cabs: int = 4) -> Blueprint:
    rng = random.Random(f"blueprint:{seed}")
    plates: set[str] = set()
    return Blueprint(
        seed,
        _hubs(rng, chargers),
        tuple(_vehicle(rng, index, plates) for index in range(vehicles)),
        tuple(_cab(rng, index, plates) for index in range(cabs)),
    )


def _hubs(rng: random.Random, chargers: int) -> tuple[HubPlan, ...]:
    shares = [chargers // len(HUBS) + (1 if index < chargers % len(HUBS) else 0) for index in range(len(HUBS))]
    hubs, first = [], 0
    for name, share in zip(HUBS, shares, strict=True):
        latitude, longitude = LOCALITIES[name]
        plans = tuple(_charger(number) for number in range(first, first + share))
        place = (round(latitude + rng.uniform(-0.002, 0.002), 6), round(longitude + rng.uniform(-0.002, 0.002), 6))
        hubs.append(HubPlan(f"{name} Hub", f"{rng.randint(1, 190)}, Main Road, {name}", *place, plans))
        first += share
    return tuple(hub for hub in hubs if hub.chargers)


def _charger(number: int) -> ChargerPlan:
    protocol, model, plugs = CHARGER_KINDS[number % len(CHARGER_KINDS)]
    numbered = tuple(PlugPlan(index, plug, watts) for index, (plug, watts) in enumerate(plugs, start=1))
    odd = tuple(map(str, ODD_CHARGERS.get(number, ())))
    return ChargerPlan(f"BLR-{number + 1:03d}", protocol, model, numbered, odd)


def _vehicle(rng: random.Random, index: int, plates: set[str]) -> VehiclePlan:
    """The first one is the vehicle everybody watches: it runs low within the first half minute."""
    plate = "KA 03 MX 4471" if index == 0 else _plate(rng)
    while plate in plates:
        plate = _plate(rng)
    plates.add(plate)
    manufacturer, model = ("Tata", "Ace EV") if index == 0 else _model(index)
    driver = "Imran S" if index == 0 else f"{rng.choice(FIRST_NAMES)} {rng.choice('ABCDGHJKMNPRSTV')}"
    return VehiclePlan(
        plate, f"fc-{_compact(plate)}", f"NL{index + 1:04d}{rng.getrandbits(24):06X}", manufacturer, model, driver,
        f"{rng.choice(HUBS[:8])} Hub", is_off_shift=index == 5,
    )  # fmt: skip


def _cab(rng: random.Random, index: int, plates: set[str]) -> VehiclePlan:
    plate = _plate(rng)
    while plate in plates:
        plate = _plate(rng)
    plates.add(plate)
    token = f"DC{index + 1:04d}{rng.getrandbits(24):06X}"
    return VehiclePlan(
        plate, f"dc-{_compact(plate)}", token, *CAB_MODELS[index % 3], f"{rng.choice(FIRST_NAMES)} C", ""
    )


def _model(index: int) -> tuple[str, str]:
    """The mix repeats every eighty vehicles, well shuffled by a step coprime to it."""
    place = index * 37 % sum(share for share, _, _ in LOGISTICS_MODELS)
    for share, manufacturer, model in LOGISTICS_MODELS:
        if place < share:
            return manufacturer, model
        place -= share
    raise AssertionError("the shares cover every place")


def _plate(rng: random.Random) -> str:
    district = rng.choice(("01", "02", "03", "04", "05", "41", "51", "53"))
    letters = rng.choice("AMNKHC") + rng.choice("ABCDEFGHJKMPQRSTXYZ")
    return f"KA {district} {letters} {rng.randint(1000, 9999)}"


def _compact(plate: str) -> str:
    return plate.replace(" ", "").lower()
