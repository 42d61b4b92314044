"""What is known about one question "may this token charge here?": one statement, two when limits exist."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from billing.entitlement import Facts, Limit
from billing.limits import using
from billing.services.tariffs import zone_of

PARALLEL_WITHIN = timedelta(minutes=30)
"""A session that says nothing for longer, or whose charger is away, is a lost stop and no second use of the token."""
_TOKEN_LOCK_SPACE = 7302

# The shift running at the moment names vehicle or driver when the token names only one; then the usual ones do.
_FACTS = """
SELECT t.id, t.organisation_id, t.is_active, t.valid_until, v.id, d.id, v.is_active, d.is_active,
       CASE WHEN p.needs_shift THEN (
           SELECT m.id FROM vehicles_shift m
           WHERE m.starts_at <= %(at)s + p.shift_margin_minutes * interval '1 minute'
             AND m.ends_at >= %(at)s - p.shift_margin_minutes * interval '1 minute'
             AND (m.vehicle_id = v.id OR v.id IS NULL AND m.driver_id = d.id)
             AND (t.driver_id IS NULL OR m.driver_id = t.driver_id) LIMIT 1) END,
       l.id, l.organisation_id, s.organisation_id,
       EXISTS (SELECT 1 FROM stations_networkaccess a
               WHERE a.organisation_id = t.organisation_id AND a.source_id = l.source_id),
       coalesce(site.is_listed, false), site.is_listed IS NOT NULL,
       w.state, w.posted_paise - w.held_paise + w.credit_limit_paise,
       coalesce(p.needs_shift, false), coalesce(p.allows_parallel_use, false),
       CASE WHEN %(is_start)s AND NOT coalesce(p.allows_parallel_use, false) THEN (
           SELECT x.id FROM billing_chargingsession x
           WHERE x.id_token_id = t.id AND x.started_at <= %(at)s AND x.connector_id <> %(connector_id)s
             AND (x.state = 'active' AND x.suspect_reason = ''
                      AND coalesce(x.metered_at, x.started_at) > %(parallel_since)s
                      AND (x.charger_id IS NULL
                           OR EXISTS (SELECT 1 FROM stations_charger y WHERE y.id = x.charger_id AND y.is_online))
                  OR x.state = 'ended' AND x.ended_at > %(at)s)
           ORDER BY x.id DESC LIMIT 1) END,
       coalesce(o.time_zone, ''),
       EXISTS (SELECT 1 FROM billing_spendlimit g WHERE g.organisation_id = t.organisation_id)
FROM (SELECT 1) always
LEFT JOIN vehicles_idtoken t ON lower(t.uid) = %(uid)s
LEFT JOIN accounts_organisation o ON o.id = t.organisation_id
LEFT JOIN billing_chargingpolicy p ON p.organisation_id = t.organisation_id
LEFT JOIN LATERAL (
    SELECT m.vehicle_id, m.driver_id FROM vehicles_shift m
    WHERE (t.vehicle_id IS NULL OR t.driver_id IS NULL) AND m.starts_at <= %(at)s AND m.ends_at >= %(at)s
      AND (m.vehicle_id = t.vehicle_id OR t.vehicle_id IS NULL AND m.driver_id = t.driver_id)
    ORDER BY m.starts_at DESC LIMIT 1
) shift ON true
LEFT JOIN vehicles_vehicle v ON v.id = coalesce(t.vehicle_id, shift.vehicle_id, (
    SELECT min(u.id) FROM vehicles_vehicle u WHERE u.default_driver_id = t.driver_id AND u.is_active
    HAVING count(*) = 1))
LEFT JOIN vehicles_driver d ON d.id = coalesce(t.driver_id, shift.driver_id, v.default_driver_id)
LEFT JOIN stations_location l ON l.id = CASE WHEN %(connector_id)s > 0
    THEN (SELECT e.location_id FROM stations_connector c JOIN stations_evse e ON e.id = c.evse_id
          WHERE c.id = %(connector_id)s)
    ELSE (SELECT h.location_id FROM stations_charger h WHERE h.id = %(charger_id)s) END
LEFT JOIN stations_source s ON s.id = l.source_id
LEFT JOIN LATERAL (
    SELECT bool_or(n.location_id = l.id) AS is_listed FROM billing_allowedsite n
    WHERE n.id_token_id = t.id OR n.vehicle_id = v.id
) site ON true
LEFT JOIN billing_wallet w ON w.organisation_id = t.organisation_id
"""


@dataclass(frozen=True)
class Question:
    """`at` is the station's clock; `is_start`: a session begins, so other running ones of the token matter."""

    id_token: str
    connector_id: int | None
    charger_id: int | None
    at: datetime
    is_start: bool = False

    @property
    def uid(self) -> str:
        """Tokens compare without case; served by the unique index over lower(uid)."""
        return self.id_token.replace("\0", "").strip().lower()


def read_facts(question: Question) -> Facts:
    """One query; at a start another one, which makes two starts of one token wait for each other."""
    values: dict[str, Any] = {
        "uid": question.uid, "connector_id": question.connector_id or 0, "charger_id": question.charger_id or 0,
        "at": question.at, "is_start": question.is_start, "parallel_since": question.at - PARALLEL_WITHIN,
    }  # fmt: skip
    with connection.cursor() as cursor:
        if question.is_start and question.uid:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_TOKEN_LOCK_SPACE, question.uid])
        cursor.execute(_FACTS, values)
        return Facts(*cursor.fetchone())


def read_limits(facts: Facts, question: Question) -> list[Limit]:
    """One query, none when nobody set a limit."""
    if not facts.has_limits:
        return []
    return using.applicable(
        organisation_id=facts.organisation_id, vehicle_id=facts.vehicle_id, driver_id=facts.driver_id,
        location_id=facts.location_id, connector_id=question.connector_id, at=question.at,
        zone=zone_of(facts.time_zone),
    )  # fmt: skip
