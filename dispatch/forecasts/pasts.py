"""What plugs did, from the changes of their shown status: spells with a vehicle, and their state at any moment."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection

from billing.services.tariffs import zone_of
from dispatch.core import forecast
from dispatch.forecasts.known import Kind

MARK = timedelta(hours=1) / forecast.MARKS_PER_HOUR
SHORTEST_SECONDS = 60.0
"""A shorter spell is a status that flickers."""
LONGEST_SECONDS = 24 * 3600.0
"""Of a longer one it is only known that it lasted so long."""
STATE = """CASE WHEN {0} IN ('occupied', 'charging') THEN 1 WHEN {0} IN ('available', 'reserved') THEN 0 ELSE -1 END"""
CHANGES = f"""
SELECT c.id, l.id, c.plug, c.max_power_w, l.time_zone, x.at, {STATE.format("x.old")}, {STATE.format("x.new")}
FROM stations_statuschange x
JOIN stations_connector c ON c.id = x.connector_id AND NOT c.is_removed
JOIN stations_evse e ON e.id = c.evse_id AND NOT e.is_removed
JOIN stations_location l ON l.id = e.location_id AND NOT l.is_removed
WHERE l.id = ANY(%(location_ids)s) AND x.at >= %(since)s AND x.at < %(until)s
  AND {STATE.format("x.old")} <> {STATE.format("x.new")}
ORDER BY l.id, c.id, x.at, x.id
"""  # noqa: S608 (our own words)


@dataclass
class Past:
    """Of one plug from `since` to `until`: `states[n]` holds from `times[n]` on, in seconds since then."""

    location_id: int
    kind: Kind
    time_zone: str
    seconds: float
    times: list[float] = field(default_factory=list)
    states: list[int] = field(default_factory=list)

    def spells(self) -> Iterator[tuple[float, bool]]:
        """(seconds, whether its end was seen) of each vehicle there whose coming was seen."""
        ends = [*self.times[1:], self.seconds]
        after = [*self.states[1:], forecast.DARK]
        for begins, ends_at, state, then in list(zip(self.times, ends, self.states, after, strict=True))[1:]:
            if state == forecast.BUSY and ends_at - begins >= SHORTEST_SECONDS:
                lasted = min(ends_at - begins, LONGEST_SECONDS)
                yield lasted, then == forecast.FREE and lasted < LONGEST_SECONDS

    def at_marks(self, marks: npt.NDArray[np.float64]) -> forecast.States:
        return forecast.states_at(self.times, self.states, marks)


def read(location_ids: Collection[int], *, since: datetime, until: datetime) -> list[Past]:
    """Of every plug at these sites that has changed in this time. One query."""
    values: dict[str, Any] = {"location_ids": list(location_ids), "since": since, "until": until}
    with connection.cursor() as cursor:
        cursor.execute(CHANGES, values)
        rows = cursor.fetchall()
    return [_past(list(changes), since, until) for _, changes in groupby(rows, key=lambda row: row[0])]


def _past(changes: list[tuple[Any, ...]], since: datetime, until: datetime) -> Past:
    _, location_id, plug, power_w, time_zone, _, before, _ = changes[0]
    past = Past(location_id, Kind(plug, power_w), time_zone, (until - since).total_seconds(), [0.0], [before])
    for _, _, _, _, _, at, _, state in changes:
        past.times.append((at - since).total_seconds())
        past.states.append(state)
    return past


def marks(since: datetime, until: datetime) -> npt.NDArray[np.float64]:
    """Every quarter of an hour, in seconds from `since`."""
    return np.arange(0.0, (until - since).total_seconds(), MARK.total_seconds())


def hours_of_week(since: datetime, count: int, time_zone: str) -> npt.NDArray[np.int64]:
    """Of each mark, where the plug is; the clock is read at the beginning, it does not matter for a change of it."""
    local = since.astimezone(zone_of(time_zone))
    first = local.weekday() * 24 + local.hour + local.minute / 60
    hours = first + np.arange(count) / forecast.MARKS_PER_HOUR
    return np.floor(hours + 1e-9).astype(np.int64) % forecast.HOURS
