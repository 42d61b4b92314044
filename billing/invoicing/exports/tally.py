"""Vouchers for TallyPrime as XML. A voucher's REMOTEID is ours, so that an import that is repeated doubles nothing.

Tally's signs: a debit is below zero and deemed positive. Every voucher adds up to zero.
"""

from collections import defaultdict
from collections.abc import Iterator
from xml.sax.saxutils import escape

from django.db.models import QuerySet, Sum
from django.db.models.fields.json import KeyTextTransform

from billing.dispute import rupees
from billing.gst.states import name_of
from billing.invoicing.exports.documents import documents_of
from billing.invoicing.models import AccountingMonth, BilledItem, SupplierRegistration, TaxDocument

Kind = TaxDocument.Kind
TYPES = {
    Kind.INVOICE: "Sales", Kind.DEBIT_NOTE: "Debit Note", Kind.CREDIT_NOTE: "Credit Note",
    Kind.RECEIPT_VOUCHER: "Receipt", Kind.REFUND_VOUCHER: "Payment",
}  # fmt: skip
MONEY_ONLY = {Kind.RECEIPT_VOUCHER, Kind.REFUND_VOUCHER}
HEAD = """<ENVELOPE><HEADER><TALLYREQUEST>Import Data</TALLYREQUEST></HEADER><BODY><IMPORTDATA>
<REQUESTDESC><REPORTNAME>Vouchers</REPORTNAME></REQUESTDESC><REQUESTDATA>
"""
FOOT = "</REQUESTDATA></IMPORTDATA></BODY></ENVELOPE>\n"


def tally_xml(month: AccountingMonth, supplier: SupplierRegistration | None = None) -> Iterator[str]:
    """One piece per voucher, to be streamed."""
    yield HEAD
    documents = documents_of(month, supplier)
    centres = _cost_centres_of(documents)
    for document in documents.iterator(200):
        yield _voucher(document, centres.get(document.pk, {}))
    yield FOOT


def _cost_centres_of(documents: QuerySet[TaxDocument]) -> dict[int, dict[str, int]]:
    """Document -> cost centre -> paise before tax; the database adds them up."""
    named = BilledItem.objects.filter(document__in=documents.order_by().values("pk")).annotate(
        centre=KeyTextTransform("cost_centre", "facts")
    )
    rows = named.exclude(centre="").values("document", "centre").annotate(paise=Sum("taxable_paise"))
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for pk, centre, paise in rows.order_by("document", "centre").values_list("document", "centre", "paise"):
        found[pk][centre] = paise
    return found


def _voucher(document: TaxDocument, centres: dict[str, int]) -> str:
    kind = TYPES[Kind(document.kind)]
    facts = {
        "DATE": f"{document.dated_on:%Y%m%d}", "GUID": _key(document), "VOUCHERTYPENAME": kind,
        "VOUCHERNUMBER": document.number, "REFERENCE": document.original.number if document.original else "",
        "PARTYLEDGERNAME": _party(document), "PARTYGSTIN": document.recipient_facts["gstin"],
        "PLACEOFSUPPLY": name_of(document.place_of_supply), "PERSISTEDVIEW": "Accounting Voucher View",
        "ISINVOICE": "No", "NARRATION": document.reason or f"{document.get_kind_display()} {document.number}",
    }  # fmt: skip
    body = "".join(_tag(name, value) for name, value in facts.items() if value)
    entries = "".join(_entry(document, ledger, paise, centres) for ledger, paise in _entries(document) if paise)
    return (
        f'<TALLYMESSAGE><VOUCHER REMOTEID="{_key(document)}" VCHTYPE="{kind}" ACTION="Create">'
        f"{body}{entries}</VOUCHER></TALLYMESSAGE>\n"
    )


def _entries(document: TaxDocument) -> list[tuple[str, int]]:
    """(ledger, paise), credits above zero; the party first."""
    sign = document.sign
    if document.kind in MONEY_ONLY:
        return [(_party(document), sign * document.total_paise), ("Bank", -sign * document.total_paise)]
    return [
        (_party(document), -sign * document.total_paise), ("EV charging", sign * document.taxable_paise),
        ("Output CGST", sign * document.cgst_paise), (f"Output {document.state_head}", sign * document.sgst_paise),
        ("Output IGST", sign * document.igst_paise), ("Round off", sign * document.round_off_paise),
    ]  # fmt: skip


def _entry(document: TaxDocument, ledger: str, paise: int, centres: dict[str, int]) -> str:
    inner = _tag("LEDGERNAME", ledger) + _tag("ISDEEMEDPOSITIVE", "Yes" if paise < 0 else "No")
    inner += _tag("AMOUNT", rupees(paise))
    if ledger == _party(document):
        against = document.original.number if document.original else document.number
        kind = "Agst Ref" if document.original else "New Ref"
        bill = _tag("NAME", against) + _tag("BILLTYPE", kind) + _tag("AMOUNT", rupees(paise))
        inner += f"<BILLALLOCATIONS.LIST>{bill}</BILLALLOCATIONS.LIST>"
    elif ledger == "EV charging":
        inner += _cost_centres(centres)
    return f"<ALLLEDGERENTRIES.LIST>{inner}</ALLLEDGERENTRIES.LIST>"


def _cost_centres(centres: dict[str, int]) -> str:
    return "".join(
        f"<COSTCENTREALLOCATIONS.LIST>{_tag('NAME', name)}{_tag('AMOUNT', rupees(paise))}</COSTCENTREALLOCATIONS.LIST>"
        for name, paise in sorted(centres.items())
    )


def _key(document: TaxDocument) -> str:
    return f"fleetcharge-{document.supplier.gstin}-{document.financial_year}-{document.file_name}"


def _party(document: TaxDocument) -> str:
    return str(document.recipient_facts["legal_name"])


def _tag(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"
