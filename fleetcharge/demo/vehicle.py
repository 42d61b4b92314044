"""A simulated vehicle: it follows its stops, empties its battery, and does what a plan tells its driver."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from fleetcharge.demo.bays import Bay
from fleetcharge.demo.curves import Pack
from fleetcharge.demo.geography import Point
from fleetcharge.demo.manifest import VehicleFacts
from fleetcharge.demo.roads import Path

DRIVING, AT_STOP, TO_BAY, WAITING, PLUGGED_IN, STRANDED, TOWED = (
    "driving", "at_stop", "to_bay", "waiting", "plugged_in", "stranded", "towed",
)  # fmt: skip
# As seen on the map; the system calls anything faster a jump no vehicle can make.
TOP_SPEED_KMH = {"2W": 90, "3W": 65, "4W": 130, "LCV": 115, "BUS": 95, "TRUCK": 95}
LIMP_BELOW_PERCENT, STRANDED_BELOW_PERCENT = 4.0, 1.5
PARKED_OFFSET = 0.00008


@dataclass(frozen=True)
class SimStop:
    name: str
    latitude: float
    longitude: float

    @property
    def place(self) -> Point:
        return self.latitude, self.longitude


@dataclass
class SimVehicle:
    """`habit_percent`: below it the driver tops up at an own hub unasked; 0 for those who wait until they are told.

    `has_no_card`: its driver plugs in at own chargers and waits until somebody starts the session over the network.
    """

    facts: VehicleFacts
    pack: Pack
    place: Point
    habit_percent: float
    rng: random.Random
    state: str = AT_STOP
    path: Path | None = None
    travelled_m: float = 0.0
    heading_deg: float = 0.0
    street_kmh: float = 24.0
    odometer_m: float = 0.0
    pause_seconds: float = 0.0
    stops: list[SimStop] = field(default_factory=list)
    stops_version: int = 0
    bay: Bay | None = None
    plan_id: int | None = None
    done_plan_id: int | None = None
    target_percent: float = 80.0
    overstay_seconds: float = 0.0
    has_no_card: bool = False

    @property
    def registration(self) -> str:
        return self.facts.registration

    @property
    def is_on_the_road(self) -> bool:
        return self.state in (DRIVING, TO_BAY, TOWED)

    @property
    def charging(self) -> str:
        """As our ping format says it."""
        visit = self.bay.visit if self.bay and self.state == PLUGGED_IN else None
        if visit is None or visit.state != "charging" or self.bay is None:
            return "no"
        return "dc" if self.bay.is_dc else "ac"

    @property
    def shown_kmh(self) -> float:
        """The speed a tracker tells: the street's pace, 0 when standing."""
        return round(self.street_kmh, 1) if self.is_on_the_road else 0.0

    def set_out(self, state: str, goal: Point, find_path: Callable[[Point, Point], Path]) -> None:
        self.state, self.path, self.travelled_m = state, find_path(self.place, goal), 0.0
        self.street_kmh = self.rng.uniform(17, 31)

    def drive(self, seconds: float, speed: float) -> bool:
        """Move on for some wall-clock seconds; True on arrival. Energy follows the metres on the map."""
        if self.path is None:
            return True
        pace = 0.35 if self.pack.soc_percent < LIMP_BELOW_PERCENT and self.state != TOWED else 1.0
        kmh = min(self.street_kmh * speed * pace, TOP_SPEED_KMH.get(self.facts.vehicle_class, 115))
        metres = min(kmh / 3.6 * seconds, self.path.length_m - self.travelled_m)
        self.travelled_m += metres
        self.odometer_m += metres
        latitude, longitude, self.heading_deg = self.path.at(self.travelled_m)
        self.place = (latitude, longitude)
        if self.state != TOWED:
            self.pack.drain(metres / 1000 * self.facts.consumption_wh_per_km)
        return self.travelled_m >= self.path.length_m - 0.5

    def park_at(self, place: Point) -> None:
        """Never exactly on the pin; receivers are not that good."""
        jitter = self.rng.uniform(-PARKED_OFFSET, PARKED_OFFSET)
        self.place, self.path = (place[0] + jitter, place[1] - jitter), None
