"""Where the vehicles were, thinned so that hours of any fleet fit into one answer."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection

from dispatch.past.span import Span
from vehicles.fixes import CHARGING, SUSPECT_POSITION, SUSPECT_SOC
from vehicles.models import Vehicle

MAX_VEHICLES = 1_000
MAX_POINTS = 120_000
FINEST_SECONDS = 10
GLANCES = 24
"""So often within the span we look whether a vehicle of a larger fleet was in view."""

UNKNOWN = -1
E7_PER_UNIT = 100
"""Places are told in 0.00001 degrees, about a metre."""

Point = tuple[int, int, int, int, int, int, int]


def in_view(span: Span) -> tuple[list[int], bool]:
    """The vehicles to tell of, and whether that is all of them. A fleet that fits the answer is told as a whole."""
    fleet = Vehicle.objects.for_organisation(span.organisation).filter(is_active=True).order_by("pk")
    ids = list(fleet.values_list("pk", flat=True)[: MAX_VEHICLES + 1])
    if len(ids) > MAX_VEHICLES:
        ids = _seen(span)
    return ids[:MAX_VEHICLES], len(ids) <= MAX_VEHICLES


def _seen(span: Span) -> list[int]:
    step = (span.end - span.start) / GLANCES
    asked: Any = {
        "fleet": span.organisation.pk, "limit": MAX_VEHICLES + 1, "step": step,
        "moments": [span.start + step * number for number in range(1, GLANCES + 1)],
        "west": span.box.west * 1e7, "south": span.box.south * 1e7, "east": span.box.east * 1e7,
        "north": span.box.north * 1e7,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_SEEN_SQL, asked)
        return [row[0] for row in cursor.fetchall()]


_SEEN_SQL = """
SELECT v.id FROM vehicles_vehicle v
 WHERE v.organisation_id = %(fleet)s AND v.is_active AND EXISTS (
   SELECT 1 FROM unnest(%(moments)s::timestamptz[]) AS moment(at) CROSS JOIN LATERAL (
     SELECT p.latitude_e7, p.longitude_e7 FROM vehicles_position p
      WHERE p.vehicle_id = v.id AND p.fix_at <= moment.at AND p.fix_at > moment.at - %(step)s::interval
      ORDER BY p.fix_at DESC LIMIT 1) AS place
    WHERE place.latitude_e7 BETWEEN %(south)s AND %(north)s AND place.longitude_e7 BETWEEN %(west)s AND %(east)s)
 ORDER BY v.id LIMIT %(limit)s
"""


def step_seconds(span: Span, vehicles: int) -> int:
    """One point per vehicle and step: the finest that keeps the answer within its bounds."""
    return max(FINEST_SECONDS, -(-span.seconds * vehicles // MAX_POINTS))


def read(span: Span, vehicle_ids: list[int], step: int) -> Iterator[tuple[int, list[Point]]]:
    """(vehicle, its points in time order), beginning with the last place before the span."""
    with connection.cursor() as cursor:
        cursor.execute(_TRACKS_SQL, {
            "ids": vehicle_ids, "start": span.start, "end": span.end, "step": step, "suspect": SUSPECT_POSITION,
            "before": span.start - timedelta(days=1),
        })  # fmt: skip
        rows = cursor.fetchall()
    for vehicle_id, pings in groupby(rows, itemgetter(0)):
        yield vehicle_id, [_point(span, *ping) for ping in pings]


def _point(span: Span, _vehicle_id: int, at: Any, latitude_e7: int, longitude_e7: int, speed_dkmh: int | None,
           heading_deg: int | None, soc_permille: int | None, flags: int) -> Point:  # fmt: skip
    soc = UNKNOWN if soc_permille is None or flags & SUSPECT_SOC else round(soc_permille / 10)
    return (
        span.second_of(at), round(latitude_e7 / E7_PER_UNIT), round(longitude_e7 / E7_PER_UNIT),
        round((speed_dkmh or 0) / 10), (heading_deg or 0) % 360, soc, int(bool(flags & CHARGING)),
    )  # fmt: skip


_COLUMNS = "p.vehicle_id, p.fix_at, p.latitude_e7, p.longitude_e7, p.speed_dkmh, p.heading_deg, p.soc_permille, p.flags"

# The last ping of each step, in the order of the primary key: nothing is sorted. Jumps are left out, as on the map.
_TRACKS_SQL = f"""
SELECT vehicle_id, fix_at, latitude_e7, longitude_e7, speed_dkmh, heading_deg, soc_permille, flags FROM (
  SELECT {_COLUMNS}, floor(extract(epoch FROM p.fix_at) / %(step)s) AS slot,
         lead(floor(extract(epoch FROM p.fix_at) / %(step)s)) OVER (PARTITION BY p.vehicle_id ORDER BY p.fix_at) AS next
    FROM vehicles_position p
   WHERE p.vehicle_id = ANY(%(ids)s) AND p.fix_at > %(start)s AND p.fix_at <= %(end)s AND p.flags & %(suspect)s = 0
  ) AS pings WHERE next IS DISTINCT FROM slot
UNION ALL
SELECT earlier.* FROM unnest(%(ids)s::bigint[]) AS v(id) CROSS JOIN LATERAL (
  SELECT {_COLUMNS} FROM vehicles_position p
   WHERE p.vehicle_id = v.id AND p.fix_at <= %(start)s AND p.fix_at > %(before)s AND p.flags & %(suspect)s = 0
   ORDER BY p.fix_at DESC LIMIT 1) AS earlier
ORDER BY 1, 2
"""  # noqa: S608 (no user text is formatted in)


def packed(points: list[Point]) -> list[int]:
    """Flat; second and place as the difference to the point before, which is a small number."""
    flat: list[int] = []
    second = latitude = longitude = 0
    for point in points:
        flat += (point[0] - second, point[1] - latitude, point[2] - longitude, *point[3:])
        second, latitude, longitude = point[:3]
    return flat
