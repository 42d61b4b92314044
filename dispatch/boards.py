"""What the live map shows right now, as arrays; and what browsers were told of it."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dispatch import wire

Indexes = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Row = tuple[int, ...]
FACTS = np.dtype([("at", "<f8"), ("marks", "<u2"), ("base", "u1")])
"""Of a vehicle: when it was where it is, its marks, and state nibble and LOW as the last ping said."""


class Board:
    """Current records of one kind. A row keeps its index for life, so that browsers can be tracked by index."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.records = np.zeros(64, dtype)
        self.alive = np.zeros(64, np.bool_)
        self.index: dict[int, int] = {}

    def row(self, record_id: int) -> int:
        """The index of an id, made when new."""
        index = self.index.get(record_id)
        if index is None:
            index = self.index[record_id] = len(self.index)
            if index == len(self.records):
                self._grow()
            self.records[index]["id"] = record_id
        return index

    def put(self, values: tuple[int, ...]) -> int | None:
        """Store one record (values in wire order, id first); its index if anything changed."""
        index = self.row(values[0])
        fresh = np.array(values, self.records.dtype)
        if self.alive[index] and self.records[index] == fresh:
            return None
        self.records[index], self.alive[index] = fresh, True
        return index

    def put_all(self, indexes: Indexes, records: wire.Records) -> Indexes:
        """Store records at these indexes, each once; the indexes of what changed."""
        is_new: Flags = ~self.alive[indexes] | (self.records[indexes] != records)
        self.records[indexes], self.alive[indexes] = records, True
        return indexes[is_new]

    def drop(self, record_id: int) -> int | None:
        """Take a record off the board; its index if it was there."""
        index = self.index.get(record_id)
        if index is None or not self.alive[index]:
            return None
        self.alive[index] = False
        return index

    def keep_only(self, record_ids: Iterable[int]) -> list[int]:
        """Drop everything else; the indexes that went."""
        gone = set(self.index) - set(record_ids)
        return [index for record_id in gone if (index := self.drop(record_id)) is not None]

    def live_records(self) -> wire.Records:
        return self.records[: len(self.index)][self.alive[: len(self.index)]]

    def box(self) -> list[float] | None:
        """West, south, east, north of all of them in degrees; None when there are none."""
        records = self.live_records()
        if not len(records):
            return None
        lat, lon = records["lat"], records["lon"]
        return [int(edge) / 1e6 for edge in (lon.min(), lat.min(), lon.max(), lat.max())]

    def _grow(self) -> None:
        self.records = np.concatenate([self.records, np.zeros_like(self.records)])
        self.alive = np.concatenate([self.alive, np.zeros_like(self.alive)])


class VehicleBoard:
    """The vehicles of one fleet. Times and flags stay beside the wire records: they decide the state byte."""

    STALE_AFTER_SECONDS = 120.0
    OFFLINE_AFTER_SECONDS = 600.0

    def __init__(self) -> None:
        self.board = Board(wire.VEHICLE)
        self.active: frozenset[int] | None = None
        """The vehicles in service; None until they were read."""
        self._facts = np.zeros(0, FACTS)
        self._marks: dict[int, int] = {}

    @property
    def marks(self) -> dict[int, int]:
        """EXCEPTION, REROUTED and IN_SESSION by vehicle id, of vehicles that are not on the board, too."""
        return self._marks

    @marks.setter
    def marks(self, marks: dict[int, int]) -> None:
        self._marks = marks
        self._facts["marks"] = 0
        self._note_marks(marks)

    def move_all(self, rows: Iterable[tuple[Row, float]], now: float) -> Indexes:
        """Newer positions with their times (`state` holds nibble and LOW only); the indexes of what changed.

        Older news, or a retired vehicle's, changes nothing.
        """
        told = [(values, at) for values, at in rows if self.active is None or values[0] in self.active]
        if not told:
            return np.zeros(0, np.intp)
        indexes = np.array([self._row(values[0]) for values, _ in told], np.intp)
        at = np.array([at for _, at in told])
        chosen = _newest_of_each(indexes, at)
        chosen = chosen[at[chosen] >= self._facts["at"][indexes[chosen]]]
        records = np.array([told[number][0] for number in chosen.tolist()], wire.VEHICLE)
        indexes = indexes[chosen]
        self._facts["at"][indexes], self._facts["base"][indexes] = at[chosen], records["state"]
        records["state"] = self._states(indexes, now)
        return self.board.put_all(indexes, records)

    def newest_at(self) -> float:
        """The time of the newest position of any vehicle, 0 when there is none."""
        return float(self._facts["at"].max(initial=0.0))

    def mark_all(self, marks: dict[int, int], now: float) -> Indexes:
        """Set the flags of these vehicles; the indexes of those that look different now."""
        self._marks |= marks
        return self._refresh(self._note_marks(marks), now)

    def refresh_all(self, now: float) -> Indexes:
        """Let time pass: the indexes of those that look different now."""
        return self._refresh(np.arange(len(self.board.index)), now)

    def _row(self, vehicle_id: int) -> int:
        index = self.board.row(vehicle_id)
        if index >= len(self._facts):
            new = np.zeros(len(self.board.records) - len(self._facts), FACTS)
            new["at"] = float("-inf")
            self._facts = np.concatenate([self._facts, new])
        if self._facts["at"][index] == float("-inf"):
            self._facts["marks"][index] = self._marks.get(vehicle_id, 0)
        return index

    def _note_marks(self, marks: dict[int, int]) -> Indexes:
        known = [(index, value) for pk, value in marks.items() if (index := self.board.index.get(pk)) is not None]
        indexes = np.array([index for index, _ in known], np.intp)
        self._facts["marks"][indexes] = [value for _, value in known]
        return indexes

    def _refresh(self, indexes: Indexes, now: float) -> Indexes:
        indexes = indexes[self.board.alive[indexes]]
        states, held = self._states(indexes, now), self.board.records["state"]
        is_new: Flags = held[indexes] != states
        held[indexes[is_new]] = states[is_new]
        return indexes[is_new]

    def _states(self, indexes: Indexes, now: float) -> npt.NDArray[np.uint8]:
        """The state bytes as they are at `now`."""
        facts = self._facts[indexes]
        age, marks = now - facts["at"], facts["marks"]
        state = facts["base"] | marks & 0xF0
        state = np.where(age > self.STALE_AFTER_SECONDS, state | wire.STALE, state)
        state = np.where(age > self.OFFLINE_AFTER_SECONDS, state & 0xF0 | wire.OFFLINE, state)
        is_driving = state & 0x0F == wire.DRIVING  # its card is used elsewhere
        is_charging = (marks & wire.IN_SESSION != 0) & ~is_driving
        states: npt.NDArray[np.uint8] = np.where(is_charging, state & 0xF0 | wire.CHARGING, state).astype(np.uint8)
        return states


def _newest_of_each(indexes: Indexes, at: npt.NDArray[np.float64]) -> Indexes:
    """Where the newest of each index stands; of equally new ones the last."""
    newest_first = np.argsort(at, kind="stable")[::-1]
    return newest_first[np.unique(indexes[newest_first], return_index=True)[1]]


@dataclass(frozen=True)
class Viewport:
    """The padded box a browser looks at, in micro-degrees; `None` sees nothing yet."""

    south: float = -91e6
    west: float = -361e6
    north: float = 91e6
    east: float = 361e6

    @classmethod
    def of(cls, bbox: list[float] | None, pad: float) -> "Viewport":
        """From `[west, south, east, north]` in degrees; ValueError when that is no box."""
        if bbox is None:
            return cls()
        west, south, east, north = (float(value) * 1e6 for value in bbox)
        if not (west <= east and south <= north):
            raise ValueError("bbox is [west, south, east, north]")
        dx, dy = (east - west) * pad, (north - south) * pad
        return cls(south - dy, west - dx, north + dy, east + dx)

    def holds(self, records: wire.Records) -> Flags:
        lat, lon = records["lat"], records["lon"]
        inside: Flags = (lat >= self.south) & (lat <= self.north) & (lon >= self.west) & (lon <= self.east)
        return inside


class StatusBook:
    """Charge and state of one fleet, compared once for all browsers that ask at about the same time."""

    AGAIN_SECONDS = 0.1

    def __init__(self, board: Board) -> None:
        self.board = board
        self.version = 0
        self._current = np.zeros(0, wire.VEHICLE_STATUS)
        self._changed_in = np.zeros(0, np.int64)
        self._compared_at = float("-inf")
        self._since: dict[int, npt.NDArray[np.void]] = {}

    def since(self, version: int, now: float) -> npt.NDArray[np.void]:
        """What differs from how it was at that version; 0: everything."""
        if now - self._compared_at >= self.AGAIN_SECONDS:
            self._compared_at = now
            self._compare()
        if version not in self._since:
            is_there = self._current["id"] != 0
            self._since[version] = self._current[(self._changed_in > version) & is_there]
        return self._since[version]

    def _compare(self) -> None:
        rows = len(self.board.index)
        records, alive = self.board.records[:rows], self.board.alive[:rows]
        current = np.zeros(rows, wire.VEHICLE_STATUS)
        for column in ("id", "soc", "state"):
            current[column] = np.where(alive, records[column], 0)
        is_new = np.ones(rows, np.bool_)
        is_new[: len(self._current)] = current[: len(self._current)].view("<u8") != self._current.view("<u8")
        self._since = {}
        if is_new.any():
            self.version += 1
            self._changed_in = np.concatenate([self._changed_in, np.zeros(rows - len(self._changed_in), np.int64)])
            self._changed_in[is_new] = self.version
            self._current = current


class StatusLayer:
    """Charge and state of the whole fleet as one browser was told: its list is whole where its map is not."""

    def __init__(self, book: StatusBook) -> None:
        self.book = book
        self._told = 0

    def changed(self, now: float) -> npt.NDArray[np.void]:
        """What differs from what was told, and is told now."""
        records = self.book.since(self._told, now)
        self._told = self.book.version
        return records


class Layer:
    """What was told of one board: which rows are held, which changed since, which are in the box."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.known, self.pending, self.inside = (np.zeros(len(board.records), np.bool_) for _ in range(3))
        self.has_pending = False

    def mark(self, indexes: Indexes) -> None:
        """These rows changed. Conflated: memory stays bounded however slow the browser is."""
        if len(indexes):
            self._fit()
            self.pending[indexes] = True
            self.has_pending = True

    def look(self, view: Viewport, *, anew: bool = False) -> None:
        """Which rows are in the box now; only those that changed can have come or gone."""
        self._fit()
        rows = self._rows() if anew else np.flatnonzero(self.pending)
        self.inside[rows] = view.holds(self.board.records[rows]) & self.board.alive[rows]

    @property
    def count(self) -> int:
        """How many rows are in the box."""
        return int(np.count_nonzero(self.inside))

    def snapshot(self, focus: frozenset[int], *, is_far: bool) -> wire.Records:
        """Everything in the box, or from afar only what is in focus; from here on only changes are due."""
        rows = self._rows()
        visible = self._visible(rows, focus, is_far=is_far)
        self.known[rows] = visible
        self.pending[:] = False
        self.has_pending = False
        return self.board.records[rows[visible]]

    def whole(self, view: Viewport, focus: frozenset[int], *, is_far: bool) -> wire.Records:
        """A snapshot for one more who is told the same from here on: what it holds goes for all when it goes."""
        self.look(view, anew=True)
        rows = self._rows()
        visible = self._visible(rows, focus, is_far=is_far)
        self.known[rows] |= visible
        return self.board.records[rows[visible]]

    def delta(self, focus: frozenset[int], *, is_far: bool) -> tuple[wire.Records, npt.NDArray[np.uint32]]:
        """What changed and is visible, and the ids that are no longer; after `look`."""
        changed = np.flatnonzero(self.pending)
        self.pending[changed] = False
        self.has_pending = False
        records = self.board.records[changed]
        visible = self._visible(changed, focus, is_far=is_far)
        left = self.known[changed] & ~visible
        self.known[changed] = visible
        return records[visible], records["id"][left]

    def fork(self) -> "Layer":
        """The same knowledge, which goes on by itself."""
        other = copy.copy(self)
        other.known, other.pending, other.inside = self.known.copy(), self.pending.copy(), self.inside.copy()
        return other

    def absorb(self, other: "Layer") -> None:
        """Who was told what `other` knows is told the same as the rest from here on: all that anybody lacks, to all."""
        self._fit()
        other._fit()
        self.known |= other.known
        self.pending |= other.pending
        self.has_pending |= other.has_pending

    def _rows(self) -> Indexes:
        return np.arange(len(self.board.index))

    def _visible(self, rows: Indexes, focus: frozenset[int], *, is_far: bool) -> Flags:
        visible: Flags = np.zeros(len(rows), np.bool_) if is_far else self.inside[rows]
        if focus:
            visible |= np.isin(self.board.records["id"][rows], list(focus)) & self.board.alive[rows]
        return visible

    def _fit(self) -> None:
        missing = len(self.board.records) - len(self.known)
        if missing:
            more = np.zeros(missing, np.bool_)
            self.known, self.pending, self.inside = (
                np.concatenate([flags, more]) for flags in (self.known, self.pending, self.inside)
            )
