"""Who gets how much of a site's power, now and until the last departure: whole watts, no Django, no clock."""

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

HOUR = 3600


@dataclass(frozen=True)
class Share:
    """One claim on the power of one moment.

    `group` is the charger it hangs on. It gets `floor_w` if that fits, less if not, and never anything between 0 and
    `min_w`: below the least current a vehicle takes (6 A, IEC 61851-1) it pauses. `safe_w` is kept for it in any case.
    """

    key: int
    group: int
    min_w: int
    max_w: int
    floor_w: int = 0
    safe_w: int = 0


@dataclass(frozen=True)
class Slot:
    """A stretch of time with one limit: what is left for the sessions of the plan."""

    start_seconds: int
    seconds: int
    limit_w: int


@dataclass(frozen=True)
class Session:
    """A vehicle at a plug. `needed_wh` None: unknown, takes what it gets; `leaves_in_seconds` None: nobody knows.

    `safe_w` is its in any case (it may draw that much whenever we are silent). `rank`: among equals the lower is first.
    """

    key: int
    group: int
    min_w: int
    max_w: int
    needed_wh: int | None = None
    leaves_in_seconds: int | None = None
    safe_w: int = 0
    rank: int = 0
    allowed: tuple[tuple[int, int], ...] = ()
    """(From seconds, watts), rising: at most so much from then on, but always `safe_w`; empty: as much as it takes."""

    def most_w(self, slot: "Slot") -> int:
        since = [watts for start, watts in self.allowed if start <= slot.start_seconds]
        return self.max_w if not since else min(self.max_w, max(self.safe_w, since[-1]))


@dataclass(frozen=True)
class Plan:
    """Watts per slot and session, and how many Wh each will lack when it leaves (only those that will)."""

    slots: tuple[Slot, ...]
    power_w: tuple[Mapping[int, int], ...]
    missing_wh: Mapping[int, int]


# --- one moment -----------------------------------------------------------------------------------------------------


def fair_share(limit_w: int, caps: Mapping[int, int], shares: Iterable[Share]) -> dict[int, int]:
    """Max-min fair: nobody could get more without taking it from somebody who has less or as much.

    When the least currents of all do not fit, those that need least charge, so that as many as possible do. A higher
    limit pauses nobody, and gives nobody less while the same vehicles charge; one more vehicle on its least current
    does take power from the others, and no rule without waste could avoid it.
    """
    return divide(limit_w, caps, _modest_first(shares))


def divide(limit_w: int, caps: Mapping[int, int], shares: Iterable[Share]) -> dict[int, int]:
    """Power by key: floors in the order given, then the water level rises over all who are in.

    Never above `limit_w`, nor `caps` of a group (groups without one are not limited), nor a share's `max_w`; and
    nothing is left over that somebody could use.
    """
    shares = list(shares)
    admitted = _admitted(limit_w, caps, shares)
    return {share.key: 0 for share in shares} | _filled(limit_w, caps, admitted)


def _admitted(limit_w: int, caps: Mapping[int, int], shares: Sequence[Share]) -> list[Share]:
    """Who may charge at all, each with the floor that fits, in order."""
    left = limit_w - sum(share.safe_w for share in shares)
    room = {group: cap - sum(share.safe_w for share in shares if share.group == group) for group, cap in caps.items()}
    admitted = []
    for share in shares:
        fits = min(min(left, room.get(share.group, left)) + share.safe_w, share.max_w)
        takes = max(0, min(fits, max(share.min_w, share.floor_w, share.safe_w)))
        if takes >= share.min_w:
            admitted.append(replace(share, floor_w=takes))
        else:
            takes = 0
        left += share.safe_w - takes
        if share.group in room:
            room[share.group] += share.safe_w - takes
    return admitted


def _filled(limit_w: int, caps: Mapping[int, int], admitted: Sequence[Share]) -> dict[int, int]:
    if not admitted:
        return {}
    groups = [_Group.of(members, caps.get(group)) for group, members in _grouped(admitted).items()]

    def at(level: int) -> dict[int, int]:
        return {key: power for group in groups for key, power in group.at(level).items()}

    low, high = 0, max(share.max_w for share in admitted)
    if sum(at(high).values()) <= limit_w:
        return at(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sum(at(middle).values()) <= limit_w else (low, middle)
    power, above = at(low), at(low + 1)
    return _one_more(power, [key for key in power if above[key] > power[key]], limit_w - sum(power.values()))


def _one_more(power: dict[int, int], wanting: Iterable[int], left: int) -> dict[int, int]:
    """The last watts, one each, to the first in line."""
    for key in list(wanting)[: max(0, left)]:
        power[key] += 1
    return power


def _grouped(shares: Iterable[Share]) -> dict[int, list[Share]]:
    groups: dict[int, list[Share]] = {}
    for share in shares:
        groups.setdefault(share.group, []).append(share)
    return groups


@dataclass(frozen=True)
class _Group:
    """The plugs of one charger under a rising water level; from `full_from` on its own limit holds them back."""

    members: Sequence[Share]
    full_from: int
    full: Mapping[int, int]

    @classmethod
    def of(cls, members: Sequence[Share], cap: int | None) -> "_Group":
        high = max(share.max_w for share in members) + 1
        if cap is None or sum(_clamped(members, high).values()) <= cap:
            return cls(members, high, _clamped(members, high))
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if sum(_clamped(members, middle).values()) <= cap else (low, middle)
        power, above = _clamped(members, low), _clamped(members, low + 1)
        wanting = [key for key in power if above[key] > power[key]]
        return cls(members, low + 1, _one_more(power, wanting, cap - sum(power.values())))

    def at(self, level: int) -> Mapping[int, int]:
        return self.full if level >= self.full_from else _clamped(self.members, level)


def _clamped(members: Iterable[Share], level: int) -> dict[int, int]:
    return {share.key: min(max(level, share.floor_w), share.max_w) for share in members}


# --- until the last departure ---------------------------------------------------------------------------------------


def slots_of(
    limits: Sequence[tuple[int, int]], leaves: Iterable[int | None], *, horizon_seconds: int, grid_seconds: int = 0
) -> tuple[Slot, ...]:
    """Cut time where a limit changes, a vehicle leaves, and on the grid (0: none).

    `limits`: (from seconds, watts), rising, the first from 0. The horizon is stretched to the last departure.
    """
    gone = {moment for moment in leaves if moment is not None and moment > 0}
    end = max([horizon_seconds, *gone])
    cuts = {0, end} | gone | {start for start, _ in limits if 0 < start < end}
    if grid_seconds:
        cuts |= set(range(grid_seconds, end, grid_seconds))
    moments = sorted(cuts)
    return tuple(
        Slot(start, until - start, next(watts for since, watts in reversed(limits) if since <= start))
        for start, until in pairwise(moments)
    )


def plan_fair(slots: Sequence[Slot], caps: Mapping[int, int], sessions: Iterable[Session]) -> Plan:
    """Equal shares slot by slot; whoever has what it needs only gets what the others cannot use."""
    return _walk(slots, caps, sorted(sessions, key=lambda session: (session.rank, session.key)), {})


def plan_by_deadline(slots: Sequence[Slot], caps: Mapping[int, int], sessions: Iterable[Session]) -> Plan:
    """Who leaves first is served first, as far as everybody's own limit allows; what is left is shared fairly.

    Plain earliest-deadline-first fails here, since a vehicle that leaves late may need its full power all the time. So
    each vehicle, in the order of departure, is given energy wherever room can be made by moving the earlier ones to
    other times (augmenting paths of a flow): if any schedule serves everybody, this one does, to one watt.
    """
    ordered = sorted(sessions, key=_by_departure)
    return _walk(slots, caps, ordered, _promised(slots, caps, ordered))


def _by_departure(session: Session) -> tuple[float, int, int]:
    leaves = session.leaves_in_seconds
    return (float("inf") if leaves is None else leaves, session.rank, session.key)


def _is_there(session: Session, slot: Slot) -> bool:
    return session.leaves_in_seconds is None or slot.start_seconds < session.leaves_in_seconds


Promises = dict[tuple[int, int], int]
"""Watt-seconds by (slot number, session key)."""


def _walk(slots: Sequence[Slot], caps: Mapping[int, int], ordered: Sequence[Session], promises: Promises) -> Plan:
    """Serve the promises and share the rest, slot after slot; what a least current costs is caught up later."""
    wanted = {session.key: None if session.needed_wh is None else session.needed_wh * HOUR for session in ordered}
    owed = dict.fromkeys(wanted, 0)
    power = []
    for number, slot in enumerate(slots):
        for key in owed:
            owed[key] += promises.get((number, key), 0)
        given = _moment(slot, caps, ordered, wanted, owed)
        for key, watts in given.items():
            owed[key] -= watts * slot.seconds
            left = wanted[key]
            wanted[key] = None if left is None else max(0, left - watts * slot.seconds)
        power.append(given)
    return Plan(tuple(slots), tuple(power), {key: lack for key, lack in _lacks(ordered, wanted) if lack})


def _lacks(ordered: Iterable[Session], wanted: Mapping[int, int | None]) -> Iterable[tuple[int, int]]:
    """(key, Wh); less than one watt over the whole stay is the price of whole watts, and not missing."""
    for session in ordered:
        left, stay = wanted[session.key], session.leaves_in_seconds
        if left is not None and stay is not None and left > stay:
            yield session.key, -(-left // HOUR)


def _moment(
    slot: Slot,
    caps: Mapping[int, int],
    ordered: Sequence[Session],
    wanted: Mapping[int, int | None],
    owed: Mapping[int, int],
) -> dict[int, int]:
    """First those who need energy: what was promised, then equal shares; what they leave goes to the others.

    A plug whose vehicle has left keeps its safe share: the next one may come at any moment.
    """
    here = [session for session in ordered if _is_there(session, slot)]
    limit_w, caps = _less(slot.limit_w, caps, [(s.group, s.safe_w) for s in ordered if not _is_there(s, slot)])
    hungry = [session for session in here if wanted[session.key] != 0]
    sated = [session for session in here if wanted[session.key] == 0]
    urgent = [session for session in hungry if owed[session.key] > 0]
    promised = [_share(session, slot, owed[session.key] // slot.seconds) for session in urgent]
    others = [_share(session, slot) for session in hungry if owed[session.key] <= 0]
    given = divide(*_less(limit_w, caps, [(s.group, s.safe_w) for s in sated]), [*promised, *_modest_first(others)])
    used = [(session.group, given[session.key]) for session in hungry]
    return given | divide(*_less(limit_w, caps, used), _modest_first([_share(session, slot) for session in sated]))


def _less(limit_w: int, caps: Mapping[int, int], used: Iterable[tuple[int, int]]) -> tuple[int, dict[int, int]]:
    left, room = limit_w, dict(caps)
    for group, watts in used:
        left -= watts
        if group in room:
            room[group] -= watts
    return left, room


def _share(session: Session, slot: Slot, promised_w: int = 0) -> Share:
    most_w = session.most_w(slot)
    floor_w = min(promised_w + session.safe_w, most_w)
    return Share(session.key, session.group, session.min_w, most_w, floor_w, session.safe_w)


def _modest_first(shares: Iterable[Share]) -> list[Share]:
    return sorted(shares, key=lambda share: max(share.min_w, share.floor_w))


# --- the flow behind earliest-deadline-first ------------------------------------------------------------------------


class _Network:
    """A residual graph that is filled one vehicle at a time; what was served before stays served."""

    def __init__(self) -> None:
        self.residual: dict[Hashable, dict[Hashable, int]] = {}

    def edge(self, start: Hashable, end: Hashable, capacity: int) -> None:
        self.residual.setdefault(start, {})[end] = capacity
        self.residual.setdefault(end, {}).setdefault(start, 0)

    def push(self, start: Hashable, end: Hashable, amount: int) -> int:
        """Send as much as possible, `amount` at most, along shortest paths; how much went."""
        sent = 0
        while sent < amount and (path := self._path(start, end)):
            step = min(amount - sent, *(self.residual[one][other] for one, other in path))
            for one, other in path:
                self.residual[one][other] -= step
                self.residual[other][one] += step
            sent += step
        return sent

    def _path(self, start: Hashable, end: Hashable) -> list[tuple[Hashable, Hashable]]:
        came_from: dict[Hashable, Hashable] = {start: start}
        waiting = deque([start])
        while waiting and end not in came_from:
            node = waiting.popleft()
            for neighbour, room in self.residual[node].items():
                if room > 0 and neighbour not in came_from:
                    came_from[neighbour] = node
                    waiting.append(neighbour)
        if end not in came_from:
            return []
        path, node = [], end
        while node != start:
            path.append((came_from[node], node))
            node = came_from[node]
        return path


def _promised(slots: Sequence[Slot], caps: Mapping[int, int], ordered: Sequence[Session]) -> Promises:
    """Watt-seconds beyond the safe share of each, so that the departures are met in their order."""
    limit_w, caps = _less(0, caps, [(session.group, session.safe_w) for session in ordered])
    slots = [replace(slot, limit_w=max(0, slot.limit_w + limit_w)) for slot in slots]
    network = _Network()
    for number, slot in enumerate(slots):
        network.edge(("slot", number), "site", slot.limit_w * slot.seconds)
    urgent = [session for session in ordered if session.leaves_in_seconds is not None and session.needed_wh]
    for session in urgent:
        _plug_in(network, session, slots, caps)
        network.push(session.key, "site", _beyond_safe(session))
    return {
        (number, session.key): network.residual[("charger", session.group, number)][session.key]
        for session in urgent
        for number, slot in enumerate(slots)
        if _is_there(session, slot)
    }


def _beyond_safe(session: Session) -> int:
    energy = (session.needed_wh or 0) * HOUR - session.safe_w * (session.leaves_in_seconds or 0)
    return max(0, energy)


def _plug_in(network: _Network, session: Session, slots: Sequence[Slot], caps: Mapping[int, int]) -> None:
    for number, slot in enumerate(slots):
        if not _is_there(session, slot):
            break
        charger = ("charger", session.group, number)
        if charger not in network.residual:
            room = max(min(caps.get(session.group, slot.limit_w), slot.limit_w), 0)
            network.edge(charger, ("slot", number), room * slot.seconds)
        network.edge(session.key, charger, max(0, session.most_w(slot) - session.safe_w) * slot.seconds)
