"""Invoices, vouchers and notes of the fleet: found, looked at, downloaded."""

from datetime import date

from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import urlencode

from billing.invoicing import files
from billing.invoicing.models import TaxDocument
from billing.pages import access
from billing.pages.access import own, wallet_page
from billing.services import ledger
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of

PAGE_ROWS = 40
Kind = TaxDocument.Kind
TONES = {
    Kind.INVOICE: "chg", Kind.CREDIT_NOTE: "ok", Kind.DEBIT_NOTE: "warn", Kind.RECEIPT_VOUCHER: "ok",
    Kind.REFUND_VOUCHER: "off",
}  # fmt: skip


@wallet_page
def document_list(request: FleetRequest) -> HttpResponse:
    """Newest first; by kind, month and number."""
    rows = TaxDocument.objects.for_organisation(organisation_of(request)).select_related("original", "e_invoice")
    kind, text, month = (request.GET.get(name, "").strip()[:40] for name in ("kind", "q", "month"))
    if kind in Kind.values:
        rows = rows.filter(kind=kind)
    if text:
        rows = rows.filter(number__icontains=text) | rows.filter(original__number__icontains=text)
    if starts := _month(month):
        ends = date(starts.year + starts.month // 12, starts.month % 12 + 1, 1)
        rows = rows.filter(dated_on__gte=starts, dated_on__lt=ends)
    page = Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))
    chosen = {name: value for name, value in (("kind", kind), ("q", text), ("month", month)) if value}
    context = {
        "at": "documents", "page": page,
        "rows": [(row, TONES[Kind(row.kind)], _forms(row)) for row in page.object_list],
        "kinds": Kind.choices, "kind": kind, "text": text, "month": month, "query": urlencode(chosen),
        "is_filtered": bool(chosen), "may_act": access.may_act(request), "owed_paise": _owed(request),
    }  # fmt: skip
    return render(request, "wallet/documents.html", context)


@wallet_page
def document_file(request: FleetRequest, pk: int) -> HttpResponseBase:
    rows = TaxDocument.objects.select_related("supplier", "original", "month", "e_invoice", "advance")
    document: TaxDocument = own(request, rows, pk=pk)
    form = request.GET.get("as", "pdf")
    if form not in _forms(document):
        raise Http404
    return files.download(files.OF_A_DOCUMENT[form](document))


def _forms(row: TaxDocument) -> list[str]:
    forms = ["pdf"]
    if row.annexure_rows:
        forms += ["csv", "xlsx"]
    return forms if row.kind.endswith("voucher") else [*forms, "json"]


def _owed(request: FleetRequest) -> int:
    """Beyond the wallet: while anything is, no invoice is called paid."""
    return ledger.balance_paise(ledger.receivable_code(organisation_of(request).pk))


def _month(text: str) -> date | None:
    try:
        return date.fromisoformat(f"{text}-01") if text else None
    except ValueError:
        return None
