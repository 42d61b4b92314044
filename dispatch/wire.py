"""The binary frames of the live channel (docs/live.md): 16-byte header, records of fixed size, little-endian."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

HEADER = struct.Struct("<BBBBIII")
SEQ_AT, SEQ_END = 4, 8
"""Where in the header the number of the frame stands."""
MAGIC, VERSION = 0xFC, 1
SNAPSHOT, DELTA, REMOVE, GRID, STATIONS, STATUS = 1, 2, 3, 4, 5, 6
LAST_PART, STATION_IDS, FIRST_PART = 1, 2, 4
LEVEL_SHIFT = 4
"""The high nibble of the flags of a grid frame is the level of its cells."""
RECORDS_PER_FRAME = 4096

Records = npt.NDArray[np.void]
_PLACE = [("id", "<u4"), ("lat", "<i4"), ("lon", "<i4")]
VEHICLE = np.dtype([*_PLACE, ("heading", "u1"), ("speed", "u1"), ("soc", "u1"), ("state", "u1")])
STATION = np.dtype([*_PLACE, ("free", "u1"), ("total", "u1"), ("worst", "u1"), ("power", "u1")])
VEHICLE_STATUS = np.dtype([("id", "<u4"), ("soc", "u1"), ("state", "u1"), ("reserved", "<u2")])
_CELL_COUNTS = [(name, "<u4") for name in ("vehicles", "needing", "free", "plugs")]
CELL = np.dtype([("x", "<u2"), ("y", "<u2"), *_CELL_COUNTS, ("sites", "<u2"), ("place", "u1"), ("worst", "u1")])

IDLE, DRIVING, CHARGING, OFFLINE = range(4)
STATE_NAMES = ["idle", "driving", "charging", "offline"]
LOW, STALE, EXCEPTION, REROUTED = 0x10, 0x20, 0x40, 0x80
IN_SESSION = 0x100
"""A running session of the vehicle; only here, where it decides the state: the wire has no room for it."""
SOC_UNKNOWN = 255
STATION_FREE, STATION_BUSY, STATION_RESERVED, STATION_FAULTED, STATION_UNKNOWN = range(5)
FRESHNESS = {"live": 0, "recent": 1, "stale": 2, "none": 3}
"""The high nibble beside the colour of a site: how fresh the freshest word about it is."""


def micro(degrees: float) -> int:
    """Degrees as the wire carries them."""
    return round(degrees * 1e6)


def byte(value: float | None, unknown: int = 0) -> int:
    """A figure squeezed into 0..255."""
    return unknown if value is None else max(0, min(255, round(value)))


def heading_byte(heading_deg: float | None) -> int:
    return 0 if heading_deg is None else round(heading_deg * 256 / 360) % 256


def worst_of(*, free: int, busy: int, reserved: int, faulted: int) -> int:
    """One colour for a site: the best news that is true of it, unless nothing works."""
    for count, value in (
        (free, STATION_FREE), (busy, STATION_BUSY), (reserved, STATION_RESERVED), (faulted, STATION_FAULTED)
    ):  # fmt: skip
        if count:
            return value
    return STATION_UNKNOWN


class Frame(NamedTuple):
    """One binary frame but for its number, which is each socket's own: packed once, whoever is told it."""

    before: bytes
    after: bytes

    def numbered(self, seq: int) -> bytes:
        return self.before + (seq & 0xFFFFFFFF).to_bytes(4, "little") + self.after


def packed(kind: int, flags: int, rev: int, body: npt.NDArray[Any]) -> Frame:
    header = HEADER.pack(MAGIC, VERSION, kind, flags, 0, rev, len(body))
    return Frame(header[:SEQ_AT], header[SEQ_END:] + body.tobytes())


def frame(kind: int, flags: int, seq: int, rev: int, body: npt.NDArray[Any]) -> bytes:
    """One binary frame."""
    return packed(kind, flags, rev, body).numbered(seq)


def parts(records: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """A snapshot in pieces of bounded size, each with its part flags; an empty one is one empty piece."""
    last = max(0, (len(records) - 1) // RECORDS_PER_FRAME)
    for number in range(last + 1):
        flags = (FIRST_PART if number == 0 else 0) | (LAST_PART if number == last else 0)
        yield flags, records[number * RECORDS_PER_FRAME : (number + 1) * RECORDS_PER_FRAME]


def joined(boards: Sequence[Records]) -> Records:
    """Records of several boards in one array."""
    return np.concatenate(boards)
