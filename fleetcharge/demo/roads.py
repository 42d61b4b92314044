"""The road network of the city: a graph cut from the polylines, shortest paths, and a place along a path."""

import heapq
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from fleetcharge.demo.geography import ARTERIALS, HIGHWAYS, Point
from fleetcharge.lib.geo import bearing_deg, distance_m

JOIN_M = 260.0
PIECE_M = 450.0


@dataclass(frozen=True)
class Path:
    """A polyline one drives along; `points` has at least one entry."""

    points: tuple[Point, ...]

    @cached_property
    def marks_m(self) -> tuple[float, ...]:
        """Distance from the start at each point."""
        marks = [0.0]
        for a, b in pairwise(self.points):
            marks.append(marks[-1] + distance_m(*a, *b))
        return tuple(marks)

    @property
    def length_m(self) -> float:
        return self.marks_m[-1]

    def at(self, metres: float) -> tuple[float, float, float]:
        """Latitude, longitude and heading (degrees) that many metres along; clamped to the ends."""
        if len(self.points) == 1 or self.length_m == 0:
            return (*self.points[0], 0.0)
        metres = min(max(metres, 0.0), self.length_m)
        index = min(bisect_right(self.marks_m, metres), len(self.points) - 1)
        a, b = self.points[index - 1], self.points[index]
        piece_m = self.marks_m[index] - self.marks_m[index - 1]
        share = (metres - self.marks_m[index - 1]) / piece_m if piece_m else 0.0
        return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, bearing_deg(*a, *b))


class RoadNetwork:
    """Nodes are points no more than half a kilometre apart; edges are metres of road."""

    def __init__(self, polylines: list[list[Point]]) -> None:
        self.nodes: list[Point] = []
        self._edges: dict[int, dict[int, float]] = {}
        for polyline in _with_crossings(polylines):
            numbers = [self._node(point) for point in _in_pieces(polyline)]
            for a, b in pairwise(numbers):
                self._connect(a, b)
        self._keep_largest_part()

    def path(self, start: Point, end: Point) -> Path:
        """The shortest way by road, with straight steps onto and off it."""
        first, last = self.nearest(start), self.nearest(end)
        way = self._shortest(first, last)
        return Path((start, *(self.nodes[number] for number in way), end))

    def nearest(self, point: Point) -> int:
        """The node closest to a point (flat metric, good enough inside one city)."""
        return min(self._edges, key=lambda number: _flat(self.nodes[number], point))

    def is_connected(self) -> bool:
        return len(self._reach(next(iter(self._edges)))) == len(self._edges)

    def _node(self, point: Point) -> int:
        for number, other in enumerate(self.nodes):
            if distance_m(*point, *other) < JOIN_M / 4:
                return number
        self.nodes.append(point)
        self._edges[len(self.nodes) - 1] = {}
        return len(self.nodes) - 1

    def _connect(self, a: int, b: int) -> None:
        if a != b:
            self._edges[a][b] = self._edges[b][a] = distance_m(*self.nodes[a], *self.nodes[b])

    def _reach(self, start: int) -> set[int]:
        seen, todo = {start}, [start]
        while todo:
            fresh = [number for number in self._edges[todo.pop()] if number not in seen]
            seen.update(fresh)
            todo.extend(fresh)
        return seen

    def _keep_largest_part(self) -> None:
        best: set[int] = set()
        for number in self._edges:
            if number not in best and len(part := self._reach(number)) > len(best):
                best = part
        self._edges = {number: near for number, near in self._edges.items() if number in best}

    def _shortest(self, start: int, end: int) -> list[int]:
        cost, came_from = {start: 0.0}, {start: start}
        heap = [(0.0, start)]
        while heap:
            so_far, here = heapq.heappop(heap)
            if here == end:
                break
            if so_far > cost[here]:
                continue
            for there, metres in self._edges[here].items():
                if so_far + metres < cost.get(there, float("inf")):
                    cost[there], came_from[there] = so_far + metres, here
                    heapq.heappush(heap, (so_far + metres, there))
        way = [end]
        while way[-1] != start:
            way.append(came_from[way[-1]])
        return way[::-1]


def bengaluru() -> RoadNetwork:
    return RoadNetwork(HIGHWAYS + ARTERIALS)


def _flat(a: Point, b: Point) -> float:
    return (a[0] - b[0]) ** 2 + (0.974 * (a[1] - b[1])) ** 2


def _in_pieces(polyline: list[Point]) -> list[Point]:
    """The same line with no step longer than PIECE_M."""
    out = [polyline[0]]
    for a, b in pairwise(polyline):
        steps = max(1, round(distance_m(*a, *b) / PIECE_M))
        out += [(a[0] + (b[0] - a[0]) * i / steps, a[1] + (b[1] - a[1]) * i / steps) for i in range(1, steps + 1)]
    return out


def _with_crossings(polylines: list[list[Point]]) -> list[list[Point]]:
    """Every line with the points inserted where another crosses it or ends on it."""
    return [_cut(line, [other for other in polylines if other is not line]) for line in polylines]


def _cut(line: list[Point], others: list[list[Point]]) -> list[Point]:
    out = [line[0]]
    for a, b in pairwise(line):
        cuts: list[tuple[float, Point]] = []
        for other in others:
            cuts += [cut for c, d in pairwise(other) if (cut := _crossing(a, b, c, d))]
            cuts += [cut for end in (other[0], other[-1]) if (cut := _touch(a, b, end))]
        out += [point for _, point in sorted(cuts)] + [b]
    return out


def _crossing(a: Point, b: Point, c: Point, d: Point) -> tuple[float, Point] | None:
    """Share along a-b and the point where it crosses c-d."""
    r, s = (b[0] - a[0], b[1] - a[1]), (d[0] - c[0], d[1] - c[1])
    denominator = r[0] * s[1] - r[1] * s[0]
    if abs(denominator) < 1e-12:
        return None
    t = ((c[0] - a[0]) * s[1] - (c[1] - a[1]) * s[0]) / denominator
    u = ((c[0] - a[0]) * r[1] - (c[1] - a[1]) * r[0]) / denominator
    if 0 < t < 1 and 0 < u < 1:
        return t, (a[0] + r[0] * t, a[1] + r[1] * t)
    return None


def _touch(a: Point, b: Point, end: Point) -> tuple[float, Point] | None:
    """Share along a-b and the end itself, when another road ends on a-b."""
    r = (b[0] - a[0], b[1] - a[1])
    length = r[0] ** 2 + r[1] ** 2
    t = ((end[0] - a[0]) * r[0] + (end[1] - a[1]) * r[1]) / length if length else 0.0
    foot = (a[0] + r[0] * t, a[1] + r[1] * t)
    return (t, end) if 0 < t < 1 and distance_m(*foot, *end) < JOIN_M else None
