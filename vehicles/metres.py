"""How far vehicles went between neighbouring pings: all vehicles at once; no Django."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EARTH_M = 12_742_000.0  # across
MOVING_DKMH = 30  # slower is a receiver that wanders
WANDERING_M = 30.0
SILENT_S, LONG_SILENT_S = 120.0, 1_800.0
GAP_M, DETOUR = 100.0, 1.3
FASTEST_M_S, ODOMETER_STEP_M = 50.0, 1_000.0


class Pings(NamedTuple):
    """Columns of pings in any order; `line` numbers their vehicles, instants are microseconds, -1 is not told."""

    line: NDArray[np.int64]
    at_us: NDArray[np.int64]
    latitude_e7: NDArray[np.int64]
    longitude_e7: NDArray[np.int64]
    odometer_m: NDArray[np.int64]
    speed_dkmh: NDArray[np.int64]
    accuracy_m: NDArray[np.int64]

    def in_order(self) -> "Pings":
        order = np.lexsort((self.at_us, self.line))
        return Pings(*(column[order] for column in self))


class Driven(NamedTuple):
    """Per vehicle: metres by the odometer, by neighbouring positions, and where nothing was heard in between."""

    odometer_m: Floats
    gps_m: Floats
    gap_m: Floats


def driven(pings: Pings, vehicles: int) -> Driven:
    """By the odometer where both neighbours tell it, else along the earth; who stands does not drive.

    Over two minutes without a ping it is a third longer than straight, or half way to what the speeds before and after
    would have made of the time.
    """
    before, after = _neighbours(pings.in_order())
    seconds = (after.at_us - before.at_us) / 1e6
    turned = (after.odometer_m - before.odometer_m).astype(np.float64)
    is_turned = (before.odometer_m >= 0) & (turned >= 0) & (turned <= ODOMETER_STEP_M + seconds * FASTEST_M_S)
    is_turned &= after.odometer_m >= 0
    metres = _metres(before, after)
    is_near = ~is_turned & (seconds <= SILENT_S) & _has_moved(before, after, metres)
    is_gap = ~is_turned & (seconds > SILENT_S) & (metres > GAP_M)
    parts = ((turned, is_turned), (metres, is_near), (_unseen(before, after, metres, seconds), is_gap))
    return Driven(*(_sums(after.line, np.where(counts, m, 0.0), vehicles) for m, counts in parts))


def _sums(line: NDArray[np.int64], metres: Floats, vehicles: int) -> Floats:
    return np.bincount(line, metres, vehicles).astype(np.float64)


def _neighbours(pings: Pings) -> tuple[Pings, Pings]:
    """Each ping but the first of its vehicle, with the one before it."""
    second = np.flatnonzero(pings.line[1:] == pings.line[:-1]) + 1
    return Pings(*(column[second - 1] for column in pings)), Pings(*(column[second] for column in pings))


def _metres(before: Pings, after: Pings) -> Floats:
    """Haversine."""
    latitude, earlier = np.radians(after.latitude_e7 / 1e7), np.radians(before.latitude_e7 / 1e7)
    across = np.radians((after.longitude_e7 - before.longitude_e7) / 2e7)
    chord = np.sin((latitude - earlier) / 2) ** 2 + np.cos(latitude) * np.cos(earlier) * np.sin(across) ** 2
    return np.asarray(EARTH_M * np.arcsin(np.minimum(1.0, np.sqrt(chord))), dtype=np.float64)


def _has_moved(before: Pings, after: Pings, metres: Floats) -> Any:
    by_place = metres > WANDERING_M + np.maximum(after.accuracy_m, 0)
    by_speed = np.maximum(after.speed_dkmh, before.speed_dkmh) >= MOVING_DKMH
    return np.where(after.speed_dkmh < 0, by_place, by_speed)


def _unseen(before: Pings, after: Pings, metres: Floats, seconds: Floats) -> Floats:
    at_speed = (metres + seconds * (after.speed_dkmh + before.speed_dkmh) / 72) / 2
    kept_moving = (np.minimum(after.speed_dkmh, before.speed_dkmh) >= MOVING_DKMH) & (seconds <= LONG_SILENT_S)
    return np.maximum(metres * DETOUR, np.where(kept_moving, at_speed, 0.0))
