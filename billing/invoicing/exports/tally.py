"""Vouchers for TallyPrime as XML. A voucher's REMOTEID is ours, so that an import that is repeated doubles nothing.

Tally's signs: a debit is below zero and deemed positive. Every voucher adds up to zero. The tax of an advance falls due
with its receipt voucher and leaves the heads again where an invoice or a refund uses it up, as in our own ledger.
Money for what was invoiced before, and an advance of a day after its invoice's, is a receipt against that invoice.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.fields.json import KeyTextTransform

from billing.dispute import rupees
from billing.gst.heads import Heads
from billing.gst.numbering import day_in_india
from billing.gst.states import name_of
from billing.invoicing.exports.documents import documents_of
from billing.invoicing.models import (
    AccountingMonth,
    AdvanceUse,
    BilledItem,
    DebtPayment,
    OrganisationRegistration,
    SupplierRegistration,
    TaxDocument,
)
from billing.invoicing.rendering.xlsx import CONTROL

Kind = TaxDocument.Kind
TYPES = {
    Kind.INVOICE: "Sales", Kind.DEBIT_NOTE: "Debit Note", Kind.CREDIT_NOTE: "Credit Note",
    Kind.RECEIPT_VOUCHER: "Receipt", Kind.REFUND_VOUCHER: "Payment",
}  # fmt: skip
SOLD = {Kind.INVOICE, Kind.DEBIT_NOTE}
MONEY_ONLY = {Kind.RECEIPT_VOUCHER, Kind.REFUND_VOUCHER}
SALES, BANK, ROUND_OFF, ADVANCE_TAX = "EV charging", "Bank", "Round off", "GST on advances"
CATEGORY, REST = "Primary Cost Category", "No cost centre"
HEAD = """<ENVELOPE><HEADER><TALLYREQUEST>Import Data</TALLYREQUEST></HEADER><BODY><IMPORTDATA>
<REQUESTDESC><REPORTNAME>{report}</REPORTNAME></REQUESTDESC><REQUESTDATA>
"""
FOOT = "</REQUESTDATA></IMPORTDATA></BODY></ENVELOPE>\n"


@dataclass(frozen=True)
class Bill:
    """What of a party's entry is about which of its bills; credits above zero."""

    name: str
    kind: str
    paise: int


@dataclass
class Used:
    """Of the advances that an invoice uses up: what of which, and the tax in it. Or the other way round, see below."""

    bills: list[Bill] = field(default_factory=list)
    heads: Heads = field(default_factory=Heads)


def tally_xml(month: AccountingMonth, supplier: SupplierRegistration | None = None) -> Iterator[str]:
    """One piece per voucher, to be streamed. What it names is in `tally_masters`, to be imported first."""
    yield HEAD.format(report="Vouchers")
    documents = documents_of(month, supplier)
    centres, used, party_of = cost_centres_of(documents), _advances_of(documents), Parties()
    for document in documents.iterator(200):
        yield _voucher(
            document, party_of(document), centres.get(document.pk, {}), used.get(document.pk, Used())
        )  # fmt: skip
    for payment, document in payments_of(month, supplier):
        yield _payment(payment, document, party_of(document), month)
    yield FOOT


def payments_of(
    month: AccountingMonth, supplier: SupplierRegistration | None
) -> Iterator[tuple[DebtPayment, TaxDocument]]:
    """Of the month's payments, those of documents; what no document has open is the accountant's to enter."""
    rows = DebtPayment.objects.filter(_up_to(month)).exclude(_before(month)).order_by("pk")
    for payment in rows.select_related("transfer", "document__supplier", "document__organisation").iterator(500):
        if payment.document is not None and supplier in {None, payment.document.supplier}:
            yield payment, payment.document


def _up_to(month: AccountingMonth) -> Q:
    """Payments of this month and all before it: of a closed one, what its close had found."""
    rows = Q(transfer__occurred_at__lt=month.ended_at)
    return rows & Q(decided_at__lte=month.closed_at) if month.closed_at is not None else rows


def _before(month: AccountingMonth) -> Q:
    """Payments of earlier months. What came, or was found, after its month was closed is in the first open one."""
    closed = AccountingMonth.objects.filter(starts_on__lt=month.starts_on, closed_at__isnull=False)
    last = closed.order_by("-starts_on").first()
    if last is not None and last.ends_before == month.starts_on:
        return _up_to(last)
    return Q(transfer__occurred_at__lt=month.started_at)


def _payment(payment: DebtPayment, document: TaxDocument, party: str, month: AccountingMonth) -> str:
    paise, key = payment.amount_paise, f"fleetcharge-{document.supplier.gstin}-payment-{payment.pk}"
    day = max(day_in_india(payment.transfer.occurred_at), month.starts_on)
    facts = {
        "DATE": f"{day:%Y%m%d}", "GUID": key, "VOUCHERTYPENAME": "Receipt",
        "REFERENCE": payment.transfer.entry_key.split(":", 2)[-1], "PARTYLEDGERNAME": party,
        "PERSISTEDVIEW": "Accounting Voucher View", "ISINVOICE": "No", "NARRATION": f"Paid of {document.number}",
    }  # fmt: skip
    body = "".join(tag(name, value) for name, value in facts.items())
    entries = _entry(party, paise, _bills([Bill(document.number, "Agst Ref", paise)])) + _entry(BANK, -paise, "")
    return (
        f'<TALLYMESSAGE><VOUCHER REMOTEID="{key}" VCHTYPE="Receipt" ACTION="Create">'
        f"{body}{entries}</VOUCHER></TALLYMESSAGE>\n"
    )


class Parties:
    """The ledger of a party. Tally keeps one GSTIN in a ledger: the second one of the same name has it in its name."""

    def __init__(self) -> None:
        first: dict[str, int] = {}
        self._later: set[int] = set()
        for pk, name in OrganisationRegistration.objects.order_by("pk").values_list("pk", "legal_name"):
            if first.setdefault(name.casefold(), pk) != pk:
                self._later.add(pk)

    def __call__(self, document: TaxDocument) -> str:
        facts = document.recipient_facts
        if document.registration_id not in self._later:
            return str(facts["legal_name"])
        return f"{facts['legal_name']} ({facts['gstin'] or document.organisation.slug})"


def cost_centres_of(documents: QuerySet[TaxDocument]) -> dict[int, dict[str, int]]:
    """Document -> cost centre -> paise before tax; the database adds them up."""
    named = BilledItem.objects.filter(document__in=documents.order_by().values("pk")).annotate(
        centre=KeyTextTransform("cost_centre", "facts")
    )
    rows = named.exclude(centre="").values("document", "centre").annotate(paise=Sum("taxable_paise"))
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for pk, centre, paise in rows.order_by("document", "centre").values_list("document", "centre", "paise"):
        found[pk][centre] = paise
    return found


def _advances_of(documents: QuerySet[TaxDocument]) -> dict[int, Used]:
    """Invoice or debit note -> what it uses up. Receipt voucher -> the earlier documents that it pays instead."""
    pks = documents.order_by().values("pk")
    earlier, sales = AdvanceUse.objects.filter(voucher__dated_on__lte=F("document__dated_on")), [*SOLD]
    found: dict[int, Used] = defaultdict(Used)
    _add(found, earlier.filter(document__in=pks, document__kind__in=sales), "document", "voucher__number", -1)
    later = AdvanceUse.objects.filter(voucher__dated_on__gt=F("document__dated_on"))
    _add(found, later.filter(voucher__in=pks, document__kind__in=sales), "voucher", "document__number", 1)
    return found


def _add(found: dict[int, Used], uses: QuerySet[AdvanceUse], whose: str, number: str, sign: int) -> None:
    rows = uses.order_by("pk").values_list(whose, number, "amount_paise", "cgst_paise", "sgst_paise", "igst_paise")
    for pk, name, amount, *heads in rows.iterator(2_000):
        found[pk].bills.append(Bill(name, "Agst Ref", sign * amount))
        found[pk].heads += Heads(*heads)


def _voucher(document: TaxDocument, party: str, centres: Mapping[str, int], used: Used) -> str:
    kind = TYPES[Kind(document.kind)]
    facts = {
        "DATE": f"{document.dated_on:%Y%m%d}", "GUID": _key(document), "VOUCHERTYPENAME": kind,
        "VOUCHERNUMBER": document.number, "REFERENCE": document.original.number if document.original else "",
        "PARTYLEDGERNAME": party, "PARTYGSTIN": document.recipient_facts["gstin"],
        "PLACEOFSUPPLY": name_of(document.place_of_supply), "PERSISTEDVIEW": "Accounting Voucher View",
        "ISINVOICE": "No", "NARRATION": document.reason or f"{document.get_kind_display()} {document.number}",
    }  # fmt: skip
    body = "".join(tag(name, value) for name, value in facts.items() if value)
    [(_, paise), *others] = _entries(document, party, used)
    entries = _entry(party, paise, _bills(_bills_of(document, paise, used)))
    for ledger, amount in others:
        entries += _entry(ledger, amount, _centres(centres, amount) if ledger == SALES else "") if amount else ""
    return (
        f'<TALLYMESSAGE><VOUCHER REMOTEID="{_key(document)}" VCHTYPE="{kind}" ACTION="Create">'
        f"{body}{entries}</VOUCHER></TALLYMESSAGE>\n"
    )


def _entries(document: TaxDocument, party: str, used: Used) -> list[tuple[str, int]]:
    """(ledger, paise), credits above zero; the party first."""
    sign = document.sign
    heads = Heads(document.cgst_paise, document.sgst_paise, document.igst_paise)
    if document.kind in MONEY_ONLY:
        return [
            (party, sign * document.total_paise), (BANK, -sign * document.total_paise),
            *_taxes(document, heads, sign), (ADVANCE_TAX, -sign * heads.total_paise),
            *_taxes(document, used.heads, -1), (ADVANCE_TAX, used.heads.total_paise),
        ]  # fmt: skip
    return [
        (party, -sign * document.total_paise), (SALES, sign * document.taxable_paise),
        *_taxes(document, heads, sign), (ROUND_OFF, sign * document.round_off_paise),
        *_taxes(document, used.heads, -1), (ADVANCE_TAX, used.heads.total_paise),
    ]  # fmt: skip


def _taxes(document: TaxDocument, heads: Heads, sign: int) -> list[tuple[str, int]]:
    return [
        ("Output CGST", sign * heads.cgst_paise), (f"Output {document.state_head}", sign * heads.sgst_paise),
        ("Output IGST", sign * heads.igst_paise),
    ]  # fmt: skip


def _bills_of(document: TaxDocument, paise: int, used: Used) -> list[Bill]:
    """An advance is a bill of its own, which invoices and refunds are set against."""
    rest = paise - sum(bill.paise for bill in used.bills)
    name, kind = document.number, "Advance" if document.kind == Kind.RECEIPT_VOUCHER else "New Ref"
    if document.original is not None and document.kind != Kind.RECEIPT_VOUCHER:
        name, kind = document.original.number, "Agst Ref"
    return [*used.bills, *([Bill(name, kind, rest)] if rest else [])]


def _entry(ledger: str, paise: int, inner: str) -> str:
    facts = tag("LEDGERNAME", ledger) + tag("ISDEEMEDPOSITIVE", "Yes" if paise < 0 else "No")
    return f"<ALLLEDGERENTRIES.LIST>{facts}{tag('AMOUNT', rupees(paise))}{inner}</ALLLEDGERENTRIES.LIST>"


def _bills(bills: Iterable[Bill]) -> str:
    return "".join(
        f"<BILLALLOCATIONS.LIST>{tag('NAME', bill.name)}{tag('BILLTYPE', bill.kind)}"
        f"{tag('AMOUNT', rupees(bill.paise))}</BILLALLOCATIONS.LIST>"
        for bill in bills
    )


def _centres(centres: Mapping[str, int], paise: int) -> str:
    """Of the whole entry, as Tally wants it: what has no cost centre has one of its own."""
    if not centres:
        return ""
    rest = paise - sum(centres.values())
    parts = [*sorted(centres.items()), *([(REST, rest)] if rest else [])]
    inner = "".join(
        f"<COSTCENTREALLOCATIONS.LIST>{tag('NAME', name)}{tag('AMOUNT', rupees(part))}</COSTCENTREALLOCATIONS.LIST>"
        for name, part in parts
    )
    return f"<CATEGORYALLOCATIONS.LIST>{tag('CATEGORY', CATEGORY)}{inner}</CATEGORYALLOCATIONS.LIST>"


def _key(document: TaxDocument) -> str:
    return f"fleetcharge-{document.supplier.gstin}-{document.financial_year}-{document.file_name}"


def tag(name: str, value: object) -> str:
    return f"<{name}>{escape(CONTROL.sub(' ', str(value)))}</{name}>"
