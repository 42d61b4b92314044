"""The letter about a document as a job, written down with what makes it due: the hint to send it may get lost."""

from collections.abc import Iterable
from datetime import datetime

from billing.invoicing.models import TaxDocument
from billing.jobs import engine

JOB = "document_letter"
VOUCHERS = frozenset({TaxDocument.Kind.RECEIPT_VOUCHER, TaxDocument.Kind.REFUND_VOUCHER})


def expect(documents: Iterable[TaxDocument], *, now: datetime) -> None:
    """About invoices and notes, in the caller's transaction; vouchers are there to be fetched."""
    rows = [(str(each.pk), each.organisation_id) for each in documents if each.kind not in VOUCHERS]
    if rows:
        engine.add(kind=JOB, keys=rows, now=now)
