"""Which stops were visited, from the latest states: a vehicle that stood at its next stop has done it."""

from datetime import datetime, timedelta

from django.db import connection, transaction

from fleetcharge.lib.events import publish_together
from vehicles.events import StopDone

NEAR_M = 100.0
SLOW_KMH = 5.0
DWELL_SECONDS = 60
LATE_AFTER = timedelta(minutes=10)
BOX_DEGREES = 0.0012  # of latitude, a little more than NEAR_M: spares the others the trigonometry

# Only the next open stop of a vehicle counts: the last one is often the depot where it stands in the morning. Positions
# that came late, or are old by now, say nothing of this moment.
FOLLOW = """
WITH next_stops AS (
    SELECT DISTINCT ON (vehicle_id) id, vehicle_id, latitude, longitude, reached_at, is_kept_open
    FROM vehicles_stop WHERE done_at IS NULL ORDER BY vehicle_id, sequence
), seen AS (
    SELECT n.id, n.vehicle_id, v.organisation_id, n.reached_at, s.position_at, s.speed_kmh,
           abs(s.latitude - n.latitude) < %(box)s AND 12742000 * asin(least(1, sqrt(
               power(sin(radians(s.latitude - n.latitude) / 2), 2) + cos(radians(n.latitude))
               * cos(radians(s.latitude)) * power(sin(radians(s.longitude - n.longitude) / 2), 2)))) <= %(near)s
               AS is_near
    FROM next_stops n
    JOIN vehicles_vehicle v ON v.id = n.vehicle_id AND v.is_active
    JOIN vehicles_vehiclestate s ON s.vehicle_id = n.vehicle_id
    WHERE NOT n.is_kept_open AND s.position_at > %(since)s
      AND s.received_at - s.position_at < %(late)s * interval '1 second'
), judged AS (
    SELECT id, vehicle_id, organisation_id, position_at, is_near,
           is_near AND (coalesce(speed_kmh < %(slow)s, false)
                        OR coalesce(position_at - reached_at >= %(dwell)s * interval '1 second', false)) AS is_done,
           CASE WHEN is_near THEN coalesce(reached_at, position_at) END AS reached_at
    FROM seen WHERE is_near OR reached_at IS NOT NULL
), locked AS (
    SELECT t.id FROM vehicles_stop t JOIN judged j ON j.id = t.id
    WHERE t.done_at IS NULL AND NOT t.is_kept_open ORDER BY t.id FOR NO KEY UPDATE OF t
)
UPDATE vehicles_stop t SET reached_at = j.reached_at, done_at = CASE WHEN j.is_done THEN j.position_at END
FROM judged j JOIN locked l ON l.id = j.id
WHERE t.id = l.id AND t.done_at IS NULL AND NOT t.is_kept_open
RETURNING t.id, j.vehicle_id, j.organisation_id, t.done_at
"""


@transaction.atomic
def complete_visited(*, now: datetime) -> int:
    """Tick off the next stops where vehicles stand or have been for a minute; how many. All fleets at once."""
    with connection.cursor() as cursor:
        cursor.execute(FOLLOW, {
            "box": BOX_DEGREES, "near": NEAR_M, "slow": SLOW_KMH, "dwell": DWELL_SECONDS,
            "late": LATE_AFTER.total_seconds(), "since": now - LATE_AFTER,
        })  # fmt: skip
        done = [StopDone(*row) for row in cursor.fetchall() if row[3] is not None]
    publish_together(done)
    return len(done)
