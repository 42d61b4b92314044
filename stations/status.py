"""Which status do we show? Pure: everything known about a connector in, one status and its reason out."""

from dataclasses import dataclass
from datetime import datetime, timedelta

AVAILABLE, OCCUPIED, CHARGING, RESERVED = "available", "occupied", "charging", "reserved"
UNAVAILABLE, FAULTED, UNKNOWN = "unavailable", "faulted", "unknown"

LIVE, RECENT, STALE, NONE = "live", "recent", "stale", "none"

# OCPP 1.6 ChargePointStatus (section 7.7) and OCPP 2.x ConnectorStatusEnumType
FROM_OCPP = {
    "Available": AVAILABLE,
    "Preparing": OCCUPIED,
    "Charging": CHARGING,
    "SuspendedEV": OCCUPIED,
    "SuspendedEVSE": OCCUPIED,
    "Finishing": OCCUPIED,
    "Reserved": RESERVED,
    "Unavailable": UNAVAILABLE,
    "Faulted": FAULTED,
    "Occupied": OCCUPIED,
}
# OCPI 2.2.1 EVSE status
FROM_OCPI = {
    "AVAILABLE": AVAILABLE,
    "BLOCKED": OCCUPIED,
    "CHARGING": CHARGING,
    "INOPERATIVE": UNAVAILABLE,
    "OUTOFORDER": FAULTED,
    "PLANNED": UNAVAILABLE,
    "REMOVED": UNAVAILABLE,
    "RESERVED": RESERVED,
    "UNKNOWN": UNKNOWN,
}


@dataclass(frozen=True)
class StatusInputs:
    """What is known: the source's own word (unified) and everything that outranks it."""

    reported: str
    is_station_faulted: bool = False
    is_station_inoperative: bool = False
    is_switched_off: bool = False
    is_offline: bool = False
    has_session: bool = False
    is_delivering: bool = False
    is_held: bool = False
    is_flapping: bool = False
    shown: str = UNKNOWN


# From the best to the worst: a plug that blinks is shown at its worst until it is calm.
BADNESS = (AVAILABLE, RESERVED, OCCUPIED, CHARGING, UNAVAILABLE, FAULTED)


def decide(inputs: StatusInputs) -> tuple[str, str]:
    """(status, reason) to show; of a plug that swings all the time the worst, so that nobody is sent to it."""
    status, reason = _rank(inputs)
    if not inputs.is_flapping or status not in BADNESS:
        return status, reason
    least = UNAVAILABLE if status in {AVAILABLE, RESERVED} else status
    worst = max(least, inputs.shown, key=lambda each: BADNESS.index(each) if each in BADNESS else -1)
    return worst, "its status keeps changing"


def _rank(inputs: StatusInputs) -> tuple[str, str]:
    """Station fault > connector fault > switched off > offline > session > reservation > raw word.

    A reservation of ours only covers a plug that says it is free: one that is out of service is no promise.
    """
    if inputs.is_station_faulted or inputs.reported == FAULTED:
        return FAULTED, "station fault" if inputs.is_station_faulted else "reported by the source"
    if inputs.is_switched_off or inputs.is_station_inoperative:
        return UNAVAILABLE, "switched off by an operator" if inputs.is_switched_off else "station out of service"
    if inputs.is_offline:
        return UNKNOWN, "charger is offline"
    if inputs.has_session:
        # OCPP 1.6 tells delivery by the status itself, 2.x by the transaction's chargingState.
        is_delivering = inputs.is_delivering or inputs.reported == CHARGING
        return (CHARGING, "session") if is_delivering else (OCCUPIED, "session, not delivering")
    if inputs.is_held and inputs.reported in {AVAILABLE, RESERVED, UNKNOWN}:
        return RESERVED, "reserved by us"
    return inputs.reported, "reported by the source"


def freshness(
    heard_at: datetime | None,
    now: datetime,
    *,
    is_push_healthy: bool = False,
    live_seconds: int = 300,
    recent_seconds: int = 1800,
    stale_seconds: int = 86_400,
) -> str:
    """How far the status can be believed: live | recent | stale | none. A healthy push keeps old news live."""
    if heard_at is None:
        return NONE
    age = now - heard_at
    if is_push_healthy or age < timedelta(seconds=live_seconds):
        return LIVE
    if age < timedelta(seconds=recent_seconds):
        return RECENT
    return STALE if age < timedelta(seconds=stale_seconds) else NONE
