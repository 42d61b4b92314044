"""Roads of an OpenStreetMap extract as arrays: who may drive where, how long it is, how long it takes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import osmium
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from dispatch.engines.crow import EARTH_RADIUS_M

PROFILE = 1
"""Goes up when the rules below change: a map that was read by others is read again."""
SPEED_KMH = {
    "motorway": 80, "trunk": 50, "primary": 36, "secondary": 30, "tertiary": 26, "unclassified": 22,
    "residential": 18, "living_street": 10, "service": 10, "road": 18,
    "motorway_link": 40, "trunk_link": 34, "primary_link": 28, "secondary_link": 24, "tertiary_link": 22,
}  # fmt: skip
"""Of a van in an Indian city by day, crossings included (assumed, not measured); a sign only lowers it."""
VEHICLE_KEYS = ("motorcar", "motor_vehicle", "vehicle", "access")
CLOSED = {"no", "private", "agricultural", "forestry"}
KMH_PER_MPH = 1.609344
LEAST_PART = 0.01
"""Roads one cannot leave again are left out: parts of under a hundredth of the largest one."""
FASTEST_SIGN_KMH = 130.0


class NoRoads(Exception):
    """The file cannot be used; the message is for people."""


@dataclass(frozen=True)
class Graph:
    """Nodes by number; an arc leads from `tail` to `head`."""

    latitude: npt.NDArray[np.float64]
    longitude: npt.NDArray[np.float64]
    tail: npt.NDArray[np.uint32]
    head: npt.NDArray[np.uint32]
    metres: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]


class _Way(NamedTuple):
    nodes: list[int]
    places: list[tuple[float, float]]
    speed_kmh: float
    is_forward: bool
    is_backward: bool


def read(path: Path) -> Graph:
    """All roads that cars may drive, one arc for each direction of each piece between two nodes."""
    try:
        ways = [way for each in _highways(path) if (way := _way(each)) is not None]
    except (RuntimeError, OSError) as error:
        raise NoRoads(f"{path} is no OpenStreetMap file: {error}") from error
    if not ways:
        raise NoRoads(f"{path} has no roads for cars.")
    return connected(_graph(ways))


def _highways(path: Path) -> Iterable[Any]:
    everything = osmium.FileProcessor(str(path), osmium.osm.NODE | osmium.osm.WAY).with_locations()
    only_ways = everything.with_filter(osmium.filter.EntityFilter(osmium.osm.WAY))
    roads: Iterable[Any] = only_ways.with_filter(osmium.filter.KeyFilter("highway"))
    return roads


def _way(way: Any) -> _Way | None:
    tags = {tag.k: tag.v for tag in way.tags}
    if not may_drive(tags):
        return None
    nodes = [node for node in way.nodes if node.location.valid()]  # an extract is cut through ways
    forward, backward = directions(tags)
    places = [(node.location.lat, node.location.lon) for node in nodes]
    return _Way([node.ref for node in nodes], places, speed_kmh(tags), forward, backward)


def may_drive(tags: Mapping[str, str]) -> bool:
    """The most particular key decides."""
    said = next((tags[key] for key in VEHICLE_KEYS if key in tags), "yes")
    return tags.get("highway") in SPEED_KMH and tags.get("area") != "yes" and said not in CLOSED


def speed_kmh(tags: Mapping[str, str]) -> float:
    usual = float(SPEED_KMH[tags["highway"]])
    number, _, unit = tags.get("maxspeed", "").partition(" ")
    if not number.isdecimal() or not number.isascii():
        return usual
    sign = float(number[:4]) * (KMH_PER_MPH if unit.strip() == "mph" else 1.0)
    return min(usual, sign) if 5.0 <= sign <= FASTEST_SIGN_KMH else usual


def directions(tags: Mapping[str, str]) -> tuple[bool, bool]:
    """Along the way as it was drawn, and against it."""
    oneway = tags.get("oneway", "")
    if oneway in {"-1", "reverse"}:
        return False, True
    is_implied = tags.get("junction") in {"roundabout", "circular"} or tags["highway"] == "motorway"
    return True, not (oneway in {"yes", "true", "1"} or (is_implied and oneway != "no"))


def _graph(ways: list[_Way]) -> Graph:
    ids = np.array([node for way in ways for node in way.nodes], dtype=np.int64)
    places = np.array([place for way in ways for place in way.places])
    _, first, number = np.unique(ids, return_index=True, return_inverse=True)
    ends = np.cumsum([len(way.nodes) for way in ways])
    along = np.ones(len(ids), dtype=bool)
    along[ends - 1] = False  # the last node of a way begins no piece of it
    index = np.flatnonzero(along)
    way = np.searchsorted(ends, index, side="right")
    speed = np.array([each.speed_kmh for each in ways])[way]
    forward = np.array([each.is_forward for each in ways])[way]
    backward = np.array([each.is_backward for each in ways])[way]
    start, end = number[index], number[index + 1]
    tail, head = np.r_[start[forward], end[backward]], np.r_[end[forward], start[backward]]
    return build(places[first], tail, head, np.r_[speed[forward], speed[backward]])


def build(places: npt.NDArray[np.float64], tail: Any, head: Any, speed_kmh: npt.NDArray[np.float64]) -> Graph:
    """With the length of each arc, and the time it takes."""
    metres = metres_between(places[tail], places[head])
    return Graph(
        places[:, 0], places[:, 1], np.asarray(tail, np.uint32), np.asarray(head, np.uint32),
        metres, metres / (speed_kmh / 3.6),
    )  # fmt: skip


def metres_between(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Row by row."""
    one, other = np.radians(a), np.radians(b)
    half = np.sin((other - one) / 2) ** 2
    chord = half[:, 0] + np.cos(one[:, 0]) * np.cos(other[:, 0]) * half[:, 1]
    metres: npt.NDArray[np.float64] = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.clip(chord, 0, 1)))
    return metres


def connected(graph: Graph) -> Graph:
    """Without dead ends for good: places one can reach but never leave, and crumbs at the edge of an extract."""
    count = len(graph.latitude)
    links = csr_matrix((np.ones(len(graph.tail)), (graph.tail, graph.head)), shape=(count, count))
    _, part = connected_components(links, connection="strong")
    sizes = np.bincount(part)
    keep = (sizes > 1) & (sizes >= LEAST_PART * sizes.max())
    if not keep.any():
        raise NoRoads("Its roads lead nowhere and back.")
    nodes = keep[part]
    arcs = nodes[graph.tail] & nodes[graph.head]
    number = np.cumsum(nodes) - 1
    return Graph(
        graph.latitude[nodes], graph.longitude[nodes], number[graph.tail[arcs]].astype(np.uint32),
        number[graph.head[arcs]].astype(np.uint32), graph.metres[arcs], graph.seconds[arcs],
    )  # fmt: skip
