"""What one look at a fleet shows, and what of that was told: as records, or from afar as cells."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatch import wire
from dispatch.boards import Board, Indexes, Layer, Viewport
from dispatch.cells import FleetCells, Overview, is_crowded

LAYERS = frozenset({"vehicles", "stations", "grid"})


@dataclass(frozen=True)
class Look:
    """Whose fleet, where, how near, which layers, and what is told wherever it is: who looks alike is told alike."""

    organisation_id: int
    view: Viewport
    zoom: float
    layers: frozenset[str]
    vehicles: frozenset[int] = frozenset()
    stations: frozenset[int] = frozenset()


class Picture:
    """What was told of one look, and so what is due."""

    def __init__(self, look: Look, vehicles: Board, sites: Sequence[Board], cells: FleetCells) -> None:
        self.look = look
        self._layers = [Layer(board) for board in (vehicles, *sites)]
        self._focus = [look.vehicles, *(look.stations for _ in sites)]
        self._overview = Overview(cells)
        self._is_snapshot_due, self._is_revision_due = True, False

    @property
    def is_due(self) -> bool:
        return self._is_snapshot_due or self._is_revision_due or any(layer.has_pending for layer in self._layers)

    def mark(self, changed: Mapping[Board, Indexes]) -> None:
        for layer in self._layers:
            if (indexes := changed.get(layer.board)) is not None:
                layer.mark(indexes)

    def begin_anew(self) -> None:
        """Something may have been lost: all of it is due."""
        self._is_snapshot_due = True

    def revision_moved(self) -> None:
        self._is_revision_due = True

    def frames(self, rev: int) -> list[wire.Frame]:
        """What is due; from here on it counts as told."""
        is_far = self._choose()
        frames = self._snapshot(rev, is_far=is_far) if self._is_snapshot_due else self._delta(rev)
        self._is_snapshot_due = self._is_revision_due = False
        return frames

    def whole(self, rev: int) -> list[wire.Frame] | None:
        """All of it, for one more who is told what is due from here on. None: that will be all of it anyway."""
        if self._overview.is_outdated:
            self.begin_anew()
        if self._is_snapshot_due:
            return None
        is_far = self._overview.is_on
        records = [
            layer.whole(self.look.view, focus, is_far=is_far)
            for layer, focus in zip(self._layers, self._focus, strict=True)
        ]
        return self._all(rev, records, self._overview.whole())

    def fork(self) -> "Picture":
        """For one who cannot keep up: it knows the same now, and goes on alone."""
        other = copy.copy(self)
        other._layers = [layer.fork() for layer in self._layers]
        other._overview = copy.copy(self._overview)
        return other

    def absorb(self, other: "Picture") -> bool:
        """Who was told what `other` knows is told what is due here from now on. False: that would not make it whole."""
        if self._is_snapshot_due:
            return True
        if other._is_snapshot_due or not self._overview.absorb(other._overview):
            return False
        for mine, its in zip(self._layers, other._layers, strict=True):
            mine.absorb(its)
        self._is_revision_due |= other._is_revision_due
        return True

    def _choose(self) -> bool:
        """Records, or cells where too much is in view as it is now; from one to the other leads a snapshot."""
        self._is_snapshot_due |= self._overview.is_outdated
        for layer in self._layers:
            layer.look(self.look.view, anew=self._is_snapshot_due)
        count = sum(layer.count for layer in self._layers)
        is_wanted = "grid" in self.look.layers
        is_far = is_wanted and is_crowded(count, self.look.zoom, is_already=self._overview.is_on)
        self._is_snapshot_due |= is_far != self._overview.is_on
        return is_far

    def _snapshot(self, rev: int, *, is_far: bool) -> list[wire.Frame]:
        records = [layer.snapshot(focus, is_far=is_far) for layer, focus in zip(self._layers, self._focus, strict=True)]
        if is_far:
            return self._all(rev, records, self._overview.snapshot(self.look.view, self.look.zoom))
        self._overview.leave()
        return self._all(rev, records, self._overview.whole())

    def _all(self, rev: int, records: list[wire.Records], cells: wire.Records) -> list[wire.Frame]:
        """What replaces the last picture goes before what takes it away, so that the map is never empty."""
        told: list[wire.Frame] = []
        if "vehicles" in self.look.layers:
            told += [wire.packed(wire.SNAPSHOT, flags, rev, part) for flags, part in wire.parts(records[0])]
        if "stations" in self.look.layers:
            stations = wire.joined(records[1:])
            told += [wire.packed(wire.STATIONS, flags, rev, part) for flags, part in wire.parts(stations)]
        if "grid" not in self.look.layers:
            return told
        grid = self._grid(rev, wire.parts(cells))
        return grid + told if self._overview.is_on else told + grid

    def _grid(self, rev: int, parts: Iterable[tuple[int, Any]]) -> list[wire.Frame]:
        level = self._overview.level << wire.LEVEL_SHIFT
        return [wire.packed(wire.GRID, flags | level, rev, part) for flags, part in parts]

    def _delta(self, rev: int) -> list[wire.Frame]:
        frames: list[wire.Frame] = []
        if len(cells := self._overview.delta()):
            frames += self._grid(rev, ((flags & wire.LAST_PART, part) for flags, part in wire.parts(cells)))
        is_far = self._overview.is_on
        told = [layer.delta(focus, is_far=is_far) for layer, focus in zip(self._layers, self._focus, strict=True)]
        if "vehicles" in self.look.layers:
            frames += _changes(rev, wire.DELTA, *told[0], 0, is_forced=self._is_revision_due)
        if "stations" in self.look.layers:  # who went from one board may be on another
            records, left = wire.joined([one for one, _ in told[1:]]), np.concatenate([gone for _, gone in told[1:]])
            frames += _changes(rev, wire.STATIONS, records, left, wire.STATION_IDS)
        return frames


def _changes(
    rev: int, kind: int, records: wire.Records, left: Any, id_flag: int, *, is_forced: bool = False
) -> list[wire.Frame]:
    frames = [wire.packed(wire.REMOVE, wire.LAST_PART | id_flag, rev, left)] if len(left) else []
    if len(records) or is_forced:
        frames += [wire.packed(kind, flags & wire.LAST_PART, rev, part) for flags, part in wire.parts(records)]
    return frames
