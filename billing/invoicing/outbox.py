"""What is written down with a fact: messages about invoices and notes, refund vouchers that are to be made."""

from billing.events import DocumentIssued, PaymentReturned
from billing.invoicing import voucher_jobs
from billing.invoicing.models import TaxDocument
from fleetcharge.lib.events import record
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.outbox import Fact, tell

VOUCHERS = {TaxDocument.Kind.RECEIPT_VOUCHER, TaxDocument.Kind.REFUND_VOUCHER}


@record(DocumentIssued)
def tell_of_an_invoice(event: DocumentIssued) -> None:
    if event.kind not in VOUCHERS:
        tell(catalogue.INVOICE_ISSUED, organisation_id=event.organisation_id, fact=lambda: _issued(event))


@record(PaymentReturned)
def expect_refund_vouchers(event: PaymentReturned) -> None:
    voucher_jobs.expect_return(
        payment_id=event.payment_id, amount_paise=event.amount_paise, key=event.reference, now=event.at
    )


def _issued(event: DocumentIssued) -> Fact:
    row = TaxDocument.objects.get(pk=event.document_id)
    data = {
        "id": row.pk,
        "kind": row.kind,
        "number": row.number,
        "dated_on": row.dated_on,
        "recipient_gstin": row.recipient_facts["gstin"],
        "taxable_paise": row.taxable_paise,
        "tax_paise": row.tax_paise,
        "total_paise": row.total_paise,
        "currency": row.currency,
        "sessions": row.annexure_rows,
        "annexure_sha256": row.annexure_sha256,
    }
    return Fact(event.organisation_id, row.pk, row.issued_at, data)
