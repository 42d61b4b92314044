"""How long and how much we keep of what chargers say in their own way; what finance has not decided stays."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from fleetcharge.lib.sweeps import survived
from ocpp_bridge.models import OddMessage

MOST_BYTES = 16 * 1024 * 1024
"""Of the payloads of one charger, as the database packs them."""
LATELY = timedelta(hours=1)
"""Only a charger that was odd lately can have too many; sweeps come every minute."""

_FORGET_OLD = """
DELETE FROM ocpp_bridge_oddmessage odd WHERE odd.received_at < %(oldest)s AND {not_asked}
"""
_FORGET_MANY = """
DELETE FROM ocpp_bridge_oddmessage odd USING (
    SELECT id, row_number() OVER newest_first AS number, sum(pg_column_size(payload)) OVER newest_first AS bytes
    FROM ocpp_bridge_oddmessage WHERE charger_id = %(charger_id)s
    WINDOW newest_first AS (ORDER BY received_at DESC, id DESC ROWS UNBOUNDED PRECEDING)
) kept
WHERE odd.id = kept.id AND kept.number > 1 AND (kept.number > %(most)s OR kept.bytes > %(most_bytes)s) AND {not_asked}
"""
_NOT_ASKED = """odd.is_taken OR NOT EXISTS (
    SELECT FROM billing_billingexception asked WHERE asked.resolved_at IS NULL
    AND asked.reference = 'odd/' || odd.charger_id || '/' || encode(odd.payload_hash, 'hex')
)"""


def forget_old(*, now: datetime) -> int:
    """Delete odd messages past their time, and the oldest of chargers that have too many; how many."""
    oldest = now - timedelta(days=settings.OCPP_ODD_DAYS)
    gone = _delete(_FORGET_OLD, oldest=oldest)
    odd_lately = OddMessage.objects.filter(received_at__gte=now - LATELY)
    for charger_id in odd_lately.order_by().values_list("charger", flat=True).distinct():
        with survived("odd messages of charger", charger_id):
            gone += _delete(_FORGET_MANY, charger_id=charger_id, most=settings.OCPP_ODD_MESSAGES, most_bytes=MOST_BYTES)
    return gone


def _delete(sql: str, **values: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql.format(not_asked=f"({_NOT_ASKED})"), values)
        return int(cursor.rowcount)
