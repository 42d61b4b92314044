"""What sessions tell of the units they were at, for stations.health."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from stations.health.evidence import LOOK_BACK
from stations.health.features import Evidence, Session

NOT_ITS_FAULT = (
    "DeAuthorized", "Deauthorized", "Remote", "SOCLimitReached", "EnergyLimitReached", "TimeLimitReached",
    "LocalOutOfCredit",
)  # fmt: skip
"""Reasons of a stop that we, the network, or the vehicle's own limit brought about."""
PEAKS_OF_A_UNIT = 60
"""Newest sessions whose samples are read: those of two months at every unit are more than a sweep has time for."""
SESSIONS = """
SELECT c.evse_id, b.ended_at, extract(epoch FROM b.ended_at - b.started_at)::float, b.energy_wh,
       CASE WHEN row_number() OVER (PARTITION BY c.evse_id ORDER BY b.ended_at DESC, b.id DESC) <= %(peaks)s THEN (
           SELECT max(m.power_w) FROM billing_metervalue m
           WHERE m.charger_id = b.charger_id AND m.transaction_ref = b.transaction_ref) END,
       v.model_id, c.power_type = 'DC', b.soc_start_percent,
       coalesce('vehicle ' || b.vehicle_id, 'token ' || nullif(b.id_token_uid, '')), b.stop_reason
FROM billing_chargingsession b
JOIN stations_connector c ON c.id = b.connector_id LEFT JOIN vehicles_vehicle v ON v.id = b.vehicle_id
WHERE c.evse_id = ANY(%(evse_ids)s) AND b.state = 'ended' AND NOT b.is_stop_estimated AND b.started_at > %(since)s
  AND b.ended_at <= %(now)s
"""


def tell_sessions(found: Mapping[int, Evidence], now: datetime) -> None:
    """Those with a stop that somebody reported. One that was stopped by us at once says nothing of the unit."""
    values: dict[str, Any] = {
        "evse_ids": list(found), "since": now - LOOK_BACK, "now": now, "peaks": PEAKS_OF_A_UNIT,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(SESSIONS, values)
        rows = cursor.fetchall()
    for evse_id, ended_at, seconds, energy_wh, *told, reason in rows:
        session = Session(ended_at, seconds, float(energy_wh), *told)
        if not (session.is_short and reason in NOT_ITS_FAULT):
            found[evse_id].sessions.append(session)
