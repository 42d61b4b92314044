"""Proves the books: projection equals journal, holds add up, every captured session has exactly one charge."""

import itertools
import logging
from collections.abc import Sequence
from datetime import datetime

from django.db import connection, transaction

from billing.limits import proving
from billing.models import BillingException, JournalCheckpoint, Wallet
from billing.payments import settlements
from billing.services import checkpoints
from billing.services.exceptions import open_exception
from fleetcharge.accounts.services import audit

logger = logging.getLogger(__name__)
# the checks that name a wallet's account first: that wallet must not be spent from until somebody looked
ABOUT_A_WALLET = ("wallet balance differs from its journal", "held money differs from the active holds")

BROKEN_CHAIN = "sealed day of the journal that was changed"
CHECKS: dict[str, str] = {
    "wallet balance differs from its journal": """
        SELECT a.code, w.posted_paise,
               COALESCE((SELECT sum(t.amount_paise) FROM billing_ledgertransfer t WHERE t.credit_id = a.id), 0)
             - COALESCE((SELECT sum(t.amount_paise) FROM billing_ledgertransfer t WHERE t.debit_id = a.id), 0)
        FROM billing_wallet w JOIN billing_ledgeraccount a ON a.id = w.account_id
        WHERE w.posted_paise <>
               COALESCE((SELECT sum(t.amount_paise) FROM billing_ledgertransfer t WHERE t.credit_id = a.id), 0)
             - COALESCE((SELECT sum(t.amount_paise) FROM billing_ledgertransfer t WHERE t.debit_id = a.id), 0)""",
    "held money differs from the active holds": """
        SELECT a.code, w.held_paise, COALESCE(sum(h.amount_paise) FILTER (WHERE h.state = 'active'), 0) AS holds
        FROM billing_wallet w JOIN billing_ledgeraccount a ON a.id = w.account_id
        LEFT JOIN billing_hold h ON h.wallet_id = w.account_id
        GROUP BY a.code, w.held_paise
        HAVING w.held_paise <> COALESCE(sum(h.amount_paise) FILTER (WHERE h.state = 'active'), 0)""",
    "limit reserves other than what its holds do": """
        SELECT u.id, u.reserved_paise, COALESCE(sum(h.amount_paise), 0) AS holds
        FROM billing_limitusage u LEFT JOIN (
            SELECT (each->>'id')::bigint AS usage_id, h.amount_paise
            FROM billing_hold h CROSS JOIN jsonb_array_elements(h.limits->'usages') each WHERE h.state = 'active'
        ) h ON h.usage_id = u.id
        GROUP BY u.id, u.reserved_paise HAVING u.reserved_paise <> COALESCE(sum(h.amount_paise), 0)""",
    "limit reserves other energy than what its holds do": """
        SELECT u.id, u.reserved_wh, COALESCE(sum(h.energy_wh), 0) AS holds
        FROM billing_limitusage u LEFT JOIN (
            SELECT (each->>'id')::bigint AS usage_id, h.energy_wh
            FROM billing_hold h CROSS JOIN jsonb_array_elements(h.limits->'usages') each WHERE h.state = 'active'
        ) h ON h.usage_id = u.id
        GROUP BY u.id, u.reserved_wh HAVING u.reserved_wh <> COALESCE(sum(h.energy_wh), 0)""",
    "fleet with a wallet owes less than nothing": """
        SELECT a.code,
               COALESCE((SELECT sum(t.amount_paise) FROM billing_ledgertransfer t WHERE t.debit_id = a.id), 0)
             - COALESCE((SELECT sum(t.amount_paise) FROM billing_ledgertransfer t WHERE t.credit_id = a.id), 0)
        FROM billing_wallet w JOIN billing_ledgeraccount a ON a.code = 'receivable:' || w.organisation_id
        WHERE COALESCE((SELECT sum(t.amount_paise) FROM billing_ledgertransfer t WHERE t.debit_id = a.id), 0)
            < COALESCE((SELECT sum(t.amount_paise) FROM billing_ledgertransfer t WHERE t.credit_id = a.id), 0)""",
    "session on a document with another amount than was charged": """
        SELECT i.document_id, i.cdr_id, i.taxable_paise + i.tax_paise, COALESCE(a.total_paise, c.total_paise)
        FROM billing_billeditem i JOIN billing_cdr c ON c.id = i.cdr_id
        LEFT JOIN billing_cdradjustment a ON a.id = i.adjustment_id
        WHERE i.taxable_paise + i.tax_paise <> COALESCE(a.total_paise, c.total_paise) OR c.captured_at IS NULL""",
    "top-up that is not the sum of its receipt voucher and the debts it paid": """
        SELECT t.entry_key, t.amount_paise, sum(part.paise) FROM billing_ledgertransfer t JOIN (
            SELECT advance_id AS id, total_paise AS paise FROM billing_taxdocument WHERE advance_id IS NOT NULL
            UNION ALL SELECT transfer_id, amount_paise FROM billing_debtpayment
        ) part ON part.id = t.id
        GROUP BY t.id, t.entry_key, t.amount_paise HAVING t.amount_paise <> sum(part.paise)""",
    "captured record without exactly its price in the ledger": """
        SELECT c.session_id, c.total_paise, COALESCE(sum(t.amount_paise), 0) AS charged
        FROM billing_cdr c LEFT JOIN billing_ledgertransfer t
          ON t.entry_key = 'charge:' || c.session_id AND t.kind = 'charge'
        WHERE c.captured_at IS NOT NULL
        GROUP BY c.session_id, c.total_paise HAVING c.total_paise <> COALESCE(sum(t.amount_paise), 0)""",
    "adjustment without exactly its difference in the ledger": """
        SELECT * FROM (
            SELECT d.session_id, a.number, a.total_paise, COALESCE(sum(CASE
                       WHEN c.code LIKE 'wallet:%%' OR c.code LIKE 'receivable:%%' THEN -t.amount_paise
                       ELSE t.amount_paise END), 0) AS posted
            FROM billing_cdradjustment a JOIN billing_cdr d ON d.id = a.cdr_id
            LEFT JOIN billing_ledgertransfer t ON t.kind IN ('adjustment', 'reversal') AND t.entry_key IN (
                'adjust:' || d.session_id || ':' || a.number, 'adjust:' || d.session_id || ':' || a.number || ':refund')
            LEFT JOIN billing_ledgeraccount c ON c.id = t.credit_id
            GROUP BY d.session_id, a.number, a.total_paise
        ) q WHERE total_paise <> posted""",
    "session with more than one charge": """
        SELECT session_id, count(DISTINCT entry_key) FROM billing_ledgertransfer
        WHERE kind = 'charge' GROUP BY session_id HAVING count(DISTINCT entry_key) > 1""",
    "charge without a captured record": """
        SELECT DISTINCT t.session_id, t.entry_key FROM billing_ledgertransfer t
        LEFT JOIN billing_cdr c ON c.session_id = t.session_id AND c.captured_at IS NOT NULL
        WHERE t.kind = 'charge' AND c.id IS NULL""",
    "finished session that still holds money": """
        SELECT h.session_key, h.amount_paise FROM billing_hold h
        JOIN billing_cdr c ON h.session_key = 'session:' || c.session_id
        WHERE h.state = 'active' AND c.captured_at IS NOT NULL""",
    "entry with a gap in its legs": """
        SELECT entry_key, count(*), max(leg) FROM billing_ledgertransfer
        GROUP BY entry_key HAVING count(*) <> max(leg)""",
    "transfer between accounts of another currency": """
        SELECT t.entry_key, t.leg, t.currency FROM billing_ledgertransfer t
        JOIN billing_ledgeraccount d ON d.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
        WHERE d.currency <> t.currency OR c.currency <> t.currency""",
}


def differences(*, limit: int = 20, with_limits: bool = True) -> dict[str, list[tuple[object, ...]]]:
    """What is wrong, by check; empty when the books are right. Reads only."""
    found: dict[str, list[tuple[object, ...]]] = {}
    with connection.cursor() as cursor:
        for name, query in CHECKS.items():
            cursor.execute(f"{query} LIMIT %s", [limit])
            if rows := cursor.fetchall():
                found[name] = rows
    if with_limits and (spent := proving.differing(limit=limit)):
        found[proving.SPENT] = spent
    if days := list(itertools.islice(checkpoints.broken(), limit)):
        found[BROKEN_CHAIN] = [tuple(each) for each in days]
    return found


def checks() -> int:
    """How many things `differences` looks at."""
    return len(CHECKS) + 2  # limits, sealed days


def volume() -> tuple[int, int, int]:
    """Transfers, wallets, captured records: what `differences` looked at."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM billing_ledgertransfer), (SELECT count(*) FROM billing_wallet),"
            " (SELECT count(*) FROM billing_cdr WHERE captured_at IS NOT NULL)"
        )
        transfers, wallets, captured = cursor.fetchone()
    return transfers, wallets, captured


def sealed_days() -> int:
    return JournalCheckpoint.objects.count()


def prove(*, now: datetime) -> int:
    """The nightly proof, then the days that are over are sealed. Returns how many differences there are.

    A wallet that differs from its journal is frozen, and finance sees why; what is about no wallet is an exception of
    the platform's own.
    """
    found = differences(limit=1_000)
    for name, rows in found.items():
        logger.critical("the books do not add up: %s: %s", name, rows[:20])
    codes = {str(row[0]): name for name in ABOUT_A_WALLET for row in found.get(name, ())}
    wallets = Wallet.objects.filter(account__code__in=codes).select_related("account")
    for wallet in wallets:
        _freeze(wallet, codes[wallet.account.code], now)
    for name in found.keys() - set(ABOUT_A_WALLET):
        _report(name, found[name], now)
    if paise := settlements.unexplained_paise():
        _report("the gateway owes us other than our books say", [(paise,)], now)
    checkpoints.seal(now=now)
    return sum(map(len, found.values()))


def _report(problem: str, rows: Sequence[tuple[object, ...]], now: datetime) -> None:
    """For the platform's own finance: one open row per check."""
    open_exception(
        organisation_id=None, kind=BillingException.Kind.BOOKS_DIFFER, title=problem[:1].upper() + problem[1:],
        reference=problem[:120], details={"count": len(rows), "first": [list(map(str, row)) for row in rows[:20]]},
        at=now,
    )  # fmt: skip


@transaction.atomic
def _freeze(wallet: Wallet, problem: str, now: datetime) -> None:
    others = Wallet.objects.filter(pk=wallet.pk).exclude(state=Wallet.State.FROZEN)  # a top-up reopens `hold_only`
    changed = others.update(state=Wallet.State.FROZEN)
    if changed:
        audit(action="wallet.freeze", target=wallet, actor=None, reason=problem, organisation=wallet.organisation)
    open_exception(
        organisation_id=wallet.organisation_id, kind=BillingException.Kind.BOOKS_DIFFER, title=f"Wallet: {problem}",
        reference=wallet.account.code, details={"problem": problem}, at=now,
    )  # fmt: skip
