"""Which of the fleet's vehicles charges where: one matching for all of them, so that they do not herd to one charger.

Exact for the costs it is given: a vehicle is matched to one place in the queue of one connector, or to none. A
connector has two places at most: one would leave vehicles unserved when chargers are scarce, a third changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

VERSION = "assign-1"
"""Goes into every stored city; changes whenever the same city would give another assignment."""
NOWHERE = -1
PLACES = 2

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Vehicles:
    """Who has to charge; one row each."""

    ids: Sequence[int]
    priorities: Sequence[float]
    """Worth of a minute of it against an ordinary one's."""
    targets: Sequence[int]
    """The connector's row it is on its way to; NOWHERE: to none yet."""


@dataclass(frozen=True)
class Connectors:
    """Where it can charge; one row each."""

    ids: Sequence[int]
    free_seconds: Sequence[float]
    """Until the session there ends, or a promise to others; 0: free."""
    places: Sequence[int]
    """How many of ours may queue there: 2, less what is promised already; 0: faulted, closed, not for us."""


@dataclass(frozen=True)
class Candidates:
    """Who could charge where: rows of vehicles and of connectors. What is not listed cannot be."""

    vehicle: Sequence[int]
    connector: Sequence[int]
    drive_seconds: Sequence[float]
    charge_seconds: Sequence[float]
    paise: Sequence[float]
    """Price, fees, risk, and the way back to the route."""


@dataclass(frozen=True)
class City:
    """Everything an assignment rests on."""

    vehicles: Vehicles
    connectors: Connectors
    candidates: Candidates
    paise_per_minute: float
    turn_seconds: float = 45 * 60
    """How long the first in a queue is taken to charge, for the second one."""
    stay_minutes: float = 5.0
    """A vehicle under way is sent elsewhere only for a gain of more than this."""
    unserved_minutes: float = 600.0
    """What it costs when a vehicle gets no place."""
    core_version: str = VERSION


@dataclass(frozen=True)
class Place:
    """A vehicle's place. Its times are those it will meet as the queue stands, not those of the matching."""

    vehicle_id: int
    connector_id: int
    place: int
    """1: next at the connector, 2: after another one of ours."""
    arrives_seconds: float
    starts_seconds: float
    ends_seconds: float
    time_paise: float
    paise: float
    is_moved: bool
    """It was on its way to another connector."""


@dataclass(frozen=True)
class Assignment:
    places: tuple[Place, ...]
    unserved: tuple[int, ...]
    matched_paise: float
    """What was minimised, without what staying is worth."""
    moved: int
    core_version: str = VERSION


class _Arcs:
    """Candidates times places in the queue, with their costs."""

    def __init__(self, city: City) -> None:
        rows = city.candidates
        places = np.asarray(city.connectors.places, dtype=np.int64)
        vehicle, connector = _ints(rows.vehicle), _ints(rows.connector)
        least, most = np.minimum(places[connector], PLACES), int(places.max(initial=0))
        of_place = [np.flatnonzero(least > place) for place in range(min(PLACES, most))]
        self.row: Ints = np.concatenate(of_place) if of_place else np.zeros(0, dtype=np.int64)
        self.place = np.repeat(np.arange(len(of_place)), [len(one) for one in of_place])
        self.vehicle, self.connector = vehicle[self.row], connector[self.row]
        ready = _floats(city.connectors.free_seconds)[self.connector] + self.place * city.turn_seconds
        starts = np.maximum(_floats(rows.drive_seconds)[self.row], ready)
        minutes = (starts + _floats(rows.charge_seconds)[self.row]) / 60
        worth = _floats(city.vehicles.priorities)[self.vehicle] * city.paise_per_minute
        self.paise: Floats = minutes * worth + _floats(rows.paise)[self.row]
        stays = _ints(city.vehicles.targets)[self.vehicle] == self.connector
        self.stay: Floats = np.where(stays, city.stay_minutes * worth, 0.0)


def assign(city: City) -> Assignment:
    """The cheapest assignment of all vehicles, those under way staying unless moving them pays."""
    count, arcs = len(city.vehicles.ids), _Arcs(city)
    if not count:
        return Assignment((), (), 0.0, 0, city.core_version)
    unserved = _floats(city.vehicles.priorities) * city.paise_per_minute * city.unserved_minutes
    spots, column = np.unique(arcs.connector * PLACES + arcs.place, return_inverse=True)
    cost = np.concatenate([arcs.paise - arcs.stay, unserved])
    cost = (
        cost - cost.min() + 1.0
    )  # every vehicle is matched once, so this moves all totals alike; zeros would be no arcs
    everybody = np.arange(count)
    row = np.concatenate([arcs.vehicle, everybody])
    columns = np.concatenate([column, len(spots) + everybody])  # the last ones are "no place", one for each
    cost, row, columns = _cheapest_of_each(cost, row, columns)
    graph = csr_matrix((cost, (row, columns)), shape=(count, len(spots) + count))
    _, matched = min_weight_full_bipartite_matching(graph)
    chosen = np.where(matched < len(spots), spots[np.minimum(matched, len(spots) - 1)], NOWHERE) if len(spots) else None
    return _assignment(city, arcs, unserved, np.full(count, NOWHERE) if chosen is None else chosen)


def _cheapest_of_each(cost: Floats, row: Ints, column: Ints) -> tuple[Floats, Ints, Ints]:
    """One arc per pair: of candidates listed twice the cheapest (a sparse matrix would add them up)."""
    order = np.lexsort((cost, column, row))
    cost, row, column = cost[order], row[order], column[order]
    is_first = np.ones(len(row), dtype=bool)
    is_first[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
    return cost[is_first], row[is_first], column[is_first]


def _assignment(city: City, arcs: _Arcs, unserved: Floats, chosen: Ints) -> Assignment:
    """From the chosen spot of each vehicle to the queues as they will be."""
    spot = arcs.connector * PLACES + arcs.place
    used = np.flatnonzero(spot == chosen[arcs.vehicle])
    used = used[np.lexsort((arcs.paise[used], arcs.vehicle[used]))]
    first = np.ones(len(used), dtype=bool)
    first[1:] = arcs.vehicle[used][1:] != arcs.vehicle[used][:-1]
    used = used[first]
    queues: dict[int, list[int]] = {}
    for arc in used[np.argsort(arcs.place[used], kind="stable")].tolist():
        queues.setdefault(int(arcs.connector[arc]), []).append(arc)
    places = [place for connector, queue in queues.items() for place in _queued(city, arcs, connector, queue)]
    places.sort(key=lambda place: place.vehicle_id)
    left = np.flatnonzero(chosen == NOWHERE)
    total = float(arcs.paise[used].sum() + unserved[left].sum())
    ids = tuple(int(city.vehicles.ids[vehicle]) for vehicle in left.tolist())
    return Assignment(tuple(places), ids, total, sum(place.is_moved for place in places), city.core_version)


def _queued(city: City, arcs: _Arcs, connector: int, queue: list[int]) -> list[Place]:
    """The places of one connector, in the order that costs less by the clock."""
    orders = [_in_order(city, arcs, connector, queue)]
    if len(queue) > 1:
        orders.append(_in_order(city, arcs, connector, queue[::-1]))
    return min(orders, key=lambda places: sum(place.time_paise for place in places))


def _in_order(city: City, arcs: _Arcs, connector: int, queue: list[int]) -> list[Place]:
    places, ready = [], float(city.connectors.free_seconds[connector])
    for number, arc in enumerate(queue, 1):
        vehicle, row = int(arcs.vehicle[arc]), int(arcs.row[arc])
        arrives = float(city.candidates.drive_seconds[row])
        starts = max(arrives, ready)
        ready = starts + float(city.candidates.charge_seconds[row])
        target = int(city.vehicles.targets[vehicle])
        places.append(
            Place(
                int(city.vehicles.ids[vehicle]), int(city.connectors.ids[connector]), number, arrives, starts, ready,
                time_paise=ready / 60 * city.paise_per_minute * float(city.vehicles.priorities[vehicle]),
                paise=float(city.candidates.paise[row]), is_moved=target not in (NOWHERE, connector),
            )
        )  # fmt: skip
    return places


def under_way(city: City, assignment: Assignment) -> City:
    """The same city with everybody on the way to the place assigned: the next assignment moves few of them."""
    rows = {connector_id: row for row, connector_id in enumerate(city.connectors.ids)}
    to = {place.vehicle_id: rows[place.connector_id] for place in assignment.places}
    targets = [to.get(vehicle_id, NOWHERE) for vehicle_id in city.vehicles.ids]
    return replace(city, vehicles=replace(city.vehicles, targets=targets))


def to_snapshot(city: City) -> dict[str, Any]:
    """A city as JSON."""
    return {
        name: {key: np.asarray(row).tolist() for key, row in value.items()} if isinstance(value, dict) else value
        for name, value in asdict(city).items()
    }


def replay(snapshot: Mapping[str, Any]) -> Assignment:
    """Assign a stored city again; the same core gives the same answer."""
    parts = {
        "vehicles": Vehicles(**snapshot["vehicles"]),
        "connectors": Connectors(**snapshot["connectors"]),
        "candidates": Candidates(**snapshot["candidates"]),
    }
    return assign(City(**{**snapshot, **parts}))


def _ints(values: Sequence[int]) -> Ints:
    return np.asarray(values, dtype=np.int64)


def _floats(values: Sequence[float]) -> Floats:
    return np.asarray(values, dtype=np.float64)
