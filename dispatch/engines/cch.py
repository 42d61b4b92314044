"""Roads from an OpenStreetMap extract, in this process: customizable contraction hierarchies (pyroutingkit).

The fastest way is found by one metric. Its metres are the difference to a second one that makes every metre cost a
tenth of a millisecond more: exact, but for ways within a thousandth of the fastest, of which it may take another.
"""

import threading
import time
from itertools import product

import numpy as np
import numpy.typing as npt
from pyroutingkit import INF_WEIGHT, CCHMetric
from scipy.spatial import cKDTree

from dispatch.engines.base import EngineFailed, Line, Matrix, Place, Points, Table, are_places
from dispatch.engines.crow import EARTH_RADIUS_M
from dispatch.engines.lines import thinned
from dispatch.engines.maps import RoadMap

UNITS_PER_SECOND = 10_000
"""A weight has 31 bits: ways of up to 59 hours."""
CHUNK = 100
"""Rows and columns asked for at once: milliseconds, so that others get their turn."""
FARTHEST_FROM_ROAD_M = 1_000.0
"""Whoever is farther from every road of the map is not on it."""
OFF_ROAD_METRES_PER_SECOND = 12 / 3.6
Nodes = npt.NDArray[np.uint32]


class CchEngine:
    name = "cch"

    def __init__(self, road_map: RoadMap) -> None:
        self.version = road_map.version
        self._graph = graph = road_map.graph
        self._tree = cKDTree(_on_sphere(np.column_stack([graph.latitude, graph.longitude])))
        time_units = np.maximum(1, np.rint(graph.seconds * UNITS_PER_SECOND)).astype(np.uint32)
        self._time = _metric(road_map, time_units)
        self._time_and_way = _metric(road_map, time_units + np.rint(graph.metres).astype(np.uint32))
        self._lock = threading.Lock()  # pyroutingkit lets other threads in, and two in one metric crash it

    def matrix(self, origins: Points, destinations: Points, *, seconds: float) -> Matrix:
        """Between the nearest nodes of roads; NaN for pairs without a way, and for what is not done in time."""
        ends = time.monotonic() + seconds
        (starts, from_m), (goals, to_m) = self._nearest(origins), self._nearest(destinations)
        units, more = self._tables(starts, goals, ends)
        off_road = from_m[:, None] + to_m[None, :]
        return Matrix(more - units + off_road, units / UNITS_PER_SECOND + off_road / OFF_ROAD_METRES_PER_SECOND)

    def route(self, origin: Place, destination: Place, *, seconds: float) -> Line:
        """Along the roads of the fastest way."""
        nodes, off_m = self._nearest(np.array([origin, destination]))
        with self._lock:
            units, path, _ = self._time.query(int(nodes[0]), int(nodes[1]))
        if units >= INF_WEIGHT or np.isnan(off_m).any():
            raise EngineFailed("no_way", "The road map has no way there.")
        on_road = np.column_stack([self._graph.latitude[path], self._graph.longitude[path]])
        return thinned(np.vstack([origin, on_road, destination]))

    def _nearest(self, points: Points) -> tuple[Nodes, Table]:
        """Nodes and how far off they are; off the map that is NaN, and the node any."""
        valid = are_places(points)
        chord, node = self._tree.query(_on_sphere(np.where(valid[:, None], points, 0.0)))
        metres = 2 * EARTH_RADIUS_M * np.arcsin(np.minimum(1.0, chord / 2))
        return node.astype(np.uint32), np.where(valid & (metres <= FARTHEST_FROM_ROAD_M), metres, np.nan)

    def _tables(self, starts: Nodes, goals: Nodes, ends: float) -> tuple[Table, Table]:
        """Both metrics; sites share nodes, and each is asked for once."""
        rows, row = np.unique(starts, return_inverse=True)
        columns, column = np.unique(goals, return_inverse=True)
        units, more = np.full((2, len(rows), len(columns)), np.nan)
        for a, b in product(range(0, len(rows), CHUNK), range(0, len(columns), CHUNK)):
            if time.monotonic() >= ends:
                break
            part = np.s_[a : a + CHUNK, b : b + CHUNK]
            units[part] = self._ask(self._time, rows[a : a + CHUNK], columns[b : b + CHUNK])
            more[part] = self._ask(self._time_and_way, rows[a : a + CHUNK], columns[b : b + CHUNK])
        return units[np.ix_(row, column)], more[np.ix_(row, column)]

    def _ask(self, metric: CCHMetric, rows: Nodes, columns: Nodes) -> Table:
        with self._lock:
            found = metric.distances_many_to_many(rows, columns)
        return np.where(found >= INF_WEIGHT, np.nan, found)


def _metric(road_map: RoadMap, weights: npt.NDArray[np.uint32]) -> CCHMetric:
    metric = CCHMetric(road_map.topology)
    metric.customize(weights)
    return metric


def _on_sphere(points: Points) -> Points:
    """Unit vectors: their nearest neighbours are those on the ground, at any latitude."""
    lat, lon = np.radians(points[:, 0]), np.radians(points[:, 1])
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
