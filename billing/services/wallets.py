"""The corporate wallet: top-ups, holds while charging, captures that never fail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, connection, transaction
from django.db.models import F

from billing.events import WalletChanged
from billing.models import BillingException, Hold, LedgerTransfer, Wallet
from billing.services import ledger
from billing.services.exceptions import open_exception
from billing.services.ledger import Dimensions, Leg
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish

HOLD_LIFETIME = timedelta(hours=12)
FLOOR_HOLD_PAISE = 50_00


@dataclass(frozen=True)
class HoldResult:
    """`reason` is held | no_wallet | wallet_frozen | insufficient."""

    is_held: bool
    reason: str
    amount_paise: int = 0


@dataclass(frozen=True)
class Charge:
    """One part of a price: how much goes to which account."""

    account: str
    amount_paise: int
    kind: str
    memo: str = ""


@dataclass(frozen=True)
class Captured:
    wallet_paise: int
    receivable_paise: int
    is_new: bool


# known: the same session again. taken: the condition is judged on the locked row, whoever came first.
_HOLD = """
WITH known AS (SELECT amount_paise FROM billing_hold WHERE session_key = %(key)s),
taken AS (
    UPDATE billing_wallet SET held_paise = held_paise + %(amount)s
    WHERE organisation_id = %(organisation)s AND state = 'active' AND NOT EXISTS (SELECT 1 FROM known)
      AND posted_paise - held_paise + credit_limit_paise >= %(amount)s
    RETURNING account_id, posted_paise, held_paise, posted_paise - held_paise + credit_limit_paise AS available
), made AS (
    INSERT INTO billing_hold (wallet_id, session_key, amount_paise, energy_wh, limits, state, expires_at, created_at)
    SELECT account_id, %(key)s, %(amount)s, 0, '{}', 'active', %(expires)s, %(now)s FROM taken
)
SELECT (SELECT amount_paise FROM known), taken.posted_paise, taken.held_paise, taken.available
FROM (VALUES (1)) AS always(one) LEFT JOIN taken ON true
"""
_FREE_HOLD = """
WITH closed AS (
    UPDATE billing_hold SET state = 'captured', closed_at = %(now)s
    WHERE session_key = %(key)s AND state = 'active' RETURNING amount_paise
), freed AS (SELECT COALESCE(sum(amount_paise), 0) AS paise FROM closed)
UPDATE billing_wallet w SET held_paise = held_paise - freed.paise FROM freed WHERE w.organisation_id = %(organisation)s
RETURNING w.posted_paise - w.held_paise + w.credit_limit_paise
"""


def hold_key(session_id: int) -> str:
    """The name under which a session holds money."""
    return f"session:{session_id}"


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
        _announce(organisation_id)
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
    _announce(organisation_id)
    return True


def hold(
    *, organisation_id: int, session_key: str, amount_paise: int, now: datetime, minimum_paise: int | None = None
) -> HoldResult:
    """Set money aside, at most once per `session_key`. With `minimum_paise`, take that when the whole is not there."""
    try:
        with transaction.atomic():
            for amount in sorted({amount_paise, minimum_paise or amount_paise}, reverse=True):
                result = _hold(organisation_id, session_key, amount, now)
                if result is not None:
                    return result
    except IntegrityError:  # the same session on another socket was first
        return HoldResult(True, "held", Hold.objects.get(session_key=session_key).amount_paise)
    return HoldResult(False, _why_not(organisation_id))


@transaction.atomic
def extend(*, session_key: str, extra_paise: int, now: datetime) -> bool:
    """Hold more for a running session; False when the wallet cannot bear it or the hold is closed."""
    held = Hold.objects.select_for_update().select_related("wallet").filter(
        session_key=session_key, state=Hold.State.ACTIVE
    ).first()  # fmt: skip
    if held is None or extra_paise <= 0 or not _take(held.wallet_id, extra_paise):
        return False
    held.amount_paise += extra_paise
    held.expires_at = now + HOLD_LIFETIME
    held.save(update_fields=["amount_paise", "expires_at"])
    _announce(held.wallet.organisation_id)
    return True


@transaction.atomic
def release(*, session_key: str, now: datetime) -> bool:
    """Give held money back; False when there was none."""
    held = Hold.objects.select_related("wallet").filter(session_key=session_key).first()
    if held is None or not _close(held, Hold.State.RELEASED, now):
        return False
    _announce(held.wallet.organisation_id)
    return True


@transaction.atomic
def capture(
    *,
    organisation_id: int,
    session_key: str,
    entry_key: str,
    charges: Sequence[Charge],
    about: Dimensions,
    at: datetime,
    now: datetime,
    currency: str = "INR",
) -> Captured:
    """Turn a hold into a charge.

    Energy already delivered is a fact: a shortfall is booked as receivable, never refused.
    """
    available = _free_hold(organisation_id, session_key, now)
    if known := _captured(entry_key, organisation_id):
        return known
    total = sum(charge.amount_paise for charge in charges)
    from_wallet = min(total, max(0, available or 0))
    if total:
        legs = _split(charges, organisation_id, from_wallet)
        ledger.post(entry_key=entry_key, legs=legs, occurred_at=at, about=about, currency=currency)
    if total > from_wallet:
        _book_shortfall(available is not None, organisation_id, about.session_id, total - from_wallet, now)
    _announce(organisation_id)
    return Captured(from_wallet, total - from_wallet, True)


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
) -> bool:
    """Give back what was charged too much: (account it comes from, paise). False when `entry_key` was posted before.

    What the organisation still owes is paid off first, as by a top-up; without a wallet it only owes less.
    """
    has_wallet = Wallet.objects.filter(organisation_id=organisation_id).exists()
    to = ledger.wallet_code(organisation_id) if has_wallet else ledger.receivable_code(organisation_id)
    legs = [Leg(account, to, amount, "adjustment", memo) for account, amount in refunds]
    posted = ledger.post(entry_key=entry_key, legs=legs, occurred_at=at, about=about, currency=currency)
    if posted.is_new and has_wallet:
        _settle_receivable(organisation_id, entry_key, at)
        _announce(organisation_id)
    return posted.is_new


@transaction.atomic
def take_back(*, organisation_id: int, entry_key: str, as_key: str, reason: str, at: datetime) -> bool:
    """Reverse a charge, leg by leg: what came from the wallet goes back to it, what was owed is owed no more.

    What was owed then and has been paid since goes to the wallet. False when it was reversed before.
    """
    posted = ledger.reverse(entry_key=entry_key, reason=reason, occurred_at=at, actor="system", as_key=as_key)
    if not posted.is_new or not Wallet.objects.filter(organisation_id=organisation_id).exists():
        return posted.is_new
    overpaid = -ledger.balance_paise(ledger.receivable_code(organisation_id))
    if overpaid > 0:
        leg = Leg(
            ledger.receivable_code(organisation_id), ledger.wallet_code(organisation_id), overpaid, "settle_receivable"
        )
        about = Dimensions(organisation_id=organisation_id)
        ledger.post(entry_key=f"overpaid:{organisation_id}:{as_key}", legs=[leg], occurred_at=at, about=about)
    else:
        _settle_receivable(organisation_id, as_key, at)
    _announce(organisation_id)
    return True


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
    _announce(organisation_id)


def _hold(organisation_id: int, session_key: str, amount_paise: int, now: datetime) -> HoldResult | None:
    """One statement decides, takes the money and writes the hold; None when the wallet cannot bear it."""
    values: dict[str, int | str | datetime] = {
        "organisation": organisation_id, "key": session_key, "amount": amount_paise, "now": now,
        "expires": now + HOLD_LIFETIME,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, values)
        known, posted, held, available = cursor.fetchone()
    if known is not None:
        return HoldResult(True, "held", known)
    if posted is None:
        return None
    publish(WalletChanged(organisation_id, posted, held, available))
    return HoldResult(True, "held", amount_paise)


def _why_not(organisation_id: int) -> str:
    wallet = Wallet.objects.filter(organisation_id=organisation_id).first()
    if wallet is None:
        return "no_wallet"
    return "insufficient" if wallet.state == Wallet.State.ACTIVE else "wallet_frozen"


def _take(wallet_id: int, amount_paise: int) -> bool:
    """One conditional update decides; no lock is held while anybody thinks."""
    affordable = Wallet.objects.filter(
        pk=wallet_id,
        state=Wallet.State.ACTIVE,
        posted_paise__gte=F("held_paise") - F("credit_limit_paise") + amount_paise,
    )
    return affordable.update(held_paise=F("held_paise") + amount_paise) == 1


def _free_hold(organisation_id: int, session_key: str, now: datetime) -> int | None:
    """Close the hold and lock the wallet in one statement; what is spendable now, or None without a wallet."""
    with connection.cursor() as cursor:
        cursor.execute(_FREE_HOLD, {"organisation": organisation_id, "key": session_key, "now": now})
        row = cursor.fetchone()
    return row[0] if row else None


def _close(held: Hold, state: str, now: datetime) -> bool:
    """Claim an active hold for closing; its money is spendable again in the same transaction."""
    if not Hold.objects.filter(pk=held.pk, state=Hold.State.ACTIVE).update(state=state, closed_at=now):
        return False
    amount = Hold.objects.values_list("amount_paise", flat=True).get(pk=held.pk)  # extend() may have raised it
    Wallet.objects.filter(pk=held.wallet_id).update(held_paise=F("held_paise") - amount)
    return True


def _split(charges: Sequence[Charge], organisation_id: int, from_wallet_paise: int) -> list[Leg]:
    """Pay from the wallet in the order of the charges, the rest from the receivable account."""
    wallet, receivable = ledger.wallet_code(organisation_id), ledger.receivable_code(organisation_id)
    legs, left = [], from_wallet_paise
    for charge in charges:
        paid = min(left, charge.amount_paise)
        left -= paid
        for account, amount in ((wallet, paid), (receivable, charge.amount_paise - paid)):
            if amount:
                legs.append(Leg(account, charge.account, amount, charge.kind, charge.memo))
    return legs


def _captured(entry_key: str, organisation_id: int) -> Captured | None:
    receivable = ledger.receivable_code(organisation_id)
    rows = LedgerTransfer.objects.filter(entry_key=entry_key).values_list("debit__code", "amount_paise")
    short = sum(amount for code, amount in rows if code == receivable)
    return Captured(sum(amount for _, amount in rows) - short, short, False) if rows else None


def _book_shortfall(
    has_wallet: bool, organisation_id: int, session_id: int | None, shortfall_paise: int, now: datetime
) -> None:
    kind = BillingException.Kind.OVER_CAPTURE if has_wallet else BillingException.Kind.NO_WALLET
    if has_wallet:  # no new sessions until somebody pays; a frozen wallet stays frozen
        active = Wallet.objects.filter(organisation_id=organisation_id, state=Wallet.State.ACTIVE)
        active.update(state=Wallet.State.HOLD_ONLY)
    open_exception(
        organisation_id=organisation_id,
        kind=kind,
        session_id=session_id,
        title="The wallet could not pay the whole session" if has_wallet else "Charged without a wallet",
        details={"shortfall_paise": shortfall_paise},
        amount_paise=shortfall_paise,
        at=now,
    )


def _settle_receivable(organisation_id: int, key: str, at: datetime) -> None:
    """Fresh money pays what is owed; when all is paid, charging may start again."""
    wallet = Wallet.objects.select_for_update().get(organisation_id=organisation_id)
    owed = ledger.balance_paise(ledger.receivable_code(organisation_id))
    paid = min(owed, max(0, wallet.available_paise))
    if paid > 0:
        leg = Leg(
            ledger.wallet_code(organisation_id), ledger.receivable_code(organisation_id), paid, "settle_receivable"
        )
        about = Dimensions(organisation_id=organisation_id)
        ledger.post(entry_key=f"settle:{organisation_id}:{key}", legs=[leg], occurred_at=at, about=about)
    if paid >= owed:
        Wallet.objects.filter(pk=wallet.pk, state=Wallet.State.HOLD_ONLY).update(state=Wallet.State.ACTIVE)


def _announce(organisation_id: int) -> None:
    wallet = Wallet.objects.filter(organisation_id=organisation_id).first()
    if wallet:
        publish(WalletChanged(organisation_id, wallet.posted_paise, wallet.held_paise, wallet.available_paise))
