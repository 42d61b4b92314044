"""What fleets owe for documents that were issued: money that comes then pays these, and is no advance.

The whole position counts, however it is kept: what is owed beyond the wallet, and a wallet below zero on credit. The
oldest is paid first, so what is charged and on no document yet is the last to be paid.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from billing.invoicing.models import DebtPayment
from billing.models import LedgerTransfer

LOCK = 0x616476 << 40  # "adv"
# In one statement, so that what is charged meanwhile is in all of it or in nothing of it; `waiting`: top-ups that
# nobody has decided about, which pay nothing yet. What is on no document is all that was charged less what documents
# say of it, so that no session is looked up: all prices of a fleet stand in one index (spending_of_an_organisation).
# What a correction gives back of a session on a document has left the debt already.
_OWED = """
WITH waiting AS (SELECT organisation_id, sum(amount_paise) AS paise FROM ({waiting}) top_up GROUP BY organisation_id),
standing AS (
    SELECT w.organisation_id, COALESCE(waiting.paise, 0) - w.posted_paise + COALESCE((
               SELECT COALESCE((SELECT sum(amount_paise) FROM billing_ledgertransfer WHERE debit_id = a.id), 0)
                    - COALESCE((SELECT sum(amount_paise) FROM billing_ledgertransfer WHERE credit_id = a.id), 0)
               FROM billing_ledgeraccount a WHERE a.code = 'receivable:' || w.organisation_id), 0) AS paise
    FROM billing_wallet w LEFT JOIN waiting ON waiting.organisation_id = w.organisation_id
    WHERE w.organisation_id = ANY(%s)
)
SELECT s.organisation_id, s.paise
     - (SELECT COALESCE(sum(c.total_paise), 0) FROM billing_cdr c
        WHERE c.organisation_id = s.organisation_id AND c.captured_at IS NOT NULL)
     - (SELECT COALESCE(sum(a.total_paise), 0) FROM billing_cdradjustment a JOIN billing_cdr c ON c.id = a.cdr_id
        WHERE c.organisation_id = s.organisation_id AND c.captured_at IS NOT NULL)
     + (SELECT COALESCE(sum(a.total_paise), 0)
        FROM billing_cdradjustment a JOIN billing_cdr c ON c.id = a.cdr_id
        JOIN billing_billeditem b ON b.cdr_id = c.id AND b.adjustment_id IS NULL
        WHERE c.organisation_id = s.organisation_id AND a.total_paise < 0 AND NOT EXISTS (
            SELECT FROM billing_billeditem i WHERE i.adjustment_id = a.id))
     - (SELECT COALESCE(sum(f.total_paise), 0) FROM billing_subscriptionfee f
        WHERE f.organisation_id = s.organisation_id)
     + (SELECT COALESCE(sum(CASE d.kind WHEN 'credit_note' THEN -d.charged_paise ELSE d.charged_paise END), 0)
        FROM billing_taxdocument d WHERE d.organisation_id = s.organisation_id)
FROM standing s WHERE s.paise > 0
"""
_OPEN = """
SELECT d.id, d.total_paise
     - COALESCE((SELECT sum(u.amount_paise) FROM billing_advanceuse u WHERE u.document_id = d.id), 0)
     - COALESCE((SELECT sum(p.amount_paise) FROM billing_debtpayment p WHERE p.document_id = d.id), 0)
     - COALESCE((SELECT sum(n.total_paise) FROM billing_taxdocument n
                 WHERE n.original_id = d.id AND n.kind = 'credit_note'), 0)
FROM billing_taxdocument d WHERE d.organisation_id = %s AND d.kind IN ('invoice', 'debit_note')
ORDER BY d.dated_on, d.id
"""


@dataclass(frozen=True)
class Paid:
    """What of a top-up pays what was invoiced before."""

    transfer: LedgerTransfer
    amount_paise: int
    owed_paise: int
    """All that was owed for documents, before it came."""


def keep_others_waiting(organisation_ids: Iterable[int]) -> None:
    """One at a time says what of a fleet's money is an advance and what uses advances up. In one order for all."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s + id) FROM (SELECT unnest(%s::bigint[]) AS id ORDER BY 1) fleets",
            [LOCK, sorted(set(organisation_ids))],
        )


def owed_for_documents(organisation_ids: Iterable[int], waiting: QuerySet[LedgerTransfer]) -> dict[int, int]:
    """Fleet -> paise that it owes for what was invoiced; those that owe nothing are not in it.

    `waiting`: the top-ups that are neither advances nor payments of debts yet.
    """
    ids = list(set(organisation_ids))
    if not ids:
        return {}
    rows = waiting.filter(organisation__in=ids).order_by().values("organisation_id", "amount_paise")
    query, values = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_OWED.format(waiting=query), [*values, ids])
        return {organisation_id: int(paise) for organisation_id, paise in cursor.fetchall() if paise > 0}


def store(payments: Iterable[Paid], *, at: datetime) -> None:
    """One by one: each sees what the one before has paid."""
    for each in payments:
        DebtPayment.objects.bulk_create(
            DebtPayment(transfer=each.transfer, document_id=document_id, amount_paise=paise, decided_at=at)
            for document_id, paise in _allotted(each)
        )


def _allotted(paid: Paid) -> Iterator[tuple[int | None, int]]:
    """(document, paise), the oldest that is owed first. What is open beyond the debt was paid or given up otherwise."""
    opened = _open(paid.transfer.organisation_id)
    skipped, left = max(0, sum(paise for _, paise in opened) - paid.owed_paise), paid.amount_paise
    for document_id, paise in opened:
        passed = min(skipped, paise)
        skipped -= passed
        if (part := min(left, paise - passed)) > 0:
            left -= part
            yield document_id, part
    if left:
        yield None, left


def _open(organisation_id: Any) -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [organisation_id])
        return [(pk, int(paise)) for pk, paise in cursor.fetchall() if paise > 0]
