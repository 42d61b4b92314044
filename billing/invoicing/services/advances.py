"""Advances: a receipt voucher for each top-up, used up by invoices first come first served, or refunded.

CGST Rules, rules 50 and 51. The rule `advance_tax` says whether advances are taxed at all.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Concat

from billing.gst.heads import Heads, inside, nearest
from billing.gst.numbering import day_in_india
from billing.invoicing.models import AccountingMonth, AdvanceUse, DocumentLine, TaxDocument
from billing.invoicing.services import numbers, posting
from billing.invoicing.services.parties import Parties, supply_of
from billing.invoicing.services.rules import Name, Rules
from billing.models import GatewayPayment, LedgerTransfer, Refund
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict

if TYPE_CHECKING:
    from billing.invoicing.services.issuing import Draft

Kind = TaxDocument.Kind


@dataclass(frozen=True)
class Use:
    voucher: TaxDocument
    amount_paise: int
    heads: Heads


def without_voucher(*, before: datetime) -> QuerySet[LedgerTransfer]:
    """Top-ups nobody has confirmed yet, oldest first."""
    top_ups = LedgerTransfer.objects.filter(kind="top_up", occurred_at__lt=before, receipt_voucher=None)
    return top_ups.filter(organisation__isnull=False, reversed_by=None).order_by("occurred_at", "pk")


@transaction.atomic
def confirm(*, transfer: LedgerTransfer, at: datetime, actor: str = "system") -> TaxDocument | None:
    """The receipt voucher of a top-up, dated on the day the money came; None where advances are not taxed."""
    from billing.invoicing.services import issuing

    day, key = first_open_day(day_in_india(transfer.occurred_at)), f"receipt:{transfer.pk}"
    rules, known = Rules(day), TaxDocument.objects.filter(request_key=key).first()
    if known is not None or not rules.number(Name.ADVANCE_TAX):
        return known
    organisation = Organisation.objects.get(transfers=transfer)
    parties = Parties(organisation)
    supplier, recipient = parties.supplier(), parties.recipient()
    supply = supply_of(supplier, recipient)
    rate = 0 * rules.charging_rate if supply.is_zero_rated else rules.charging_rate
    taxable, heads = inside(transfer.amount_paise, rate, is_interstate=supply.is_interstate)
    number, year, dated_on = numbers.next_number(supplier=supplier, kind=Kind.RECEIPT_VOUCHER, on=day)
    voucher = TaxDocument.objects.create(
        organisation=organisation, kind=Kind.RECEIPT_VOUCHER, number=number, financial_year=year, dated_on=dated_on,
        advance=transfer, taxable_paise=taxable, cgst_paise=heads.cgst_paise, sgst_paise=heads.sgst_paise,
        igst_paise=heads.igst_paise, total_paise=transfer.amount_paise, request_key=key, issued_at=at,
        issued_by=actor, **issuing.identity(supplier, recipient, organisation, supply),
    )  # fmt: skip
    _line(voucher, rules.sac_code, "Advance for EV charging", issuing.as_decimal(rate))
    posting.post_advance(document=voucher)
    issuing.register(voucher)
    return voucher


def first_open_day(day: date) -> date:
    """That day, or the first one after the last closed month: what is filed is not added to."""
    last = AccountingMonth.objects.filter(closed_at__isnull=False).order_by("-starts_on").first()
    return day if last is None else max(day, last.ends_before)


@transaction.atomic
def refund(
    *, voucher: TaxDocument, amount_paise: int, request_key: str, at: datetime, actor: str = "system", reason: str = ""
) -> TaxDocument:
    """The refund voucher of an advance that went back to where it came from; the money itself moves elsewhere.

    Raises Conflict for more than is left of it.
    """
    from billing.invoicing.services import issuing

    voucher = TaxDocument.objects.select_for_update(of=("self",)).select_related("supplier", "organisation").get(
        pk=voucher.pk, kind=Kind.RECEIPT_VOUCHER
    )  # fmt: skip
    known = TaxDocument.objects.filter(request_key=request_key).first()
    if known is not None:
        return known
    left = open_paise(voucher)
    if not 0 < amount_paise <= left:
        raise Conflict(f"Of this advance {left} paise are left.", code="advance_used_up")
    heads = _share(voucher, amount_paise)
    number, year, day = numbers.next_number(
        supplier=voucher.supplier, kind=Kind.REFUND_VOUCHER, on=day_in_india(at)
    )  # fmt: skip
    document = TaxDocument.objects.create(
        organisation=voucher.organisation, supplier=voucher.supplier, registration=voucher.registration,
        kind=Kind.REFUND_VOUCHER, number=number, financial_year=year, dated_on=day, original=voucher,
        supplier_facts=voucher.supplier_facts, recipient_facts=voucher.recipient_facts,
        place_of_supply=voucher.place_of_supply, supply_kind=voucher.supply_kind, state_head=voucher.state_head,
        taxable_paise=amount_paise - heads.total_paise, cgst_paise=heads.cgst_paise, sgst_paise=heads.sgst_paise,
        igst_paise=heads.igst_paise, total_paise=amount_paise, request_key=request_key, issued_at=at,
        issued_by=actor, reason=reason[:200],
    )  # fmt: skip
    line = voucher.lines.get()
    _line(document, line.sac_code, "Refund of an advance for EV charging", line.rate_percent)
    _store(document, [Use(voucher, amount_paise, heads)])
    posting.post_advance(document=document)
    issuing.register(document)
    return document


def plan(draft: "Draft") -> list[Use]:
    """Which advances an invoice will use up: of the same parties, oldest first. Locks their vouchers."""
    vouchers = TaxDocument.objects.select_for_update(of=("self",)).filter(
        kind=Kind.RECEIPT_VOUCHER, organisation=draft.organisation, supplier=draft.supplier,
        registration=draft.recipient,
    ).order_by("pk")  # fmt: skip
    uses, wanted = [], draft.total_paise
    spent = _spent(vouchers)
    for voucher in vouchers:
        amount = min(wanted, voucher.total_paise - spent.get(voucher.pk, 0))
        if amount > 0:
            uses.append(Use(voucher, amount, _share(voucher, amount)))
            wanted -= amount
        if not wanted:
            break
    return uses


def use(*, document: TaxDocument, uses: list[Use]) -> None:
    """Write it down and take the tax that was paid with them out of the heads again."""
    _store(document, uses)
    posting.post_advance_use(document=document, used=sum((each.heads for each in uses), Heads()))


def open_paise(voucher: TaxDocument) -> int:
    """What of an advance is neither invoiced nor refunded."""
    return voucher.total_paise - int(voucher.uses.aggregate(paise=Coalesce(Sum("amount_paise"), 0))["paise"])


def _spent(vouchers: QuerySet[TaxDocument]) -> dict[int, int]:
    sums = AdvanceUse.objects.filter(voucher__in=[row.pk for row in vouchers]).values("voucher")
    return dict(sums.annotate(paise=Sum("amount_paise")).values_list("voucher", "paise"))


def _share(voucher: TaxDocument, amount_paise: int) -> Heads:
    """The tax in a part of an advance; the last part takes what is left, so that the parts are the whole."""
    sums = voucher.uses.aggregate(
        amount=Coalesce(Sum("amount_paise"), 0), cgst=Coalesce(Sum("cgst_paise"), 0),
        igst=Coalesce(Sum("igst_paise"), 0),
    )  # fmt: skip
    left = voucher.total_paise - int(sums["amount"])
    part = Fraction(amount_paise, left)
    cgst = nearest((voucher.cgst_paise - int(sums["cgst"])) * part)
    return Heads(cgst, cgst, nearest((voucher.igst_paise - int(sums["igst"])) * part))


def _store(document: TaxDocument, uses: list[Use]) -> None:
    AdvanceUse.objects.bulk_create(
        AdvanceUse(
            voucher=each.voucher, document=document, amount_paise=each.amount_paise,
            cgst_paise=each.heads.cgst_paise, sgst_paise=each.heads.sgst_paise, igst_paise=each.heads.igst_paise,
        )
        for each in uses
    )  # fmt: skip


def _line(document: TaxDocument, sac_code: str, description: str, rate_percent: Decimal) -> None:
    DocumentLine.objects.create(
        document=document, position=1, sac_code=sac_code, description=description, component="ADVANCE",
        rate_percent=rate_percent, quantity=1, unit="advance", taxable_paise=document.taxable_paise,
        cgst_paise=document.cgst_paise, sgst_paise=document.sgst_paise, igst_paise=document.igst_paise,
    )  # fmt: skip


@transaction.atomic
def give_back(*, payment_id: int, amount_paise: int, key: str, at: datetime) -> list[TaxDocument]:
    """Refund vouchers for money of a payment that went back: of its own advance first, then of others, newest first.

    What no open advance stands for (it was invoiced, or advances are not taxed) gets none. The same `key` again
    returns the first ones.
    """
    prefix = f"refund:{key}:"
    if known := list(TaxDocument.objects.filter(kind=Kind.REFUND_VOUCHER, request_key__startswith=prefix)):
        return known
    payment = GatewayPayment.objects.get(pk=payment_id)
    vouchers = TaxDocument.objects.filter(kind=Kind.RECEIPT_VOUCHER, organisation=payment.organisation_id)
    own = f"topup:{payment.organisation_id}:{payment.payment_id}"
    first = set(vouchers.filter(advance__entry_key=own).values_list("pk", flat=True))
    ordered = sorted(vouchers, key=lambda row: (row.pk not in first, -row.pk))
    made, left = [], amount_paise
    for voucher in ordered:
        if left and (amount := min(left, open_paise(voucher))) > 0:
            made.append(refund(voucher=voucher, amount_paise=amount, request_key=f"{prefix}{voucher.pk}", at=at))
            left -= amount
    return made


def without_refund_voucher() -> list[Refund]:
    """Confirmed refunds whose event was missed."""
    prefix = Concat(Value("refund:refund:"), OuterRef("key"), Value(":"))
    vouchers = TaxDocument.objects.filter(kind=Kind.REFUND_VOUCHER, request_key__startswith=prefix)
    return list(Refund.objects.filter(~Exists(vouchers), state=Refund.State.CONFIRMED).order_by("pk")[:200])
