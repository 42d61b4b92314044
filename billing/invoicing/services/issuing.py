"""From what is to be billed to numbered documents: grouped, taxed once per rate, posted, never touched again."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db import connection, transaction

from billing.events import DocumentIssued
from billing.gst import irn
from billing.gst.heads import Heads, round_off, tax_on, total_of
from billing.gst.numbering import day_in_india
from billing.gst.supply import Supply
from billing.invoicing import annexure
from billing.invoicing.grouping import Part, grouped
from billing.invoicing.models import (
    AccountingMonth,
    DocumentLine,
    EInvoice,
    OrganisationRegistration,
    SupplierRegistration,
    TaxDocument,
)
from billing.invoicing.services import advances, collecting, numbers, posting
from billing.invoicing.services.collecting import Item
from billing.invoicing.services.parties import Parties, facts_of, supply_of
from billing.invoicing.services.rules import Name, Rules
from billing.prices.services.invoicing import FeeItem, fees_of, put_on
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish

Kind = TaxDocument.Kind
_STORE_ITEMS = """
INSERT INTO billing_billeditem (document_id, position, cdr_id, adjustment_id, taxable_paise, tax_paise, facts)
SELECT %s, item.* FROM jsonb_to_recordset(%s::jsonb) AS item(
    position integer, cdr_id bigint, adjustment_id bigint, taxable_paise bigint, tax_paise bigint, facts jsonb)
"""


@dataclass(frozen=True)
class Draft:
    """What a document would say; it has no number yet."""

    organisation: Organisation
    supplier: SupplierRegistration
    recipient: OrganisationRegistration | None
    supply: Supply
    items: list[Item]
    lines: list[Part]
    shares: list[Heads]
    fees: list[FeeItem] = field(default_factory=list)

    @property
    def heads(self) -> Heads:
        return total_of(self.shares)

    @property
    def taxable_paise(self) -> int:
        return sum(line.taxable_paise for line in self.lines)

    @property
    def round_off_paise(self) -> int:
        return round_off(self.taxable_paise + self.heads.total_paise)

    @property
    def total_paise(self) -> int:
        return self.taxable_paise + self.heads.total_paise + self.round_off_paise

    @property
    def charged_paise(self) -> int:
        return sum(item.total_paise for item in self.billed)

    @property
    def billed(self) -> list[Item | FeeItem]:
        """Sessions and their corrections, and fees of subscriptions."""
        return [*self.items, *self.fees]


def drafts_for(organisation: Organisation, *, before: datetime, rules: Rules) -> list[Draft]:
    """One per (our GSTIN, the fleet's GSTIN) for all that is billable before that instant."""
    parties = Parties(organisation)
    groups: dict[Any, list[Item]] = defaultdict(list)
    for item in collecting.items_of(organisation, before=before):
        session = item.cdr.session
        supplier, recipient = parties.supplier(session), parties.recipient(session)
        groups[supplier.gstin, recipient.gstin if recipient else "", supplier, recipient].append(item)
    fees = fees_of(organisation, before=day_in_india(before))
    if fees:
        supplier, recipient = parties.supplier(), parties.recipient()
        with_fees = (supplier.gstin, recipient.gstin if recipient else "", supplier, recipient)
        groups[with_fees] = groups[with_fees]
    made = [
        draft(organisation, key[2], key[3], items, rules, fees=fees if fees and key == with_fees else ())
        for key, items in sorted(groups.items(), key=lambda entry: entry[0][:2])
    ]
    return [one for one in made if one.taxable_paise > 0]


def draft(
    organisation: Organisation,
    supplier: SupplierRegistration,
    recipient: OrganisationRegistration | None,
    items: list[Item],
    rules: Rules,
    sign: int = 1,
    fees: Sequence[FeeItem] = (),
) -> Draft:
    """`sign` -1: the items take away, and the document shows what it gives back as positive amounts."""
    supply = supply_of(supplier, recipient)
    billed: list[Item | FeeItem] = [*items, *fees]
    parts = (part for item in billed for part in _parts(item, supply, rules, sign))
    lines = grouped(parts, max_items=rules.number(Name.MAX_ITEMS))
    taxables = [(line.taxable_paise, line.rate) for line in lines]
    return Draft(
        organisation, supplier, recipient, supply, items, lines, tax_on(taxables, is_interstate=supply.is_interstate),
        list(fees),
    )  # fmt: skip


@transaction.atomic
def issue(
    *,
    draft: Draft,
    kind: str,
    on: date,
    at: datetime,
    request_key: str,
    month: AccountingMonth | None = None,
    original: TaxDocument | None = None,
    reason: str = "",
    actor: str = "system",
) -> TaxDocument:
    """Number and store it, with its lines, items, postings and its place in the queue of the e-invoice portal.

    The same `request_key` again returns the first. A session that is on a document already raises IntegrityError.
    """
    known = TaxDocument.objects.filter(request_key=request_key).first()
    if known is not None:
        return known
    facts = [item.facts for item in draft.items]
    uses = advances.plan(draft) if kind == Kind.INVOICE else []
    number, year, day = numbers.next_number(supplier=draft.supplier, kind=kind, on=on)
    sign = -1 if kind == Kind.CREDIT_NOTE else 1
    document = TaxDocument.objects.create(
        organisation=draft.organisation, kind=kind, number=number, financial_year=year, dated_on=day, month=month,
        original=original, charged_paise=sign * draft.charged_paise,
        advance_paise=sum(use.amount_paise for use in uses), annexure_sha256=annexure.sha256_of(facts) if facts else "",
        annexure_rows=len(facts), reason=reason[:200], request_key=request_key, issued_at=at, issued_by=actor,
        **identity(draft.supplier, draft.recipient, draft.organisation, draft.supply), **_amounts(draft),
    )  # fmt: skip
    DocumentLine.objects.bulk_create(_lines(document, draft))
    _store_items(document, draft.items)
    put_on(document, draft.fees)
    posting.post_document(document=document, items=draft.billed)
    advances.use(document=document, uses=uses)
    register(document)
    return document


def identity(
    supplier: SupplierRegistration,
    recipient: OrganisationRegistration | None,
    organisation: Organisation,
    supply: Supply,
) -> dict[str, Any]:
    """The parties and the place of supply, as fields of a document."""
    return {
        "supplier": supplier, "registration": recipient, "supplier_facts": facts_of(supplier, organisation),
        "recipient_facts": facts_of(recipient, organisation), "place_of_supply": supply.place_of_supply,
        "supply_kind": supply.kind, "state_head": supply.state_head,
    }  # fmt: skip


def register(document: TaxDocument) -> None:
    """Say that it was issued; one to a registered recipient waits for its IRN where the supplier needs one."""
    needs_irn = document.supplier.einvoice_from is not None and document.dated_on >= document.supplier.einvoice_from
    if needs_irn and document.kind in irn.KINDS and document.supply_kind != "B2C":
        EInvoice.objects.create(
            document=document, next_attempt_at=document.issued_at,
            predicted_irn=irn.predict(
                gstin=document.supplier.gstin, year=document.financial_year, kind=irn.KINDS[document.kind],
                number=document.number,
            ),
        )  # fmt: skip
    publish(DocumentIssued(
        document.pk, document.organisation_id, str(document.kind), document.number, document.total_paise
    ))  # fmt: skip


def _parts(item: Item | FeeItem, supply: Supply, rules: Rules, sign: int) -> Iterable[Part]:
    for line in item.lines:
        rate = Fraction(0) if supply.is_zero_rated else line.rate if line.rate is not None else rules.charging_rate
        yield Part(
            rules.sac_code, rate, item.site, item.network, line.component, line.unit, line.quantity,
            sign * line.paise,
        )  # fmt: skip


def _amounts(draft: Draft) -> dict[str, int]:
    heads = draft.heads
    return {
        "taxable_paise": draft.taxable_paise, "cgst_paise": heads.cgst_paise, "sgst_paise": heads.sgst_paise,
        "igst_paise": heads.igst_paise, "round_off_paise": draft.round_off_paise, "total_paise": draft.total_paise,
    }  # fmt: skip


def _lines(document: TaxDocument, draft: Draft) -> list[DocumentLine]:
    return [
        DocumentLine(
            document=document, position=position, sac_code=line.sac_code, description=line.description[:300],
            site=line.site, network=line.network, component=line.component, rate_percent=as_decimal(line.rate),
            quantity=line.quantity, unit=line.unit, sessions=line.sessions, taxable_paise=line.taxable_paise,
            cgst_paise=share.cgst_paise, sgst_paise=share.sgst_paise, igst_paise=share.igst_paise,
        )
        for position, (line, share) in enumerate(zip(draft.lines, draft.shares, strict=True), start=1)
    ]  # fmt: skip


def _store_items(document: TaxDocument, items: Sequence[Item]) -> None:
    """As one value: hundreds of rows with eight parameters each cost more than all the rest of a document."""
    rows = [
        {
            "position": position, "cdr_id": item.cdr.pk, "adjustment_id": item.adjustment and item.adjustment.pk,
            "taxable_paise": item.taxable_paise, "tax_paise": item.tax_paise, "facts": item.facts,
        }
        for position, item in enumerate(items, start=1)
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_STORE_ITEMS, [document.pk, json.dumps(rows)])


def as_decimal(rate: Fraction) -> Decimal:
    return (Decimal(rate.numerator) / Decimal(rate.denominator)).quantize(Decimal("0.001"))
