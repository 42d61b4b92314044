"""How an organisation's wallet stands: what is there, what is held and why, how long it lasts. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from billing.models import BillingException, Wallet
from billing.services import ledger

BURN_DAYS, A_DAY_SECONDS = 7, 86_400
CHARGING, PRICING, OTHER = "charging", "pricing", "other"

_HELD = """
SELECT reason, count(*), sum(amount_paise) FROM (
    SELECT h.amount_paise, CASE
        WHEN s.id IS NULL THEN 'other' WHEN s.state = 'active' THEN 'charging'
        WHEN e.kind IS NOT NULL THEN e.kind ELSE 'pricing' END AS reason
    FROM billing_hold h
    LEFT JOIN billing_chargingsession s
        ON s.id = CASE WHEN h.session_key ~ '^session:[0-9]{1,18}$' THEN substr(h.session_key, 9)::bigint END
    LEFT JOIN LATERAL (
        SELECT kind FROM billing_billingexception x
        WHERE x.session_id = s.id AND x.resolved_at IS NULL ORDER BY x.opened_at LIMIT 1
    ) e ON true
    WHERE (%(wallet)s::bigint IS NULL OR h.wallet_id = %(wallet)s) AND h.state = 'active' AND h.amount_paise > 0
) held GROUP BY reason ORDER BY sum(amount_paise) DESC, reason
"""
_SPENT = """
SELECT COALESCE(sum(CASE WHEN t.debit_id = a.id THEN t.amount_paise ELSE -t.amount_paise END), 0),
       CASE WHEN EXISTS (
           SELECT 1 FROM billing_ledgertransfer o
           WHERE o.organisation_id = %(fleet)s AND o.session_id IS NOT NULL AND o.occurred_at < %(since)s
       ) THEN %(since)s ELSE min(t.occurred_at) END
FROM billing_ledgertransfer t JOIN billing_ledgeraccount a ON a.id IN (t.debit_id, t.credit_id)
WHERE t.organisation_id = %(fleet)s AND t.session_id IS NOT NULL AND t.occurred_at >= %(since)s
  AND a.code IN (%(wallet)s, %(owed)s)
"""


@dataclass(frozen=True)
class Held:
    """Money set aside for one reason: charging, pricing (its price is coming), other, or the kind of an open exception.

    `needs_decision`: it stays until a person in finance has decided.
    """

    reason: str
    count: int
    amount_paise: int

    @property
    def needs_decision(self) -> bool:
        return self.reason in BillingException.Kind.values


@dataclass(frozen=True)
class Standing:
    """All in paise. `runway_days` is None when nothing was spent lately; `per_day_paise` since the fleet charges."""

    posted_paise: int
    held_paise: int
    credit_limit_paise: int
    spendable_paise: int
    owed_paise: int
    low_threshold_paise: int
    state: str
    spent_paise: int
    runway_days: int | None
    held: tuple[Held, ...]
    per_day_paise: int = 0

    @property
    def is_low(self) -> bool:
        return self.spendable_paise < self.low_threshold_paise


def standing(wallet: Wallet, *, now: datetime) -> Standing:
    """Four queries, whatever the number of sessions."""
    spendable = wallet.available_paise
    spent, since = _spent(wallet.organisation_id, now)
    seconds = burn_seconds(since, now)
    return Standing(
        wallet.posted_paise, wallet.held_paise, wallet.credit_limit_paise, spendable,
        ledger.balance_paise(ledger.receivable_code(wallet.organisation_id)), wallet.low_threshold_paise, wallet.state,
        spent, lasts_days(spendable, spent, seconds), held_by_reason(wallet), spent * A_DAY_SECONDS // seconds,
    )  # fmt: skip


def burn_seconds(since: datetime | None, now: datetime) -> int:
    """The stretch that a week's spend is spread over: a younger fleet's is shorter, but a day at least."""
    longest = BURN_DAYS * A_DAY_SECONDS
    return longest if since is None else min(longest, max(A_DAY_SECONDS, int((now - since).total_seconds())))


def lasts_days(spendable_paise: int, spent_paise: int, seconds: int) -> int | None:
    """Whole days at that pace; None when nothing was spent."""
    return max(0, spendable_paise) * seconds // (spent_paise * A_DAY_SECONDS) if spent_paise > 0 else None


def held_by_reason(wallet: Wallet | None) -> tuple[Held, ...]:
    """The largest first; together they are the wallet's held money, or that of all wallets (None)."""
    with connection.cursor() as cursor:
        cursor.execute(_HELD, {"wallet": None if wallet is None else wallet.pk})
        return tuple(Held(str(reason), int(count), int(paise)) for reason, count, paise in cursor.fetchall())


def _spent(organisation_id: int, now: datetime) -> tuple[int, datetime | None]:
    """For sessions in the last week, whoever paid, the wallet or nobody yet; and since when the fleet spends in it."""
    facts: dict[str, Any] = {
        "fleet": organisation_id, "since": now - timedelta(days=BURN_DAYS),
        "wallet": ledger.wallet_code(organisation_id), "owed": ledger.receivable_code(organisation_id),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_SPENT, facts)
        paise, since = cursor.fetchone()
        return int(paise), since
