"""GSTR-1 of one of our registrations: invoices, notes, consumers, advances, SAC summary, numbers.

The names are the return's own (GSTN, return API): b2b, cdnr, b2cl, cdnur, b2cs, at, txpd (11A, 11B), hsn, doc_issue.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from billing.gst.heads import Heads
from billing.gst.inv01 import rupees
from billing.invoicing.exports.documents import documents_of
from billing.invoicing.models import AccountingMonth, AdvanceUse, DocumentLine, SupplierRegistration, TaxDocument
from billing.invoicing.services.deadlines import is_commercial
from billing.invoicing.services.rules import Name, Rules
from fleetcharge.lib.money import PAISE_PER_RUPEE

Kind = TaxDocument.Kind
SUPPLIES = {"B2B": "R", "SEZWP": "SEWP", "SEZWOP": "SEWOP"}
NATURES = {
    Kind.INVOICE: (1, "Invoices for outward supply"), Kind.DEBIT_NOTE: (4, "Debit Note"),
    Kind.CREDIT_NOTE: (5, "Credit Note"), Kind.RECEIPT_VOUCHER: (6, "Receipt Voucher"),
    Kind.REFUND_VOUCHER: (8, "Refund Voucher"),
}  # fmt: skip
Amounts = tuple[int, Heads]
NOTHING: Amounts = (0, Heads())


def gstr1(month: AccountingMonth, supplier: SupplierRegistration) -> dict[str, Any]:
    """The whole return as a document; the portal's offline tool and every GSP take it."""
    documents = list(documents_of(month, supplier).prefetch_related("lines"))
    rules = Rules(month.starts_on)
    sales = {Kind.INVOICE, Kind.CREDIT_NOTE, Kind.DEBIT_NOTE}
    sold = [row for row in documents if row.kind in sales and not is_commercial(row, rules)]
    registered = [row for row in sold if row.supply_kind != "B2C"]
    consumers = [row for row in sold if row.supply_kind == "B2C"]
    large = _large(consumers)
    apart = {row.pk for row in large}
    return {
        "gstin": supplier.gstin, "fp": f"{month.starts_on:%m%Y}",
        "b2b": _by_recipient(registered, {Kind.INVOICE}, "inv", _invoice),
        "cdnr": _by_recipient(registered, {Kind.CREDIT_NOTE, Kind.DEBIT_NOTE}, "nt", _note),
        "b2cl": _large_invoices(large), "cdnur": [{**_bare_note(row), "typ": "B2CL"} for row in large if row.original],
        "b2cs": _consumers([row for row in consumers if row.pk not in apart]),
        "at": _received(month, supplier), "txpd": _used(month, supplier),
        "hsn": {"hsn_b2b": _summary(registered), "hsn_b2c": _summary(consumers)},
        "doc_issue": {"doc_det": _issued(documents)},
    }  # fmt: skip


def section_rows(told: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The same as one table: section, who, document, date, value, place, rate, taxable, IGST, CGST, SGST."""
    yield ("Section", "GSTIN", "Number", "Date", "Value", "Place", "Type", "Rate", "Taxable", "IGST", "CGST", "SGST")
    yield from _document_rows(told)
    yield from _large_rows(told)
    for row in told["b2cs"]:
        yield ("b2cs", "", "", "", "", row["pos"], row["sply_ty"], row["rt"], row["txval"], *_taxes(row))
    for section in ("at", "txpd"):
        for place in told[section]:
            for row in place["itms"]:
                yield (section, "", "", "", "", place["pos"], place["sply_ty"], row["rt"], row["ad_amt"], *_taxes(row))
    for section, rows in told["hsn"].items():
        for row in rows:
            yield (section, "", row["hsn_sc"], "", "", "", "", row["rt"], row["txval"], *_taxes(row))
    for nature in told["doc_issue"]["doc_det"]:
        for row in nature["docs"]:
            numbers = f"{row['from']} - {row['to']}"
            yield ("docs", "", numbers, "", row["totnum"], "", nature["doc_typ"], "", "", "", "", "")


def _document_rows(told: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for section, key, number, day in (("b2b", "inv", "inum", "idt"), ("cdnr", "nt", "nt_num", "nt_dt")):
        for party in told[section]:
            for row in party[key]:
                head = (section, party["ctin"], row[number], row[day], row["val"], row["pos"],
                        row.get("ntty", row["inv_typ"]))  # fmt: skip
                for item in (item["itm_det"] for item in row["itms"]):
                    yield (*head, item["rt"], item["txval"], *_taxes(item))


def _large_rows(told: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    found = [("b2cl", row["inum"], row["idt"], place["pos"], "", row) for place in told["b2cl"] for row in place["inv"]]
    found += [("cdnur", row["nt_num"], row["nt_dt"], row["pos"], row["ntty"], row) for row in told["cdnur"]]
    for section, number, day, place, kind, row in found:
        for item in (item["itm_det"] for item in row["itms"]):
            yield (section, "", number, day, row["val"], place, kind, item["rt"], item["txval"], item["iamt"], "", "")


def _taxes(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    return row["iamt"], row["camt"], row["samt"]


def _by_recipient(rows: list[TaxDocument], kinds: set[Any], key: str, shape: Any) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row.kind in kinds:
            found[row.recipient_facts["gstin"]].append(shape(row))
    return [{"ctin": gstin, key: documents} for gstin, documents in sorted(found.items())]


def _invoice(row: TaxDocument) -> dict[str, Any]:
    return {
        "inum": row.number, "idt": f"{row.dated_on:%d-%m-%Y}", "val": rupees(row.total_paise),
        "pos": row.place_of_supply, "rchrg": "N", "inv_typ": SUPPLIES[row.supply_kind], "itms": _items(row),
    }  # fmt: skip


def _note(row: TaxDocument) -> dict[str, Any]:
    return {**_bare_note(row), "rchrg": "N", "inv_typ": SUPPLIES[row.supply_kind]}


def _bare_note(row: TaxDocument) -> dict[str, Any]:
    return {
        "ntty": "C" if row.kind == Kind.CREDIT_NOTE else "D", "nt_num": row.number,
        "nt_dt": f"{row.dated_on:%d-%m-%Y}", "val": rupees(row.total_paise), "pos": row.place_of_supply,
        "itms": _items(row),
    }  # fmt: skip


def _large(consumers: list[TaxDocument]) -> list[TaxDocument]:
    """Invoices above the limit of their day to consumers of another state, and notes about such."""
    limits: dict[date, int] = {}
    found = []
    for row in consumers:
        invoice = row.original or row
        if invoice.dated_on not in limits:
            limits[invoice.dated_on] = Rules(invoice.dated_on).number(Name.B2C_LARGE) * PAISE_PER_RUPEE
        if _kind(row) == "INTER" and invoice.total_paise > limits[invoice.dated_on]:
            found.append(row)
    return found


def _large_invoices(large: list[TaxDocument]) -> list[dict[str, Any]]:
    """By place of supply."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in large:
        if row.kind == Kind.INVOICE:
            told = {"inum": row.number, "idt": f"{row.dated_on:%d-%m-%Y}", "val": rupees(row.total_paise)}
            found[row.place_of_supply].append({**told, "itms": _items(row)})
    return [{"pos": place, "inv": invoices} for place, invoices in sorted(found.items())]


def _items(row: TaxDocument) -> list[dict[str, Any]]:
    sums = _by_rate(row.lines.all())
    return [
        {"num": int(rate * 100) + 1, "itm_det": {"rt": float(rate), **_amounts(amounts)}}
        for (_, rate), amounts in sorted(sums.items())
    ]


def _by_rate(lines: Iterable[DocumentLine], sign: int = 1) -> dict[tuple[str, Decimal], Amounts]:
    sums: dict[tuple[str, Decimal], Amounts] = defaultdict(lambda: NOTHING)
    for line in lines:
        heads = Heads(sign * line.cgst_paise, sign * line.sgst_paise, sign * line.igst_paise)
        taxable, known = sums[line.sac_code, line.rate_percent]
        sums[line.sac_code, line.rate_percent] = (taxable + sign * line.taxable_paise, known + heads)
    return sums


def _amounts(amounts: Amounts, name: str = "txval") -> dict[str, Any]:
    taxable, heads = amounts
    return {
        name: rupees(taxable), "iamt": rupees(heads.igst_paise), "camt": rupees(heads.cgst_paise),
        "samt": rupees(heads.sgst_paise), "csamt": 0,
    }  # fmt: skip


def _consumers(rows: list[TaxDocument]) -> list[dict[str, Any]]:
    """By place and rate, notes taken off; only sums are reported of consumers."""
    sums: dict[tuple[str, str, Decimal], Amounts] = defaultdict(lambda: NOTHING)
    for row in rows:
        for (_, rate), (taxable, heads) in _by_rate(row.lines.all(), row.sign).items():
            key = (row.place_of_supply, _kind(row), rate)
            sums[key] = (sums[key][0] + taxable, sums[key][1] + heads)
    return [
        {"sply_ty": kind, "pos": place, "typ": "OE", "rt": float(rate), **_amounts(amounts)}
        for (place, kind, rate), amounts in sorted(sums.items())
    ]


def _kind(row: TaxDocument) -> str:
    """A special economic zone is always another place, also within our own state."""
    is_here = row.place_of_supply == row.supplier_facts["state_code"] and not row.supply_kind.startswith("SEZ")
    return "INTRA" if is_here else "INTER"


def _received(month: AccountingMonth, supplier: SupplierRegistration) -> list[dict[str, Any]]:
    """Table 11A: advances of the month that were not invoiced or refunded in it.

    Nor by documents dated before: the close issues last month's invoices when the first money of this one is there.
    """
    vouchers = documents_of(month, supplier).filter(kind=Kind.RECEIPT_VOUCHER).prefetch_related("lines")
    used = _uses(month, supplier, AdvanceUse.objects.filter(voucher__in=[row.pk for row in vouchers]), or_earlier=True)
    found: dict[tuple[str, str, Decimal], Amounts] = defaultdict(lambda: NOTHING)
    for row in vouchers:
        line, (taxable, heads) = row.lines.all()[0], used.get(row.pk, NOTHING)
        key = (row.place_of_supply, _kind(row), line.rate_percent)
        left = Heads(row.cgst_paise - heads.cgst_paise, row.sgst_paise - heads.sgst_paise,
                     row.igst_paise - heads.igst_paise)  # fmt: skip
        found[key] = (found[key][0] + row.taxable_paise - taxable, found[key][1] + left)
    return _places(found)


def _used(month: AccountingMonth, supplier: SupplierRegistration) -> list[dict[str, Any]]:
    """Table 11B: advances of earlier months that this one used up."""
    earlier = AdvanceUse.objects.filter(voucher__dated_on__lt=month.starts_on)
    used = _uses(month, supplier, earlier)
    vouchers = TaxDocument.objects.filter(pk__in=used).select_related("supplier").prefetch_related("lines")
    found: dict[tuple[str, str, Decimal], Amounts] = defaultdict(lambda: NOTHING)
    for row in vouchers:
        key = (row.place_of_supply, _kind(row), row.lines.all()[0].rate_percent)
        found[key] = (found[key][0] + used[row.pk][0], found[key][1] + used[row.pk][1])
    return _places(found)


def _uses(
    month: AccountingMonth, supplier: SupplierRegistration, uses: Any, *, or_earlier: bool = False
) -> dict[int, Amounts]:
    """What the documents of the month took of each voucher."""
    within = uses.filter(document__supplier=supplier, document__dated_on__lt=month.ends_before)
    if not or_earlier:
        within = within.filter(document__dated_on__gte=month.starts_on)
    sums = within.values("voucher").annotate(
        amount=Sum("amount_paise"), cgst=Sum("cgst_paise"), sgst=Sum("sgst_paise"), igst=Sum("igst_paise")
    )
    return {
        row["voucher"]: (
            row["amount"] - row["cgst"] - row["sgst"] - row["igst"], Heads(row["cgst"], row["sgst"], row["igst"])
        )
        for row in sums
    }  # fmt: skip


def _places(found: dict[tuple[str, str, Decimal], Amounts]) -> list[dict[str, Any]]:
    places: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for (place, kind, rate), amounts in sorted(found.items()):
        if amounts != NOTHING:
            places[place, kind].append({"rt": float(rate), **_amounts(amounts, "ad_amt")})
    return [{"pos": place, "sply_ty": kind, "itms": items} for (place, kind), items in places.items()]


def _summary(rows: list[TaxDocument]) -> list[dict[str, Any]]:
    sums: dict[tuple[str, Decimal], Amounts] = defaultdict(lambda: NOTHING)
    for row in rows:
        for key, (taxable, heads) in _by_rate(row.lines.all(), row.sign).items():
            sums[key] = (sums[key][0] + taxable, sums[key][1] + heads)
    return [
        {"num": number, "hsn_sc": sac, "uqc": "NA", "qty": 0, "rt": float(rate), **_amounts(amounts)}
        for number, ((sac, rate), amounts) in enumerate(sorted(sums.items()), start=1)
    ]


def _issued(rows: list[TaxDocument]) -> list[dict[str, Any]]:
    """From which number to which, per series; none is ever cancelled: they keep their numbers."""
    found: dict[tuple[int, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[NATURES[Kind(row.kind)]][row.number.rsplit("/", 1)[0]].append(row.number)
    return [
        {
            "doc_num": number, "doc_typ": name,
            "docs": [
                {"num": index, "from": numbers[0], "to": numbers[-1], "totnum": len(numbers), "cancel": 0,
                 "net_issue": len(numbers)}
                for index, numbers in enumerate(series.values(), start=1)
            ],
        }
        for (number, name), series in sorted(found.items())
    ]  # fmt: skip
