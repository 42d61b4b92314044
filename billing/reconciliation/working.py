"""Chunks of sessions to be judged, taken by lease: many workers, each session once, and a kill costs two minutes.

A session that cannot be judged is tried alone, later and later, and never keeps the others waiting.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from billing.reconciliation.gathering import gather
from billing.reconciliation.storing import judged, store

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=2)
LONGEST_WAIT = timedelta(days=1)
CHUNK = 200
REST_BETWEEN_VERDICTS = timedelta(minutes=10)

_CLAIM = """
INSERT INTO billing_verdictwork AS mine (session_id, leased_until, attempts, last_error)
SELECT s.id, %(until)s, 1, '' FROM (
    SELECT s.id FROM billing_chargingsession s
    WHERE {which} AND s.state = 'ended' AND NOT EXISTS (
        SELECT 1 FROM billing_verdictwork w WHERE w.session_id = s.id AND w.leased_until > %(now)s)
    ORDER BY s.ended_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
) s
ON CONFLICT (session_id) DO UPDATE SET leased_until = EXCLUDED.leased_until, attempts = mine.attempts + 1
    WHERE mine.leased_until <= %(now)s
RETURNING session_id
"""
CLAIM_WAITING = _CLAIM.format(which="s.reconciled_at IS NULL")
CLAIM_THESE = _CLAIM.format(which="s.id = ANY(%(ids)s)")
DONE = "DELETE FROM billing_verdictwork WHERE session_id = ANY(%s)"
FAILED = """
UPDATE billing_verdictwork SET last_error = %(error)s,
    leased_until = %(now)s + LEAST(%(longest)s::interval, interval '1 minute' * 2 ^ LEAST(attempts, 20))
WHERE session_id = %(id)s
"""

# judged before something arrived that speaks of it: positions, its record, a price check, another figure,
# another session of the vehicle
_OVERTAKEN = """
SELECT s.id FROM billing_chargingsession s JOIN billing_reconciliationverdict v ON v.session_id = s.id
WHERE s.ended_at >= %(since)s AND v.decided_at < %(rested)s AND s.state = 'ended' AND (
    s.revised_at > v.decided_at
    OR EXISTS (SELECT 1 FROM billing_cdr c LEFT JOIN billing_cdradjustment a ON a.cdr_id = c.id
               WHERE c.session_id = s.id AND (c.roaming_cdr_id IS NOT NULL AND c.created_at > v.decided_at
                                              OR a.created_at > v.decided_at))
    OR EXISTS (SELECT 1 FROM billing_pricecheck p WHERE p.session_id = s.id AND p.checked_at > v.decided_at)
    OR s.vehicle_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM vehicles_position p WHERE p.vehicle_id = s.vehicle_id
           AND p.fix_at BETWEEN s.started_at - interval '30 minutes' AND s.ended_at + interval '40 minutes'
           AND p.fix_at + p.delay_cs * interval '0.01 second' > v.decided_at)
    OR s.vehicle_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM billing_chargingsession n WHERE n.vehicle_id = s.vehicle_id AND n.id <> s.id
           AND n.started_at BETWEEN s.started_at - interval '1 day' AND s.ended_at AND n.created_at > v.decided_at)
)
ORDER BY v.decided_at LIMIT %(limit)s
"""


def judge_waiting(*, now: datetime, limit: int = CHUNK) -> int:
    """One chunk of sessions without a verdict, oldest first; returns how many were taken, 0 when none waits."""
    return _work(_claim(CLAIM_WAITING, {"now": now, "limit": limit}), now)


def judge_these(session_ids: Sequence[int], *, now: datetime) -> int:
    """These again, those that another worker has not at hand; returns how many were taken."""
    return _work(_claim(CLAIM_THESE, {"now": now, "limit": len(session_ids), "ids": list(session_ids)}), now)


def overtaken(*, now: datetime, since: datetime, limit: int) -> list[int]:
    """Sessions ended after `since` of which news arrived after their verdict (one query)."""
    values: dict[str, Any] = {"since": since, "rested": now - REST_BETWEEN_VERDICTS, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_OVERTAKEN, values)
        return [row[0] for row in cursor.fetchall()]


def _claim(statement: str, values: dict[str, Any]) -> list[int]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, {**values, "until": values["now"] + LEASE})
        return [row[0] for row in cursor.fetchall()]


def _work(session_ids: Sequence[int], now: datetime) -> int:
    try:
        _judge(session_ids, now)
    except Exception as error:
        if len(session_ids) > 1:
            for session_id in session_ids:
                _work([session_id], now)
        else:
            logger.exception("session %s could not be judged", session_ids[0])
            _put_back(session_ids[0], error, now)
    return len(session_ids)


@transaction.atomic
def _judge(session_ids: Sequence[int], now: datetime) -> None:
    if session_ids:
        store(judged(gather(session_ids)), now=now)
        with connection.cursor() as cursor:
            cursor.execute(DONE, [list(session_ids)])


def _put_back(session_id: int, error: Exception, now: datetime) -> None:
    problem = f"{type(error).__name__}: {error}".replace("\0", " ")[:300]
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"error": problem, "now": now, "longest": LONGEST_WAIT, "id": session_id}
        cursor.execute(FAILED, values)
