"""One decoded ping, in the units every later step uses, and what can be wrong with one; imports no Django."""

from typing import NamedTuple

import msgspec

MICROSECOND = 1
SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND

# Bits of Position.flags.
CLOCK_CORRECTED, SUSPECT_POSITION, LATE, CHARGING, MOCK_LOCATION, SUSPECT_SOC = 1, 2, 4, 8, 16, 32


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


def within(value: float | None, low: float, high: float) -> float | None:
    """The value when it lies in the closed range, else None: a broken extra never costs us the position."""
    return value if value is not None and low <= value <= high else None


def charging_flags(is_charging: bool | None, is_mock: bool = False) -> int:
    return (CHARGING if is_charging else 0) | (MOCK_LOCATION if is_mock else 0)
