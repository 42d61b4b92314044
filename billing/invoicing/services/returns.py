"""Advances that went back to where they came from: refund vouchers, once per fact, whoever reports it and how often.

CGST Rules, rule 51. The money itself moves elsewhere.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Value
from django.db.models.functions import Concat

from billing.gst.numbering import day_in_india
from billing.invoicing.models import AdvanceReturn, DocumentLine, TaxDocument
from billing.invoicing.services import issuing, numbers, posting
from billing.invoicing.services.advances import first_open_day, line_of, unconfirmed
from billing.invoicing.services.uses import open_of, open_vouchers, store
from billing.models import GatewayPayment, Refund
from fleetcharge.lib.api import Conflict

Kind = TaxDocument.Kind


class NotYet(Exception):
    """Top-ups of the fleet still want their receipt vouchers: which advance goes back cannot be said."""


def expect(*, payment_id: int, amount_paise: int, key: str) -> AdvanceReturn:
    """Write down that money of a payment went back; the first to say so under a key is heard."""
    organisation_id = GatewayPayment.objects.values_list("organisation_id", flat=True).get(pk=payment_id)
    wanted = {"payment_id": payment_id, "organisation_id": organisation_id, "amount_paise": amount_paise}
    return AdvanceReturn.objects.get_or_create(key=key, defaults=wanted)[0]


@transaction.atomic
def settle(*, return_id: int, at: datetime) -> list[TaxDocument]:
    """Its refund vouchers: of the payment's own advance first, then of others, newest first.

    What no open advance stands for (it was invoiced, or advances are not taxed) gets none. The row is locked until the
    vouchers are there: whoever comes second finds them. Raises NotYet, to be asked again once the receipts are made.
    """
    row = AdvanceReturn.objects.select_for_update(of=("self",)).select_related("payment").get(pk=return_id)
    prefix = f"refund:{row.key}:"
    known = list(TaxDocument.objects.filter(kind=Kind.REFUND_VOUCHER, request_key__startswith=prefix).order_by("pk"))
    if row.settled_at is None and not known:
        known = _vouchers(row, prefix, at)
    if row.settled_at is None:
        row.settled_at, row.vouchers_paise = at, sum(document.total_paise for document in known)
        row.save(update_fields=["settled_at", "vouchers_paise"])
    return known


def give_back(*, payment_id: int, amount_paise: int, key: str, at: datetime) -> list[TaxDocument]:
    """`expect` and `settle`; the same `key` again returns the first vouchers."""
    return settle(return_id=expect(payment_id=payment_id, amount_paise=amount_paise, key=key).pk, at=at)


@transaction.atomic
def refund(
    *, voucher: TaxDocument, amount_paise: int, request_key: str, at: datetime, actor: str = "system", reason: str = ""
) -> TaxDocument:
    """The refund voucher of an advance. Raises Conflict for more than is left of it."""
    voucher = TaxDocument.objects.select_for_update(of=("self",)).select_related("supplier", "organisation").get(
        pk=voucher.pk, kind=Kind.RECEIPT_VOUCHER
    )  # fmt: skip
    known = TaxDocument.objects.filter(request_key=request_key).first()
    if known is not None:
        return known
    [left] = open_of([voucher])
    if not 0 < amount_paise <= left.amount_paise:
        raise Conflict(f"Of this advance {left.amount_paise} paise are left.", code="advance_used_up")
    use = left.take(amount_paise)
    on = first_open_day(day_in_india(at))
    number, year, day = numbers.next_number(supplier=voucher.supplier, kind=Kind.REFUND_VOUCHER, on=on)
    document = TaxDocument.objects.create(
        organisation=voucher.organisation, supplier=voucher.supplier, registration=voucher.registration,
        kind=Kind.REFUND_VOUCHER, number=number, financial_year=year, dated_on=day, original=voucher,
        supplier_facts=voucher.supplier_facts, recipient_facts=voucher.recipient_facts,
        place_of_supply=voucher.place_of_supply, supply_kind=voucher.supply_kind, state_head=voucher.state_head,
        taxable_paise=amount_paise - use.heads.total_paise, cgst_paise=use.heads.cgst_paise,
        sgst_paise=use.heads.sgst_paise, igst_paise=use.heads.igst_paise, total_paise=amount_paise,
        request_key=request_key, issued_at=at, issued_by=actor, reason=reason[:200],
    )  # fmt: skip
    line: DocumentLine = voucher.lines.get()
    line_of(document, line.sac_code, "Refund of an advance for EV charging", line.rate_percent).save()
    store([(document, [use])])
    posting.post_advances([document])
    issuing.register([document])
    return document


def _vouchers(row: AdvanceReturn, prefix: str, at: datetime) -> list[TaxDocument]:
    own = f"topup:{row.organisation_id}:{row.payment.payment_id}"
    wanting = unconfirmed().filter(organisation=row.organisation_id).count()  # before: what comes meanwhile is seen
    receipts = TaxDocument.objects.filter(kind=Kind.RECEIPT_VOUCHER)
    moved = Q(original__advance__entry_key=own)
    first = set(receipts.filter(Q(advance__entry_key=own) | moved).values_list("pk", flat=True))
    opened = open_of(open_vouchers({row.organisation_id}))
    if wanting and sum(one.amount_paise for one in opened if one.voucher.pk in first) < row.amount_paise:
        raise NotYet(f"{wanting} top-ups have no receipt voucher yet.")
    made, left = [], row.amount_paise
    for each in sorted(opened, key=lambda one: (one.voucher.pk not in first, -one.voucher.pk)):
        if left and (amount := min(left, each.amount_paise)) > 0:
            key = f"{prefix}{each.voucher.pk}"
            made.append(refund(voucher=each.voucher, amount_paise=amount, request_key=key, at=at))
            left -= amount
    return made


def missed() -> list[Refund]:
    """Confirmed refunds that nobody has written down."""
    written = AdvanceReturn.objects.filter(key=Concat(Value("refund:"), OuterRef("key")))
    return list(Refund.objects.filter(~Exists(written), state=Refund.State.CONFIRMED).order_by("pk")[:200])
