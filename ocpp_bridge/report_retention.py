"""How long and how much we keep of the reports of chargers; the newest whole one of each kind stays."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from ocpp_bridge.models import Report

MOST_REPORTS, MOST_BYTES = 50, 64 * 1024 * 1024
"""Of one charger and kind; the bytes as the database packs them."""
AT_ONCE = 500

_TOO_OLD_OR_MANY = """
WITH sized AS (
    SELECT r.id, r.charger_id, r.kind, r.state, r.started_at, r.updated_at,
           (SELECT COALESCE(sum(pg_column_size(p.payload)), 0) FROM ocpp_bridge_reportpart p WHERE p.report_id = r.id)
               AS bytes
    FROM ocpp_bridge_report r
    WHERE r.updated_at < %(oldest)s
       OR r.charger_id IN (SELECT charger_id FROM ocpp_bridge_report WHERE updated_at >= %(lately)s)
), counted AS (
    SELECT id, state, updated_at, row_number() OVER newest AS number, sum(bytes) OVER newest AS bytes,
           row_number() OVER (PARTITION BY charger_id, kind, state ORDER BY started_at DESC, id DESC) AS of_its_state
    FROM sized
    WINDOW newest AS (PARTITION BY charger_id, kind ORDER BY started_at DESC, id DESC ROWS UNBOUNDED PRECEDING)
)
SELECT c.id FROM counted c JOIN ocpp_bridge_report r ON r.id = c.id
WHERE (c.updated_at < %(oldest)s OR c.number > 1 AND (c.number > %(most)s OR c.bytes > %(most_bytes)s))
  AND NOT (c.state = 'complete' AND c.of_its_state = 1 AND NOT EXISTS (
      SELECT FROM ocpp_bridge_report newer WHERE newer.charger_id = r.charger_id AND newer.kind = r.kind
      AND newer.state = 'complete' AND (newer.started_at, newer.id) > (r.started_at, r.id)))
ORDER BY c.id LIMIT %(at_once)s
"""


def forget_old(*, now: datetime) -> int:
    """Delete reports past their time, and the oldest of chargers that said too much lately; how many."""
    with connection.cursor() as cursor:
        cursor.execute(_TOO_OLD_OR_MANY, {
            "oldest": now - timedelta(days=settings.OCPP_ODD_DAYS), "lately": now - timedelta(hours=1),
            "most": MOST_REPORTS, "most_bytes": MOST_BYTES, "at_once": AT_ONCE,
        })  # fmt: skip
        ids = [row[0] for row in cursor.fetchall()]
    Report.objects.filter(pk__in=ids).delete()  # with their parts
    return len(ids)
