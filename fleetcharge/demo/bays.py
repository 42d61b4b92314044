"""A bay: one plug at one place, whoever may stand at it, and what its meter has counted."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fleetcharge.demo.blueprint import CCS2
from fleetcharge.demo.curves import Pack
from fleetcharge.lib.geo import distance_m

PLUGGED, CHARGING, FULL, REFUSED, ENDED = "plugged", "charging", "full", "refused", "ended"


@dataclass
class Booking:
    """A reservation the bay has accepted; `token` "" where whoever shows the order may charge (UBC)."""

    number: str
    token: str
    expires_at: datetime

    def is_for(self, token: str) -> bool:
        return self.token in ("", token)


@dataclass
class Visit:
    """A car at a bay, from plugging in to leaving. `vehicle` is the registration, '' for a passer-by.

    `transaction_ref` is what the system calls it; empty until it has answered.
    """

    key: str
    vehicle: str
    token: str
    pack: Pack
    target_percent: float
    began_at: datetime
    state: str = PLUGGED
    energy_wh: float = 0.0
    power_w: float = 0.0
    meter_start_wh: int = 0
    transaction_ref: str = ""
    sequence: int = 0
    reservation: str = ""
    remote_start_id: int | None = None
    wait_until: datetime | None = None
    ended_at: datetime | None = None
    stop_reason: str = ""
    waits_for_start: bool = False
    """Plugged in, and no card shown: somebody has to start it over the network."""

    @property
    def is_running(self) -> bool:
        """A transaction is open."""
        return self.state in (CHARGING, FULL)


@dataclass
class Bay:
    """`key` is unique in the city: "BLR-007/1", or an OCPI EVSE uid."""

    key: str
    number: int
    site: str
    latitude: float
    longitude: float
    plug: str
    max_power_w: int
    meter_wh: float = 0.0
    fault: str = ""
    booking: Booking | None = None
    visit: Visit | None = None
    expected: str = ""
    is_own: bool = True
    public_id: str = ""
    cleared_at: datetime | None = field(default=None, repr=False)
    is_switched_off: bool = False
    limit_w: float | None = None

    @property
    def is_dc(self) -> bool:
        return self.plug == CCS2

    @property
    def place(self) -> tuple[float, float]:
        return self.latitude, self.longitude

    @property
    def status(self) -> str:
        """As OCPP 1.6 says it."""
        if self.fault:
            return "Faulted"
        if self.visit:
            if self.visit.state == CHARGING and self.limit_w == 0:
                return "SuspendedEVSE"
            return {CHARGING: "Charging", FULL: "SuspendedEV", ENDED: "Finishing"}.get(self.visit.state, "Preparing")
        if self.is_switched_off:
            return "Unavailable"
        return "Reserved" if self.booking else "Available"

    def is_free_for(self, token: str) -> bool:
        is_usable = not self.fault and not self.is_switched_off and self.visit is None
        return is_usable and (self.booking is None or self.booking.is_for(token))

    def deliver(self, seconds: float, speed: float) -> None:
        """Charge for some wall-clock seconds; the battery lives `speed` times faster, as plug and profile allow.

        The cap keeps power x time = energy true on the wire, where time is real.
        """
        visit = self.visit
        if visit is None or visit.state != CHARGING:
            return
        wanted_w = min(self.max_power_w, visit.pack.accepts_w(self.is_dc) * speed)
        visit.power_w = wanted_w if self.limit_w is None else min(wanted_w, self.limit_w)
        energy_wh = visit.power_w * seconds / 3600
        visit.energy_wh += energy_wh
        self.meter_wh += energy_wh
        visit.pack.fill(energy_wh, self.is_dc)
        if visit.pack.soc_percent >= visit.target_percent or wanted_w < 100:
            visit.state, visit.power_w = FULL, 0.0

    def expire_booking(self, now: datetime) -> bool:
        if self.booking and self.booking.expires_at <= now:
            self.booking = None
            return True
        return False


def nearest_free(bays: Iterable[Bay], place: tuple[float, float], plugs: list[str], token: str) -> Bay | None:
    """The closest bay nobody uses, wants or has reserved, with a plug that fits; fast ones first at one site."""
    fitting = [bay for bay in bays if bay.plug in plugs and not bay.expected and bay.is_free_for(token)]
    return min(fitting, key=lambda bay: (round(distance_m(*place, *bay.place) / 300), -bay.max_power_w), default=None)


def facts_of(bay: Bay, visit: Visit) -> dict[str, Any]:
    """What this charger knows to be true of a session, for kill tests."""
    return {
        "key": visit.key,
        "bay": bay.key,
        "vehicle": visit.vehicle,
        "token": visit.token,
        "transaction_ref": visit.transaction_ref,
        "state": visit.state,
        "started_at": visit.began_at.isoformat(),
        "ended_at": visit.ended_at.isoformat() if visit.ended_at else None,
        "meter_start_wh": visit.meter_start_wh,
        "meter_wh": int(bay.meter_wh),
        "energy_wh": int(bay.meter_wh) - visit.meter_start_wh,
        "soc_percent": round(visit.pack.soc_percent, 2),
        "is_acknowledged": False,
    }
