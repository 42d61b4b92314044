"""The engine that needs no map: great-circle distance times a circuity, time by a power law."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from dispatch.engines.base import Line, Matrix, Place, Points, Table

EARTH_RADIUS_M = 6_371_008.8
CIRCUITY = 1.35
"""Road metres per crow metre; medians of 1.28 (flat city) and 1.40 (mountains) were measured."""
SECONDS_FACTOR, SECONDS_EXPONENT = 1.7, 0.75
"""t = a * h^b, h in crow metres. b = 0.75 fits city legs better than one speed (long legs use faster roads);
a = 1.7 gives 16 km/h on the road for 1 km, 24 for 5 km, 34 for 20 km: a large Indian city by day."""
FARTHEST_M = 500_000
BENDS = 4


@dataclass(frozen=True)
class Law:
    """How metres on the road and seconds follow from crow metres; `learned_on` None: assumed, not learned."""

    circuity: float = CIRCUITY
    seconds_factor: float = SECONDS_FACTOR
    learned_on: date | None = None


ASSUMED = Law()


class CrowEngine:
    def __init__(self, law: Law = ASSUMED) -> None:
        self._law = law
        self.name = f"crow learned {law.learned_on}" if law.learned_on else "crow"

    def matrix(self, origins: Points, destinations: Points) -> Matrix:
        """NaN for pairs more than 500 km apart or with coordinates that are none."""
        crow = crow_metres(origins, destinations)
        crow[~(crow <= FARTHEST_M)] = np.nan
        return Matrix(crow * self._law.circuity, self._law.seconds_factor * crow**SECONDS_EXPONENT)

    def route(self, origin: Place, destination: Place) -> Line:
        """Streets are mostly at right angles: a staircase, first along the longer side. Schematic."""
        lat, lon = origin
        step_lat, step_lon = (destination[0] - lat) / BENDS, (destination[1] - lon) / BENDS
        is_north_first = abs(step_lat) > abs(step_lon)
        line = [origin]
        for number in range(BENDS):
            corner_lat = lat + step_lat * (number + is_north_first)
            corner_lon = lon + step_lon * (number + (not is_north_first))
            line.append((corner_lat, corner_lon))
            line.append((lat + step_lat * (number + 1), lon + step_lon * (number + 1)))
        return [(round(a, 6), round(b, 6)) for a, b in line[:-1]] + [destination]


def crow_metres(origins: Points, destinations: Points) -> Table:
    """Great-circle metres between every pair (haversine)."""
    a, b = np.radians(origins)[:, None, :], np.radians(destinations)[None, :, :]
    half = np.sin((b - a) / 2) ** 2
    chord = half[..., 0] + np.cos(a[..., 0]) * np.cos(b[..., 0]) * half[..., 1]
    metres: Table = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.clip(chord, 0, 1)))
    return metres
