"""A day of pings into trips, halts and charges; imports no Django.

Takes stored pings in time order and judges them anew, so that the order of their arrival and their repetitions cannot
matter. A halt is five minutes within 60 m; what lies between two halts and leads 500 m is a trip; an hour without a
ping ends one. (Traccar's figures: 500 m, 300 s, 3,600 s.)
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from fleetcharge.lib.geo import distance_m
from vehicles.fixes import CHARGING, MINUTE, SECOND, SUSPECT_POSITION, SUSPECT_SOC, Fix
from vehicles.plausibility import METRES_PER_DEGREE, Track

HALT_M, HALT_US = 60.0, 300 * SECOND
TRIP_M, GAP_US = 500.0, 3_600 * SECOND
CHARGE_POINTS, CHARGE_US = 1.5, 3 * MINUTE
SWAP_POINTS, SWAP_US = 30.0, 10 * MINUTE
FULL_ENOUGH_PERCENT = 90.0
GAP_COUNTED_US = 2 * MINUTE  # a longer silence is missing from the day


class Trip(NamedTuple):
    """From the last ping of a halt to the first of the next; positions are indices into the day's pings."""

    first: int
    last: int
    distance_m: int
    max_speed_kmh: float | None
    soc_start: float | None
    soc_end: float | None


class Halt(NamedTuple):
    first: int
    last: int


class Charge(NamedTuple):
    """A rise of the charge at a halt; `kind` charge or swap (another battery: much, at once, without a cable)."""

    kind: str
    first: int
    last: int
    soc_start: float
    soc_end: float


class Day(NamedTuple):
    """What became of a day's pings. `flags` as judged in time order, `heard_us` without its silences."""

    trips: list[Trip]
    halts: list[Halt]
    charges: list[Charge]
    flags: list[int]
    distance_m: int
    heard_us: int


def segment(fixes: Sequence[Fix], max_speed_kmh: float) -> Day:
    """One vehicle-day in time order. The pings' flags are judged anew, in place."""
    track = Track()
    for fix in fixes:
        fix.flags &= ~(SUSPECT_POSITION | SUSPECT_SOC)
        track.judge(fix, max_speed_kmh)
    places = [index for index, fix in enumerate(fixes) if not fix.flags & SUSPECT_POSITION]
    halts = _halts(fixes, places)
    trips = [trip for part in _between(fixes, places, halts) if (trip := _trip(fixes, part))]
    charges = [charge for halt in halts if (charge := _charge(fixes, halt))]
    times = [fix.at_us for fix in fixes]
    heard = sum(min(later - earlier, GAP_COUNTED_US) for earlier, later in pairwise(times))
    distance = sum(trip.distance_m for trip in trips)
    return Day(trips, halts, charges, [fix.flags for fix in fixes], distance, heard)


def _halts(fixes: Sequence[Fix], places: list[int]) -> list[Halt]:
    """The longest stays, first come first served; each begins where the one before it ended or later."""
    halts, start = list[Halt](), 0
    while start < len(places):
        end = start
        while end + 1 < len(places) and _is_near(fixes[places[start]], fixes[places[end + 1]]):
            end += 1
        if fixes[places[end]].at_us - fixes[places[start]].at_us >= HALT_US:
            halts.append(Halt(places[start], places[end]))
            start = end + 1
        else:
            start += 1
    return halts


def _is_near(one: Fix, other: Fix) -> bool:
    degrees = abs(one.latitude - other.latitude) + abs(one.longitude - other.longitude)
    if degrees * METRES_PER_DEGREE <= HALT_M:
        return True
    if abs(one.latitude - other.latitude) * METRES_PER_DEGREE > 2 * HALT_M:
        return False
    return distance_m(one.latitude, one.longitude, other.latitude, other.longitude) <= HALT_M


def _between(fixes: Sequence[Fix], places: list[int], halts: list[Halt]) -> list[list[int]]:
    """The pings between two halts, with the halts' ends, cut where nothing was heard for an hour."""
    parts, part = list[list[int]](), list[int]()
    starts, inside = {halt.first: halt for halt in halts}, -1
    for index in places:
        if index <= inside:
            continue
        if part and fixes[index].at_us - fixes[part[-1]].at_us > GAP_US:
            parts.append(part)
            part = []
        part.append(index)
        if halt := starts.get(index):
            parts.append(part)
            part, inside = [halt.last], halt.last
    return [*parts, part]


def _trip(fixes: Sequence[Fix], part: list[int]) -> Trip | None:
    metres = sum(
        distance_m(fixes[a].latitude, fixes[a].longitude, fixes[b].latitude, fixes[b].longitude)
        for a, b in pairwise(part)
    )
    if len(part) < 2 or metres < TRIP_M:
        return None
    first, last = part[0], part[-1]
    speeds = [speed for index in part if (speed := fixes[index].speed_kmh) is not None]
    readings = [soc for fix in fixes[first : last + 1] if (soc := _soc(fix)) is not None]
    earlier = next((soc for fix in reversed(fixes[:first]) if (soc := _soc(fix)) is not None), None)
    start = _soc(fixes[first])
    start = start if start is not None else earlier if earlier is not None else readings[0] if readings else None
    end = readings[-1] if readings else None
    return Trip(first, last, round(metres), max(speeds, default=None), start, end)


def _charge(fixes: Sequence[Fix], halt: Halt) -> Charge | None:
    """From the lowest reading to the highest one behind it: 1.5 points in three minutes, or a sender that says so."""
    readings = [(i, soc) for i in range(halt.first, halt.last + 1) if (soc := _soc(fixes[i])) is not None]
    earlier = ((i, soc) for i in range(halt.first - 1, -1, -1) if (soc := _soc(fixes[i])) is not None)
    if before := next(earlier, None):  # a swap is seen only by what was before it
        readings = [before, *readings] if readings and before[1] <= readings[0][1] else readings
    if not readings:
        return None
    low = min(readings, key=lambda reading: reading[1])
    high = max((reading for reading in readings if reading[0] >= low[0]), key=lambda reading: reading[1])
    points, took_us = high[1] - low[1], fixes[high[0]].at_us - fixes[low[0]].at_us
    says_so = any(fix.flags & CHARGING for fix in fixes[halt.first : halt.last + 1])
    if points >= SWAP_POINTS and took_us <= SWAP_US and high[1] >= FULL_ENOUGH_PERCENT and not says_so:
        return Charge("swap", low[0], high[0], low[1], high[1])
    if points > 0 and (says_so or (points >= CHARGE_POINTS and took_us >= CHARGE_US)):
        return Charge("charge", low[0], high[0], low[1], high[1])
    return None


def _soc(fix: Fix) -> float | None:
    return None if fix.flags & SUSPECT_SOC else fix.soc_percent
