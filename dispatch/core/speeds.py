"""The law of the crow, learned: how much longer roads are than the straight line, and how long they take, by hour.

Both in logarithms, since errors of both are factors. What a fleet did all day is drawn towards the assumed law, and
each hour towards the fleet's day, the more the fewer its trips: one odd trip moves nothing, a thousand decide.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

HOURS = 24
LEAST_TRIPS = 20
"""Of a fleet before anything is learned."""
DAY_WEIGHT, HOUR_WEIGHT = 50.0, 20.0
"""As many trips as the assumed law, and the fleet's day, count for."""
CLIP = math.log(2)
"""No trip counts as more than twice, or less than half, of what is assumed."""


class Trips(NamedTuple):
    """Of one hour: how many, and the sums of the logarithms of (road / assumed road) and (time / assumed time)."""

    trips: int
    road_logs: float
    time_logs: float


class Learned(NamedTuple):
    circuity: float
    seconds_factor: float
    trips: int


def learn(hours: Mapping[int, Trips], *, circuity: float, seconds_factor: float) -> dict[int, Learned]:
    """A law for each hour of the day, around the assumed one; empty while there are too few trips."""
    day = Trips(*(sum(column) for column in zip(*hours.values(), strict=True))) if hours else Trips(0, 0.0, 0.0)
    if day.trips < LEAST_TRIPS:
        return {}
    road, time = (_drawn(logs, day.trips, 0.0, DAY_WEIGHT) for logs in day[1:])
    made = {}
    for hour in range(HOURS):
        seen = hours.get(hour, Trips(0, 0.0, 0.0))
        made[hour] = Learned(
            circuity * math.exp(_drawn(seen.road_logs, seen.trips, road, HOUR_WEIGHT)),
            seconds_factor * math.exp(_drawn(seen.time_logs, seen.trips, time, HOUR_WEIGHT)),
            seen.trips,
        )
    return made


def _drawn(logs: float, count: int, towards: float, weight: float) -> float:
    """The mean of what was seen and of `weight` trips like `towards`."""
    return (logs + weight * towards) / (count + weight)
