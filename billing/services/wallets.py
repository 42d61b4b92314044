"""The corporate wallet: top-ups, holds while charging, captures that never fail."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from billing.events import WalletToppedUp
from billing.limits import correcting, using
from billing.models import LedgerTransfer, Wallet
from billing.services import ledger, losses
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
    losses.undo(organisation_id=organisation_id, key=as_key, at=at, pks=[pk for _, _, pk in charged])
    if wallet is not None:
        _settle_receivable(organisation_id, as_key, at, was_owed=was_owed)
        announce(organisation_id)
    return True


def _undo_write_off_of(about: Dimensions, key: str, source: str, paise: int, at: datetime) -> None:
    """Of a session that costs less: what was given up of what was owed for it."""
    organisation_id = about.organisation_id
    if organisation_id is None or about.session_id is None:
        return
    Wallet.objects.select_for_update().filter(organisation_id=organisation_id).first()  # as who writes off
    mine = LedgerTransfer.objects.filter(
        session_id=about.session_id, debit__code=ledger.receivable_code(organisation_id)
    )
    pks = mine.values_list("pk", flat=True)
    losses.undo(organisation_id=organisation_id, key=key, at=at, pks=pks, at_most=paise, source=source)


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
