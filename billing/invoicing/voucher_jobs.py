"""Receipt and refund vouchers as jobs: any number of workers share them, and one that fails keeps no other waiting."""

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef
from django.db.models.functions import Cast

from billing.invoicing.models import AdvanceReturn, SupplierRegistration
from billing.invoicing.services import advances, returns
from billing.jobs import engine
from billing.jobs.models import Job
from billing.models import LedgerTransfer

logger = logging.getLogger(__name__)
RECEIPT, REFUND = "receipt_voucher", "refund_voucher"
KINDS = (RECEIPT, REFUND)


@engine.does(RECEIPT)
def confirm(key: str, now: datetime) -> None:
    advances.confirm(transfer=LedgerTransfer.objects.get(pk=int(key)), at=now)


@engine.does(REFUND)
def settle(key: str, now: datetime) -> None:
    """One that came before its receipts costs no attempt: it stays unsettled, so that `find` adds it behind them."""
    try:
        returns.settle(return_id=int(key), at=now)
    except returns.NotYet as waits:
        logger.info("refund vouchers of return %s wait: %s", key, waits)


@transaction.atomic
def expect_return(*, payment_id: int, amount_paise: int, key: str, now: datetime) -> None:
    """In the transaction in which the money went back."""
    row = returns.expect(payment_id=payment_id, amount_paise=amount_paise, key=key)
    if row.settled_at is None:
        engine.add(kind=REFUND, keys=[(str(row.pk), row.organisation_id)], now=now)


def find(*, now: datetime, limit: int) -> int:
    """Jobs for top-ups and refunds that have none yet, receipts first; how many are new.

    Those given up stand in nobody's way.
    """
    if not SupplierRegistration.objects.filter(closed_on=None).exists():
        return 0  # nobody has set up taxes yet
    receipts = _find_receipts(now, limit)
    for refund in returns.missed():
        expect_return(
            payment_id=refund.payment_id, amount_paise=refund.amount_paise, key=f"refund:{refund.key}", now=now
        )
    return receipts + _find_returns(now, limit)


def _find_receipts(now: datetime, limit: int) -> int:
    known = Job.objects.filter(kind=RECEIPT, key=Cast(OuterRef("pk"), CharField()))
    waiting = advances.without_voucher(before=now).exclude(Exists(known))
    rows = [(str(pk), organisation) for pk, organisation in waiting.values_list("pk", "organisation_id")[:limit]]
    return engine.add(kind=RECEIPT, keys=rows, now=now) if rows else 0


def _find_returns(now: datetime, limit: int) -> int:
    known = Job.objects.filter(kind=REFUND, key=Cast(OuterRef("pk"), CharField()))
    wanting = Exists(advances.unconfirmed().filter(organisation=OuterRef("organisation")).order_by())
    # those that wait for a receipt come last: however many they are, they keep no other from being found
    waiting = AdvanceReturn.objects.filter(~Exists(known), settled_at=None).order_by(wanting, "pk")
    rows = [(str(pk), organisation) for pk, organisation in waiting.values_list("pk", "organisation_id")[:limit]]
    return engine.add(kind=REFUND, keys=rows, now=now) if rows else 0
