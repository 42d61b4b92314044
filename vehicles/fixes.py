"""One decoded ping, in the units every later step uses, and what can be wrong with one; imports no Django."""

from typing import NamedTuple

import msgspec

MICROSECOND = 1
CENTISECOND = 10_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND

# Bits of Position.flags.
CLOCK_CORRECTED, SUSPECT_POSITION, LATE, CHARGING, MOCK_LOCATION, SUSPECT_SOC = 1, 2, 4, 8, 16, 32
IGNITION_ON, IGNITION_OFF = 64, 128
INDIAN_CLOCK = 256  # ahead by 5 h 30 min: Indian time that was sent as UTC
# Never stored: the message has no fix, so it says something of the vehicle's charge and nothing of its place.
NO_PLACE = 1 << 14


class Fix(msgspec.Struct, gc=False):
    """A ping of one device. Instants are microseconds since 1970 UTC; None means the device did not say."""

    device: str
    at_us: int
    latitude: float
    longitude: float
    speed_kmh: float | None = None
    heading_deg: float | None = None
    accuracy_m: float | None = None
    soc_percent: float | None = None
    odometer_m: int | None = None
    is_charging: bool | None = None
    flags: int = 0
    warning: str = ""


class Problem(NamedTuple):
    """Why a ping was refused: a code for machines, a sentence for people."""

    code: str
    detail: str


MAX_DEVICE_CHARACTERS = 64


def is_device_id(text: str) -> bool:
    """Printable and short enough to be stored; a NUL or half a surrogate pair would fail everybody's transaction."""
    return 0 < len(text) <= MAX_DEVICE_CHARACTERS and text.isprintable()


def is_imei(device: str) -> bool:
    """Fifteen digits: printed on the tracker's box, so no secret and no way in."""
    return len(device) == 15 and device.isascii() and device.isdigit()


def shown_device(device: str) -> str:
    """As much of a device's id as a log may have: it is the credential of many."""
    return f"{device[:2]}…{device[-2:]}" if len(device) > 8 else "…"


def within(value: float | None, low: float, high: float) -> float | None:
    """The value when it lies in the closed range, else None: a broken extra never costs us the position."""
    return value if value is not None and low <= value <= high else None


def charging_flags(is_charging: bool | None, is_mock: bool = False, ignition: bool | None = None) -> int:
    """The bits a sender itself knows; `ignition` None when it does not say."""
    flags = (CHARGING if is_charging else 0) | (MOCK_LOCATION if is_mock else 0)
    return flags if ignition is None else flags | (IGNITION_ON if ignition else IGNITION_OFF)


NO_FIX = Problem("no_fix", "The message has no position fix, so it moves no vehicle.")


def placeless(device: str, at_us: int, soc_percent: float | None, is_charging: bool | None) -> Fix | Problem:
    """A message without a fix: worth a reading of the charge, if it has one."""
    if soc_percent is None:
        return NO_FIX
    flags = charging_flags(is_charging) | NO_PLACE
    return Fix(device, at_us, 0.0, 0.0, soc_percent=soc_percent, is_charging=is_charging, flags=flags)
