"""Days of the journal, sealed one after the other: a changed row of a sealed day breaks its hash, and the chain."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Min

from billing.models import JournalCheckpoint, LedgerTransfer

SEALED_AFTER = timedelta(hours=1)
"""So long after midnight (UTC) the last transaction of the day has committed."""
_LOCK = 7304
# every column that says something, in a form that no setting of the session changes
_DAY = """
SELECT count(*), COALESCE(sum(amount_paise), 0)::bigint, max(id),
       encode(sha256(COALESCE(string_agg(sha256(convert_to(concat_ws('|', id, entry_key, leg, debit_id, credit_id,
           amount_paise, currency, kind, memo, COALESCE(organisation_id, 0), COALESCE(session_id, 0),
           COALESCE(vehicle_id, 0), COALESCE(driver_ref::text, ''), COALESCE(location_id, 0), cost_centre,
           COALESCE(reverses_id, 0), actor, extract(epoch FROM occurred_at), extract(epoch FROM recorded_at),
           created_xid), 'UTF8')), ''::bytea ORDER BY id), ''::bytea)), 'hex')
FROM billing_ledgertransfer WHERE recorded_at >= %s AND recorded_at < %s
"""


def seal(*, now: datetime) -> int:
    """Seal every day that is over, in order, each in its own transaction; how many. One process at a time does it."""
    sealed = 0
    while _seal_next(now):
        sealed += 1
    return sealed


def broken() -> Iterator[tuple[date, str]]:
    """Sealed days that are not any more what they were, and breaks of the chain."""
    before: JournalCheckpoint | None = None
    for checkpoint in JournalCheckpoint.objects.order_by("day").iterator():
        if before is not None and checkpoint.day != before.day + timedelta(days=1):
            yield checkpoint.day, "days before it are missing"
        if before is not None and checkpoint.previous_sha256 != before.sha256:
            yield checkpoint.day, "does not follow the day before"
        if _of_day(checkpoint.day, before) != _facts(checkpoint):
            yield checkpoint.day, "its rows are not those that were sealed"
        before = checkpoint


@transaction.atomic
def _seal_next(now: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return False
    before = JournalCheckpoint.objects.order_by("-day").first()
    day = before.day + timedelta(days=1) if before else _first_day()
    if day is None or _midnight(day + timedelta(days=1)) + SEALED_AFTER > now:
        return False
    count, total, last_id, sha256 = _of_day(day, before)
    JournalCheckpoint.objects.create(
        day=day, transfers=count, total_paise=total, last_id=last_id, sha256=sha256,
        previous_sha256=before.sha256 if before else "", sealed_at=now,
    )  # fmt: skip
    return True


def _of_day(day: date, before: JournalCheckpoint | None) -> tuple[int, int, int, str]:
    """Count, total, newest id, and the hash over the rows, these figures and the day before."""
    with connection.cursor() as cursor:
        cursor.execute(_DAY, [_midnight(day), _midnight(day + timedelta(days=1))])
        count, total, newest, rows = cursor.fetchone()
    last_id = newest or (before.last_id if before else 0)
    previous = before.sha256 if before else ""
    sha256 = hashlib.sha256(f"{previous}|{day}|{count}|{total}|{last_id}|{rows}".encode()).hexdigest()
    return count, total, last_id, sha256


def _facts(checkpoint: JournalCheckpoint) -> tuple[int, int, int, str]:
    return checkpoint.transfers, checkpoint.total_paise, checkpoint.last_id, checkpoint.sha256


def _first_day() -> date | None:
    first: datetime | None = LedgerTransfer.objects.aggregate(first=Min("recorded_at"))["first"]
    return first.astimezone(UTC).date() if first else None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
