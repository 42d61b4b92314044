"""From drafts to numbered documents: posted, in the queue of the e-invoice portal, never touched again."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db import connection, transaction

from billing.events import DocumentIssued
from billing.gst import irn
from billing.gst.supply import Supply
from billing.invoicing import annexure
from billing.invoicing.models import (
    AccountingMonth,
    DocumentLine,
    EInvoice,
    OrganisationRegistration,
    SupplierRegistration,
    TaxDocument,
)
from billing.invoicing.services import debts, late_notes, letters, numbers, posting, uses
from billing.invoicing.services.deadlines import is_commercial
from billing.invoicing.services.drafting import Draft
from billing.invoicing.services.parties import facts_of
from billing.invoicing.services.rules import Rules
from billing.prices.services.invoicing import put_on
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish_together

Kind = TaxDocument.Kind
SALES = {Kind.INVOICE, Kind.DEBIT_NOTE}
_STORE_ITEMS = """
COPY billing_billeditem (document_id, position, cdr_id, adjustment_id, taxable_paise, tax_paise, facts) FROM STDIN
"""
_CHECK_NOW = "SET CONSTRAINTS ALL IMMEDIATE"


@dataclass(frozen=True)
class Order:
    """A draft to be issued. The same `request_key` again is the same document."""

    draft: Draft
    kind: str
    on: date
    request_key: str
    month: AccountingMonth | None = None
    original: TaxDocument | None = None
    reason: str = ""

    @property
    def sign(self) -> int:
        return -1 if self.kind == Kind.CREDIT_NOTE else 1


def issue(*, at: datetime, actor: str = "system", **order: Any) -> TaxDocument:
    """One document; the fields of an `Order`."""
    [document] = issue_together(orders=[Order(**order)], at=at, actor=actor)
    return document


@transaction.atomic
def issue_together(*, orders: Sequence[Order], at: datetime, actor: str = "system") -> list[TaxDocument]:
    """Number and store them, with lines, items, postings and their place in the queue of the e-invoice portal.

    The same `request_key` again gives the first. A session that is on a document already raises IntegrityError.
    The counters of numbers are held from the first document to the commit, wallets only while the money moves.
    """
    keys = [order.request_key for order in orders]
    made = {row.request_key: row for row in TaxDocument.objects.filter(request_key__in=keys)}
    fresh = [order for order in orders if order.request_key not in made]
    digests = [_digest(order.draft) for order in fresh]  # before any number is taken: others wait for the counter
    debts.keep_others_waiting(order.draft.organisation.pk for order in fresh)
    used_up = uses.plan([order.draft if order.kind in SALES else None for order in fresh])
    taken = _numbers(fresh)
    documents = TaxDocument.objects.bulk_create(
        _document(order, taken[order.request_key], digest, sum(use.amount_paise for use in used), at, actor)
        for order, digest, used in zip(fresh, digests, used_up, strict=True)
    )
    pairs = list(zip(documents, fresh, strict=True))
    DocumentLine.objects.bulk_create(line for document, order in pairs for line in _lines(document, order.draft))
    _store_items(pairs)
    for document, order in pairs:
        put_on(document, order.draft.fees)
    _check_now()
    posting.post_documents([
        posting.Posting(document, order.draft.billed, used)
        for (document, order), used in zip(pairs, used_up, strict=True)
    ])  # fmt: skip
    register(documents)
    made |= {document.request_key: document for document in documents}
    return [made[key] for key in keys]


def _numbers(orders: Sequence[Order]) -> dict[str, tuple[str, str, date]]:
    """By key; series by series in one order for all, so that no two who issue wait for each other in turn."""
    by_series = sorted(orders, key=lambda order: (order.draft.supplier.pk, order.kind))
    return {
        order.request_key: numbers.next_number(supplier=order.draft.supplier, kind=order.kind, on=order.on)
        for order in by_series
    }


def _document(
    order: Order, taken: tuple[str, str, date], digest: str, advance_paise: int, at: datetime, actor: str
) -> TaxDocument:
    draft, (number, year, day) = order.draft, taken
    return TaxDocument(
        organisation=draft.organisation, kind=order.kind, number=number, financial_year=year, dated_on=day,
        month=order.month, original=order.original, charged_paise=order.sign * draft.charged_paise,
        advance_paise=advance_paise, annexure_sha256=digest, annexure_rows=len(draft.items),
        reason=order.reason[:200], request_key=order.request_key, issued_at=at, issued_by=actor,
        **identity(draft.supplier, draft.recipient, draft.organisation, draft.supply), **_amounts(draft),
    )  # fmt: skip


def _digest(draft: Draft) -> str:
    return annexure.sha256_of(item.facts for item in draft.items) if draft.items else ""


def _check_now() -> None:
    """What the database would look at when we commit, sooner: no wallet waits for it."""
    with connection.cursor() as cursor:
        cursor.execute(_CHECK_NOW)
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


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


def register(documents: Sequence[TaxDocument]) -> None:
    """Say that they were issued; one to a registered recipient waits for its IRN where the supplier needs one, and its
    letter with it. A credit note that came too late is asked about."""
    late_notes.ask(documents)
    reported = [document for document in documents if _needs_irn(document)]
    EInvoice.objects.bulk_create(
        EInvoice(
            document=document, next_attempt_at=document.issued_at,
            predicted_irn=irn.predict(
                gstin=document.supplier.gstin, year=document.financial_year, kind=irn.KINDS[document.kind],
                number=document.number,
            ),
        )
        for document in reported
    )  # fmt: skip
    if fresh := [document for document in documents if document not in reported]:
        letters.expect(fresh, now=fresh[0].issued_at)
    publish_together(
        DocumentIssued(document.pk, document.organisation_id, str(document.kind), document.number, document.total_paise)
        for document in documents
    )


def _needs_irn(document: TaxDocument) -> bool:
    since = document.supplier.einvoice_from
    is_reported = since is not None and document.dated_on >= since and document.total_paise > 0
    if not is_reported or document.kind not in irn.KINDS or document.supply_kind == "B2C":
        return False
    is_credit = document.kind == Kind.CREDIT_NOTE
    return not is_credit or not is_commercial(document, Rules(document.dated_on))


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


def _store_items(pairs: Sequence[tuple[TaxDocument, Order]]) -> None:
    """Copied in: hundreds of rows with parameters each cost more than all the rest of a document."""
    with connection.cursor() as cursor, cursor.copy(_STORE_ITEMS) as copy:
        for row in _item_rows(pairs):
            copy.write_row(row)


def _item_rows(pairs: Sequence[tuple[TaxDocument, Order]]) -> Iterator[tuple[object, ...]]:
    for document, order in pairs:
        for position, item in enumerate(order.draft.items, start=1):
            yield (
                document.pk, position, item.cdr_id, item.adjustment_id, item.taxable_paise, item.tax_paise,
                json.dumps(item.facts),
            )  # fmt: skip


def as_decimal(rate: Fraction) -> Decimal:
    return (Decimal(rate.numerator) / Decimal(rate.denominator)).quantize(Decimal("0.001"))
