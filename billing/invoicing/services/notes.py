"""Credit and debit notes: the original stays as it is, a note says what changed.

CGST Act, section 34: a credit note until 30 November after the year of the supply (rule `note_until`).
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from django.db import transaction
from django.db.models import Sum

from billing.gst.heads import Heads, tax_on, total_of
from billing.gst.numbering import day_in_india, first_day
from billing.invoicing.models import AccountingMonth, BilledItem, DocumentLine, TaxDocument
from billing.invoicing.services import collecting, issuing, numbers, posting
from billing.invoicing.services.rules import Name, Rules
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
    """Notes about corrections of sessions that are on documents already: per original one down, one up."""
    rules = Rules(on)
    groups: dict[Any, list[collecting.Item]] = defaultdict(list)
    late = collecting.late_corrections(organisation)
    originals = _originals(late)
    for item in late:
        if item.taxable_paise:
            groups[originals[item.cdr.pk].pk, item.taxable_paise < 0].append(item)
    return [
        _note(TaxDocument.objects.select_related("supplier", "registration", "organisation").get(pk=pk), items,
              is_credit, rules, month, on, at, actor)
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
    original = TaxDocument.objects.select_for_update(of=("self",)).select_related(
        "supplier", "registration", "organisation"
    ).get(pk=document_id, kind=Kind.INVOICE)  # fmt: skip
    if known := TaxDocument.objects.filter(request_key=request_key).first():
        return known
    day = day_in_india(at)
    if day > (last := note_until(original, Rules(day))):
        raise Conflict(f"The last day for a credit note was {last}.", code="note_too_late")
    left = _left(original)
    wanted = {pk: line.taxable for pk, line in left.items()} if taxable_by_line is None else dict(taxable_by_line)
    lines = _chosen(original, left, {pk: paise for pk, paise in wanted.items() if paise})
    is_all = taxable_by_line is None and not original.notes.filter(kind=Kind.CREDIT_NOTE).exists()
    note = _store(original, lines, original.round_off_paise if is_all else 0, reason, at, day, actor, request_key)
    posting.post_goodwill(document=note)
    audit(
        action="credit", target=note, actor=actor, reason=reason, organisation=original.organisation,
        after={"original": original.number, "number": note.number, "total_paise": note.total_paise},
    )  # fmt: skip
    issuing.register(note)
    return note


class _Left:
    """Of one line, after the notes so far."""

    def __init__(self, line: DocumentLine, gone: Mapping[str, int]) -> None:
        self.line = line
        self.taxable = line.taxable_paise - gone.get("taxable", 0)
        self.heads = Heads(
            line.cgst_paise - gone.get("cgst", 0), line.sgst_paise - gone.get("cgst", 0),
            line.igst_paise - gone.get("igst", 0),
        )  # fmt: skip


def _left(original: TaxDocument) -> dict[int, _Left]:
    """By the id of a line; notes repeat the words and the rate of the lines they are about."""
    rows = DocumentLine.objects.filter(document__original=original, document__kind=Kind.CREDIT_NOTE)
    sums = rows.values("description", "rate_percent").annotate(
        taxable=Sum("taxable_paise"), cgst=Sum("cgst_paise"), igst=Sum("igst_paise")
    )
    gone = {
        (row["description"], row["rate_percent"]): {name: int(row[name]) for name in ("taxable", "cgst", "igst")}
        for row in sums
    }
    return {line.pk: _Left(line, gone.get((line.description, line.rate_percent), {})) for line in original.lines.all()}


def _chosen(
    original: TaxDocument, left: Mapping[int, _Left], wanted: Mapping[int, int]
) -> list[tuple[DocumentLine, int, Heads]]:
    if not wanted:
        raise Conflict("Nothing of this invoice is left.", code="nothing_left")
    chosen = []
    for pk, paise in wanted.items():
        if pk not in left or not 0 < paise <= left[pk].taxable:
            raise Conflict("A line has less left than that.", code="more_than_left")
        line = left[pk].line
        is_rest = paise == left[pk].taxable
        [heads] = tax_on([(paise, Fraction(line.rate_percent))], is_interstate=bool(original.igst_paise))
        chosen.append((line, paise, left[pk].heads if is_rest else heads))
    return chosen


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
    return issuing.issue(
        draft=made, kind=kind, on=on, at=at, month=month, original=original, actor=actor,
        request_key=f"{kind}:{original.pk}:{digest}", reason="Corrected after it was invoiced",
    )  # fmt: skip
