"""Who came in and who left, from positions in time order: one tree per fleet, all its vehicles at once; no Django.

Receivers wander, so the edge is as wide as the position is unsure (10 to 100 m). In is who is deep inside once, or
inside at all in two positions in a row; out is who is clearly outside in two positions in a row.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from vehicles.geofences.shapes import Shape

LEAST_MARGIN_M, USUAL_MARGIN_M, MOST_MARGIN_M = 10.0, 20.0, 100.0
Column = NDArray[Any]


class Standing(NamedTuple):
    """A vehicle at a fence: where it is, and whether its last position said otherwise without being sure of it."""

    is_inside: bool = False
    is_doubted: bool = False


class Drawn(NamedTuple):
    """A fence; `revision` is that of the fleet's drawings when it came."""

    pk: int
    revision: int
    shape: Shape


class Track(NamedTuple):
    """Positions of a vehicle in time order, each newer than all that were judged before; degrees, metres, microseconds.

    `revision` is that of the fleet's drawings when it was last judged, None if it never was. `accuracy_m` -1: not told.
    """

    vehicle_id: int
    revision: int | None
    at_us: Column
    longitude: Column
    latitude: Column
    accuracy_m: Column


class Crossing(NamedTuple):
    """A vehicle came in or left; `number` is that of the position in its track that settled it."""

    vehicle_id: int
    geofence_id: int
    is_entry: bool
    number: int


class Judged(NamedTuple):
    """What came of the positions: crossings to be told, and every standing that was looked at."""

    crossings: list[Crossing]
    standings: dict[tuple[int, int], Standing]


class Fences:
    """What a fleet has drawn; finds the few fences that a position can have to do with."""

    def __init__(self, drawn: Iterable[Drawn]) -> None:
        self._drawn = list(drawn)
        self._number = {one.pk: number for number, one in enumerate(self._drawn)}
        self._tree = shapely.STRtree([shapely.box(*one.shape.bounds) for one in self._drawn])

    def judge(self, tracks: list[Track], before: dict[tuple[int, int], Standing]) -> Judged:
        """`before`: by vehicle and fence, of those who are inside or in doubt; everybody else is outside."""
        judged = Judged([], {})
        for number, lines in _by_fence(self._near(tracks) | self._known(tracks, before)):
            self._judge(self._drawn[number], [tracks[line] for line in lines], before, judged)
        return judged

    def _known(self, tracks: list[Track], before: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        """Tracks of those who were inside or in doubt: they may have left for anywhere."""
        lines, numbers = {track.vehicle_id: line for line, track in enumerate(tracks)}, self._number
        return {(lines[vehicle], numbers[pk]) for vehicle, pk in before if vehicle in lines and pk in numbers}

    def _near(self, tracks: list[Track]) -> set[tuple[int, int]]:
        """Which track comes into whose box."""
        lines = np.repeat(np.arange(len(tracks)), [len(track.at_us) for track in tracks])
        points = shapely.points(_all(tracks, "longitude"), _all(tracks, "latitude"))
        found, numbers = self._tree.query(points)
        return set(zip(lines[found].tolist(), numbers.tolist(), strict=True))

    def _judge(
        self, fence: Drawn, tracks: list[Track], before: dict[tuple[int, int], Standing], judged: Judged
    ) -> None:
        """All these vehicles at one fence: measured together, then each in its own order."""
        away = fence.shape.distance_m(_all(tracks, "longitude"), _all(tracks, "latitude"))
        margin = margins(_all(tracks, "accuracy_m"))
        ends = np.cumsum([len(track.at_us) for track in tracks])
        for track, far, wide in zip(tracks, np.split(away, ends[:-1]), np.split(margin, ends[:-1]), strict=True):
            key = track.vehicle_id, fence.pk
            is_first_look = track.revision is None or track.revision < fence.revision
            standing = Standing(bool(far[0] <= 0)) if is_first_look else before.get(key, Standing())
            for number in range(int(is_first_look), len(far)):
                was_inside, standing = standing.is_inside, step(standing, far[number], wide[number])
                if standing.is_inside != was_inside:
                    judged.crossings.append(Crossing(*key, standing.is_inside, number))
            judged.standings[key] = standing


def step(standing: Standing, away_m: float, margin_m: float) -> Standing:
    """After one more position; `away_m` from the edge, below 0 inside."""
    if not standing.is_inside:
        is_in = bool(away_m <= -margin_m or (away_m <= 0 and standing.is_doubted))
        return Standing(is_in, bool(away_m <= 0) and not is_in)
    is_far = bool(away_m > margin_m)
    is_out = is_far and standing.is_doubted
    return Standing(not is_out, is_far and not is_out)


def margins(accuracy_m: Column) -> Column:
    """How far from the edge a position must be to be sure; -1 metres of accuracy: not told."""
    told = np.clip(accuracy_m, LEAST_MARGIN_M, MOST_MARGIN_M)
    return np.where(accuracy_m < 0, USUAL_MARGIN_M, told).astype(np.float64)


def _by_fence(wanted: set[tuple[int, int]]) -> Iterator[tuple[int, list[int]]]:
    lines: dict[int, list[int]] = {}
    for line, number in sorted(wanted):
        lines.setdefault(number, []).append(line)
    yield from sorted(lines.items())


def _all(tracks: list[Track], name: str) -> Column:
    return np.concatenate([getattr(track, name) for track in tracks])
