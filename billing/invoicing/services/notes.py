"""Credit and debit notes: the original stays as it is, a note says what changed.

CGST Act, section 34: a credit note until 30 November after the year of the supply (rule `note_until`).
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.db import transaction

from billing.gst.heads import Heads, total_of
from billing.gst.numbering import day_in_india, first_day
from billing.invoicing.models import AccountingMonth, BilledItem, DocumentLine, TaxDocument
from billing.invoicing.services import collecting, issuing, left, numbers, posting
from billing.invoicing.services.rules import Name, Rules
from billing.models import BillingException
from billing.services.exceptions import open_exception
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict

Kind = TaxDocument.Kind


def note_until(original: TaxDocument, rules: Rules) -> date:
    """The last day for a credit note about it."""
    month, day = map(int, rules.value(Name.NOTE_UNTIL).split("-"))
    return date(first_day(original.financial_year).year + 1, month, day)


def issue_for_corrections(
    organisation: Organisation, *, month: AccountingMonth | None, on: date, at: datetime, actor: str = "system"
) -> list[TaxDocument]:
    """Notes about corrections of sessions that are on documents already: per original one down, one up.

    Their money has moved with the correction, so that they are issued in full; what a goodwill note had given back of
    the same invoice before, finance is asked about.
    """
    rules = Rules(on)
    groups: dict[Any, list[collecting.Item]] = defaultdict(list)
    late = collecting.late_corrections(organisation)
    originals = _originals(late)
    for item in late:
        if item.taxable_paise:
            groups[originals[item.cdr.pk].pk, item.taxable_paise < 0].append(item)
    return [
        _note(_locked(pk), items, is_credit, rules, month, on, at, actor)
        for (pk, is_credit), items in sorted(groups.items(), key=lambda entry: entry[0])
    ]  # fmt: skip


@transaction.atomic
def credit(
    *,
    document_id: int,
    taxable_by_line: Mapping[int, int] | None,
    reason: str,
    at: datetime,
    actor: User | None,
    request_key: str,
) -> TaxDocument:
    """Give back part of an invoice, line by line (line id -> taxable paise), or with None all that is left of it.

    The money goes to the wallet. Raises Conflict when it is too late or more than is left, ValueError without reason.
    """
    if not reason.strip():
        raise ValueError("A credit note needs a reason.")
    original = _locked(document_id, kind=Kind.INVOICE)
    if known := TaxDocument.objects.filter(request_key=request_key).first():
        return known
    day = day_in_india(at)
    if day > (last := note_until(original, Rules(day))):
        raise Conflict(f"The last day for a credit note was {last}.", code="note_too_late")
    room = left.of(original)
    wanted = room.everything() if taxable_by_line is None else dict(taxable_by_line)
    lines = room.take({pk: paise for pk, paise in wanted.items() if paise})
    note = _store(original, lines, room.round_off_paise(lines), reason, at, day, actor, request_key)
    posting.post_goodwill(document=note)
    audit(
        action="credit", target=note, actor=actor, reason=reason, organisation=original.organisation,
        after={"original": original.number, "number": note.number, "total_paise": note.total_paise},
    )  # fmt: skip
    issuing.register(note)
    return note


def _store(
    original: TaxDocument,
    lines: list[tuple[DocumentLine, int, Heads]],
    round_off_paise: int,
    reason: str,
    at: datetime,
    day: date,
    actor: User | None,
    request_key: str,
) -> TaxDocument:
    heads = total_of(share for _, _, share in lines)
    taxable = sum(paise for _, paise, _ in lines)
    number, year, dated_on = numbers.next_number(supplier=original.supplier, kind=Kind.CREDIT_NOTE, on=day)
    note = TaxDocument.objects.create(
        organisation=original.organisation, supplier=original.supplier, registration=original.registration,
        kind=Kind.CREDIT_NOTE, number=number, financial_year=year, dated_on=dated_on, original=original,
        supplier_facts=original.supplier_facts, recipient_facts=original.recipient_facts,
        place_of_supply=original.place_of_supply, supply_kind=original.supply_kind, state_head=original.state_head,
        taxable_paise=taxable, cgst_paise=heads.cgst_paise, sgst_paise=heads.sgst_paise, igst_paise=heads.igst_paise,
        round_off_paise=round_off_paise, total_paise=taxable + heads.total_paise + round_off_paise,
        reason=reason[:200], request_key=request_key, issued_at=at, issued_by=str(actor) if actor else "system",
    )  # fmt: skip
    DocumentLine.objects.bulk_create(
        DocumentLine(
            document=note, position=position, sac_code=line.sac_code, description=line.description, site=line.site,
            network=line.network, component=line.component, rate_percent=line.rate_percent,
            quantity=line.quantity, unit=line.unit, taxable_paise=paise, cgst_paise=share.cgst_paise,
            sgst_paise=share.sgst_paise, igst_paise=share.igst_paise,
        )
        for position, (line, paise, share) in enumerate(lines, start=1)
    )  # fmt: skip
    return note


def _locked(pk: int, **more: Any) -> TaxDocument:
    """One note about it at a time."""
    rows = TaxDocument.objects.select_for_update(of=("self",))
    return rows.select_related("supplier", "registration", "organisation").get(pk=pk, **more)


def _ask_about_excess(original: TaxDocument, note: TaxDocument, at: datetime) -> None:
    """Goodwill first and a correction after it: together they may give back more than the invoice was."""
    excess = left.of(original).excess_paise()
    if excess:
        open_exception(
            organisation_id=None, kind=BillingException.Kind.BOOKS_DIFFER, at=at, amount_paise=excess,
            title=f"The notes about {original.number} give back more than it was", reference=f"notes:{original.pk}",
            details={"original": original.number, "note": note.number, "excess_paise": excess},
        )  # fmt: skip


def _originals(items: list[collecting.Item]) -> dict[int, TaxDocument]:
    rows = BilledItem.objects.filter(cdr__in=[item.cdr.pk for item in items], adjustment=None)
    return {row.cdr_id: row.document for row in rows.select_related("document")}


def _note(
    original: TaxDocument,
    items: list[collecting.Item],
    is_credit: bool,
    rules: Rules,
    month: AccountingMonth | None,
    on: date,
    at: datetime,
    actor: str,
) -> TaxDocument:
    kind = Kind.CREDIT_NOTE if is_credit else Kind.DEBIT_NOTE
    made = issuing.draft(
        original.organisation, original.supplier, original.registration, items, rules, -1 if is_credit else 1
    )
    corrections = ",".join(str(item.adjustment.pk) for item in items if item.adjustment)
    digest = hashlib.sha256(corrections.encode()).hexdigest()[:40]
    note = issuing.issue(
        draft=made, kind=kind, on=on, at=at, month=month, original=original, actor=actor,
        request_key=f"{kind}:{original.pk}:{digest}", reason="Corrected after it was invoiced",
    )  # fmt: skip
    if is_credit:
        _ask_about_excess(original, note, at)
    return note
