"""Invoices and notes as Zoho Books imports them: one row per line, the head of the document repeated.

Two files, as there are two imports: invoices with debit notes (which are invoices of another type there), and credit
notes. Zoho multiplies quantity and price anew: so a row is one of its line's value, and what was drawn stands in its
text.
"""

from collections.abc import Iterator
from typing import Any

from billing.dispute import rupees
from billing.gst.states import LETTERS
from billing.invoicing.exports.documents import documents_of
from billing.invoicing.models import AccountingMonth, DocumentLine, SupplierRegistration, TaxDocument

Kind = TaxDocument.Kind
Row = dict[str, Any]
TREATMENTS = {
    "B2B": "business_registered_regular", "SEZWP": "business_sez", "SEZWOP": "business_sez",
    "B2C": "business_unregistered",
}  # fmt: skip
REASON = "Reason for issuing Debit Note"
INVOICE_HEADER = (
    "Invoice Date", "Invoice Number", "Invoice Status", "Invoice Type", "Customer Name", "GST Treatment",
    "GST Identification Number (GSTIN)", "Place of Supply", "Currency Code", "Item Name", "Item Desc", "Item Type",
    "HSN/SAC", "Quantity", "Item Price", "Item Total", "Item Tax", "Item Tax %", "Item Tax Type", "CGST", "SGST",
    "IGST", "Adjustment", "Adjustment Description", "Total", "Reference Invoice#", "Reference Invoice Date", REASON,
    "Reference ID",
)  # fmt: skip
NOTE_HEADER = (
    "Credit Note Date", "Credit Note Number", "Credit Note Status", "Reference#", "Customer Name", "GST Treatment",
    "GST Identification Number (GSTIN)", "Place of Supply", "Currency Code", "Item Name", "Item Desc", "Item Type",
    "HSN/SAC", "Quantity", "Item Price", "Item Total", "Item Tax", "Item Tax %", "Item Tax Type", "CGST", "SGST",
    "IGST", "Adjustment", "Adjustment Description", "Total", "Associated Invoice Number", "Associated Invoice Date",
    "Reason", "Reference ID",
)  # fmt: skip


def invoice_rows(month: AccountingMonth, supplier: SupplierRegistration | None = None) -> Iterator[tuple[Any, ...]]:
    """The header, then the rows; the round-off and the total stand on the first row of a document."""
    yield from _table(INVOICE_HEADER, month, supplier, [Kind.INVOICE, Kind.DEBIT_NOTE])


def credit_note_rows(
    month: AccountingMonth, supplier: SupplierRegistration | None = None
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    yield from _table(NOTE_HEADER, month, supplier, [Kind.CREDIT_NOTE])


def _table(
    header: tuple[str, ...], month: AccountingMonth, supplier: SupplierRegistration | None, kinds: list[Kind]
) -> Iterator[tuple[Any, ...]]:
    yield header
    for document in documents_of(month, supplier).filter(kind__in=kinds).prefetch_related("lines").iterator(500):
        head = _head(document)
        for position, line in enumerate(document.lines.all()):
            row = {**head, **_line(document, line), **(_sums(document) if position == 0 else {})}
            yield tuple(row.get(name, "") for name in header)


def _head(document: TaxDocument) -> Row:
    original = document.original
    told = {
        "Customer Name": document.recipient_facts["legal_name"], "GST Treatment": TREATMENTS[document.supply_kind],
        "GST Identification Number (GSTIN)": document.recipient_facts["gstin"],
        "Place of Supply": LETTERS.get(document.place_of_supply, ""), "Currency Code": document.currency,
        "Reference ID": f"{document.supplier.gstin}/{document.financial_year}/{document.number}",
    }  # fmt: skip
    number, day = (original.number, original.dated_on) if original else ("", "")
    if document.kind == Kind.CREDIT_NOTE:
        return told | {
            "Credit Note Date": document.dated_on, "Credit Note Number": document.number, "Credit Note Status": "Open",
            "Reference#": number, "Associated Invoice Number": number, "Associated Invoice Date": day,
            "Reason": document.reason,
        }  # fmt: skip
    return told | {
        "Invoice Date": document.dated_on, "Invoice Number": document.number, "Invoice Status": "Closed",
        "Invoice Type": "Debit Note" if original else "Invoice", "Reference Invoice#": number,
        "Reference Invoice Date": day, REASON: document.reason,
    }  # fmt: skip


def _line(document: TaxDocument, line: DocumentLine) -> Row:
    rate = f"{line.rate_percent.normalize():f}"
    return {
        "Item Name": "EV charging", "Item Desc": f"{line.description} ({line.quantity.normalize():f} {line.unit})",
        "Item Type": "service", "HSN/SAC": line.sac_code, "Quantity": 1, "Item Price": rupees(line.taxable_paise),
        "Item Total": rupees(line.taxable_paise), "Item Tax": f"{_tax(document)}{rate}", "Item Tax %": rate,
        "Item Tax Type": "ItemAmount", "CGST": rupees(line.cgst_paise), "SGST": rupees(line.sgst_paise),
        "IGST": rupees(line.igst_paise),
    }  # fmt: skip


def _tax(document: TaxDocument) -> str:
    """`IGST18`, `GST18`: what Zoho calls its own taxes in India."""
    is_elsewhere = document.place_of_supply != document.supplier_facts["state_code"]
    return "IGST" if is_elsewhere or document.supply_kind.startswith("SEZ") else "GST"


def _sums(document: TaxDocument) -> Row:
    return {
        "Adjustment": rupees(document.round_off_paise), "Adjustment Description": "Round off",
        "Total": rupees(document.total_paise),
    }  # fmt: skip
