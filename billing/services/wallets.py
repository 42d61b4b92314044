"""The corporate wallet: top-ups, holds while charging, captures that never fail."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Min, QuerySet, Sum
from django.utils import timezone

from billing.events import WalletToppedUp
from billing.limits import correcting, using
from billing.models import LedgerTransfer, Wallet
from billing.services import ledger
from billing.services.capturing import Captured, Charge, capture
from billing.services.holding import HOLD_LIFETIME, HoldResult, announce, extend, hold, hold_key, release
from billing.services.ledger import Dimensions, Leg
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish

__all__ = [
    "FLOOR_HOLD_PAISE", "HOLD_LIFETIME", "Captured", "Charge", "HoldResult", "capture", "change_terms", "extend",
    "hold", "hold_key", "open_wallet", "refund", "release", "set_warning", "take_back", "top_up",
]  # fmt: skip

FLOOR_HOLD_PAISE = 50_00
LOSS = "writeoff"


@transaction.atomic
def open_wallet(
    *,
    organisation_id: int,
    credit_limit_paise: int = 0,
    low_threshold_paise: int = 0,
    actor: User | None = None,
    actor_label: str = "",
    reason: str = "",
) -> Wallet:
    """The organisation's wallet, opened empty when it has none yet. Money only ever comes by `top_up`."""
    existing = Wallet.objects.filter(organisation_id=organisation_id).first()
    if existing:
        return existing
    organisation = Organisation.objects.get(pk=organisation_id)
    code = ledger.wallet_code(organisation_id)
    account = ledger.accounts_for([code], currency=organisation.currency)[code]
    wallet, is_new = Wallet.objects.get_or_create(
        organisation=organisation,
        defaults={
            "account": account,
            "credit_limit_paise": credit_limit_paise,
            "low_threshold_paise": low_threshold_paise,
        },
    )
    if is_new:
        audit(action="open_wallet", target=wallet, actor=actor, actor_label=actor_label, reason=reason)
        if ledger.balance_paise(ledger.receivable_code(organisation_id)) < 0:  # given back while there was no wallet
            _settle_receivable(organisation_id, "opening", timezone.now())
        announce(organisation_id)
    return wallet


@transaction.atomic
def top_up(
    *,
    organisation_id: int,
    amount_paise: int,
    key: str,
    at: datetime,
    actor: User | None = None,
    reason: str = "",
    source_account: str = "bank",
) -> bool:
    """Credit money that has arrived; False when `key` was credited before. Pays off receivables first.

    Raises ValueError for an amount that is not positive, Wallet.DoesNotExist, Conflict for a reused key.
    """
    if amount_paise <= 0:
        raise ValueError("A top-up must be positive.")
    wallet = Wallet.objects.select_related("organisation").get(organisation_id=organisation_id)
    about = Dimensions(organisation_id=organisation_id)
    posted = ledger.post(
        entry_key=f"topup:{organisation_id}:{key}",
        legs=[Leg(source_account, ledger.wallet_code(organisation_id), amount_paise, "top_up", reason[:200])],
        occurred_at=at,
        about=about,
        currency=wallet.organisation.currency,
        actor=str(actor) if actor else "system",
    )
    if not posted.is_new:
        return False
    _settle_receivable(organisation_id, key, at)
    audit(
        action="top_up", target=wallet, actor=actor, reason=reason, organisation=wallet.organisation,
        after={"amount_paise": amount_paise, "key": key},
    )  # fmt: skip
    announce(organisation_id)
    publish(WalletToppedUp(organisation_id, amount_paise, key, at))
    return True


@transaction.atomic
def refund(
    *,
    organisation_id: int,
    entry_key: str,
    refunds: Sequence[tuple[str, int]],
    memo: str,
    about: Dimensions,
    at: datetime,
    currency: str = "INR",
    energy_wh: int = 0,
) -> bool:
    """Give back what was charged too much: (account it comes from, paise). False when `entry_key` was posted before.

    What was written off of the session is no loss any more, and nobody gets it. What the organisation still owes is
    paid off then, as by a top-up; without a wallet it only owes less. Limits count `energy_wh` less.
    """
    has_wallet = Wallet.objects.filter(organisation_id=organisation_id).exists()
    to = ledger.wallet_code(organisation_id) if has_wallet else ledger.receivable_code(organisation_id)
    legs = [Leg(account, to, amount, "adjustment", memo) for account, amount in refunds]
    usages = correcting.lock(session_id=about.session_id)
    posted = ledger.post(entry_key=entry_key, legs=legs, occurred_at=at, about=about, currency=currency)
    if posted.is_new:
        using.spend(usages, paise=-sum(amount for _, amount in refunds), wh=-energy_wh)
        _undo_write_off_of(about, entry_key, to, sum(amount for _, amount in refunds), at)
    if posted.is_new and has_wallet:
        _settle_receivable(organisation_id, entry_key, at)
        announce(organisation_id)
    return posted.is_new


@transaction.atomic
def take_back(
    *, organisation_id: int, entry_key: str, as_key: str, reason: str, at: datetime, energy_wh: int = 0
) -> bool:
    """Reverse a charge, leg by leg: what came from the wallet goes back to it, what was owed is owed no more.

    What was owed then and has been paid since goes to the wallet. Limits count `energy_wh` less. False when it was
    reversed before.
    """
    charged = LedgerTransfer.objects.filter(entry_key=entry_key).values_list("session_id", "amount_paise", "pk")
    if not charged:
        raise LedgerTransfer.DoesNotExist(entry_key)
    usages = correcting.lock(session_id=charged[0][0])
    wallet = Wallet.objects.select_for_update().filter(organisation_id=organisation_id).first()  # also for what is owed
    was_owed = ledger.balance_paise(ledger.receivable_code(organisation_id)) > 0
    posted = ledger.reverse(entry_key=entry_key, reason=reason, occurred_at=at, actor="system", as_key=as_key)
    if not posted.is_new:
        return False
    using.spend(usages, paise=-sum(paise for _, paise, _ in charged), wh=-energy_wh)
    overpaid = -ledger.balance_paise(ledger.receivable_code(organisation_id))
    _undo_write_off(organisation_id, as_key, overpaid, at, since=min(pk for _, _, pk in charged))
    if wallet is not None:
        _settle_receivable(organisation_id, as_key, at, was_owed=was_owed)
        announce(organisation_id)
    return True


def _undo_write_off(
    organisation_id: int, key: str, at_most: int, at: datetime, *, since: int, source: str = ""
) -> None:
    """What was written off and is owed no more is no loss after all: nobody has paid it, so nobody gets it.

    `since`: the transfer by which it was charged; what was written off before that was another debt. `source`: where
    the money is by now, unless it is too much on the receivable.
    """
    code, legs = ledger.receivable_code(organisation_id), []
    for lost, left in _written_off(organisation_id, since):
        if (paise := min(at_most, left)) > 0:
            legs += [Leg(source, code, paise, "settle_receivable")] if source not in {"", code} else []
            legs.append(Leg(code, LOSS, paise, "write_off", lost))
            at_most -= paise
    if legs:
        about = Dimensions(organisation_id=organisation_id)
        ledger.post(entry_key=_undone_key(organisation_id, key), legs=legs, occurred_at=at, about=about)


def _undo_write_off_of(about: Dimensions, key: str, source: str, paise: int, at: datetime) -> None:
    """Of a session that costs less: no more than was owed for it, of which nothing else was undone."""
    organisation_id = about.organisation_id
    if organisation_id is None or about.session_id is None:
        return
    Wallet.objects.select_for_update().filter(organisation_id=organisation_id).first()  # as who writes off
    code, mine = ledger.receivable_code(organisation_id), LedgerTransfer.objects.filter(session_id=about.session_id)
    owed = mine.filter(debit__code=code).aggregate(first=Min("pk"), total=Sum("amount_paise"))
    if owed["first"] is None:
        return
    owed_no_more = _sum(mine.filter(credit__code=code, kind="reversal"))
    before = mine.filter(kind="adjustment").values_list("entry_key", flat=True).distinct()
    keys = [_undone_key(organisation_id, each) for each in before]
    undone = _sum(LedgerTransfer.objects.filter(entry_key__in=keys, credit__code=LOSS))
    at_most = min(paise, owed["total"] - owed_no_more - undone)
    _undo_write_off(organisation_id, key, at_most, at, since=owed["first"], source=source)


def _written_off(organisation_id: int, since: int) -> list[tuple[str, int]]:
    """Entries that wrote something off after that transfer, and how much of each is still a loss."""
    rows = LedgerTransfer.objects.filter(organisation_id=organisation_id)
    lost = rows.filter(debit__code=LOSS, pk__gt=since).order_by("pk").values_list("entry_key", "amount_paise")
    return [(key, paise - _sum(rows.filter(credit__code=LOSS, memo=key))) for key, paise in lost]


def _undone_key(organisation_id: int, key: str) -> str:
    return f"write-off-undone:{organisation_id}:{key}"


def _sum(rows: QuerySet[LedgerTransfer]) -> int:
    return int(rows.aggregate(total=Sum("amount_paise"))["total"] or 0)


@transaction.atomic
def change_terms(
    *,
    organisation_id: int,
    credit_limit_paise: int,
    low_threshold_paise: int,
    state: str,
    actor: User | None,
    reason: str,
) -> None:
    """Change limit, warning level and state; raises ValueError when money in use needs the old limit."""
    wallet = (
        Wallet.objects.select_for_update(of=("self",))
        .select_related("organisation")
        .get(organisation_id=organisation_id)
    )
    if wallet.posted_paise - wallet.held_paise + credit_limit_paise < 0:
        raise ValueError("Running sessions already use more than this limit allows.")
    after = {"credit_limit_paise": credit_limit_paise, "low_threshold_paise": low_threshold_paise, "state": state}
    before = {name: getattr(wallet, name) for name in after}
    for name, value in after.items():
        setattr(wallet, name, value)
    wallet.save(update_fields=list(after))
    audit(action="change_terms", target=wallet, actor=actor, reason=reason, before=before, after=after)
    announce(organisation_id)


@transaction.atomic
def set_warning(*, organisation_id: int, low_threshold_paise: int, actor: User | None, reason: str) -> None:
    """Change the balance below which owners and finance are warned, and nothing else; raises Wallet.DoesNotExist."""
    wallet = Wallet.objects.select_for_update(of=("self",)).get(organisation_id=organisation_id)
    before = {"low_threshold_paise": wallet.low_threshold_paise}
    wallet.low_threshold_paise = low_threshold_paise
    wallet.save(update_fields=["low_threshold_paise"])
    audit(
        action="set_warning", target=wallet, actor=actor, reason=reason, before=before,
        after={"low_threshold_paise": low_threshold_paise},
    )  # fmt: skip
    announce(organisation_id)


def _settle_receivable(organisation_id: int, key: str, at: datetime, *, was_owed: bool = False) -> None:
    """Fresh money pays what is owed, and what was paid too much comes back; nothing owed any more, charging goes on.

    `was_owed`: before the reversal that this follows. Where nothing was owed an operator has closed the wallet.
    """
    wallet = Wallet.objects.select_for_update().get(organisation_id=organisation_id)
    owed = ledger.balance_paise(ledger.receivable_code(organisation_id))
    paid = min(owed, max(0, wallet.available_paise))  # less than nothing where too much was paid
    if paid:
        sides = (ledger.wallet_code(organisation_id), ledger.receivable_code(organisation_id))
        debit, credit = sides if paid > 0 else reversed(sides)
        about = Dimensions(organisation_id=organisation_id)
        leg = Leg(debit, credit, abs(paid), "settle_receivable")
        ledger.post(entry_key=f"settle:{organisation_id}:{key}", legs=[leg], occurred_at=at, about=about)
    if paid >= owed and (paid > 0 or was_owed):
        Wallet.objects.filter(pk=wallet.pk, state=Wallet.State.HOLD_ONLY).update(state=Wallet.State.ACTIVE)
