"""One night of a depot: who stands at which plug from when to when and gets how many Wh in each slot; exact (HiGHS).

Every vehicle takes one plug once. Plugs that are alike form a class: the program only counts them, and since stays are
intervals, as many plugs as ever stand side by side are enough; who gets which one is settled afterwards, one by one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from dispatch.core import VERSION

SLOT_SECONDS = 900
MUST, NICE = 400.0, 20.0
"""What a missing Wh costs, in multiples of the dearest Wh of the night, times the priority of its vehicle: no saving is
worth a vehicle that is not ready, and nobody lacks what the next day takes so that another one gets more than that."""
SOONER = 1e-4
"""Between equal prices charge earlier: what is in the battery cannot be lost to a fault. It weighs up to twice for who
leaves first, so that vehicles that share a limit charge one after the other and not by turns."""
TIME_LIMIT_SECONDS = 20.0
GAP = 1e-6


class NoSchedule(Exception):
    """None was found in the time there is; there may be one."""


@dataclass(frozen=True)
class Plug:
    """`kind`: alike plugs have the same. `cap` names a limit that several plugs share (their charger's)."""

    connector_id: int
    kind: str
    cap: str = ""


@dataclass(frozen=True)
class Guest:
    """A vehicle of the night. `power_w` by kind of plug, as metered; a kind it cannot use is missing.

    `must_wh` is what its next day takes, `need_wh` what is wanted in all (metered, never less). `plugged_in`: the plug
    it stands at already and keeps; `wish`: the plug it was told before, kept when that costs nothing.
    """

    vehicle_id: int
    arrives: int
    leaves: int
    need_wh: float
    must_wh: float
    power_w: Mapping[str, float]
    priority: int = 1
    plugged_in: int | None = None
    wish: int | None = None


@dataclass(frozen=True)
class Night:
    """Slots of a quarter of an hour. `turn_slots`: every so many slots somebody moves vehicles; 0: they stay.

    `passed_slots` of the night were over when it was planned: turns are counted from its evening.
    """

    limits_w: Sequence[float]
    paise_per_kwh: Sequence[float]
    plugs: Sequence[Plug]
    guests: Sequence[Guest]
    caps_w: Mapping[str, float] = field(default_factory=dict)
    turn_slots: int = 0
    passed_slots: int = 0

    @property
    def slots(self) -> int:
        return len(self.limits_w)


@dataclass(frozen=True)
class Stay:
    """A vehicle at a plug; `wh` by slot of the night. `connector_id` None: no plug was left for it."""

    vehicle_id: int
    connector_id: int | None
    begins: int
    ends: int
    wh: tuple[float, ...]
    missing_wh: float
    missing_must_wh: float

    @property
    def is_ready(self) -> bool:
        return self.missing_wh < 1


@dataclass(frozen=True)
class Schedule:
    """`gap`: by how much, as a share, a better one could exist that was not found in time; 0: there is none."""

    stays: tuple[Stay, ...]
    cost_paise: float
    gap: float = 0.0

    def of(self, vehicle_id: int) -> Stay:
        return next(stay for stay in self.stays if stay.vehicle_id == vehicle_id)


@dataclass(frozen=True)
class _Option:
    """A guest at a kind of plug from slot to slot."""

    guest: int
    kind: str
    begins: int
    ends: int


def plan(night: Night) -> Schedule:
    """Least harm first (what the next day takes, then what is wanted, by priority), then the least money."""
    return _Program(night).solve()


def harm(night: Night, *, missing_wh: float, missing_must_wh: float, priority: int) -> float:
    """What not being ready costs, in paise."""
    dearest = max([*night.paise_per_kwh, 1.0]) / 1000
    return (NICE * missing_wh + MUST * missing_must_wh) * priority * dearest


def options(night: Night) -> list[tuple[int, str, int, int]]:
    """(guest, kind, begins, ends): every stay that is possible."""
    return [(one.guest, one.kind, one.begins, one.ends) for one in _options(night)]


def _options(night: Night) -> Iterator[_Option]:
    kinds = {plug.connector_id: plug.kind for plug in night.plugs}
    for number, guest in enumerate(night.guests):
        begins = max(0, guest.arrives)
        ends = min(night.slots, guest.leaves)
        here = kinds.get(guest.plugged_in or -1)
        for kind in sorted(set(kinds.values())):
            if kind == here or (here is None and guest.power_w.get(kind, 0) > 0):
                yield from _spans(night, number, kind, begins, ends, is_here=here is not None)


def _spans(night: Night, guest: int, kind: str, begins: int, ends: int, *, is_here: bool) -> Iterator[_Option]:
    turns = [turn for turn in _turns(night) if begins < turn < ends]
    starts = [begins] if is_here else [begins, *turns]
    stops = [*turns, ends]
    yield from (_Option(guest, kind, start, stop) for start in starts for stop in stops if start < stop)


def _turns(night: Night) -> list[int]:
    """However often the night is planned anew; a turn that is just being made may take until its slot is over."""
    if not night.turn_slots:
        return []
    is_now = night.passed_slots > 0 and night.passed_slots % night.turn_slots == 0
    due = [slot for slot in range(1, night.slots) if (night.passed_slots + slot) % night.turn_slots == 0]
    return sorted({*due, 1}) if is_now else due


def _standing(night: Night) -> set[int]:
    """Who is plugged in stays there, also with nothing left to take: nobody else has that plug. One for each."""
    plugs, first = {plug.connector_id for plug in night.plugs}, dict[int, int]()
    for number, guest in enumerate(night.guests):
        if guest.plugged_in in plugs:
            first.setdefault(guest.plugged_in, number)
    return set(first.values())


class _Program:
    """Columns: a choice per option, Wh per guest, kind and slot, then what each guest lacks of all and of the must."""

    def __init__(self, night: Night) -> None:
        self.night, self.options = night, list(_options(night))
        self.flows = self._flows()
        self.first_flow = len(self.options)
        self.first_lack = self.first_flow + len(self.flows)
        self.width = self.first_lack + 2 * len(night.guests)
        self.rows: list[tuple[dict[int, float], float, float]] = []

    def _flows(self) -> dict[tuple[int, str, int], int]:
        """(guest, kind, slot) -> number, for every slot in which some option stands there."""
        keys = {(one.guest, one.kind, slot) for one in self.options for slot in range(one.begins, one.ends)}
        return {key: number for number, key in enumerate(sorted(keys))}

    def solve(self) -> Schedule:
        if not self.options:
            return self._read(np.zeros(self.width), 0.0)
        self._demands()
        self._places()
        self._powers()
        found = milp(
            self._costs(), integrality=self._integers(), bounds=Bounds(0, self._most()), constraints=self._matrix(),
            options={"time_limit": TIME_LIMIT_SECONDS, "mip_rel_gap": GAP},
        )  # fmt: skip
        if found.x is None:
            raise NoSchedule(f"no schedule within {TIME_LIMIT_SECONDS:.0f} s: {found.message}")
        return self._read(found.x, float(found.mip_gap or 0.0))

    def _row(self, columns: Mapping[int, float], low: float, high: float) -> None:
        self.rows.append((dict(columns), low, high))

    def _demands(self) -> None:
        """What comes in and what lacks make the need; the must likewise. One stay each, and who stands has one."""
        standing = _standing(self.night)
        for number, guest in enumerate(self.night.guests):
            comes = {self.first_flow + flow: 1.0 for key, flow in self.flows.items() if key[0] == number}
            lack = self.first_lack + 2 * number
            self._row(comes | {lack: 1.0}, guest.need_wh, np.inf)
            self._row(comes | {lack + 1: 1.0}, guest.must_wh, np.inf)
            stays = self._of(guest=number)
            self._row(dict.fromkeys(stays, 1.0), 1.0 if stays and number in standing else -np.inf, 1.0)

    def _of(self, *, guest: int) -> list[int]:
        return [column for column, one in enumerate(self.options) if one.guest == guest]

    def _places(self) -> None:
        """Never more vehicles at a kind of plug than there are plugs."""
        for kind in {plug.kind for plug in self.night.plugs}:
            size = sum(plug.kind == kind for plug in self.night.plugs)
            for slot in range(self.night.slots):
                there = [c for c, one in enumerate(self.options) if one.kind == kind and one.begins <= slot < one.ends]
                if len(there) > size:
                    self._row(dict.fromkeys(there, 1.0), -np.inf, size)

    def _powers(self) -> None:
        """Only where it stands, never above what it takes; all together below the limits of site and chargers."""
        by_slot: dict[int, dict[int, float]] = {}
        by_cap: dict[tuple[str, int], dict[int, float]] = {}
        cap_of = {plug.kind: plug.cap for plug in self.night.plugs}
        for (guest, kind, slot), flow in self.flows.items():
            column, most = self.first_flow + flow, _wh(self.night.guests[guest].power_w.get(kind, 0.0))
            stands = {c: -most for c in self._of(guest=guest) if self._covers(c, kind, slot)}
            self._row({column: 1.0, **stands}, -np.inf, 0.0)
            by_slot.setdefault(slot, {})[column] = 1.0
            by_cap.setdefault((cap_of[kind], slot), {})[column] = 1.0
        for slot, columns in by_slot.items():
            self._row(columns, -np.inf, _wh(self.night.limits_w[slot]))
        for (cap, _), columns in by_cap.items():
            if cap in self.night.caps_w:
                self._row(columns, -np.inf, _wh(self.night.caps_w[cap]))

    def _covers(self, column: int, kind: str, slot: int) -> bool:
        one = self.options[column]
        return one.kind == kind and one.begins <= slot < one.ends

    def _costs(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        costs = np.zeros(self.width)
        dearest = max([*self.night.paise_per_kwh, 1.0]) / 1000
        urgency = self._urgency()
        for (who, _, slot), flow in self.flows.items():
            sooner = SOONER * dearest * urgency[who] * slot / self.night.slots
            costs[self.first_flow + flow] = self.night.paise_per_kwh[slot] / 1000 + sooner
        for number, guest in enumerate(self.night.guests):
            costs[self.first_lack + 2 * number] = NICE * guest.priority * dearest
            costs[self.first_lack + 2 * number + 1] = MUST * guest.priority * dearest
        return costs

    def _urgency(self) -> dict[int, float]:
        """From 2 for who leaves first down to 1."""
        guests = self.night.guests
        order = sorted(range(len(guests)), key=lambda number: (guests[number].leaves, number))
        return {number: 2 - rank / len(guests) for rank, number in enumerate(order)}

    def _integers(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        kinds = np.zeros(self.width, dtype=np.int64)
        kinds[: self.first_flow] = 1
        return kinds

    def _most(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        most = np.full(self.width, np.inf)
        most[: self.first_flow] = 1
        return most

    def _matrix(self) -> LinearConstraint:
        places = [
            (row, column, value) for row, (columns, _, _) in enumerate(self.rows) for column, value in columns.items()
        ]
        rows, columns, values = zip(*places, strict=True)
        matrix = coo_array((values, (rows, columns)), shape=(len(self.rows), self.width)).tocsr()
        return LinearConstraint(matrix, [low for _, low, _ in self.rows], [high for _, _, high in self.rows])

    def _read(self, x: np.ndarray[Any, np.dtype[np.float64]], gap: float) -> Schedule:
        chosen = {one.guest: one for column, one in enumerate(self.options) if x[column] > 0.5}
        plugs = _plugs_of(self.night, chosen)
        stays = tuple(
            self._stay(number, chosen.get(number), plugs.get(number), x) for number in range(len(self.night.guests))
        )
        paise = sum(wh * self.night.paise_per_kwh[slot] for stay in stays for slot, wh in enumerate(stay.wh)) / 1000
        return Schedule(stays, round(paise, 2), gap)

    def _stay(
        self, number: int, one: _Option | None, plug: int | None, x: np.ndarray[Any, np.dtype[np.float64]]
    ) -> Stay:
        guest = self.night.guests[number]
        flows = [self.flows.get((number, one.kind, slot)) if one else None for slot in range(self.night.slots)]
        wh = tuple(0.0 if flow is None else round(float(x[self.first_flow + flow]), 3) for flow in flows)
        got = sum(wh)
        return Stay(
            guest.vehicle_id, plug, one.begins if one else 0, one.ends if one else 0, wh,
            missing_wh=_lack(guest.need_wh, got), missing_must_wh=_lack(guest.must_wh, got),
        )  # fmt: skip


def _lack(wanted_wh: float, got_wh: float) -> float:
    lack = round(wanted_wh - got_wh, 1)
    return lack if lack >= 1 else 0.0


def _wh(watts: float) -> float:
    return watts * SLOT_SECONDS / 3600


def _plugs_of(night: Night, chosen: Mapping[int, _Option]) -> dict[int, int]:
    """Connectors by guest: who stands somewhere stays there, then in the order in which the stays begin."""
    free_at = {plug.connector_id: 0 for plug in night.plugs}
    found: dict[int, int] = {}
    for number in sorted(chosen, key=lambda one: (chosen[one].begins, night.guests[one].plugged_in is None, one)):
        guest, one = night.guests[number], chosen[number]
        fits = [p.connector_id for p in night.plugs if p.kind == one.kind and free_at[p.connector_id] <= one.begins]
        kept = next((wish for wish in (guest.plugged_in, guest.wish) if wish in fits), None)
        others = {night.guests[n].plugged_in for n in chosen} | {night.guests[n].wish for n in chosen if n != number}
        found[number] = kept if kept is not None else min(fits, key=lambda plug: (plug in others, plug))
        free_at[found[number]] = one.ends
    return found


def to_snapshot(night: Night) -> dict[str, Any]:
    """Everything the schedule follows from, as JSON."""
    return {"core_version": VERSION, **asdict(night)}


def replay(snapshot: Mapping[str, Any]) -> Schedule:
    """The same night once more."""
    values = {key: value for key, value in snapshot.items() if key != "core_version"}
    plugs = [Plug(**row) for row in values.pop("plugs")]
    guests = [Guest(**row) for row in values.pop("guests")]
    return plan(Night(plugs=plugs, guests=guests, **values))
