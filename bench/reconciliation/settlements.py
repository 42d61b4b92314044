"""Settlement rows judged against our payments, and bank lines found by UTR, beside bare joins over the same rows."""

from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from bench.reconciliation.clock import spent
from billing.payments import bank
from billing.payments import settlements as matching

GOAL = 50_000
PER_SETTLEMENT = 1_000
ODD_EVERY = 1_000  # one row in so many has another amount
_LOAD = """
INSERT INTO billing_gatewaypayment (payment_id, order_id, method, currency, amount_paise, fee_paise, tax_paise,
    refunded_paise, status, error_reason, paid_at, seen_at, credited_at, looks, organisation_id)
SELECT 'pay_' || n, '', 'upi', 'INR', 10000 + n, 236, 36, 0, 'captured', '', %(at)s, %(at)s, %(at)s, 0, %(whose)s
FROM generate_series(1, %(rows)s) n;
INSERT INTO billing_settlement (settlement_id, utr, amount_paise, fee_paise, tax_paise, settled_at, posted_at, state)
SELECT 'setl_' || n, 'UTR' || n, 500000 + n, 0, 0, %(at)s, %(at)s, 'imported' FROM generate_series(1, %(rows)s) n;
INSERT INTO billing_settlementrow (settlement_id, kind, entity_id, payment_id, dispute_id, amount_paise, credit_paise,
    debit_paise, fee_paise, tax_paise, is_on_hold, outcome, difference_paise)
SELECT s.id, 'payment', 'pay_' || n, 'pay_' || n, '', 10000 + n + odd, 10000 + n + odd - 236, 0, 236, 36, false, '', 0
FROM generate_series(1, %(rows)s) n CROSS JOIN LATERAL (SELECT (n %% %(odd)s = 0)::int AS odd) o
JOIN billing_settlement s ON s.settlement_id = 'setl_' || (n / %(each)s + 1)
"""
_FLOOR_ROWS = """
SELECT count(*) FROM billing_settlementrow r JOIN billing_gatewaypayment p ON p.payment_id = r.entity_id
WHERE p.amount_paise = r.amount_paise
"""


def run(*, rows: int) -> None:
    from fleetcharge.accounts.models import Organisation

    now = timezone.now()
    whose = Organisation.objects.create(name="Bench", slug="bench-settlements").pk
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"at": now - timedelta(days=1), "rows": rows, "odd": ODD_EVERY}
        values |= {"each": PER_SETTLEMENT, "whose": whose}
        cursor.execute(_LOAD, values)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    with spent() as floor, connection.cursor() as cursor:
        cursor.execute(_FLOOR_ROWS)
    with spent() as ours:
        outcomes = matching.compare(now=now)
    _say("settlement rows judged", rows, ours, "bare join", floor)
    print("outcomes:", outcomes)
    lines = [
        "date,reference,amount,text",
        *(f"2026-11-20,UTR{n},{(500_000 + n) / 100:.2f},NEFT" for n in range(1, rows + 1)),
    ]
    with spent() as floor, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE bare (booked_on date, reference text, amount numeric, words text)")
        with cursor.copy("COPY bare FROM STDIN WITH (FORMAT csv, HEADER)") as copy:
            copy.write("\n".join(lines))
        cursor.execute("SELECT count(*) FROM bare JOIN billing_settlement s ON s.utr = bare.reference")
    with spent() as ours:
        taken = bank.take(lines, now=now)
    _say("bank lines read, kept and matched", rows, ours, "bare COPY and join", floor)
    with connection.cursor() as cursor:
        cursor.execute("SELECT state, count(*) FROM billing_settlement GROUP BY state")
        print(f"{taken.new:,} new, {len(taken.problems)} problems; settlements:", dict(cursor.fetchall()))


def _say(what: str, rows: int, ours: object, floor_name: str, floor: object) -> None:
    rate, cpu = rows / ours.wall, rows / ours.cpu  # type: ignore[attr-defined]
    ratio = floor.cpu / ours.cpu  # type: ignore[attr-defined]
    print(f"{what}: {rate:,.0f}/s, {cpu:,.0f} per CPU second ({ours}); {floor_name} {floor}, ratio {ratio:.2f};"
          f" goal {GOAL:,}/s")  # fmt: skip
