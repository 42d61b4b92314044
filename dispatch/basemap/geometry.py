"""Lines and areas on the square of a zoom: projected, thinned out and cut to tiles. Pure."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

EXTENT = 4096
"""Units along the side of a tile, as Mapbox Vector Tile 2.1 suggests."""
MARGIN = 96
"""Units beyond the edge that a tile also holds: the widest casing does not end at the seam."""
THIN = 12
"""Units (of 16 to a pixel) below which a bend is not drawn."""
LATITUDE_LIMIT = 85.0511

Point = tuple[float, float]
Line = list[Point]
Tile = tuple[int, int]


def unit_square(places: Iterable[tuple[float, float]]) -> npt.NDArray[np.float64]:
    """(latitude, longitude) on the unit Mercator square, x to the east, y to the south."""
    latitude, longitude = np.array(list(places), np.float64).T
    sine = np.sin(np.radians(np.clip(latitude, -LATITUDE_LIMIT, LATITUDE_LIMIT)))
    return np.stack([(longitude + 180) / 360, 0.5 - np.log((1 + sine) / (1 - sine)) / (4 * math.pi)], axis=1)


def degrees(x: float, y: float) -> tuple[float, float]:
    """(latitude, longitude) of a place on the unit square."""
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y)))), x * 360 - 180


def at_zoom(unit: npt.NDArray[np.float64], zoom: int) -> Line:
    """In units of that zoom, without the bends that nobody could see."""
    points: Line = [(x, y) for x, y in (unit * (EXTENT << zoom)).tolist()]
    kept = points[:1]
    for point in points[1:-1]:
        if max(abs(point[0] - kept[-1][0]), abs(point[1] - kept[-1][1])) >= THIN:
            kept.append(point)
    return [*kept, points[-1]] if len(points) > 1 else kept


def tiles_of(points: Line, zoom: int) -> Iterator[Tile]:
    """The tiles whose margin the box around the points touches."""
    last = (1 << zoom) - 1
    ranges = []
    for values in zip(*points, strict=True):
        first = max(0, math.floor((min(values) - MARGIN) / EXTENT))
        ranges.append(range(first, min(last, math.floor((max(values) + MARGIN) / EXTENT)) + 1))
    return ((x, y) for x in ranges[0] for y in ranges[1])


def within(points: Line, tile: Tile) -> Line:
    """In the units of the tile itself."""
    left, top = tile[0] * EXTENT, tile[1] * EXTENT
    return [(x - left, y - top) for x, y in points]


def cut_line(points: Line) -> list[Line]:
    """The parts of a line that the tile and its margin hold."""
    parts: list[Line] = []
    for start, end in itertools.pairwise(points):
        if (piece := _cut_piece(start, end)) is None:
            continue
        if parts and parts[-1][-1] == piece[0]:
            parts[-1].append(piece[1])
        else:
            parts.append(list(piece))
    return parts


def _cut_piece(start: Point, end: Point) -> tuple[Point, Point] | None:
    """Liang and Barsky: from which part of the way to which it is inside."""
    first, last = 0.0, 1.0
    for axis in (0, 1):
        step = end[axis] - start[axis]
        for sign, edge in ((-1, -MARGIN), (1, EXTENT + MARGIN)):
            room, speed = sign * (edge - start[axis]), sign * step
            if speed == 0 and room < 0:
                return None
            if speed < 0:
                first = max(first, room / speed)
            elif speed > 0:
                last = min(last, room / speed)
    return (_along(start, end, first), _along(start, end, last)) if first < last else None


def _along(start: Point, end: Point, part: float) -> Point:
    if part in (0.0, 1.0):
        return end if part else start
    return start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])


def cut_ring(ring: Line) -> Line:
    """The part of an area that the tile and its margin hold (Sutherland and Hodgman); empty when none."""
    for axis in (0, 1):
        for sign, edge in ((-1, -MARGIN), (1, EXTENT + MARGIN)):
            ring = _cut_side(ring, lambda point, axis=axis, sign=sign, edge=edge: sign * (edge - point[axis]))  # type: ignore[misc]
    return ring


def _cut_side(ring: Line, room: Callable[[Point], float]) -> Line:
    kept: Line = []
    for before, point in zip([*ring[-1:], *ring[:-1]], ring, strict=True):
        here, there = room(point), room(before)
        if (here < 0) != (there < 0):
            kept.append(_along(before, point, there / (there - here)))
        if here >= 0:
            kept.append(point)
    return kept
