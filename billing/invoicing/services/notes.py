"""Credit and debit notes: the original stays as it is, a note says what changed.

CGST Act, section 34: a credit note until 30 November after the year of the supply (rule `note_until`).
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db import transaction

from billing.gst.heads import Heads, total_of
from billing.gst.numbering import day_in_india
from billing.gst.supply import Supply
from billing.invoicing.grouping import Priced
from billing.invoicing.models import AccountingMonth, BilledItem, DocumentLine, TaxDocument
from billing.invoicing.services import debts, drafting, issuing, items, left, numbers, posting
from billing.invoicing.services.advances import first_open_day
from billing.invoicing.services.deadlines import note_until
from billing.invoicing.services.items import Item
from billing.invoicing.services.rules import Rules
from billing.prices.services.invoicing import FeeItem
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

Kind = TaxDocument.Kind


def issue_for_corrections(
    organisations: Sequence[Organisation],
    *,
    month: AccountingMonth | None,
    on: date,
    at: datetime,
    actor: str = "system",
) -> list[TaxDocument]:
    """Notes about corrections of sessions that are on documents already: per original one down, one up.

    Their money has moved with the correction, so that they need nobody's approval; what a goodwill note gave back of
    the same invoice before is not given twice.
    """
    rules = Rules(on)
    groups: dict[Any, list[Item]] = defaultdict(list)
    by_fleet = items.late_corrections([each.pk for each in organisations])
    late = [item for each in organisations for item in by_fleet.get(each.pk, [])]
    originals = _originals(late)
    for item in late:
        if item.taxable_paise:
            groups[originals[item.cdr_id], item.taxable_paise < 0].append(item)
    return [
        _note(pk, some, is_credit, rules, month, on, at, actor)
        for (pk, is_credit), some in sorted(groups.items(), key=lambda entry: entry[0])
    ]


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
    on = first_open_day(day_in_india(at))
    day = numbers.earliest(supplier=original.supplier, kind=Kind.CREDIT_NOTE, on=on)
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
    issuing.register([note])
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
            quantity=_share(line, paise), unit=line.unit, taxable_paise=paise, cgst_paise=share.cgst_paise,
            sgst_paise=share.sgst_paise, igst_paise=share.igst_paise,
        )
        for position, (line, paise, share) in enumerate(lines, start=1)
    )  # fmt: skip
    return note


def _share(line: DocumentLine, paise: int) -> Decimal:
    """At the price of the line, so that a part of its value is the same part of what was drawn."""
    return (line.quantity * paise / line.taxable_paise).quantize(Decimal("0.001"))


def _locked(pk: int, **more: Any) -> TaxDocument:
    """One note about it at a time."""
    rows = TaxDocument.objects.select_for_update(of=("self",))
    return rows.select_related("supplier", "registration", "organisation").get(pk=pk, **more)


def _originals(late: list[Item]) -> dict[int, int]:
    """Record -> the document it is on."""
    rows = BilledItem.objects.filter(cdr__in=[item.cdr_id for item in late], adjustment=None)
    return dict(rows.values_list("cdr", "document"))


@transaction.atomic
def _note(
    original_id: int,
    some: list[Item],
    is_credit: bool,
    rules: Rules,
    month: AccountingMonth | None,
    on: date,
    at: datetime,
    actor: str,
) -> TaxDocument:
    """The original is locked until the note is there: together with goodwill it never gives back more than it was.

    After the fleet's advances, as by money that pays it: they would wait for each other in turn.
    """
    debts.keep_others_waiting(TaxDocument.objects.filter(pk=original_id).values_list("organisation", flat=True))
    original = _locked(original_id)
    kind = Kind.CREDIT_NOTE if is_credit else Kind.DEBIT_NOTE
    last, day = note_until(original, rules), numbers.earliest(supplier=original.supplier, kind=kind, on=on)
    is_late = is_credit and day > last
    whole = drafting.draft(
        original.organisation, original.supplier, original.registration, some, rules, -1 if is_credit else 1,
        supply=_supply_of(original), rate_of=_no_rate if is_late else _Rates(original).of,
    )  # fmt: skip
    room = left.of(original)
    made = left.bounded(whole, room.keep_tax() if is_late else room) if is_credit else whole
    corrections = ",".join(str(item.adjustment_id) for item in some if item.adjustment_id)
    digest = hashlib.sha256(corrections.encode()).hexdigest()[:40]
    reason = "Corrected after it was invoiced"
    if is_late:
        reason += f"; after {last}, so that the tax stays as it was"
    if made.total_paise < whole.total_paise:
        reason += f"; {format_inr(whole.total_paise - made.total_paise)} of it had been given back before"
    return issuing.issue(
        draft=made, kind=kind, on=on, at=at, month=month, original=original, actor=actor,
        request_key=f"{kind}:{original.pk}:{digest}", reason=reason,
    )  # fmt: skip


def _supply_of(original: TaxDocument) -> Supply:
    """As it was then, whatever is known of the fleet by now."""
    is_interstate = original.supply_kind.startswith("SEZ") or original.place_of_supply != original.supplier.state_code
    return Supply(original.place_of_supply, original.supply_kind, is_interstate)


def _no_rate(item: Item | FeeItem, line: Priced, rate: Fraction) -> Fraction:
    """Too late to lower the tax: a credit note between the parties, in no return and at no portal."""
    return Fraction(0)


class _Rates:
    """Those of a document, for its notes: a rule that was added since changes nothing that it says."""

    def __init__(self, original: TaxDocument) -> None:
        self._all: list[Fraction] = []
        self._of: dict[tuple[str, str, str], list[Fraction]] = defaultdict(list)
        for line in original.lines.order_by("-taxable_paise"):
            rate = Fraction(line.rate_percent)
            self._all.append(rate)
            self._of[line.site, line.network, line.component].append(rate)

    def of(self, item: Item | FeeItem, line: Priced, rate: Fraction) -> Fraction:
        """The rate of its day where the document has it, else that of its largest line about the same."""
        known = self._of.get((item.site, item.network, line.component)) or self._all
        return rate if rate in known or not known else known[0]
