"""Money set aside while charging: once per session, on every limit and the wallet, or on none of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import F
from psycopg.types.json import Jsonb

from billing.entitlement import Limit
from billing.events import WalletChanged
from billing.limits import sql, using
from billing.models import Hold, Wallet
from billing.services.low_wallets import CROSSES
from fleetcharge.lib.db import in_one_line
from fleetcharge.lib.events import publish

HOLD_LIFETIME = timedelta(hours=12)


@dataclass(frozen=True)
class HoldResult:
    """`reason` is held | no_wallet | wallet_frozen | insufficient | limit:<scope>."""

    is_held: bool
    reason: str
    amount_paise: int = 0
    is_new: bool = field(default=True, compare=False)


class Refused(Exception):
    """Undoes what was reserved already; says why, or nothing when the wallet could not."""


class _HeldBefore(Exception):
    def __init__(self, result: HoldResult) -> None:
        self.result = result


_AVAILABLE = "(posted_paise - held_paise + credit_limit_paise)"
# known: the same session again. taken: the condition is judged on the locked row, whoever came first.
_HOLD = in_one_line(f"""
WITH known AS (SELECT amount_paise FROM billing_hold WHERE session_key = %(key)s),
taken AS (
    UPDATE billing_wallet SET held_paise = held_paise + %(amount)s
    WHERE organisation_id = %(organisation)s AND state = 'active' AND NOT EXISTS (SELECT 1 FROM known)
      AND posted_paise - held_paise + credit_limit_paise >= %(amount)s
    RETURNING account_id, posted_paise, held_paise, posted_paise - held_paise + credit_limit_paise AS available,
              {CROSSES.format(wallet="billing_wallet", available=_AVAILABLE)} AS warns
), made AS (
    INSERT INTO billing_hold (wallet_id, session_key, amount_paise, energy_wh, limits, state, expires_at, created_at)
    SELECT account_id, %(key)s, %(amount)s, %(wh)s, %(limits)s, 'active', %(expires)s, %(now)s FROM taken
)
SELECT (SELECT amount_paise FROM known), taken.posted_paise, taken.held_paise, taken.available, taken.warns
FROM (VALUES (1)) AS always(one) LEFT JOIN taken ON true
""")  # noqa: S608
_RELEASE = in_one_line(f"""
WITH closed AS (
    UPDATE billing_hold SET state = 'released', closed_at = %(now)s
    WHERE session_key = %(key)s AND state = 'active' RETURNING wallet_id, amount_paise, energy_wh, limits
), fresh AS (SELECT 0 AS paise, 0 AS wh), used AS ({sql.USED_BY_HOLD}), booked AS ({sql.MOVE_HOLD})
UPDATE billing_wallet w SET held_paise = w.held_paise - closed.amount_paise FROM closed
WHERE w.account_id = closed.wallet_id AND (SELECT count(*) FROM booked) >= 0
RETURNING w.organisation_id, w.posted_paise, w.held_paise, w.posted_paise - w.held_paise + w.credit_limit_paise
""")  # noqa: S608


def hold_key(session_id: int) -> str:
    """The name under which a session holds money."""
    return f"session:{session_id}"


def hold(
    *,
    organisation_id: int,
    session_key: str,
    amount_paise: int,
    now: datetime,
    minimum_paise: int | None = None,
    energy_wh: int = 0,
    limits: Sequence[Limit] = (),
) -> HoldResult:
    """Set money (and energy, on limits) aside, at most once per `session_key`, for all of `limits` or not at all.

    With `minimum_paise`, take that when the whole is not there.
    """
    amounts = sorted({amount_paise, minimum_paise or amount_paise}, reverse=True)
    reason = ""
    try:
        with transaction.atomic():
            snapshot = _snapshot(limits, organisation_id)
            for amount in amounts:
                wh = energy_wh * amount // amount_paise if amount_paise else 0
                try:
                    return _hold(organisation_id, session_key, amount, wh, snapshot, now)
                except Refused as refused:
                    reason = str(refused)
    except IntegrityError:  # the same session on another socket was first
        if known := Hold.objects.filter(session_key=session_key).first():
            return HoldResult(True, "held", known.amount_paise)
        raise
    return HoldResult(False, reason or _why_not(organisation_id))


@transaction.atomic
def extend(*, session_key: str, extra_paise: int, now: datetime, extra_wh: int = 0) -> bool:
    """Hold more for a running session, in money, energy or both.

    False when a limit or the wallet cannot bear it or the hold is closed.
    """
    held = Hold.objects.select_for_update(of=("self",)).select_related("wallet").filter(
        session_key=session_key, state=Hold.State.ACTIVE
    ).first()  # fmt: skip
    if held is None or min(extra_paise, extra_wh) < 0 or not (extra_paise or extra_wh):
        return False
    if not _reserve_more(held, extra_paise, extra_wh):
        return False
    held.amount_paise += extra_paise
    held.energy_wh += extra_wh
    held.expires_at = now + HOLD_LIFETIME
    held.save(update_fields=["amount_paise", "energy_wh", "expires_at"])
    announce(held.wallet.organisation_id)
    return True


def room(held: Hold) -> tuple[int, int | None]:
    """(paise, Wh) that could be held more for it, as limits and wallet stand now; None: nothing bounds its energy."""
    of_limits = using.left([each["id"] for each in held.limits.get("usages") or []])
    of_session = using.bounds(held.limits.get("session") or [])
    has = held.amount_paise, held.energy_wh
    own = [None if most is None else most - used for most, used in zip(of_session, has, strict=True)]
    wallet = Wallet.objects.get(pk=held.wallet_id)
    money = [wallet.available_paise if wallet.state == Wallet.State.ACTIVE else 0, of_limits[0], own[0]]
    energy = [each for each in (of_limits[1], own[1]) if each is not None]
    return max(0, min(each for each in money if each is not None)), max(0, min(energy)) if energy else None


@transaction.atomic
def release(*, session_key: str, now: datetime) -> bool:
    """Give held money back; False when there was none."""
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, {"key": session_key, "now": now})
        row = cursor.fetchone()
    if row is None:
        return False
    publish(WalletChanged(*row))
    return True


def announce(organisation_id: int) -> None:
    """Tell what is in the wallet now."""
    wallet = Wallet.objects.filter(organisation_id=organisation_id).first()
    if wallet:
        publish(WalletChanged(organisation_id, wallet.posted_paise, wallet.held_paise, wallet.available_paise))


def _snapshot(limits: Sequence[Limit], organisation_id: int) -> dict[str, Any]:
    """What the hold stands on, as it is now; kept with it."""
    if not limits:
        return {}
    of_session = [limit.limit_id for limit in limits if limit.period == "session" and limit.is_hard]
    return {"usages": using.opened(limits, organisation_id=organisation_id), "session": of_session}


def _hold(
    organisation_id: int, session_key: str, amount_paise: int, wh: int, snapshot: dict[str, Any], now: datetime
) -> HoldResult:
    """Limits first, the hot row last; raises Refused. Without limits one statement decides and takes the money."""
    if not snapshot:
        return _take_and_hold(organisation_id, session_key, amount_paise, wh, snapshot, now)
    if known := Hold.objects.filter(session_key=session_key).first():
        return HoldResult(True, "held", known.amount_paise)
    try:
        with transaction.atomic():
            if reason := using.reserve(snapshot["usages"], paise=amount_paise, wh=wh):
                raise Refused(reason)
            result = _take_and_hold(organisation_id, session_key, amount_paise, wh, snapshot, now)
            if not result.is_new:
                raise _HeldBefore(result)
            return result
    except _HeldBefore as before:  # while we waited for the limits; what we reserved is undone
        return before.result


def _take_and_hold(
    organisation_id: int, session_key: str, amount_paise: int, wh: int, snapshot: dict[str, Any], now: datetime
) -> HoldResult:
    values: dict[str, Any] = {
        "organisation": organisation_id, "key": session_key, "amount": amount_paise, "wh": wh, "now": now,
        "limits": Jsonb(snapshot), "expires": now + HOLD_LIFETIME,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, values)
        known, posted, held, available, warns = cursor.fetchone()
    if known is not None:
        return HoldResult(True, "held", known, is_new=False)
    if posted is None:
        raise Refused
    publish(WalletChanged(organisation_id, posted, held, available, may_warn=warns))
    return HoldResult(True, "held", amount_paise)


def _reserve_more(held: Hold, extra_paise: int, extra_wh: int) -> bool:
    """On every limit of its snapshot and the wallet, or on none."""
    most_paise, most_wh = using.bounds(held.limits.get("session") or [])
    if most_paise is not None and held.amount_paise + extra_paise > most_paise:
        return False
    if most_wh is not None and held.energy_wh + extra_wh > most_wh:
        return False
    usages = held.limits.get("usages")
    if not usages:
        return _take(held.wallet_id, extra_paise)
    try:
        with transaction.atomic():
            if using.reserve(usages, paise=extra_paise, wh=extra_wh) or not _take(held.wallet_id, extra_paise):
                raise Refused
    except Refused:
        return False
    return True


def _take(wallet_id: int, amount_paise: int) -> bool:
    """One conditional update decides; no lock is held while anybody thinks."""
    if not amount_paise:
        return True
    affordable = Wallet.objects.filter(
        pk=wallet_id,
        state=Wallet.State.ACTIVE,
        posted_paise__gte=F("held_paise") - F("credit_limit_paise") + amount_paise,
    )
    return affordable.update(held_paise=F("held_paise") + amount_paise) == 1


def _why_not(organisation_id: int) -> str:
    wallet = Wallet.objects.filter(organisation_id=organisation_id).first()
    if wallet is None:
        return "no_wallet"
    return "insufficient" if wallet.state == Wallet.State.ACTIVE else "wallet_frozen"
