"""What a document says, in one shape for every rendering; a draft has the same, without a number."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.utils.translation import gettext as _

from billing.gst.heads import Heads
from billing.gst.numbering import day_in_india
from billing.gst.states import name_of
from billing.invoicing.models import AccountingMonth, EInvoice, TaxDocument
from billing.invoicing.services.drafting import Draft
from billing.invoicing.services.issuing import as_decimal
from billing.invoicing.services.parties import facts_of

Kind = TaxDocument.Kind


@dataclass(frozen=True)
class SheetLine:
    description: str
    sac_code: str
    quantity: Decimal
    unit: str
    rate_percent: Decimal
    taxable_paise: int
    heads: Heads

    @property
    def total_paise(self) -> int:
        return self.taxable_paise + self.heads.total_paise


@dataclass(frozen=True)
class Sheet:
    kind: str
    title: str
    number: str
    dated_on: date | None
    period: str
    supplier: dict[str, Any]
    recipient: dict[str, Any]
    place_of_supply: str
    supply_kind: str
    state_head: str
    lines: Sequence[SheetLine]
    round_off_paise: int
    total_paise: int
    charged_paise: int = 0
    advances: Sequence[tuple[str, int]] = ()
    original: str = ""
    payment: str = ""
    reason: str = ""
    annexure: Sequence[dict[str, Any]] = field(default=(), repr=False)
    annexure_sha256: str = ""
    irn: str = ""
    irn_state: str = ""
    ack: str = ""
    signed_qr: str = ""

    @property
    def heads(self) -> Heads:
        return sum((line.heads for line in self.lines), Heads())

    @property
    def taxable_paise(self) -> int:
        return sum(line.taxable_paise for line in self.lines)

    @property
    def is_interstate(self) -> bool:
        """Does it show integrated tax?"""
        is_elsewhere = self.place_of_supply != self.supplier["state_code"]
        return is_elsewhere or self.supply_kind.startswith("SEZ")

    @property
    def place(self) -> str:
        return f"{name_of(self.place_of_supply)} ({self.place_of_supply})"

    @property
    def file_name(self) -> str:
        return self.number.replace("/", "-") or "draft"


def sheet_of(document: TaxDocument) -> Sheet:
    """Reads its lines, items, advances, original, month and e-invoice: six queries, whatever its size."""
    e_invoice = getattr(document, "e_invoice", None)
    original = document.original
    return Sheet(
        kind=document.kind, title=document.get_kind_display(), number=document.number, dated_on=document.dated_on,
        period=_period(document.month), supplier=document.supplier_facts, recipient=document.recipient_facts,
        place_of_supply=document.place_of_supply, supply_kind=document.supply_kind, state_head=document.state_head,
        lines=[
            SheetLine(
                line.description, line.sac_code, line.quantity, line.unit, line.rate_percent, line.taxable_paise,
                Heads(line.cgst_paise, line.sgst_paise, line.igst_paise),
            )
            for line in document.lines.order_by("position")
        ],
        round_off_paise=document.round_off_paise, total_paise=document.total_paise,
        charged_paise=document.charged_paise,
        advances=[(use.voucher.number, use.amount_paise) for use in document.advances.select_related("voucher")],
        original=f"{original.number} ({original.dated_on:%d %b %Y})" if original else "",
        payment=_payment(document), reason=document.reason,
        annexure=document.annexure,
        annexure_sha256=document.annexure_sha256,
        irn=e_invoice.irn if e_invoice else "", irn_state=e_invoice.state if e_invoice else "",
        ack=_acknowledgement(e_invoice), signed_qr=e_invoice.signed_qr if e_invoice else "",
    )  # fmt: skip


def sheet_of_draft(draft: Draft, month: AccountingMonth | None = None) -> Sheet:
    """What the close would issue now."""
    return Sheet(
        kind=Kind.INVOICE, title=_("Draft of a tax invoice"), number="", dated_on=None, period=_period(month),
        supplier=facts_of(draft.supplier, draft.organisation), recipient=facts_of(draft.recipient, draft.organisation),
        place_of_supply=draft.supply.place_of_supply, supply_kind=draft.supply.kind,
        state_head=draft.supply.state_head,
        lines=[
            SheetLine(
                line.description, line.sac_code, line.quantity, line.unit, as_decimal(Fraction(line.rate)),
                line.taxable_paise, share,
            )
            for line, share in zip(draft.lines, draft.shares, strict=True)
        ],
        round_off_paise=draft.round_off_paise, total_paise=draft.total_paise, charged_paise=draft.charged_paise,
        annexure=[item.facts for item in draft.items],
    )  # fmt: skip


def _acknowledgement(e_invoice: EInvoice | None) -> str:
    """The portal's number and its day."""
    if e_invoice is None or e_invoice.ack_at is None:
        return e_invoice.ack_number if e_invoice else ""
    return f"{e_invoice.ack_number} of {day_in_india(e_invoice.ack_at):%d %b %Y}"


def _payment(document: TaxDocument) -> str:
    """The gateway's id or the bank's reference of an advance."""
    return document.advance.entry_key.split(":", 2)[-1] if document.advance else ""


def _period(month: AccountingMonth | None) -> str:
    return f"{month.starts_on:%B %Y}" if month else ""
