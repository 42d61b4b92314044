"""Overviews of the live map: vehicles and sites counted in square cells, once per fleet for all its browsers.

A cell is 64 px wide at its level, the whole zoom below what a browser shows. Each level keeps sums; a record that
changed is taken out of the cell it was in and put into the one it is in: a tick costs what moved, not what there is.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dispatch import wire
from dispatch.boards import Board, Flags, Indexes, Viewport

OVERVIEW_ZOOM = 9.0
FEW, MANY = 100, 5_000
"""More vehicles and sites than this in view become cells: below `OVERVIEW_ZOOM`, and from it on."""
CALM = 0.8
"""Cells become records again below this share of what made them cells, so that nothing flickers at the edge."""
MOST_CELLS = 1_500
"""In one view; where there would be more, they are larger."""
MOST_DETAIL, WHOLE_DETAIL = 14, 8
"""The finest level, and that of a view that has no end."""
CELL_BITS, WORLD_BITS, PLACE_BITS = 2, 24, 8
FORGET_SECONDS = 60.0
ROOM = 4096

VEHICLES, NEEDING, HEARD, ALARMED, SITES, FREE, PLUGS, LIVE, COLOURS = range(9)
VEHICLE_PLACE, SITE_PLACE = (COLOURS + 4, COLOURS + 5), (COLOURS + 6, COLOURS + 7)
COLUMNS = COLOURS + 8
NOBODY, FINE, SILENT, NEEDED, ALARM = range(5)
NOT_LIVE = 8

Numbers = npt.NDArray[np.int64]
Amounts = dict[int, npt.NDArray[Any]]


def is_crowded(count: int, zoom: float, *, is_already: bool) -> bool:
    """Are so many things in view told as cells?"""
    most = FEW if zoom < OVERVIEW_ZOOM else MANY
    return count > (most * CALM if is_already else most)


def level_of(view: Viewport, zoom: float) -> int:
    return max(0, min(WHOLE_DETAIL if view == Viewport() else MOST_DETAIL, int(zoom)))


@dataclass(frozen=True)
class Change:
    """Records that came (sign 1) and went (-1), with what each adds to the columns of its cell."""

    x: Numbers
    y: Numbers
    sign: Numbers
    amounts: Amounts
    place: tuple[int, int]
    """The columns that sum where in its cell each is."""


class Source:
    """One board as the sums know it."""

    def __init__(self, board: Board, amounts: Callable[[wire.Records], Amounts], place: tuple[int, int]) -> None:
        self.board, self._amounts, self._place = board, amounts, place
        self._seen, self._is_seen = self.board.records.copy(), self.board.alive.copy()
        self._pending = np.zeros(len(self._seen), np.bool_)
        self._has_pending = False

    def mark(self, indexes: Indexes) -> None:
        self._fit()
        self._pending[indexes] = True
        self._has_pending = True

    def whole(self) -> Change:
        return self._change(self._seen[:0], self._seen[self._is_seen])

    def places(self) -> tuple[Numbers, Numbers]:
        records = self._seen[self._is_seen]
        return _mercator(records["lat"], records["lon"])

    def changes(self) -> Change | None:
        """Since it was asked last."""
        if not self._has_pending:
            return None
        rows = np.flatnonzero(self._pending)
        self._pending[rows] = self._has_pending = False
        before = self._seen[rows][self._is_seen[rows]]
        self._seen[rows], self._is_seen[rows] = self.board.records[rows], self.board.alive[rows]
        return self._change(before, self._seen[rows][self._is_seen[rows]])

    def _change(self, before: wire.Records, after: wire.Records) -> Change:
        both = np.concatenate([before, after])
        sign = np.repeat([-1, 1], [len(before), len(after)])
        return Change(*_mercator(both["lat"], both["lon"]), sign, self._amounts(both), self._place)

    def _fit(self) -> None:
        missing = len(self.board.records) - len(self._seen)
        if missing:
            self._seen = np.concatenate([self._seen, np.zeros(missing, self._seen.dtype)])
            self._is_seen = np.concatenate([self._is_seen, np.zeros(missing, np.bool_)])
            self._pending = np.concatenate([self._pending, np.zeros(missing, np.bool_)])


def vehicle_amounts(records: wire.Records) -> Amounts:
    """A person is needed where an alert of the worst kind says so, and where a low charge has no answer yet."""
    state = records["state"]
    kind, is_alarmed = state & 0x0F, state & wire.EXCEPTION != 0
    is_answered = (state & wire.REROUTED != 0) | (kind == wire.CHARGING)
    needing = is_alarmed | (state & wire.LOW != 0) & ~is_answered
    return {VEHICLES: np.ones(len(records)), NEEDING: needing, HEARD: kind != wire.OFFLINE, ALARMED: is_alarmed}


def site_amounts(records: wire.Records) -> Amounts:
    colour, fresh = records["worst"] & 0x0F, records["worst"] >> 4
    is_of = {COLOURS + number: colour == number for number in range(wire.STATION_UNKNOWN)}
    is_live = fresh == wire.FRESHNESS["live"]
    return {SITES: np.ones(len(records)), FREE: records["free"], PLUGS: records["total"], LIVE: is_live, **is_of}


class Cells:
    """The sums of one fleet at one level. A cell keeps its slot, also when it is empty again."""

    def __init__(self, level: int) -> None:
        self.level, self.version = level, 0
        self.asked_at = time.monotonic()
        self._bits = level + CELL_BITS
        self._slots: dict[int, int] = {}
        self._sums = np.zeros((64, COLUMNS), np.int64)
        self._records = np.zeros(64, wire.CELL)
        self._changed_in = np.zeros(64, np.int64)

    @property
    def is_sparse(self) -> bool:
        """Most of its cells are empty by now, and it is time to begin anew."""
        return len(self._slots) > ROOM + 4 * int(np.count_nonzero(_is_filled(self._records)))

    def take(self, change: Change) -> None:
        shift = WORLD_BITS - self._bits
        key, in_cell = np.unique((change.x >> shift) << 16 | change.y >> shift, return_inverse=True)
        slots = self._slots_of(key)
        for column, amount in change.amounts.items():
            self._sums[slots, column] += _added(in_cell, amount * change.sign, len(key))
        for column, axis in zip(change.place, (change.x, change.y), strict=True):
            part = (axis >> (shift - PLACE_BITS)) & ((1 << PLACE_BITS) - 1)
            self._sums[slots, column] += _added(in_cell, part * change.sign, len(key))
        self._write(slots, key)

    def within(self, view: Viewport) -> Flags:
        """Which cells the view touches."""
        west, north, east, south = _edges(view, self.level)
        x, y = self._records["x"][: len(self._slots)], self._records["y"][: len(self._slots)]
        inside: Flags = (x >= west) & (x <= east) & (y >= north) & (y <= south)
        return inside

    def filled(self, view: Viewport) -> wire.Records:
        records = self._records[: len(self._slots)]
        return records[self.within(view) & _is_filled(records)]

    def changed(self, view: Viewport, since: int) -> wire.Records:
        """Those that are empty now, too."""
        is_new = self._changed_in[: len(self._slots)] > since
        return self._records[: len(self._slots)][is_new & self.within(view)]

    def _slots_of(self, keys: Numbers) -> Indexes:
        slots = [self._slots.setdefault(key, len(self._slots)) for key in keys.tolist()]
        while len(self._slots) > len(self._records):
            self._sums, self._records = _doubled(self._sums), _doubled(self._records)
            self._changed_in = _doubled(self._changed_in)
        return np.array(slots, np.intp)

    def _write(self, slots: Indexes, keys: Numbers) -> None:
        """What differs from the records that were there is of a new version."""
        fresh = _records(self._sums[slots])
        fresh["x"], fresh["y"] = keys >> 16, keys & 0xFFFF
        is_new = fresh != self._records[slots]
        if is_new.any():
            self.version += 1
            self._records[slots[is_new]] = fresh[is_new]
            self._changed_in[slots[is_new]] = self.version


class FleetCells:
    """Every level that somebody of one fleet looks at; nothing while nobody looks from afar."""

    def __init__(self, vehicles: Board, sites: Sequence[Board]) -> None:
        self._vehicles, self._sites = vehicles, sites
        self._sources: list[Source] = []
        self._levels: dict[int, Cells] = {}

    def mark(self, changed: Mapping[Board, Indexes]) -> None:
        for source in self._sources:
            if (indexes := changed.get(source.board)) is not None:
                source.mark(indexes)

    def at(self, level: int) -> Cells:
        """As the boards are now. Another object than before means: what was told of it counts no longer."""
        self._advance()
        cells = self._levels.get(level)
        if cells is None or cells.is_sparse:
            cells = self._levels[level] = self._built(level)
        cells.asked_at = time.monotonic()
        return cells

    def fitting(self, view: Viewport, finest: int) -> int:
        """The finest level whose cells in view are few enough to be told; found by counting, not by building them."""
        west, north, east, south = _edges(view, finest)
        if (east - west + 1) * (south - north + 1) <= MOST_CELLS:
            return finest
        self._advance()
        x, y = (np.concatenate(axis) for axis in zip(*(source.places() for source in self._sources), strict=True))
        return bisect_right(range(1, finest + 1), MOST_CELLS, key=lambda level: _count_of_cells(x, y, view, level))

    def forget(self, now: float) -> None:
        """Levels that nobody looks at any more."""
        self._levels = {level: cells for level, cells in self._levels.items() if now - cells.asked_at <= FORGET_SECONDS}
        if not self._levels:
            self._sources = []

    def _advance(self) -> None:
        if not self._sources:
            self._sources = [
                Source(self._vehicles, vehicle_amounts, VEHICLE_PLACE),
                *(Source(board, site_amounts, SITE_PLACE) for board in self._sites),
            ]
        for source in self._sources:
            if (change := source.changes()) is not None:
                for cells in self._levels.values():
                    cells.take(change)

    def _built(self, level: int) -> Cells:
        cells = Cells(level)
        for source in self._sources:
            cells.take(source.whole())
        return cells


class Overview:
    """What was told of the cells of one fleet."""

    def __init__(self, fleet: FleetCells) -> None:
        self._fleet = fleet
        self._cells: Cells | None = None
        self._view = Viewport()
        self._told = 0

    @property
    def is_on(self) -> bool:
        return self._cells is not None

    @property
    def level(self) -> int:
        return self._cells.level if self._cells else 0

    @property
    def is_outdated(self) -> bool:
        """Were its cells, which are as the boards are now, begun anew, so that only a snapshot can follow?"""
        return self._cells is not None and self._fleet.at(self._cells.level) is not self._cells

    def leave(self) -> None:
        self._cells = None

    def snapshot(self, view: Viewport, zoom: float) -> wire.Records:
        """Every cell in view; from here on only changes are due."""
        self._view = view
        self._cells = self._fleet.at(self._fleet.fitting(view, level_of(view, zoom)))
        self._told = self._cells.version
        return self.whole()

    def whole(self) -> wire.Records:
        """Every cell in view, for one more who is told the same changes from here on; none while it is off."""
        return self._cells.filled(self._view) if self._cells else np.zeros(0, wire.CELL)

    def delta(self) -> wire.Records:
        """The cells in view that changed; an empty one is gone."""
        if self._cells is None:
            return np.zeros(0, wire.CELL)
        records = self._cells.changed(self._view, self._told)
        self._told = self._cells.version
        return records

    def absorb(self, other: "Overview") -> bool:
        """Who was told what `other` knows is told the same changes from here on; False: theirs are not these cells."""
        if self._cells is not other._cells:
            return False
        self._told = min(self._told, other._told)
        return True


def _mercator(lat: npt.NDArray[Any], lon: npt.NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Places on the square world of web maps, in whole steps from its north-west corner; from micro-degrees."""
    sine = np.sin(np.radians(np.clip(lat / 1e6, -85.0511, 85.0511)))
    x = (lon / 1e6 + 180) / 360
    y = 0.5 - np.log((1 + sine) / (1 - sine)) / (4 * np.pi)
    return _steps(x), _steps(y)


def _edges(view: Viewport, level: int) -> tuple[int, int, int, int]:
    """The outermost cells that the view touches: west, north, east, south."""
    corners = np.array([view.north, view.south]), np.array([view.west, view.east])
    x, y = (axis >> (WORLD_BITS - level - CELL_BITS) for axis in _mercator(*corners))
    return int(x[0]), int(y[0]), int(x[1]), int(y[1])


def _count_of_cells(x: Numbers, y: Numbers, view: Viewport, level: int) -> int:
    """How many cells of that level these places fill in view."""
    west, north, east, south = _edges(view, level)
    x, y = (axis >> (WORLD_BITS - level - CELL_BITS) for axis in (x, y))
    return len(np.unique((x << 16 | y)[(x >= west) & (x <= east) & (y >= north) & (y <= south)]))


def _steps(share: npt.NDArray[np.float64]) -> Numbers:
    steps: Numbers = np.clip(share * (1 << WORLD_BITS), 0, (1 << WORLD_BITS) - 1).astype(np.int64)
    return steps


def _added(places: Indexes, amounts: npt.NDArray[Any], count: int) -> Numbers:
    """Sums by place; whole numbers far below 2**53 stay exact."""
    return np.bincount(places, weights=amounts, minlength=count).astype(np.int64)


def _records(sums: Numbers) -> wire.Records:
    records = np.zeros(len(sums), wire.CELL)
    for name, column in (("vehicles", VEHICLES), ("needing", NEEDING), ("free", FREE), ("plugs", PLUGS)):
        records[name] = sums[:, column]
    records["sites"] = np.minimum(sums[:, SITES], 0xFFFF)
    records["place"] = _place(sums)
    records["worst"] = _worst_vehicle(sums) | _worst_site(sums) << 4
    return records


def _place(sums: Numbers) -> Numbers:
    """The middle of its vehicles, or of its sites where it has none, in sixteenths of the cell: x << 4 | y."""
    has_vehicles = sums[:, VEHICLES] > 0
    count = np.maximum(1, np.where(has_vehicles, sums[:, VEHICLES], sums[:, SITES]))
    x, y = (np.where(has_vehicles, sums[:, of_vehicle], sums[:, of_site]) // count // 16
            for of_vehicle, of_site in zip(VEHICLE_PLACE, SITE_PLACE, strict=True))  # fmt: skip
    place: Numbers = x << 4 | y
    return place


def _worst_vehicle(sums: Numbers) -> Numbers:
    ranked = [(ALARMED, ALARM), (NEEDING, NEEDED), (HEARD, FINE), (VEHICLES, SILENT)]
    return np.select([sums[:, column] > 0 for column, _ in ranked], [worst for _, worst in ranked], NOBODY)


def _worst_site(sums: Numbers) -> Numbers:
    """As of one site: the best news that is true of any; and whether no word of them is live."""
    colours = range(wire.STATION_UNKNOWN)
    is_of = [sums[:, COLOURS + number] > 0 for number in colours]
    worst: Numbers = np.select(is_of, list(colours), wire.STATION_UNKNOWN) + NOT_LIVE * (sums[:, LIVE] == 0)
    return worst


def _is_filled(records: wire.Records) -> Flags:
    filled: Flags = (records["vehicles"] > 0) | (records["sites"] > 0)
    return filled


def _doubled(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([array, np.zeros_like(array)])
