"""Where a month ends in the ledger, found without keeping anybody from writing: charging never waits for finance."""

import time

from django.db import connection

from fleetcharge.lib.api import Conflict

PATIENCE_S = 30.0
_LAST = "SELECT last_value FROM billing_ledgertransfer_id_seq"
# a transaction has this lock before it takes a number, and keeps it until the row is there for all, or for nobody
_WRITERS = """
SELECT virtualtransaction FROM pg_locks
WHERE relation = 'billing_ledgertransfer'::regclass AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
"""


def last_transfer() -> int:
    """A number up to which every row is there or never will be; rows that come later have higher ones.

    Waits for those who are writing just now, not for new ones. Raises Conflict when one of them does not end.
    """
    last = _one(_LAST)
    waiting, until = _writers(), time.monotonic() + PATIENCE_S
    while waiting:
        if time.monotonic() > until:
            raise Conflict("Somebody has been writing to the ledger for long; try again.", code="busy")
        time.sleep(0.01)
        waiting &= _writers()
    return last


def keep_documents_out() -> None:
    """Until this transaction ends nobody else issues one: the sums and the lock of the month are one step.

    Charging issues none. What was dated into the month before waits here, is refused by a trigger then, and is issued
    again with a day of the next month.
    """
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE billing_taxdocument IN SHARE MODE")


def _writers() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(_WRITERS)
        return {row[0] for row in cursor.fetchall()}


def _one(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])
