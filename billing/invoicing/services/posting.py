"""What a document moves in the ledger.

Sessions were charged one by one; the document taxes them together, once per rate, in whole rupees. The entry of a
document brings the books from the one to the other: sales and tax of networks' sessions are grossed up (we are the
principal, the network is our supplier), each head becomes the document's, and the paise between what was charged and
the document's total go to or come from the wallet. What is left on `rounding` is the printed round-off.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from billing.events import WalletChanged
from billing.gst.heads import Heads
from billing.invoicing.models import TaxDocument
from billing.invoicing.services.collecting import Item
from billing.models import Wallet
from billing.prices.services.invoicing import FeeItem
from billing.services import ledger
from billing.services.ledger import Dimensions, Leg
from fleetcharge.lib.events import publish

HEADS = {"cgst_paise": "output_cgst", "sgst_paise": "output_sgst", "igst_paise": "output_igst"}


def post_document(*, document: TaxDocument, items: Iterable[Item | FeeItem]) -> None:
    """For an invoice, or a note about corrections whose money has moved already. Locks the wallet last."""
    items = list(items)
    legs = [*_sales_of_networks(items, document.number), *_heads(document, items)]
    difference = document.sign * document.total_paise - sum(item.total_paise for item in items)
    if difference:
        legs += _move(_purse(document.organisation_id, difference), "rounding", difference, document.number)
    _post(document, legs)


def post_advance(*, document: TaxDocument) -> None:
    """Tax that falls due with an advance; a refund voucher takes it back."""
    account = f"advance_gst:{document.organisation_id}"
    _post(document, [
        leg
        for field, head in HEADS.items()
        for leg in _move(account, head, document.sign * getattr(document, field), document.number)
    ])  # fmt: skip


def post_advance_use(*, document: TaxDocument, used: Heads) -> None:
    """The tax of an advance was paid before: it leaves the head again when the invoice owes it."""
    account = f"advance_gst:{document.organisation_id}"
    legs = [leg for field, head in HEADS.items() for leg in _move(head, account, getattr(used, field), document.number)]
    _post(document, legs, part="advance")


def post_goodwill(*, document: TaxDocument) -> None:
    """A credit note that a person decided on: sales and tax go down, the money goes to the wallet."""
    purse = _purse(document.organisation_id, -document.total_paise)
    legs = _move("revenue:charging", purse, document.taxable_paise, document.number)
    for field, head in HEADS.items():
        legs += _move(head, purse, getattr(document, field), document.number)
    legs += _move("rounding", purse, document.round_off_paise, document.number)
    _post(document, legs)


def _sales_of_networks(items: list[Item | FeeItem], number: str) -> list[Leg]:
    """At capture a network's session went to its `cpo_payable`, tax included; here it becomes our purchase and sale."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for item in items:
        if item.network_slug:
            sums["taxable_paise", item.network_slug] += item.taxable_paise
            for field in HEADS:
                sums[field, item.network_slug] += getattr(item, field)
    legs = []
    for (field, slug), paise in sorted(sums.items()):
        if field == "taxable_paise":
            legs += _move(f"cpo_cost:{slug}", "revenue:charging", paise, number)
        else:
            legs += _move(f"cpo_input_gst:{slug}", HEADS[field], paise, number)
    return legs


def _heads(document: TaxDocument, items: list[Item | FeeItem]) -> list[Leg]:
    legs = []
    for field, head in HEADS.items():
        booked = sum(getattr(item, field) for item in items)
        legs += _move("rounding", head, document.sign * getattr(document, field) - booked, document.number)
    return legs


def _purse(organisation_id: int, paise: int) -> str:
    """The wallet where it can bear it (`paise` out of it), else what is owed."""
    wallet = Wallet.objects.select_for_update().filter(organisation_id=organisation_id).first()
    if wallet is None or wallet.available_paise < paise:
        return ledger.receivable_code(organisation_id)
    return ledger.wallet_code(organisation_id)


def _move(debit: str, credit: str, paise: int, memo: str) -> list[Leg]:
    if paise < 0:
        debit, credit, paise = credit, debit, -paise
    return [Leg(debit, credit, paise, "document", memo)] if paise else []


def _moment_of(document: TaxDocument) -> datetime:
    """Of the month that is being closed, or of the money that came."""
    if document.month is not None:
        return document.month.ended_before
    return document.advance.occurred_at if document.advance is not None else document.issued_at


def _post(document: TaxDocument, legs: list[Leg], part: str = "") -> None:
    if legs:
        ledger.post(
            entry_key=f"document:{document.pk}{f':{part}' if part else ''}", legs=legs,
            occurred_at=_moment_of(document),
            about=Dimensions(organisation_id=document.organisation_id), actor=document.issued_by,
        )  # fmt: skip
    wallet = Wallet.objects.select_related("account").filter(organisation_id=document.organisation_id).first()
    if wallet is not None and any(wallet.account.code in {leg.debit, leg.credit} for leg in legs):
        publish(WalletChanged(
            wallet.organisation_id, wallet.posted_paise, wallet.held_paise, wallet.available_paise
        ))  # fmt: skip
