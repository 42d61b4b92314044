"""Background work of tax documents: e-invoices, receipt vouchers, e-mail. Each may run twice."""

import logging

from celery import shared_task
from django.utils import timezone

from billing.invoicing.irp.client import portal
from billing.invoicing.models import EInvoice, TaxDocument
from billing.invoicing.services import advances, einvoices, mailing
from billing.invoicing.services.parties import NoSupplier
from billing.invoicing.services.rules import MissingRule

logger = logging.getLogger(__name__)
CHUNK = 200
VOUCHERS = {TaxDocument.Kind.RECEIPT_VOUCHER, TaxDocument.Kind.REFUND_VOUCHER}


@shared_task
def deliver_document(document_id: int) -> None:
    """Registered first where it needs an IRN, then sent; what the portal does not answer now, the sweep asks again."""
    waiting = EInvoice.objects.filter(document=document_id).first()
    if waiting is None or einvoices.report(e_invoice_id=waiting.pk, portal=portal(), now=timezone.now()):
        mail_document(document_id)


@shared_task
def mail_document(document_id: int) -> None:
    """Invoices and notes; vouchers are there to be fetched."""
    if not TaxDocument.objects.filter(pk=document_id, kind__in=VOUCHERS).exists():
        mailing.announce(document_id=document_id, now=timezone.now())


@shared_task
def sweep_e_invoices() -> int:
    """Returns how many are registered now."""
    now, done = timezone.now(), 0
    for row in list(einvoices.due(now=now)[:CHUNK]):
        try:
            if einvoices.report(e_invoice_id=row.pk, portal=portal(), now=now):
                done += 1
                mail_document(row.document_id)
        except Exception:
            logger.exception("e-invoice %s could not be reported", row.pk)
    return done


@shared_task
def give_back_advance(payment_id: int, amount_paise: int, key: str) -> None:
    advances.give_back(payment_id=payment_id, amount_paise=amount_paise, key=key, at=timezone.now())


@shared_task
def sweep_advances() -> int:
    """A receipt voucher for every top-up, a refund voucher for every refund; returns how many receipts were made."""
    now, made = timezone.now(), 0
    for transfer in list(advances.without_voucher(before=now)[:CHUNK]):
        try:
            made += advances.confirm(transfer=transfer, at=now) is not None
        except (NoSupplier, MissingRule):
            return made  # nobody has set up taxes yet
        except Exception:
            logger.exception("top-up %s could not be confirmed", transfer.pk)
    for returned in advances.without_refund_voucher():
        give_back_advance(returned.payment_id, returned.amount_paise, f"refund:{returned.key}")
    return made
