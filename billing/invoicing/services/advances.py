"""Advances: a receipt voucher for each top-up, used up by invoices first come first served.

CGST Rules, rule 50. The rule `advance_tax` says whether advances are taxed at all. What of a top-up pays for documents
that were issued before is no advance: it is a `DebtPayment`, and the voucher is about the rest.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from billing.gst.heads import inside
from billing.gst.numbering import INDIA, day_in_india
from billing.invoicing.models import (
    AccountingMonth,
    DebtPayment,
    DocumentLine,
    OrganisationRegistration,
    SupplierRegistration,
    TaxDocument,
    TaxRule,
)
from billing.invoicing.services import debts, issuing, numbers, posting
from billing.invoicing.services.debts import Paid
from billing.invoicing.services.parties import Parties, parties_of, supply_of
from billing.invoicing.services.rules import Name, Rules
from billing.models import LedgerTransfer
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.money import format_inr

Kind = TaxDocument.Kind
RECEIVED = "Advance for EV charging"


def unconfirmed() -> QuerySet[LedgerTransfer]:
    """Top-ups that want a receipt voucher and have none yet, oldest first; not those that are no advance at all."""
    top_ups = LedgerTransfer.objects.filter(_taxed(), kind="top_up", receipt_voucher=None)
    is_decided = Exists(DebtPayment.objects.filter(transfer=OuterRef("pk")))
    return top_ups.filter(~is_decided, organisation__isnull=False, reversed_by=None).order_by("occurred_at", "pk")


def without_voucher(*, before: datetime) -> QuerySet[LedgerTransfer]:
    return unconfirmed().filter(occurred_at__lt=before)


def _taxed() -> Q:
    """Top-ups of days on which advances are taxed; on a day's overlap the later rule holds."""
    wanted = Q(pk__in=[])
    for rule in TaxRule.objects.filter(name=Name.ADVANCE_TAX, subject="").order_by("valid_from"):
        days = Q(occurred_at__gte=_midnight(rule.valid_from))
        if rule.valid_to is not None:
            days &= Q(occurred_at__lt=_midnight(rule.valid_to + timedelta(days=1)))
        wanted = wanted | days if int(rule.value) else wanted & ~days
    return wanted


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), INDIA)


def confirm(*, transfer: LedgerTransfer, at: datetime, actor: str = "system") -> TaxDocument | None:
    """The receipt voucher of a top-up, dated on the day the money came; None where advances were not taxed then, and
    where all of it pays what was invoiced before."""
    made = confirm_together(transfers=[transfer], at=at, actor=actor)
    return made[0] if made else None


@transaction.atomic
def confirm_together(
    *, transfers: Sequence[LedgerTransfer], at: datetime, actor: str = "system"
) -> list[TaxDocument]:  # fmt: skip
    """The receipt vouchers of top-ups, in their order; those that are there already stay as they are.

    The rules are those of the day the money came; a document of a closed month's day is dated on the next open one.
    """
    debts.keep_others_waiting(transfer.organisation_id or 0 for transfer in transfers)
    _keep_others_waiting(transfers)
    made = {row.request_key: row for row in TaxDocument.objects.filter(request_key__in=[*map(_key, transfers)])}
    wanting = [(transfer, rules) for transfer, rules in _with_rules(transfers) if _key(transfer) not in made]
    paid = _paid_debts(wanting)
    parties = parties_of(Organisation.objects.in_bulk({transfer.organisation_id for transfer, _ in wanting}).values())
    last = last_closed()
    fresh = [
        _receipt(transfer, parties[transfer.organisation_id or 0], rules, last, at, actor, paid.get(transfer.pk))
        for transfer, rules in wanting
        if transfer.amount_paise > _paise(paid.get(transfer.pk))
    ]
    documents = TaxDocument.objects.bulk_create(row for row, _, _ in fresh)
    DocumentLine.objects.bulk_create(
        line_of(document, sac_code, RECEIVED, rate)
        for document, (_, sac_code, rate) in zip(documents, fresh, strict=True)
    )
    posting.post_advances(documents)
    debts.store(paid.values(), at=at)
    issuing.register(documents)
    made |= {document.request_key: document for document in documents}
    return [made[key] for key in map(_key, transfers) if key in made]


def _key(transfer: LedgerTransfer) -> str:
    return f"receipt:{transfer.pk}"


def _with_rules(transfers: Sequence[LedgerTransfer]) -> Iterator[tuple[LedgerTransfer, Rules]]:
    """Those of days on which advances were taxed, and about which nothing is decided yet."""
    pks = DebtPayment.objects.filter(transfer__in=[transfer.pk for transfer in transfers])
    settled, days = set(pks.values_list("transfer", flat=True)), dict[date, Rules]()
    for transfer in transfers:
        day = day_in_india(transfer.occurred_at)
        if day not in days:
            days[day] = Rules(day)
        is_advance = days[day].number(Name.ADVANCE_TAX) and transfer.organisation_id is not None
        if is_advance and transfer.pk not in settled:
            yield transfer, days[day]


def _paid_debts(wanting: Sequence[tuple[LedgerTransfer, Rules]]) -> dict[int, Paid]:
    """Top-up -> what of it pays what was invoiced before; the first ones pay first."""
    owed = debts.owed_for_documents((transfer.organisation_id or 0 for transfer, _ in wanting), unconfirmed())
    found = {}
    for transfer, _ in wanting:
        fleet = transfer.organisation_id or 0
        if (paise := min(transfer.amount_paise, owed.get(fleet, 0))) > 0:
            found[transfer.pk] = Paid(transfer, paise, owed[fleet])
            owed[fleet] -= paise
    return found


def _paise(paid: Paid | None) -> int:
    return paid.amount_paise if paid else 0


def _keep_others_waiting(transfers: Sequence[LedgerTransfer]) -> None:
    """A job and a close may come for the same top-up: the second sees the voucher of the first."""
    rows = LedgerTransfer.objects.filter(pk__in=[transfer.pk for transfer in transfers]).order_by("pk")
    list(rows.select_for_update(of=("self",), no_key=True).values_list("pk"))


def _receipt(
    transfer: LedgerTransfer, parties: Parties, rules: Rules, last: AccountingMonth | None, at: datetime, actor: str,
    paid: Paid | None,
) -> tuple[TaxDocument, str, Decimal]:  # fmt: skip
    supplier, recipient = parties.supplier(), parties.recipient()
    on, whole = _open_day(day_in_india(transfer.occurred_at), last), format_inr(transfer.amount_paise)
    reason = f"{format_inr(paid.amount_paise)} of {whole} paid what was invoiced before" if paid else ""
    return receipt(
        parties.organisation, supplier, recipient, transfer.amount_paise - _paise(paid), rules, on,
        advance=transfer, request_key=_key(transfer), issued_at=at, issued_by=actor, reason=reason,
    )  # fmt: skip


def receipt(
    organisation: Organisation,
    supplier: SupplierRegistration,
    recipient: OrganisationRegistration | None,
    amount_paise: int,
    rules: Rules,
    on: date,
    **facts: Any,
) -> tuple[TaxDocument, str, Decimal]:
    """The document with its number, not saved; the SAC and the rate of its line."""
    supply = supply_of(supplier, recipient)
    rate = 0 * rules.charging_rate if supply.is_zero_rated else rules.charging_rate
    taxable, heads = inside(amount_paise, rate, is_interstate=supply.is_interstate)
    number, year, dated_on = numbers.next_number(supplier=supplier, kind=Kind.RECEIPT_VOUCHER, on=on)
    return TaxDocument(
        organisation=organisation, kind=Kind.RECEIPT_VOUCHER, number=number, financial_year=year,
        dated_on=dated_on, taxable_paise=taxable, cgst_paise=heads.cgst_paise, sgst_paise=heads.sgst_paise,
        igst_paise=heads.igst_paise, total_paise=amount_paise, **facts,
        **issuing.identity(supplier, recipient, organisation, supply),
    ), rules.sac_code, issuing.as_decimal(rate)  # fmt: skip


def last_closed() -> AccountingMonth | None:
    return AccountingMonth.objects.filter(closed_at__isnull=False).order_by("-starts_on").first()


def first_open_day(day: date) -> date:
    """That day, or the first one after the last closed month: what is filed is not added to."""
    return _open_day(day, last_closed())


def _open_day(day: date, last: AccountingMonth | None) -> date:
    return day if last is None else max(day, last.ends_before)


def line_of(document: TaxDocument, sac_code: str, description: str, rate_percent: Decimal) -> DocumentLine:
    return DocumentLine(
        document=document, position=1, sac_code=sac_code, description=description, component="ADVANCE",
        rate_percent=rate_percent, quantity=1, unit="advance", taxable_paise=document.taxable_paise,
        cgst_paise=document.cgst_paise, sgst_paise=document.sgst_paise, igst_paise=document.igst_paise,
    )  # fmt: skip
