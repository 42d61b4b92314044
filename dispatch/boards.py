"""What the live map shows right now, as arrays; and what one browser has of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dispatch import wire

Indexes = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


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

    def _grow(self) -> None:
        self.records = np.concatenate([self.records, np.zeros_like(self.records)])
        self.alive = np.concatenate([self.alive, np.zeros_like(self.alive)])


@dataclass
class VehicleBoard:
    """The vehicles of one fleet. Times and flags stay beside the wire records: they decide the state byte."""

    board: Board = field(default_factory=lambda: Board(wire.VEHICLE))
    position_at: dict[int, float] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=dict)
    """EXCEPTION, REROUTED and IN_SESSION by vehicle id."""
    base: dict[int, int] = field(default_factory=dict)
    """State nibble and LOW by vehicle id, as the last ping said."""

    active: frozenset[int] | None = None
    """The vehicles in service; None until they were read."""

    STALE_AFTER_SECONDS = 120.0
    OFFLINE_AFTER_SECONDS = 600.0

    def move(self, values: tuple[int, ...], at: float, now: float) -> int | None:
        """A newer position (`state` holds nibble and LOW only); older news, or a retired vehicle's, changes nothing."""
        vehicle_id = values[0]
        if self.active is not None and vehicle_id not in self.active:
            return None
        if at < self.position_at.get(vehicle_id, float("-inf")):
            return None
        self.position_at[vehicle_id], self.base[vehicle_id] = at, values[-1]
        return self.board.put((*values[:-1], self.state_byte(vehicle_id, now)))

    def newest_at(self) -> float:
        """The time of the newest position of any vehicle, 0 when there is none."""
        return max(self.position_at.values(), default=0.0)

    def mark(self, vehicle_id: int, marks: int, now: float) -> int | None:
        """Set the exception and rerouted flags of one vehicle."""
        self.marks[vehicle_id] = marks
        return self.refresh(vehicle_id, now)

    def refresh(self, vehicle_id: int, now: float) -> int | None:
        """Let time pass: recompute the state byte."""
        index = self.board.index.get(vehicle_id)
        if index is None or not self.board.alive[index]:
            return None
        state = self.state_byte(vehicle_id, now)
        if self.board.records[index]["state"] == state:
            return None
        self.board.records[index]["state"] = state
        return index

    def refresh_all(self, now: float) -> list[int]:
        return [index for vehicle_id in self.base if (index := self.refresh(vehicle_id, now)) is not None]

    def state_byte(self, vehicle_id: int, now: float) -> int:
        age = now - self.position_at[vehicle_id]
        marks = self.marks.get(vehicle_id, 0)
        state = self.base[vehicle_id] | marks & 0xF0
        if age > self.STALE_AFTER_SECONDS:
            state |= wire.STALE
        if age > self.OFFLINE_AFTER_SECONDS:
            state = state & 0xF0 | wire.OFFLINE
        is_driving = state & 0x0F == wire.DRIVING  # its card is used elsewhere
        return state & 0xF0 | wire.CHARGING if marks & wire.IN_SESSION and not is_driving else state


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


class StatusLayer:
    """Charge and state of the whole fleet as one browser was told: its list is whole where its map is not."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.told = np.zeros(0, wire.VEHICLE_STATUS)

    def changed(self) -> npt.NDArray[np.void]:
        """What differs from what was told, and is told now."""
        records, alive = self.board.records[: len(self.board.index)], self.board.alive[: len(self.board.index)]
        current = np.zeros(len(records), wire.VEHICLE_STATUS)
        for column in ("id", "soc", "state"):
            current[column] = np.where(alive, records[column], 0)
        is_new = alive.copy()
        is_new[: len(self.told)] &= current[: len(self.told)] != self.told
        self.told = current
        return current[is_new]


class Layer:
    """One browser's knowledge of one board: which rows it holds, which changed since it was told."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.known = np.zeros(len(board.records), np.bool_)
        self.pending = np.zeros(len(board.records), np.bool_)
        self.has_pending = False

    def mark(self, indexes: Indexes) -> None:
        """These rows changed. Conflated: memory stays bounded however slow the browser is."""
        if len(indexes):
            self._fit()
            self.pending[indexes] = True
            self.has_pending = True

    def snapshot(self, view: Viewport, focus: frozenset[int]) -> wire.Records:
        """Everything in view; from here on only changes are due."""
        self._fit()
        rows = len(self.board.index)
        records = self.board.records[:rows]
        visible = self._visible(records, np.arange(rows), view, focus)
        self.known[:] = False
        self.known[:rows] = visible
        self.pending[:] = False
        self.has_pending = False
        return records[visible]

    def delta(self, view: Viewport, focus: frozenset[int]) -> tuple[wire.Records, npt.NDArray[np.uint32]]:
        """What changed in view, and the ids that left it."""
        self._fit()
        changed = np.flatnonzero(self.pending)
        self.pending[:] = False
        self.has_pending = False
        records = self.board.records[changed]
        visible = self._visible(records, changed, view, focus)
        left = self.known[changed] & ~visible
        self.known[changed] = visible
        return records[visible], records["id"][left]

    def _visible(self, records: wire.Records, rows: Indexes, view: Viewport, focus: frozenset[int]) -> Flags:
        inside = view.holds(records)
        if focus:
            inside |= np.isin(records["id"], list(focus))
        return inside & self.board.alive[rows]

    def _fit(self) -> None:
        missing = len(self.board.records) - len(self.known)
        if missing:
            self.known = np.concatenate([self.known, np.zeros(missing, np.bool_)])
            self.pending = np.concatenate([self.pending, np.zeros(missing, np.bool_)])
