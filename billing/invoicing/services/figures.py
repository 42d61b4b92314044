"""Sums of a month, and the proof that nothing charged is unexplained."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum

from billing.invoicing.models import AccountingMonth, TaxDocument
from billing.invoicing.services import boundary, collecting
from billing.models import CDR

HEADS = ("cgst", "sgst", "igst")
STANDS = ("charged_paise", "billed_paise", "held_paise", "unjudged_paise", "late_paise")
NEVER = 2**63 - 1
SUMS = ("count", "taxable", "cgst", "sgst", "igst", "round_off", "total")
_GAPS = """
SELECT s.id, s.prefix, s.financial_year, s.last_number, count(d.id)
FROM billing_numberseries s LEFT JOIN billing_taxdocument d
  ON d.supplier_id = s.supplier_id AND d.financial_year = s.financial_year AND split_part(d.number, '/', 1) = s.prefix
GROUP BY s.id HAVING s.last_number <> count(d.id) OR s.last_number <> COALESCE(max(right(d.number, 7)::integer), 0)
"""
# charged for sessions and their corrections; each is on a document or waits for a reason we can name. One statement:
# what is charged meanwhile is in all of its parts, or in none
_STANDS = """
WITH held AS ({held}), unjudged AS ({unjudged}), correction AS (
    SELECT a.cdr_id, sum(a.total_paise) AS total_paise FROM billing_cdradjustment a
    JOIN billing_cdr c ON c.id = a.cdr_id LEFT JOIN billing_billeditem i ON i.adjustment_id = a.id
    WHERE c.captured_at IS NOT NULL AND c.ended_at < %s AND i.id IS NULL GROUP BY a.cdr_id
)
SELECT
    (SELECT COALESCE(sum(total_paise), 0) FROM billing_cdr WHERE captured_at IS NOT NULL AND ended_at < %s)
  + (SELECT COALESCE(sum(a.total_paise), 0) FROM billing_cdradjustment a JOIN billing_cdr c ON c.id = a.cdr_id
     WHERE c.captured_at IS NOT NULL AND c.ended_at < %s),
    (SELECT COALESCE(sum(i.taxable_paise + i.tax_paise), 0) FROM billing_billeditem i
     JOIN billing_cdr c ON c.id = i.cdr_id WHERE c.ended_at < %s),
    (SELECT COALESCE(sum(w.total_paise + COALESCE(x.total_paise, 0)), 0)
     FROM held w LEFT JOIN correction x ON x.cdr_id = w.id),
    (SELECT COALESCE(sum(w.total_paise + COALESCE(x.total_paise, 0)), 0)
     FROM unjudged w LEFT JOIN correction x ON x.cdr_id = w.id),
    (SELECT COALESCE(sum(c.total_paise + COALESCE(x.total_paise, 0)), 0)
     FROM billing_cdr c LEFT JOIN correction x ON x.cdr_id = c.id
     WHERE c.captured_at IS NOT NULL AND c.ended_at < %s
       AND (c.session_id IN (SELECT session_id FROM billing_ledgertransfer WHERE id > %s AND kind = 'charge')
            OR c.id = ANY(%s) OR c.session_id IN (
                SELECT id FROM billing_chargingsession WHERE reconciled_at >= %s
                UNION ALL SELECT session_id FROM billing_reconciliationverdict WHERE outcome_at >= %s
                UNION ALL SELECT session_id FROM billing_billingexception WHERE resolved_at >= %s))
       AND NOT EXISTS (SELECT 1 FROM billing_billeditem i WHERE i.cdr_id = c.id AND i.adjustment_id IS NULL)
       AND c.id NOT IN (SELECT id FROM held UNION ALL SELECT id FROM unjudged))
  + (SELECT COALESCE(sum(x.total_paise), 0) FROM correction x JOIN billing_cdr c ON c.id = x.cdr_id
     WHERE c.session_id IN (SELECT session_id FROM billing_ledgertransfer WHERE id > %s AND kind <> 'charge')
       AND EXISTS (SELECT 1 FROM billing_billeditem i WHERE i.cdr_id = c.id AND i.adjustment_id IS NULL))
"""
# what the ledger owes under a head beside what the documents say and what own sessions off documents have booked
_HEAD = """
SELECT
  (SELECT COALESCE(sum(t.amount_paise), 0) FROM billing_ledgertransfer t JOIN billing_ledgeraccount a
     ON a.id = t.credit_id WHERE a.code = 'output_{head}')
- (SELECT COALESCE(sum(t.amount_paise), 0) FROM billing_ledgertransfer t JOIN billing_ledgeraccount a
     ON a.id = t.debit_id WHERE a.code = 'output_{head}')
- (SELECT COALESCE(sum(CASE WHEN kind IN ('credit_note', 'refund_voucher') THEN -{head}_paise ELSE {head}_paise END), 0)
     FROM billing_taxdocument)
+ (SELECT COALESCE(sum(u.{head}_paise), 0) FROM billing_advanceuse u JOIN billing_taxdocument d ON d.id = u.document_id
     WHERE d.kind IN ('invoice', 'debit_note'))
- (SELECT COALESCE(sum(x.paise), 0) FROM (
     SELECT c.{head}_paise AS paise FROM billing_cdr c JOIN billing_chargingsession s ON s.id = c.session_id
       JOIN stations_source o ON o.id = s.source_id AND o.kind = 'ocpp-own'
       LEFT JOIN billing_billeditem i ON i.cdr_id = c.id AND i.adjustment_id IS NULL
      WHERE c.captured_at IS NOT NULL AND i.id IS NULL
     UNION ALL
     SELECT j.{head}_paise FROM billing_cdradjustment j JOIN billing_cdr c ON c.id = j.cdr_id
       JOIN billing_chargingsession s ON s.id = c.session_id
       JOIN stations_source o ON o.id = s.source_id AND o.kind = 'ocpp-own'
       LEFT JOIN billing_billeditem i ON i.adjustment_id = j.id
      WHERE c.captured_at IS NOT NULL AND i.id IS NULL
     UNION ALL
     SELECT f.{head}_paise FROM billing_subscriptionfee f WHERE f.document_id IS NULL) x)
"""


def gaps() -> list[tuple[object, ...]]:
    """Series whose counter and documents disagree: a number without a document, or one too many."""
    with connection.cursor() as cursor:
        cursor.execute(_GAPS)
        return list(cursor.fetchall())


def unexplained_tax() -> dict[str, int]:
    """By head: paise in the ledger that no document and no session waiting for one accounts for."""
    found = {}
    with connection.cursor() as cursor:
        for head in HEADS:
            cursor.execute(_HEAD.format(head=head))
            found[head] = int(cursor.fetchone()[0])
    return found


@dataclass(frozen=True)
class Begun:
    """How things stood when a close began: the ledger's last row, and the records that were held or not judged."""

    at: datetime
    last_transfer: int
    undecided: list[int]


def begin(*, before: datetime, now: datetime) -> Begun:
    """For the close of what ended `before`."""
    last = boundary.last_transfer()
    waiting = collecting.unbilled(before=before).order_by()
    undecided = collecting.held(waiting).values_list("pk").union(collecting.unjudged(waiting).values_list("pk"))
    return Begun(now, last, [pk for (pk,) in undecided])


def charged_and_explained(*, before: datetime, begun: Begun | None = None) -> dict[str, int]:
    """What sessions that ended before were charged, and where it stands: billed, held, unjudged, late, too little.

    Late is what came into the ledger, was judged or was accepted since the close had `begun`, when the documents were
    on their way already.
    """
    waiting = collecting.unbilled(before=before)
    held, of_held = _sql(collecting.held(waiting))
    unjudged, of_unjudged = _sql(collecting.unjudged(waiting))
    since = Begun(datetime.max.replace(tzinfo=UTC), NEVER, []) if begun is None else begun
    late: list[Any] = [since.last_transfer, since.undecided, *[since.at] * 3, since.last_transfer]
    with connection.cursor() as cursor:
        cursor.execute(_STANDS.format(held=held, unjudged=unjudged), [*of_held, *of_unjudged, *[before] * 5, *late])
        found = {name: int(paise) for name, paise in zip(STANDS, cursor.fetchone(), strict=True)}
    charged, *explained = found.values()
    return {**found, "unexplained_paise": charged - sum(explained)}


def documents(month: AccountingMonth) -> dict[str, dict[str, int]]:
    """Count and sums by kind: what its close issued, and what belongs to no close and is dated in it."""
    by_themselves = Q(month=None, dated_on__gte=month.starts_on, dated_on__lt=month.ends_before)
    rows = TaxDocument.objects.filter(Q(month=month) | by_themselves).values_list("kind").order_by("kind")
    found = rows.annotate(
        count=Count("pk"), taxable=Sum("taxable_paise"), cgst=Sum("cgst_paise"), sgst=Sum("sgst_paise"),
        igst=Sum("igst_paise"), round_off=Sum("round_off_paise"), total=Sum("total_paise"),
    )  # fmt: skip
    return {kind: dict(zip(SUMS, sums, strict=True)) for kind, *sums in found}


def _sql(cdrs: QuerySet[CDR]) -> tuple[str, Sequence[Any]]:
    query, values = cdrs.order_by().values("id", "total_paise").query.sql_with_params()
    return query, values
