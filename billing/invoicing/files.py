"""Every file that can be had of a document or a month: name, type, and its bytes, a piece at a time."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.http import StreamingHttpResponse

from billing.gst.inv01 import NotReportable
from billing.invoicing import annexure
from billing.invoicing.exports import books, gstr1, tally, tally_masters, zoho
from billing.invoicing.exports.tables import csv_of
from billing.invoicing.models import AccountingMonth, SupplierRegistration, TaxDocument
from billing.invoicing.rendering import pdf, xlsx
from billing.invoicing.rendering.sheet import sheet_of
from billing.invoicing.services import einvoices

CSV, XML = "text/csv; charset=utf-8", "application/xml"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True)
class File:
    name: str
    content_type: str
    pieces: Iterable[bytes]

    def read(self) -> bytes:
        return b"".join(self.pieces)


def _text(pieces: Iterable[str]) -> Iterator[bytes]:
    return (piece.encode() for piece in pieces)


def _pdf(row: TaxDocument) -> File:
    return File(f"{row.file_name}.pdf", "application/pdf", [pdf.render(sheet_of(row))])


def _csv(row: TaxDocument) -> File:
    return File(f"{row.file_name}-sessions.csv", CSV, _text(annexure.csv_lines(row.annexure)))


def _xlsx(row: TaxDocument) -> File:
    return File(f"{row.file_name}-sessions.xlsx", XLSX, [xlsx.annexure_xlsx(row.number, row.annexure)])


def _json(row: TaxDocument) -> File:
    """INV-01; what keeps it from the portal stands in the file."""
    try:
        told = einvoices.payload_of(row)
    except (KeyError, NotReportable) as error:
        told = {"not_reportable": str(error)}
    return File(f"{row.file_name}-inv01.json", "application/json", [json.dumps(told, indent=1).encode()])


OF_A_DOCUMENT: dict[str, Callable[[TaxDocument], File]] = {"pdf": _pdf, "csv": _csv, "xlsx": _xlsx, "json": _json}


def of_month(month: AccountingMonth) -> dict[str, Callable[[], File]]:
    """By name; the return once per registration of ours."""
    stamp = f"{month.starts_on:%Y-%m}"
    files: dict[str, Callable[[], File]] = {
        "general-ledger": lambda: File(
            f"general-ledger-{stamp}.csv", CSV, _text(csv_of(books.general_ledger(month)))
        ),
        "trial-balance": lambda: File(f"trial-balance-{stamp}.csv", CSV, _text(csv_of(books.trial_balance(month)))),
        "tally-masters": lambda: File(f"tally-masters-{stamp}.xml", XML, _text(tally_masters.tally_masters_xml(month))),
        "tally": lambda: File(f"tally-{stamp}.xml", XML, _text(tally.tally_xml(month))),
        "zoho-invoices": lambda: File(f"zoho-invoices-{stamp}.csv", CSV, _text(csv_of(zoho.invoice_rows(month)))),
        "zoho-credit-notes": lambda: File(
            f"zoho-credit-notes-{stamp}.csv", CSV, _text(csv_of(zoho.credit_note_rows(month)))
        ),
    }  # fmt: skip
    for supplier in SupplierRegistration.objects.all():
        files[f"gstr1-{supplier.gstin}"] = _return(month, supplier, "json")
        files[f"gstr1-{supplier.gstin}-csv"] = _return(month, supplier, "csv")
    return files


def _return(month: AccountingMonth, supplier: SupplierRegistration, form: str) -> Callable[[], File]:
    def make() -> File:
        told, name = gstr1.gstr1(month, supplier), f"gstr1-{supplier.gstin}-{month.starts_on:%Y-%m}.{form}"
        if form == "json":
            return File(name, "application/json", [json.dumps(told, indent=1).encode()])
        return File(name, CSV, _text(csv_of(gstr1.section_rows(told))))

    return make


def download(file: File) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(file.pieces, content_type=file.content_type)
    answer["Content-Disposition"] = f'attachment; filename="{file.name}"'
    return answer
