"""Settlements of the gateway: imported row by row, compared with our books in sets, posted once, found in the bank."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, Min

from billing.gateways.base import Entity, PaymentGateway
from billing.models import GatewayPayment, LedgerTransfer, Settlement, SettlementRow
from billing.payments import rules, settlement_sql
from billing.payments.applying import CLEARING
from billing.services import ledger
from billing.services.ledger import Leg

PAGE = 1_000
LOOK_BACK_DAYS = 3
MOST_DAYS = 60  # a quiet year is not asked for day by day, every hour
MISSING_AFTER = timedelta(days=5)
BANK_MISSING_AFTER = timedelta(days=3)
State, Outcome = Settlement.State, SettlementRow.Outcome


def import_recent(*, now: datetime, gateway: PaymentGateway) -> int:
    """All days since the newest settlement that we know, and some before. Rows that are there already stay as they are.

    Not inside a transaction.
    """
    new = sum(import_day(day=day, now=now, gateway=gateway) for day in _days(now))
    settle(now=now)
    return new


def _days(now: datetime) -> Iterator[date]:
    """From some days before the newest settlement that we know, or else from our first payment; the oldest first, so
    that what breaks off goes on."""
    today = rules.day_of(now)
    newest = Settlement.objects.aggregate(at=Max("settled_at"))["at"]
    newest = newest or GatewayPayment.objects.aggregate(at=Min("credited_at"))["at"]
    known = min(today, rules.day_of(newest)) if newest else today
    first = max(known - timedelta(days=LOOK_BACK_DAYS - 1), today - timedelta(days=MOST_DAYS))
    return (first + timedelta(days=ahead) for ahead in range((today - first).days + 1))


def import_day(*, day: date, now: datetime, gateway: PaymentGateway) -> int:
    """All pages of one day, kept together: a settlement of which only some pages came is none. How many rows are new.

    What a page repeats because rows came in between is kept once.
    """
    items: list[Entity] = []
    while len(page := gateway.settlement_page(day=day, count=PAGE, skip=len(items))) == PAGE:
        items += page
    return keep([*items, *page], now=now)


@transaction.atomic
def keep(items: Iterable[Entity], *, now: datetime) -> int:
    """Store report items, each once; what was missing until now gets its settlement. Returns how many are new."""
    usable = [item for item in items if item.get("settlement_id") and item.get("entity_id") and item.get("type")]
    settlements = {
        str(item["settlement_id"]): Settlement(
            settlement_id=item["settlement_id"], utr=str(item.get("settlement_utr") or ""),
            settled_at=_instant(item.get("settled_at"), now),
        )
        for item in usable
    }  # fmt: skip
    Settlement.objects.bulk_create(settlements.values(), ignore_conflicts=True)
    pks = dict(Settlement.objects.filter(settlement_id__in=settlements).values_list("settlement_id", "pk"))
    rows = {(item["type"], item["entity_id"]): _columns(item, pks[str(item["settlement_id"])]) for item in usable}
    if not rows:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(settlement_sql.KEEP, [list(column) for column in zip(*rows.values(), strict=True)])
        return int(cursor.rowcount)


def settle(*, now: datetime) -> None:
    """Judge every row, post what is complete, look for it in the bank."""
    compare(now=now)
    for pk in Settlement.objects.filter(posted_at=None).order_by("settled_at").values_list("pk", flat=True):
        post(settlement_pk=pk, now=now)
    match_bank(now=now)


@transaction.atomic
def compare(*, now: datetime) -> dict[str, int]:
    """An outcome for every row, in a few statements whatever their number; how many of each."""
    with connection.cursor() as cursor:
        cursor.execute(settlement_sql.JUDGE, {"now": now})
        cursor.execute(settlement_sql.MISSING, {"now": now, "before": now - MISSING_AFTER})
        _clear_suspense(now)
        cursor.execute("SELECT outcome, count(*) FROM billing_settlementrow GROUP BY outcome")
        return {str(outcome): int(count) for outcome, count in cursor.fetchall()}


@transaction.atomic
def post(*, settlement_pk: int, now: datetime) -> bool:
    """Into the ledger: the bank's part, the fee, its GST; what we do not know goes through suspense. Once."""
    settlement = Settlement.objects.select_for_update().get(pk=settlement_pk)
    rows = list(settlement.rows.all())
    if settlement.posted_at is not None or not rows or any(row.is_on_hold or not row.outcome for row in rows):
        return False
    net = sum(row.credit_paise - row.debit_paise for row in rows)
    tax = sum(row.tax_paise for row in rows)
    fee = sum(row.amount_paise - row.credit_paise for row in rows if row.credit_paise) - tax
    legs = [
        *_leg("bank", CLEARING, net), *_leg("gateway_fees", CLEARING, fee),
        *_leg("gateway_gst_input", CLEARING, tax), *_leg(CLEARING, "suspense", _suspend(rows)),
    ]  # fmt: skip
    if legs:
        ledger.post(
            entry_key=f"settlement:{settlement.settlement_id}", legs=legs, occurred_at=min(now, settlement.settled_at)
        )
    settlement.amount_paise, settlement.fee_paise, settlement.tax_paise = net, fee, tax
    settlement.posted_at = now
    settlement.save()
    return True


def match_bank(*, now: datetime) -> None:
    """By UTR; the amounts decide."""
    with connection.cursor() as cursor:
        cursor.execute(settlement_sql.FIND_IN_BANK)
        cursor.execute(settlement_sql.NOT_IN_BANK, {"before": now - BANK_MISSING_AFTER})


def unexplained_paise() -> int:
    """What the gateway should still owe us by our books, less what it has not settled yet; 0 when all is explained."""
    with connection.cursor() as cursor:
        cursor.execute(settlement_sql.NOT_SETTLED_YET)
        pending = int(cursor.fetchone()[0])
    return ledger.balance_paise(CLEARING) - pending


def is_posted(settlement_id: str) -> bool:
    return LedgerTransfer.objects.filter(entry_key=f"settlement:{settlement_id}").exists()


def _suspend(rows: Iterable[SettlementRow]) -> int:
    """Payments that are in no wallet, less refunds and deductions that left none; each row keeps its part."""
    unknown = [row for row in rows if row.outcome == Outcome.UNKNOWN]
    for row in unknown:
        row.suspense_paise = row.amount_paise if row.credit_paise else -row.debit_paise
    SettlementRow.objects.bulk_update(unknown, ["suspense_paise"])
    return sum(row.suspense_paise for row in unknown)


def _clear_suspense(now: datetime) -> None:
    """What nobody knew when its settlement was posted, and is in our books by now, leaves suspense again, once."""
    known = SettlementRow.objects.filter(outcome__in=[Outcome.MATCHED, Outcome.DIFFERS]).exclude(suspense_paise=0)
    for row in known.select_for_update().order_by("pk"):
        legs = _leg("suspense", CLEARING, row.suspense_paise)
        ledger.post(entry_key=f"settlement-row:{row.kind}:{row.entity_id}", legs=legs, occurred_at=now)
    known.update(suspense_paise=0)


def _leg(debit: str, credit: str, paise: int) -> list[Leg]:
    if paise == 0:
        return []
    return [Leg(debit, credit, paise, "settlement") if paise > 0 else Leg(credit, debit, -paise, "settlement")]


def _columns(item: Entity, settlement_pk: int) -> tuple[Any, ...]:
    return (
        settlement_pk, str(item["type"])[:12], str(item["entity_id"])[:40], str(item.get("payment_id") or "")[:40],
        str(item.get("dispute_id") or "")[:40], _paise(item, "amount"), _paise(item, "credit"), _paise(item, "debit"),
        _paise(item, "fee"), _paise(item, "tax"), bool(item.get("on_hold")),
    )  # fmt: skip


def _paise(item: Entity, name: str) -> int:
    value = item.get(name)
    return value if isinstance(value, int) else 0


def _instant(value: Any, now: datetime) -> datetime:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) and 0 < value < 1 << 33 else now
