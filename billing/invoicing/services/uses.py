"""How advances are used up: what of which voucher goes to which document, and the tax in it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.gst.heads import Heads, nearest
from billing.invoicing.models import AdvanceUse, TaxDocument
from billing.invoicing.services.drafting import Draft

Kind = TaxDocument.Kind


@dataclass(frozen=True)
class Use:
    voucher: TaxDocument
    amount_paise: int
    heads: Heads


def store(used: Iterable[tuple[TaxDocument, Sequence[Use]]]) -> None:
    """Document by document."""
    AdvanceUse.objects.bulk_create(
        AdvanceUse(
            voucher=each.voucher, document=document, amount_paise=each.amount_paise,
            cgst_paise=each.heads.cgst_paise, sgst_paise=each.heads.sgst_paise, igst_paise=each.heads.igst_paise,
        )
        for document, uses in used
        for each in uses
    )  # fmt: skip


class Open:
    """What is left of an advance; the last part takes all of its tax, so that the parts are the whole."""

    def __init__(self, voucher: TaxDocument, amount: int = 0, cgst: int = 0, igst: int = 0) -> None:
        """With what has been used of it before."""
        self.voucher = voucher
        self.amount_paise = voucher.total_paise - amount
        self._cgst, self._igst = voucher.cgst_paise - cgst, voucher.igst_paise - igst

    def take(self, amount_paise: int) -> Use:
        """Not more than there is."""
        part = Fraction(amount_paise, self.amount_paise)
        cgst, igst = nearest(self._cgst * part), nearest(self._igst * part)
        self.amount_paise -= amount_paise
        self._cgst, self._igst = self._cgst - cgst, self._igst - igst
        return Use(self.voucher, amount_paise, Heads(cgst, cgst, igst))


def open_of(vouchers: Collection[TaxDocument]) -> list[Open]:
    """In their order, in one query; lock them before."""
    sums = AdvanceUse.objects.filter(voucher__in=[row.pk for row in vouchers]).order_by().values("voucher")
    used = {
        pk: (amount, cgst, igst)
        for pk, amount, cgst, igst in sums.annotate(
            amount=Sum("amount_paise"), cgst=Sum("cgst_paise"), igst=Sum("igst_paise")
        ).values_list("voucher", "amount", "cgst", "igst")
    }
    return [Open(voucher, *used.get(voucher.pk, (0, 0, 0))) for voucher in vouchers]


def plan(drafts: Sequence[Draft | None]) -> list[list[Use]]:
    """Which advances each will use up: of the same parties, oldest first; of None nothing. Locks their vouchers."""
    fleets = {draft.organisation.pk for draft in drafts if draft is not None}
    found: dict[Any, list[Open]] = defaultdict(list)
    for each in open_of(open_vouchers(fleets)):
        voucher = each.voucher
        found[voucher.organisation_id, voucher.supplier_id, voucher.registration_id].append(each)
    return [[] if draft is None else _uses(draft, found[_key(draft)]) for draft in drafts]


def open_vouchers(organisation_ids: Collection[int]) -> list[TaxDocument]:
    """Used up ones are left out before they are locked; what is left of the others is counted after it."""
    used = AdvanceUse.objects.filter(voucher=OuterRef("pk")).order_by().values("voucher")
    spent = Coalesce(Subquery(used.annotate(paise=Sum("amount_paise")).values("paise")), 0)
    rows = TaxDocument.objects.filter(kind=Kind.RECEIPT_VOUCHER, organisation__in=organisation_ids)
    return list(rows.filter(total_paise__gt=spent).select_for_update(of=("self",)).order_by("pk"))


def _key(draft: Draft) -> tuple[int, int, int | None]:
    return draft.organisation.pk, draft.supplier.pk, draft.recipient.pk if draft.recipient else None


def _uses(draft: Draft, advances: list[Open]) -> list[Use]:
    uses, wanted = [], draft.total_paise
    for each in advances:
        amount = min(wanted, each.amount_paise)
        if amount > 0:
            uses.append(each.take(amount))
            wanted -= amount
    return uses


def open_paise(voucher: TaxDocument) -> int:
    """What of an advance is neither invoiced nor refunded."""
    [left] = open_of([voucher])
    return left.amount_paise
