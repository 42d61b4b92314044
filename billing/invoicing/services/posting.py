"""What a document moves in the ledger.

Sessions were charged one by one; the document taxes them together, once per rate, in whole rupees. The entry of a
document brings the books from the one to the other: sales and tax of networks' sessions are grossed up (we are the
principal, the network is our supplier), each head becomes the document's, and the paise between what was charged and
the document's total go to or come from the wallet. What is left on `rounding` is the printed round-off.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.events import WalletChanged
from billing.gst.heads import Heads
from billing.invoicing.models import TaxDocument
from billing.invoicing.services.items import Item
from billing.invoicing.services.uses import Use, store
from billing.models import Wallet
from billing.prices.services.invoicing import FeeItem
from billing.services import ledger
from billing.services.entries import Entry, post_together
from billing.services.ledger import Dimensions, Leg
from fleetcharge.lib.events import publish_together

HEADS = {"cgst_paise": "output_cgst", "sgst_paise": "output_sgst", "igst_paise": "output_igst"}


@dataclass(frozen=True)
class Posting:
    """A document, what it bills, and the advances it uses up."""

    document: TaxDocument
    items: Sequence[Item | FeeItem]
    uses: Sequence[Use] = ()


def post_documents(postings: Sequence[Posting]) -> None:
    """For invoices, and notes about corrections whose money has moved already. Locks the wallets last."""
    store((each.document, each.uses) for each in postings)
    differences = {each.document.pk: _difference(each) for each in postings}
    purses = _Purses({each.document.organisation_id for each in postings if differences[each.document.pk]})
    entries = []
    for each in postings:
        document, difference = each.document, differences[each.document.pk]
        legs = [*_sales_of_networks(each.items, document.number), *_heads(document, each.items)]
        legs += _given_before(each)
        if difference:
            purse = purses.of(document.organisation_id, difference)
            legs += _move(purse, "rounding", difference, document.number)
        entries += [_entry(document, legs), *_advance_entries(each)]
    _post(entries)


def _difference(each: Posting) -> int:
    """What the wallet still owes for it, or gets back: sessions were taxed and rounded one by one."""
    return each.document.sign * each.document.total_paise - sum(item.total_paise for item in each.items)


def post_advances(documents: Iterable[TaxDocument]) -> None:
    """Tax that falls due with an advance; a refund voucher takes it back."""
    _post([_entry(document, _advance(document)) for document in documents])


def _advance(document: TaxDocument) -> list[Leg]:
    account = f"advance_gst:{document.organisation_id}"
    return [
        leg
        for name, head in HEADS.items()
        for leg in _move(account, head, document.sign * getattr(document, name), document.number)
    ]


def _advance_entries(each: Posting) -> list[Entry]:
    """The tax of an advance was paid before: it leaves the head again when the invoice owes it.

    Money that came after the day on the document, but before it was issued, is set off when it came: its voucher is in
    that month's return.
    """
    earlier = [use for use in each.uses if use.voucher.dated_on <= each.document.dated_on]
    entries = [_entry(each.document, _advance_use(each.document, earlier), part="advance")]
    for use in each.uses:
        if use.voucher.dated_on > each.document.dated_on:
            legs, voucher = _advance_use(each.document, [use]), use.voucher
            entries.append(_entry(each.document, legs, part=f"advance:{voucher.pk}", moment=_moment_of(voucher)))
    return entries


def _advance_use(document: TaxDocument, uses: Sequence[Use]) -> list[Leg]:
    account = f"advance_gst:{document.organisation_id}"
    used = sum((use.heads for use in uses), Heads())
    return [leg for name, head in HEADS.items() for leg in _move(head, account, getattr(used, name), document.number)]


def post_goodwill(*, document: TaxDocument) -> None:
    """A credit note that a person decided on: sales and tax go down, the money goes to the wallet."""
    purse = _Purses({document.organisation_id}).of(document.organisation_id, -document.total_paise)
    legs = _move("revenue:charging", purse, document.taxable_paise, document.number)
    for field, head in HEADS.items():
        legs += _move(head, purse, getattr(document, field), document.number)
    legs += _move("rounding", purse, document.round_off_paise, document.number)
    _post([_entry(document, legs)])


def _sales_of_networks(items: Sequence[Item | FeeItem], number: str) -> list[Leg]:
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


def _heads(document: TaxDocument, items: Sequence[Item | FeeItem]) -> list[Leg]:
    legs = []
    for field, head in HEADS.items():
        booked = sum(getattr(item, field) for item in items)
        legs += _move("rounding", head, document.sign * getattr(document, field) - booked, document.number)
    return legs


def _given_before(each: Posting) -> list[Leg]:
    """What a correction took off the sales although goodwill had done so before: the note is about less than that."""
    document = each.document
    sales = document.sign * document.taxable_paise - sum(item.taxable_paise for item in each.items)
    return _move("rounding", "revenue:charging", sales, document.number)


class _Purses:
    """The wallets of these fleets, locked in the order of their keys."""

    def __init__(self, organisation_ids: set[int]) -> None:
        rows = Wallet.objects.select_for_update().filter(organisation__in=organisation_ids).order_by("pk")
        self._available = {wallet.organisation_id: wallet.available_paise for wallet in rows if organisation_ids}

    def of(self, organisation_id: int, paise: int) -> str:
        """The wallet where it can bear it (`paise` out of it), else what is owed."""
        available = self._available.get(organisation_id)
        if available is None or available < paise:
            return ledger.receivable_code(organisation_id)
        self._available[organisation_id] = available - paise
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


def _entry(document: TaxDocument, legs: list[Leg], part: str = "", moment: datetime | None = None) -> Entry:
    return Entry(
        f"document:{document.pk}{f':{part}' if part else ''}", legs, moment or _moment_of(document),
        Dimensions(organisation_id=document.organisation_id), document.issued_by,
    )  # fmt: skip


def _post(entries: Iterable[Entry]) -> None:
    entries = [entry for entry in entries if entry.legs]
    post_together(entries)
    touched = {code for entry in entries for leg in entry.legs for code in (leg.debit, leg.credit)}
    fleets = {entry.about.organisation_id for entry in entries}
    fleets = {pk for pk in fleets if pk is not None and ledger.wallet_code(pk) in touched}
    if fleets:
        publish_together(
            WalletChanged(wallet.organisation_id, wallet.posted_paise, wallet.held_paise, wallet.available_paise)
            for wallet in Wallet.objects.filter(organisation__in=fleets).order_by("pk")
        )
