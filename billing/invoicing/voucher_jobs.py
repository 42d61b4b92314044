"""Receipt and refund vouchers as jobs: any number of workers share them, and one that fails keeps no other waiting."""

from datetime import date, datetime, time

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Q
from django.db.models.functions import Cast

from billing.gst.numbering import INDIA
from billing.invoicing.models import AdvanceReturn, SupplierRegistration, TaxRule
from billing.invoicing.services import advances, returns
from billing.jobs import engine
from billing.jobs.models import Job
from billing.models import LedgerTransfer

RECEIPT, REFUND = "receipt_voucher", "refund_voucher"
KINDS = (RECEIPT, REFUND)


@engine.does(RECEIPT)
def confirm(key: str, now: datetime) -> None:
    advances.confirm(transfer=LedgerTransfer.objects.get(pk=int(key)), at=now)


@engine.does(REFUND)
def settle(key: str, now: datetime) -> None:
    returns.settle(return_id=int(key), at=now)


@transaction.atomic
def expect_return(*, payment_id: int, amount_paise: int, key: str, now: datetime) -> None:
    """In the transaction in which the money went back."""
    row = returns.expect(payment_id=payment_id, amount_paise=amount_paise, key=key)
    if row.settled_at is None:
        engine.add(kind=REFUND, keys=[(str(row.pk), row.organisation_id)], now=now)


def find(*, now: datetime, limit: int) -> int:
    """Jobs for top-ups and refunds that have none yet; how many are new. Those given up stand in nobody's way."""
    if not SupplierRegistration.objects.filter(closed_on=None).exists():
        return 0  # nobody has set up taxes yet
    for refund in returns.missed():
        expect_return(
            payment_id=refund.payment_id, amount_paise=refund.amount_paise, key=f"refund:{refund.key}", now=now
        )
    return _find_receipts(now, limit) + _find_returns(now, limit)


def _find_receipts(now: datetime, limit: int) -> int:
    known = Job.objects.filter(kind=RECEIPT, key=Cast(OuterRef("pk"), CharField()))
    waiting = advances.without_voucher(before=now).filter(_taxed()).exclude(Exists(known))
    rows = [(str(pk), organisation) for pk, organisation in waiting.values_list("pk", "organisation_id")[:limit]]
    return engine.add(kind=RECEIPT, keys=rows, now=now) if rows else 0


def _find_returns(now: datetime, limit: int) -> int:
    known = Job.objects.filter(kind=REFUND, key=Cast(OuterRef("pk"), CharField()))
    waiting = AdvanceReturn.objects.filter(~Exists(known), settled_at=None).order_by("pk")
    rows = [(str(pk), organisation) for pk, organisation in waiting.values_list("pk", "organisation_id")[:limit]]
    return engine.add(kind=REFUND, keys=rows, now=now) if rows else 0


def _taxed() -> Q:
    """Top-ups of days on which advances are taxed; on a day's overlap the later rule holds."""
    wanted = Q(pk__in=[])
    for rule in TaxRule.objects.filter(name=TaxRule.Name.ADVANCE_TAX, subject="").order_by("valid_from"):
        days = Q(occurred_at__gte=_midnight(rule.valid_from))
        if rule.valid_to is not None:
            days &= Q(occurred_at__lt=_midnight(date.fromordinal(rule.valid_to.toordinal() + 1)))
        wanted = wanted | days if int(rule.value) else wanted & ~days
    return wanted


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), INDIA)
