"""Learns each fleet's law of the crow from the trips of its last weeks, each night anew."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from dispatch.core.speeds import CLIP, Trips, learn
from dispatch.engines.crow import CIRCUITY, EARTH_RADIUS_M, SECONDS_EXPONENT, SECONDS_FACTOR, Law
from dispatch.speeds.models import SpeedLaw

INDIA = ZoneInfo("Asia/Kolkata")
LEARNED_FROM = timedelta(days=28)
TRIPS = """
WITH ends AS (
  SELECT v.organisation_id, s.started_at, s.distance_m AS road_m,
         extract(epoch FROM s.ended_at - s.started_at)::float8 AS seconds,
         sind((s.end_latitude - s.start_latitude) / 2) ^ 2 + cosd(s.start_latitude) * cosd(s.end_latitude)
         * sind((s.end_longitude - s.start_longitude) / 2) ^ 2 AS half
  FROM vehicles_stretch s JOIN vehicles_vehicle v ON v.id = s.vehicle_id
  WHERE s.kind = 'trip' AND s.started_at >= %(since)s AND s.started_at < %(now)s AND s.ended_at > s.started_at
), ways AS (
  SELECT organisation_id, started_at, road_m, seconds, 2 * %(radius)s * asin(sqrt(least(1, half))) AS crow_m FROM ends
)
SELECT organisation_id, extract(hour FROM started_at AT TIME ZONE 'Asia/Kolkata')::int, count(*),
       sum(greatest(-%(clip)s, least(%(clip)s, ln(road_m / (%(circuity)s * crow_m))))),
       sum(greatest(-%(clip)s, least(%(clip)s, ln(seconds / (%(factor)s * power(crow_m, %(exponent)s))))))
FROM ways
WHERE crow_m BETWEEN 500 AND 100000 AND road_m BETWEEN crow_m * 0.95 AND crow_m * 2.5
  AND road_m / seconds BETWEEN 3 / 3.6 AND 120 / 3.6
GROUP BY 1, 2
"""
"""Ways from one place to another: a round that ends near its start is none, nor what no vehicle on a road does."""


def learn_speeds(*, now: datetime) -> int:
    """How many fleets have a law of their own now. Harmless to repeat; one whose trips are too old loses it."""
    rows = [row for fleet, hours in _trips(now).items() for row in _rows(fleet, hours, now)]
    with transaction.atomic():
        fleets = {row.organisation_id for row in rows}
        SpeedLaw.objects.exclude(organisation_id__in=fleets).delete()
        SpeedLaw.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["organisation", "hour"],
            update_fields=["circuity", "seconds_factor", "trips", "learned_on"],
        )  # fmt: skip
    return len(fleets)


def law_of(organisation_id: int, at: datetime) -> Law:
    """How the fleet gets about at that hour; the assumed law while it has none of its own."""
    known = SpeedLaw.objects.filter(organisation_id=organisation_id, hour=at.astimezone(INDIA).hour).first()
    return Law(known.circuity, known.seconds_factor, known.learned_on) if known else Law()


def _trips(now: datetime) -> dict[int, dict[int, Trips]]:
    """By fleet and hour."""
    values: dict[str, Any] = {
        "since": now - LEARNED_FROM, "now": now, "radius": EARTH_RADIUS_M, "clip": CLIP,
        "circuity": CIRCUITY, "factor": SECONDS_FACTOR, "exponent": SECONDS_EXPONENT,
    }  # fmt: skip
    fleets: dict[int, dict[int, Trips]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(TRIPS, values)
        for fleet, hour, count, road_logs, time_logs in cursor.fetchall():
            fleets[fleet][hour] = Trips(count, road_logs, time_logs)
    return fleets


def _rows(fleet: int, hours: dict[int, Trips], now: datetime) -> list[SpeedLaw]:
    made = learn(hours, circuity=CIRCUITY, seconds_factor=SECONDS_FACTOR)
    day = now.astimezone(INDIA).date()
    return [SpeedLaw(organisation_id=fleet, hour=hour, learned_on=day, **law._asdict()) for hour, law in made.items()]
