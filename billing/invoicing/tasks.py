"""Background work of tax documents: e-invoices, receipt vouchers, e-mail. Each may run twice."""

import logging

from celery import shared_task
from django.utils import timezone

from billing.invoicing import voucher_jobs
from billing.invoicing.irp.client import portal
from billing.invoicing.models import EInvoice, TaxDocument
from billing.invoicing.services import einvoices, letters, mailing
from billing.jobs import engine

logger = logging.getLogger(__name__)
CHUNK = 200


@shared_task
def deliver_document(document_id: int) -> None:
    """Registered first where it needs an IRN, then sent; what the portal does not answer now, the sweep asks again."""
    waiting = EInvoice.objects.filter(document=document_id).first()
    if waiting is None or einvoices.report(e_invoice_id=waiting.pk, portal=portal(), now=timezone.now()):
        mail_document(document_id)


@shared_task
def mail_document(document_id: int) -> None:
    """Now, what its job would do a little later; vouchers are there to be fetched."""
    if not TaxDocument.objects.filter(pk=document_id, kind__in=letters.VOUCHERS).exists():
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
def sweep_advances() -> int:
    """A receipt voucher for every top-up, a refund voucher for every refund; returns how many were worked on."""
    now = timezone.now()
    voucher_jobs.find(now=now, limit=CHUNK)
    return engine.work(now=now, limit=CHUNK, kinds=voucher_jobs.KINDS)


@shared_task
def work_vouchers() -> int:
    return engine.work(now=timezone.now(), limit=CHUNK, kinds=voucher_jobs.KINDS)
