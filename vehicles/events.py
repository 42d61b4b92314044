"""What vehicles tell the apps above them."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class VehicleMove(NamedTuple):
    """The new latest state of one vehicle, as stored."""

    vehicle_id: int
    organisation_id: int
    latitude: float
    longitude: float
    speed_kmh: float | None
    heading_deg: float | None
    soc_percent: float | None
    is_charging: bool
    is_soc_low: bool
    at: datetime


@dataclass(frozen=True)
class VehiclesMoved:
    """One committed batch of pings changed these vehicles' latest state (one entry per vehicle)."""

    moves: tuple[VehicleMove, ...]


@dataclass(frozen=True)
class SocLow:
    """A vehicle's charge crossed below its organisation's limit. `telemetry_version` makes the answer idempotent."""

    vehicle_id: int
    organisation_id: int
    soc_percent: float
    telemetry_version: int
    at: datetime


@dataclass(frozen=True)
class SocRecovered:
    """A vehicle's charge rose above the clear limit again."""

    vehicle_id: int
    organisation_id: int
    soc_percent: float
    at: datetime


@dataclass(frozen=True)
class StopDone:
    """A vehicle was at its next stop, or somebody said so; the one behind it is the next now."""

    stop_id: int
    vehicle_id: int
    organisation_id: int
    at: datetime


@dataclass(frozen=True)
class GeofenceCrossed:
    """A vehicle came into a geofence (`entered`) or left it (`left`), now. Never for late or doubtful positions."""

    event_id: int
    vehicle_id: int
    organisation_id: int
    geofence_id: int
    kind: str
    at: datetime


@dataclass(frozen=True)
class TrackerAlarmRaised:
    """A tracker calls for somebody, now: an emergency button, tampering, a cut supply. Never for late messages."""

    alarm_id: int
    vehicle_id: int
    organisation_id: int
    kind: str
    at: datetime


@dataclass(frozen=True)
class TrackerAlarmCleared:
    """The tracker says it is over."""

    vehicle_id: int
    organisation_id: int
    kind: str
    at: datetime
