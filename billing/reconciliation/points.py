"""The true points of stations: learned where vehicles of verified sessions stood, proposed where near misses agree."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from billing.models import StationPoint
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict

State = StationPoint.State
LEAST_SESSIONS, LEAST_VEHICLES = 5, 2
LOOK_BACK = timedelta(days=90)
MOST_SPREAD_M = 200
MOST_OFF_M = 2_000  # farther is another place, not a wrong coordinate

# medians of where they stood; flat earth around the station
_POINTS = """
WITH stood AS (
    SELECT l.id, l.latitude, l.longitude, s.vehicle_id, v.dwell_latitude_e7 AS y, v.dwell_longitude_e7 AS x
    FROM billing_reconciliationverdict v JOIN billing_chargingsession s ON s.id = v.session_id
    JOIN stations_connector k ON k.id = s.connector_id JOIN stations_evse e ON e.id = k.evse_id
    JOIN stations_location l ON l.id = e.location_id
    WHERE {which} AND v.dwell_latitude_e7 IS NOT NULL AND s.vehicle_id IS NOT NULL AND s.ended_at >= %(since)s
), middle AS (
    SELECT id, latitude, longitude, count(*) AS sessions, count(DISTINCT vehicle_id) AS vehicles,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY y) AS y, percentile_disc(0.5) WITHIN GROUP (ORDER BY x) AS x
    FROM stood GROUP BY id, latitude, longitude
    HAVING count(*) >= %(sessions)s AND count(DISTINCT vehicle_id) >= %(vehicles)s
), spread AS (
    SELECT m.id, percentile_cont(0.9) WITHIN GROUP (ORDER BY sqrt(
        ((s.y - m.y) / 1e7 * 111195) ^ 2 + ((s.x - m.x) / 1e7 * 111195 * cos(radians(m.latitude))) ^ 2)) AS m90
    FROM middle m JOIN stood s ON s.id = m.id GROUP BY m.id
)
INSERT INTO billing_stationpoint AS old (location_id, latitude_e7, longitude_e7, spread_m, off_m, sessions, vehicles,
    state, learned_at, decision_reason)
SELECT m.id, m.y, m.x, ceil(p.m90), round(sqrt(((m.y / 1e7 - m.latitude) * 111195) ^ 2
           + ((m.x / 1e7 - m.longitude) * 111195 * cos(radians(m.latitude))) ^ 2)),
       m.sessions, m.vehicles, %(state)s, %(now)s, ''
FROM middle m JOIN spread p ON p.id = m.id
WHERE p.m90 <= %(spread)s
  AND sqrt(((m.y / 1e7 - m.latitude) * 111195) ^ 2
           + ((m.x / 1e7 - m.longitude) * 111195 * cos(radians(m.latitude))) ^ 2) <= %(off)s
ON CONFLICT (location_id) DO UPDATE SET latitude_e7 = EXCLUDED.latitude_e7, longitude_e7 = EXCLUDED.longitude_e7,
    spread_m = EXCLUDED.spread_m, off_m = EXCLUDED.off_m, sessions = EXCLUDED.sessions, vehicles = EXCLUDED.vehicles,
    state = EXCLUDED.state, learned_at = EXCLUDED.learned_at
WHERE {over}
"""
LEARN = _POINTS.format(which="v.verdict = 'verified'", over="old.state IN ('learned', 'proposed')")
PROPOSE = _POINTS.format(
    which="v.verdict = 'inconclusive' AND v.findings @> '[{\"rule\": \"L2\"}]'", over="old.state = 'proposed'"
)


@transaction.atomic
def learn(*, now: datetime) -> int:
    """Points of all stations, in two statements. What a person decided stays; returns how many were written."""
    values: dict[str, Any] = {
        "now": now, "since": now - LOOK_BACK, "sessions": LEAST_SESSIONS, "vehicles": LEAST_VEHICLES,
        "spread": MOST_SPREAD_M, "off": MOST_OFF_M,
    }  # fmt: skip
    written = 0
    with connection.cursor() as cursor:
        for statement, state in ((PROPOSE, State.PROPOSED), (LEARN, State.LEARNED)):
            cursor.execute(statement, {**values, "state": str(state)})
            written += cursor.rowcount
    return written


@transaction.atomic
def decide(*, location_id: int, is_accepted: bool, reason: str, actor: User) -> StationPoint:
    """A proposed (or learned) point is used, or never asked about again. Raises Conflict when decided already."""
    if not reason.strip():
        raise ValueError("A decision needs a reason.")
    point = StationPoint.objects.select_for_update(of=("self",)).select_related("location").get(pk=location_id)
    if point.state not in {State.PROPOSED, State.LEARNED}:
        raise Conflict("This point was decided already.", code="already_decided")
    before = {"state": point.state}
    point.state = State.ACCEPTED if is_accepted else State.REFUSED
    point.decided_by, point.decision_reason = actor, reason.strip()
    point.save(update_fields=["state", "decided_by", "decision_reason"])
    audit(action="station_point.decide", target=point, actor=actor, before=before, after={"state": point.state},
          reason=reason, organisation=point.location.organisation)  # fmt: skip
    return point
