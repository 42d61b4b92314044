"""Public charging networks whose cars come and go: the world behind the simulators of CPOs, without I/O."""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fleetcharge.demo.bays import CHARGING, FULL, REFUSED, Bay, Booking, Visit
from fleetcharge.demo.blueprint import CCS2, TYPE2
from fleetcharge.demo.curves import Pack
from fleetcharge.demo.geography import LOCALITIES

COUNTRY, PARTY, NAME = "IN", "VLT", "VoltGrid"
PLACES = ("Tech Park", "Mall", "Metro Station", "Bus Terminus", "Market Square", "Bridge", "Lake Road", "Fuel Plaza")
LAYOUTS = (
    ((CCS2, 120_000), (CCS2, 120_000), (CCS2, 60_000), (CCS2, 60_000)),
    ((CCS2, 60_000), (CCS2, 60_000), (TYPE2, 22_000), (TYPE2, 22_000)),
    ((CCS2, 60_000), (CCS2, 30_000), (CCS2, 30_000), (TYPE2, 11_000)),
)
SMALL_LAYOUTS = (((CCS2, 60_000), (TYPE2, 22_000)), ((CCS2, 30_000), (CCS2, 30_000)))
STATUS = {"Available": "AVAILABLE", "Reserved": "RESERVED", "Faulted": "OUTOFORDER", "Preparing": "BLOCKED"}
PARK_SECONDS, IDLE_SECONDS, FAULT_SECONDS = 2000.0, 3600.0, 2400.0
FAULT_SHARE = 0.015
LEAST_BILLED_WH = 50.0
"""Who drew less has not charged."""


@dataclass(frozen=True)
class Operator:
    """Who runs a network, and how large it is here. `party` is its id in OCPI; bays are named after it."""

    name: str
    party: str
    sites: int
    layouts: tuple[tuple[tuple[str, int], ...], ...] = LAYOUTS
    places: tuple[str, ...] = PLACES
    first: str = ""


VOLTGRID = Operator(NAME, PARTY, 75, first="Marathahalli Bridge")
CITYPLUG = Operator("CityPlug", "CTP", 10, SMALL_LAYOUTS, ("Kalyana Mantapa", "Arcade", "Hospital", "Stadium"))
SURYA = Operator("Surya Charge", "SUR", 8, SMALL_LAYOUTS, ("Solar Park", "Petrol Bunk", "Food Court"))
KAVERI = Operator(
    "Kaveri Charge", "KVR", 6, (((CCS2, 60_000), (CCS2, 30_000), (TYPE2, 7_400)),), ("Circle", "Junction")
)


@dataclass
class NetworkSite:
    """One OCPI Location; each bay is one EVSE with one connector."""

    id: str
    name: str
    address: str
    latitude: float
    longitude: float
    bays: list[Bay]
    updated_at: datetime


@dataclass
class Network:
    """Passers-by occupy the bays; our vehicles come with a reservation."""

    sites: list[NetworkSite]
    rng: random.Random
    changed: deque[Bay] = field(default_factory=deque)
    left: deque[tuple[Bay, Visit]] = field(default_factory=lambda: deque(maxlen=200))
    updated: dict[str, datetime] = field(default_factory=dict)
    _shown: dict[str, str] = field(default_factory=dict)
    _timers: list[tuple[float, int, str]] = field(default_factory=list)
    _timer_of: dict[str, int] = field(default_factory=dict)
    _clock: float = 0.0
    _count: int = 0

    def __post_init__(self) -> None:
        self.bays = {bay.key: bay for site in self.sites for bay in site.bays}
        self.site_of = {bay.key: site for site in self.sites for bay in site.bays}

    @property
    def all_bays(self) -> list[Bay]:
        return list(self.bays.values())

    def open(self, now: datetime) -> None:
        """A third of the bays is in use when the curtain rises."""
        for bay in self.bays.values():
            if self.rng.random() < 0.34:
                self._occupy(bay, now)
            self._shown[bay.key] = self.status(bay)
            self.updated[bay.key] = now
            self._set_timer(bay, self._duration(bay) * self.rng.random())

    def step(self, seconds: float, speed: float, now: datetime) -> None:
        """Let the network live for some wall-clock seconds."""
        self._clock += seconds * speed
        while self._timers and self._timers[0][0] <= self._clock:
            _, number, key = heapq.heappop(self._timers)
            if self._timer_of[key] == number:  # else it was set anew meanwhile
                self._turn(self.bays[key], now)
        for bay in self.bays.values():
            if bay.booking:
                bay.expire_booking(now)
            if bay.visit and bay.visit.vehicle:
                bay.deliver(seconds, speed)
        self._notice(now)

    def status(self, bay: Bay) -> str:
        """As OCPI says it."""
        return STATUS.get(bay.status, "CHARGING")

    def plug_in(self, bay: Bay, visit: Visit, now: datetime) -> None:
        bay.expected, bay.visit = "", visit
        if bay.booking and not bay.booking.is_for(visit.token):
            visit.state = REFUSED
            return
        visit.state, visit.began_at, visit.meter_start_wh, bay.booking = CHARGING, now, int(bay.meter_wh), None

    def leave(self, bay: Bay, now: datetime) -> None:
        """One of ours goes; what it drew is kept for who reports it."""
        if bay.visit and bay.visit.vehicle and self.has_charged(bay.visit):
            bay.visit.ended_at = now
            self.left.append((bay, bay.visit))
        bay.visit = None
        self._set_timer(bay, self._duration(bay))

    @staticmethod
    def has_charged(visit: Visit) -> bool:
        return visit.state != REFUSED and visit.energy_wh >= LEAST_BILLED_WH

    def reserve(self, key: str, booking: Booking) -> str:
        """The OCPI CommandResult."""
        bay = self.bays.get(key)
        if bay is None:
            return "REJECTED"
        if bay.fault:
            return "EVSE_INOPERATIVE"
        if bay.visit or (bay.booking and bay.booking.number != booking.number):
            return "EVSE_OCCUPIED"
        bay.booking = booking
        return "ACCEPTED"

    def cancel(self, number: str) -> str:
        for bay in self.bays.values():
            if bay.booking and bay.booking.number == number:
                bay.booking = None
                return "ACCEPTED"
        return "UNKNOWN_RESERVATION"

    def _turn(self, bay: Bay, now: datetime) -> None:
        """What happens next at a bay, unless one of ours stands there or is on the way."""
        is_ours = bool((bay.visit and bay.visit.vehicle) or bay.booking or bay.expected)
        if bay.fault:
            bay.fault = ""
        elif not is_ours and bay.visit:
            bay.visit = None
        elif not is_ours and self.rng.random() < FAULT_SHARE:
            bay.fault = "OtherError"
        elif not is_ours:
            self._occupy(bay, now)
        self._set_timer(bay, self._duration(bay))

    def _occupy(self, bay: Bay, now: datetime) -> None:
        pack = Pack(30_000, self.rng.uniform(20, 60), 7_000, 50_000)
        self._count += 1
        bay.visit = Visit(f"passer-by-{self._count}", "", "", pack, 80, now, state=CHARGING)

    def _duration(self, bay: Bay) -> float:
        """Simulated seconds until the next turn."""
        mean = FAULT_SECONDS if bay.fault else PARK_SECONDS if bay.visit else IDLE_SECONDS
        return 120 + self.rng.expovariate(1 / mean)

    def _set_timer(self, bay: Bay, seconds: float) -> None:
        self._count += 1
        self._timer_of[bay.key] = self._count
        heapq.heappush(self._timers, (self._clock + seconds, self._count, bay.key))

    def _notice(self, now: datetime) -> None:
        for bay in self.bays.values():
            if self._shown.get(bay.key) != self.status(bay):
                self._shown[bay.key] = self.status(bay)
                self.updated[bay.key] = self.site_of[bay.key].updated_at = now
                self.changed.append(bay)


def draw_network(seed: int, now: datetime, operator: Operator = VOLTGRID) -> Network:
    """The same sites and bays for the same seed."""
    rng = random.Random(f"network:{seed}" if operator is VOLTGRID else f"network:{seed}:{operator.party}")
    names = [f"{locality} {place}" for place in operator.places for locality in LOCALITIES if place]
    chosen = [operator.first] if operator.first else []
    chosen += rng.sample([name for name in names if name != operator.first], operator.sites - len(chosen))
    sites = [_site(rng, operator, number, name, now) for number, name in enumerate(chosen, start=1)]
    network = Network(sites, rng)
    network.open(now - timedelta(seconds=1))
    return network


def _site(rng: random.Random, operator: Operator, number: int, name: str, now: datetime) -> NetworkSite:
    locality = next(known for known in sorted(LOCALITIES, key=len, reverse=True) if name.startswith(known))
    latitude, longitude = LOCALITIES[locality]
    place = (round(latitude + rng.uniform(-0.011, 0.011), 6), round(longitude + rng.uniform(-0.011, 0.011), 6))
    bays = [
        Bay(f"{operator.party}-{number:03d}-{index}", index, name, *place, plug, watts, is_own=False)
        for index, (plug, watts) in enumerate(rng.choice(operator.layouts), start=1)
    ]
    address = f"{rng.randint(1, 400)}, {locality} Main Road"
    return NetworkSite(f"{operator.party}{number:03d}", name, address, *place, bays, now)


__all__ = [
    "CITYPLUG", "COUNTRY", "FULL", "KAVERI", "NAME", "PARTY", "SURYA", "VOLTGRID", "Network", "NetworkSite",
    "Operator", "draw_network",
]  # fmt: skip
