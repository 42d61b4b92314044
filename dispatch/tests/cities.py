"""Random cities full of low vehicles, and other ways to send them charging: a linear program, each for himself."""

from dataclasses import replace

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from dispatch.core import assign
from dispatch.core.assign import NOWHERE, PLACES, Candidates, City, Connectors, Vehicles

SIDE_KM, CLUSTERS, NEAREST = 40.0, 25, 40
SECONDS_PER_KM, WH_PER_KM, BATTERY_WH = 150.0, 160.0, 21_300.0


def city(seed: int, *, vehicles: int, connectors: int, free_share: float = 0.5, has_priorities: bool = False) -> City:
    """40 x 40 km, clustered; charge of 4 to 20 %, 8 % of the connectors faulted, the nearest 40 within reach."""
    dice = np.random.default_rng(seed)
    centres = dice.uniform(0, SIDE_KM, (CLUSTERS, 2))
    here = centres[dice.integers(0, CLUSTERS, vehicles)] + dice.normal(0, 3, (vehicles, 2))
    there = centres[dice.integers(0, CLUSTERS, connectors)] + dice.normal(0, 2, (connectors, 2))
    soc_wh = dice.uniform(0.04, 0.20, vehicles) * BATTERY_WH
    power = dice.choice([15_000, 30_000, 60_000], connectors)
    km, near = cKDTree(there).query(here, k=min(NEAREST, connectors))
    who = np.repeat(np.arange(vehicles), near.shape[1])
    where, km = near.ravel(), 1.35 * km.ravel()
    reach = km * WH_PER_KM * 1.15 < soc_wh[who]
    who, where, km = who[reach], where[reach], km[reach]
    charge = (0.8 * BATTERY_WH - soc_wh[who] + km * WH_PER_KM) / np.minimum(power[where], 30_000) * 3600
    free = np.where(dice.random(connectors) < free_share, 0.0, dice.uniform(0, 2_400, connectors))
    priorities = 1 + 2.0 * has_priorities * (dice.random(vehicles) < 0.1)
    places = np.where(dice.random(connectors) < 0.08, 0, PLACES)
    paise = dice.choice([0.0, 2_000.0, 5_000.0], len(who))
    columns = (column.tolist() for column in (who, where, km * SECONDS_PER_KM, charge, paise))
    return City(
        Vehicles(range(1000, 1000 + vehicles), priorities.tolist(), [NOWHERE] * vehicles),
        Connectors(range(connectors), free.tolist(), places.tolist()), Candidates(*columns), paise_per_minute=400.0,
    )  # fmt: skip


def by_linear_program(one: City) -> float:
    """The least total of the same matching as a min-cost flow, solved by HiGHS; without anybody under way."""
    arcs = assign._Arcs(one)
    count = len(one.vehicles.ids)
    unserved = np.asarray(one.vehicles.priorities) * one.paise_per_minute * one.unserved_minutes
    spots, spot = np.unique(arcs.connector * PLACES + arcs.place, return_inverse=True)
    flows = np.arange(len(arcs.vehicle) + count)
    served = csr_matrix((np.ones(len(flows)), (np.concatenate([arcs.vehicle, np.arange(count)]), flows)))
    queued = csr_matrix((np.ones(len(spot)), (spot, np.arange(len(spot)))), shape=(len(spots), len(flows)))
    found = linprog(
        np.concatenate([arcs.paise, unserved]), A_ub=queued, b_ub=np.ones(len(spots)), A_eq=served, b_eq=np.ones(count),
        bounds=(0, None), method="highs",
    )  # fmt: skip
    assert found.status == 0
    return float(found.fun)


def each_for_himself(one: City) -> float:
    """What it costs when each vehicle drives to its nearest connector that is free now, and queues as it comes."""
    rows = one.candidates
    vehicle, connector, drive = np.array(rows.vehicle), np.array(rows.connector), np.array(rows.drive_seconds)
    ready = np.array(one.connectors.free_seconds, dtype=float)
    order = np.lexsort((drive, ready[connector] > 0, vehicle))
    order = order[np.array(one.connectors.places)[connector[order]] > 0]
    first = order[np.r_[True, vehicle[order][1:] != vehicle[order][:-1]]]
    worth = np.array(one.vehicles.priorities) * one.paise_per_minute
    total = float(np.delete(worth, vehicle[first]).sum() * one.unserved_minutes)
    for row in first[np.argsort(drive[first])].tolist():
        at = connector[row]
        ready[at] = max(ready[at], drive[row]) + rows.charge_seconds[row]
        total += ready[at] / 60 * worth[vehicle[row]] + rows.paise[row]
    return total


def by_the_clock(one: City, found: assign.Assignment) -> float:
    """What an assignment costs as its queues really go."""
    left = set(found.unserved)
    pairs = zip(one.vehicles.ids, one.vehicles.priorities, strict=True)
    unserved = sum(
        priority * one.paise_per_minute * one.unserved_minutes for number, priority in pairs if number in left
    )
    return float(sum(place.time_paise + place.paise for place in found.places) + unserved)


def with_one_broken(one: City, connector: int) -> City:
    """The city after a connector has failed."""
    places = [0 if row == connector else count for row, count in enumerate(one.connectors.places)]
    return replace(one, connectors=replace(one.connectors, places=places))
