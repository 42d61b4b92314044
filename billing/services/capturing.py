"""Turning a hold into a charge: one statement where the wallet can pay, and never a refusal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from billing.events import WalletChanged
from billing.limits import correcting, sql, using
from billing.models import BillingException, LedgerTransfer, Wallet
from billing.services import ledger
from billing.services.exceptions import open_exception
from billing.services.holding import announce, hold_key
from billing.services.ledger import Dimensions, Leg
from billing.services.low_wallets import CROSSES
from fleetcharge.lib.db import in_one_line
from fleetcharge.lib.events import publish


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


_AFTERWARDS = "(w.posted_paise - w.held_paise + w.credit_limit_paise - %(total)s)"
# Close the hold, move its limits, free its money, post the legs when the wallet bears them: the hot row is locked for
# this statement and the commit only. What it cannot do (too little money, a new account) it leaves to `_post`.
# ready: the hold moves all that limits count; otherwise nothing is done until their usages are locked, as everywhere
# before the wallet.
_CAPTURE = in_one_line(f"""
WITH known AS (SELECT 1 FROM billing_ledgertransfer WHERE entry_key = %(entry)s LIMIT 1),
free AS (
    SELECT 1 WHERE %(is_locked)s OR EXISTS (SELECT 1 FROM known)
    OR NOT EXISTS (SELECT 1 FROM billing_spendlimit WHERE organisation_id = %(organisation)s)
), closed AS (
    UPDATE billing_hold SET state = 'captured', closed_at = %(now)s
    WHERE session_key = %(key)s AND state = 'active'
      AND (EXISTS (SELECT 1 FROM free) OR jsonb_array_length(limits->'usages') > 0)
      AND (NOT %(is_second)s OR id IN (SELECT id FROM billing_hold WHERE session_key = %(key)s AND state = 'active'
                                       FOR UPDATE SKIP LOCKED))
    RETURNING amount_paise, energy_wh, limits
), ready AS (SELECT 1 WHERE EXISTS (SELECT 1 FROM free) OR EXISTS (SELECT 1 FROM closed)),
fresh AS (SELECT %(total)s::bigint AS paise, %(wh)s::bigint AS wh WHERE NOT EXISTS (SELECT 1 FROM known)
          UNION ALL SELECT 0, 0 WHERE EXISTS (SELECT 1 FROM known)),
used AS ({sql.USED_BY_HOLD}), booked AS ({sql.MOVE_HOLD}),
part AS (
    SELECT charge.number AS leg, account.id AS account_id, charge.paise, charge.kind, charge.memo
    FROM unnest(%(accounts)s::text[], %(paise)s::bigint[], %(kinds)s::text[], %(memos)s::text[])
        WITH ORDINALITY AS charge (code, paise, kind, memo, number)
    LEFT JOIN billing_ledgeraccount account ON account.code = charge.code
), freed AS (
    UPDATE billing_wallet w SET held_paise = w.held_paise - COALESCE((SELECT amount_paise FROM closed), 0)
    WHERE w.organisation_id = %(organisation)s AND (SELECT count(*) FROM booked) >= 0
      AND EXISTS (SELECT 1 FROM ready)
    RETURNING w.account_id, w.posted_paise, w.held_paise,
              w.posted_paise - w.held_paise + w.credit_limit_paise AS spendable,
              {CROSSES.format(wallet="w", available=_AFTERWARDS)} AS warns
), legs AS (
    INSERT INTO billing_ledgertransfer (entry_key, leg, debit_id, credit_id, amount_paise, currency, kind, memo,
        organisation_id, session_id, vehicle_id, driver_ref, location_id, cost_centre, request_hash, actor, occurred_at,
        recorded_at)
    SELECT %(entry)s, part.leg, freed.account_id, part.account_id, part.paise, %(currency)s, part.kind, part.memo,
           %(organisation)s, %(session)s, %(vehicle)s, %(driver)s::uuid, %(location)s, %(cost_centre)s, %(hash)s,
           'system', %(at)s, %(recorded)s
    FROM freed, part
    WHERE freed.spendable >= %(total)s AND NOT EXISTS (SELECT 1 FROM known)
      AND NOT EXISTS (SELECT 1 FROM part WHERE account_id IS NULL)
    RETURNING 1
)
SELECT freed.posted_paise, freed.held_paise, freed.spendable, (SELECT count(*) FROM legs),
       EXISTS (SELECT 1 FROM known), EXISTS (SELECT 1 FROM ready), freed.warns,
       ARRAY(SELECT id FROM booked)
FROM (VALUES (1)) AS always(one) LEFT JOIN freed ON true
""")  # noqa: S608


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
    energy_wh: int = 0,
    is_written: bool = False,
) -> Captured:
    """Turn a hold into a charge, once per `entry_key`. `energy_wh`: what limits count, beside the money.

    `is_written`: the session's record says already that it is captured, and no limit has counted it yet; the caller has
    locked it, so that nobody else posts its charge.

    Energy already delivered is a fact: a shortfall is booked as receivable, never refused.
    """
    values = _values(organisation_id, session_key, entry_key, charges, about, at, now, currency, energy_wh)
    if is_written:
        return _capture(values, charges, about, now, is_written=True)
    try:
        with transaction.atomic():
            return _capture(values, charges, about, now, is_written=False)
    except IntegrityError:
        if known := _captured(entry_key, organisation_id):  # somebody else posted it between our look and our insert
            return known
        raise


def _capture(
    values: dict[str, Any], charges: Sequence[Charge], about: Dimensions, now: datetime, *, is_written: bool
) -> Captured:
    organisation_id, entry_key, total = values["organisation"], values["entry"], values["total"]
    usages: list[int] = []
    posted, held, left, legs, is_known, is_ready, warns, _ = _execute(values)
    if not is_ready:
        has_hold = about.session_id is not None and values["key"] == hold_key(about.session_id)
        usages = correcting.lock(session_id=about.session_id, is_captured=has_hold, is_written=is_written)
        posted, held, left, legs, is_known, _, warns, moved = _execute(values | {"is_locked": True, "is_second": True})
        usages = [usage for usage in usages if usage not in moved]
    is_posted = posted is not None and legs == len(charges) and not is_known
    if not is_posted and (known := _captured(entry_key, organisation_id)):  # also while we waited for the wallet
        return known
    using.spend(usages, paise=total, wh=values["wh"])
    if is_posted:
        publish(WalletChanged(organisation_id, posted - total, held, left - total, may_warn=warns))
        return Captured(total, 0, True)
    return _post(values, charges, about, now, left)


def _execute(values: dict[str, Any]) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(_CAPTURE, values)
        row: tuple[Any, ...] = cursor.fetchone()
    return row


def _post(
    values: dict[str, Any], charges: Sequence[Charge], about: Dimensions, now: datetime, left: int | None
) -> Captured:
    """What the wallet (None: there is none) can pay from it, the rest from the receivable."""
    organisation_id, total = values["organisation"], values["total"]
    from_wallet = min(total, max(0, left or 0))
    if total:
        legs = _split(charges, organisation_id, from_wallet)
        ledger.post(
            entry_key=values["entry"], legs=legs, occurred_at=values["at"], about=about, currency=values["currency"]
        )
    if total > from_wallet:
        _book_shortfall(left is not None, organisation_id, about.session_id, total - from_wallet, now)
    announce(organisation_id)
    return Captured(from_wallet, total - from_wallet, True)


def _values(
    organisation_id: int, session_key: str, entry_key: str, charges: Sequence[Charge], about: Dimensions, at: datetime,
    now: datetime, currency: str, energy_wh: int,
) -> dict[str, Any]:  # fmt: skip
    total = sum(charge.amount_paise for charge in charges)
    return {
        "organisation": organisation_id, "key": session_key, "entry": entry_key, "total": total, "wh": energy_wh,
        "accounts": [charge.account for charge in charges], "paise": [charge.amount_paise for charge in charges],
        "kinds": [charge.kind for charge in charges], "memos": [charge.memo for charge in charges],
        "session": about.session_id, "vehicle": about.vehicle_id, "driver": about.driver_ref,
        "location": about.location_id, "cost_centre": about.cost_centre, "currency": currency, "at": at, "now": now,
        "recorded": timezone.now(), "is_locked": about.session_id is None, "is_second": False,
        "hash": ledger.content_hash(_split(charges, organisation_id, total), about, currency),
    }  # fmt: skip


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
