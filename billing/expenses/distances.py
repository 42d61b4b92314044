"""How far vehicles went in a period: by their odometer, else by their track; never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from billing.utility.report import distances_m

ODOMETER, TRACK = "odometer", "track"
# between fixes of a moving vehicle at most five minutes apart; what stands does not drive, whatever its receiver says
_TRACKS = """
SELECT vehicle_id, round(sum(step_m))::bigint FROM (
    SELECT vehicle_id, CASE WHEN fix_at - lag(fix_at) OVER w <= interval '5 minutes' THEN
        0.0111319 * sqrt(power(latitude_e7 - lag(latitude_e7) OVER w, 2)
            + power((longitude_e7 - lag(longitude_e7) OVER w) * cos(radians(latitude_e7 / 1e7)), 2)) END AS step_m
    FROM vehicles_position
    WHERE vehicle_id = ANY(%s) AND fix_at >= %s AND fix_at < %s AND flags & 18 = 0 AND speed_dkmh > 30
    WINDOW w AS (PARTITION BY vehicle_id ORDER BY fix_at)
) steps GROUP BY vehicle_id HAVING sum(step_m) > 0
"""


@dataclass(frozen=True)
class Distance:
    metres: int
    source: str


def of_vehicles(vehicle_ids: Sequence[int], since: datetime, until: datetime) -> dict[int, Distance]:
    """One query, a second one for those whose odometer told nothing; who is in neither has no distance."""
    told = {pk: Distance(metres, ODOMETER) for pk, metres in distances_m(vehicle_ids, since, until).items()}
    if silent := [pk for pk in vehicle_ids if pk not in told]:
        with connection.cursor() as cursor:
            cursor.execute(_TRACKS, [silent, since, until])
            told |= {pk: Distance(int(metres), TRACK) for pk, metres in cursor.fetchall()}
    return told
