"""Invoices and notes as Zoho Books imports them: one row per line, the head of the document repeated."""

from collections.abc import Iterator
from typing import Any

from billing.dispute import rupees
from billing.gst.states import LETTERS
from billing.invoicing.exports.documents import documents_of
from billing.invoicing.models import AccountingMonth, SupplierRegistration, TaxDocument

Kind = TaxDocument.Kind
HEADER = (
    "Invoice Date", "Invoice Number", "Invoice Status", "Invoice Type", "Customer Name", "GST Treatment",
    "GST Identification Number (GSTIN)", "Place of Supply", "Currency Code", "Item Name", "Item Desc", "HSN/SAC",
    "Quantity", "Usage unit", "Item Total", "Item Tax %", "CGST", "SGST", "IGST", "Adjustment", "Total",
    "Original Invoice Number", "Reference ID",
)  # fmt: skip
TREATMENTS = {"B2B": "business_gst", "SEZWP": "business_sez", "SEZWOP": "business_sez", "B2C": "business_none"}
SOLD = [Kind.INVOICE, Kind.CREDIT_NOTE, Kind.DEBIT_NOTE]


def zoho_rows(month: AccountingMonth, supplier: SupplierRegistration | None = None) -> Iterator[tuple[Any, ...]]:
    """The header, then the rows; the round-off and the total stand on the first row of a document."""
    yield HEADER
    for document in documents_of(month, supplier).filter(kind__in=SOLD).prefetch_related("lines").iterator(500):
        for position, line in enumerate(document.lines.all()):
            is_first = position == 0
            yield (
                document.dated_on, document.number, "Closed", document.get_kind_display(),
                document.recipient_facts["legal_name"], TREATMENTS[document.supply_kind],
                document.recipient_facts["gstin"], LETTERS.get(document.place_of_supply, ""), document.currency,
                "EV charging", line.description, line.sac_code, f"{line.quantity.normalize():f}", line.unit,
                rupees(line.taxable_paise), f"{line.rate_percent.normalize():f}", rupees(line.cgst_paise),
                rupees(line.sgst_paise), rupees(line.igst_paise),
                rupees(document.round_off_paise) if is_first else "", rupees(document.total_paise) if is_first else "",
                document.original.number if document.original else "",
                f"{document.supplier.gstin}/{document.financial_year}/{document.number}",
            )  # fmt: skip
