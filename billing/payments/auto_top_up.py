"""Wallets that are filled before they run dry: a debit takes days, so the need is seen that far ahead."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from billing.models import AutoTopUp, BillingException, Mandate, PaymentIntent, PaymentRule
from billing.models.payments import OPEN_INTENTS
from billing.payments import debits, rules
from billing.payments.forecasting import forecast_paise
from billing.services import ledger, wallets
from billing.services.exceptions import open_exception, withdraw_one
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit

LOOK_EVERY = timedelta(minutes=15)
WEEKS = 8
STEP_PAISE = 100_00

SPENT = """
SELECT (extract(epoch FROM date_trunc('hour', t.occurred_at)) / 3600)::bigint AS hour, sum(t.amount_paise)
FROM billing_ledgertransfer t JOIN billing_ledgeraccount a ON a.id = t.debit_id
WHERE t.organisation_id = %s AND t.occurred_at >= %s AND t.occurred_at < %s AND t.kind = 'charge'
  AND a.code IN (%s, %s)
GROUP BY 1
"""


@dataclass(frozen=True)
class Need:
    """All in paise: what is there less what is owed, what is coming, what will be spent until a debit can be here, what
    is missing."""

    spendable_paise: int
    coming_paise: int
    forecast_paise: int
    safety_paise: int
    missing_paise: int

    @property
    def is_enough(self) -> bool:
        return self.spendable_paise + self.coming_paise - self.forecast_paise >= self.safety_paise


def due(*, now: datetime, limit: int) -> list[int]:
    rows = AutoTopUp.objects.filter(is_active=True, next_look_at__lte=now).order_by("next_look_at")
    return list(rows.values_list("organisation_id", flat=True)[:limit])


@transaction.atomic
def set_up(
    *, organisation_id: int, safety_paise: int, cover_hours: int, is_active: bool, actor: User | None, reason: str,
    now: datetime,
) -> AutoTopUp:  # fmt: skip
    """Switch it on, off or change it. Raises ValueError for hours that no debit can cover."""
    if safety_paise < 0 or not 1 <= cover_hours <= 24 * 14:
        raise ValueError("The cover is between an hour and two weeks, the safety not negative.")
    wanted = {"safety_paise": safety_paise, "cover_hours": cover_hours, "is_active": is_active}
    wallets.open_wallet(organisation_id=organisation_id, actor=actor, reason=reason)
    row, _ = AutoTopUp.objects.update_or_create(
        organisation_id=organisation_id, defaults={**wanted, "next_look_at": now}
    )
    audit(action="set_up_auto_top_up", target=row, actor=actor, reason=reason, after=wanted)
    return row


def work(*, organisation_id: int, now: datetime) -> list[PaymentIntent]:
    """Look ahead and begin the debits it takes; they are sent by the worker. One look at a time per organisation."""
    with transaction.atomic():
        row = AutoTopUp.objects.select_for_update(skip_locked=True).filter(
            organisation_id=organisation_id, is_active=True
        ).first()  # fmt: skip
        if row is None:
            return []
        need = look_ahead(organisation_id=organisation_id, row=row, now=now)
        begun, verdicts = ([], {}) if need.is_enough else _begin(organisation_id, need, now)
        row.looked_at, row.next_look_at = now, now + LOOK_EVERY
        row.found = {**vars(need), "begun_paise": sum(each.amount_paise for each in begun), "mandates": verdicts}
        row.save()
        _tell(organisation_id, need, row.found, now)
        return begun


def look_ahead(*, organisation_id: int, row: AutoTopUp, now: datetime) -> Need:
    wallet = wallets.open_wallet(organisation_id=organisation_id, reason="automatic top-up")
    hours = _lead_hours(organisation_id, now)
    spend = _spend(organisation_id, now)
    first = int(now.timestamp() // 3600)
    soon = forecast_paise(spend, first_hour=first, hours=hours, weeks=WEEKS)
    later = forecast_paise(spend, first_hour=first, hours=hours + row.cover_hours, weeks=WEEKS)
    owed = ledger.balance_paise(ledger.receivable_code(organisation_id))  # what comes pays this first
    there, coming = wallet.posted_paise - wallet.held_paise - max(0, owed), _coming(organisation_id)
    missing = max(0, row.safety_paise + later - there - coming)
    return Need(there, coming, soon, row.safety_paise, -(-missing // STEP_PAISE) * STEP_PAISE)


def _lead_hours(organisation_id: int, now: datetime) -> int:
    """Until the quickest debit is over: UPI takes a day and a half, bank mandates take working days."""
    mandates = Mandate.objects.filter(
        organisation_id=organisation_id, state=Mandate.State.CONFIRMED, cancel_asked_at=None, rests_since=None
    )
    kinds = set(mandates.values_list("kind", flat=True)) or {Mandate.Kind.UPI}
    least = min(rules.hours(PaymentRule.Name.DEBIT_UNTIL, kind=kind, now=now, default=36) for kind in kinds)
    return int(least.total_seconds() // 3600)


def _coming(organisation_id: int) -> int:
    """Debits that are under way; an order in a checkout may never be paid."""
    rows = PaymentIntent.objects.filter(
        organisation_id=organisation_id, kind=PaymentIntent.Kind.DEBIT, state__in=OPEN_INTENTS
    )
    return sum(rows.values_list("amount_paise", flat=True))


def _spend(organisation_id: int, now: datetime) -> dict[int, int]:
    codes = [f"wallet:{organisation_id}", f"receivable:{organisation_id}"]
    with connection.cursor() as cursor:
        cursor.execute(SPENT, [organisation_id, now - timedelta(weeks=WEEKS), now, *codes])
        return {int(hour): int(paise) for hour, paise in cursor.fetchall()}


def _begin(organisation_id: int, need: Need, now: datetime) -> tuple[list[PaymentIntent], dict[str, str]]:
    """One debit per mandate that can, the largest first, until the need is met."""
    begun: list[PaymentIntent] = []
    verdicts: dict[str, str] = {}
    missing = need.missing_paise
    mandates = Mandate.objects.filter(organisation_id=organisation_id, state=Mandate.State.CONFIRMED)
    for mandate in mandates.order_by("consecutive_failures", "-max_amount_paise", "pk"):
        if missing <= 0:
            break
        verdict = debits.judge(mandate=mandate, now=now)
        amount = min(missing, verdict.most_paise)
        verdicts[mandate.key] = verdict.why or "debited"
        if verdict.why or amount <= 0:
            continue
        begun.append(debits.start(mandate_id=mandate.pk, amount_paise=amount, now=now, reason="automatic"))
        missing -= amount
    return begun, verdicts


def _tell(organisation_id: int, need: Need, found: dict[str, Any], now: datetime) -> None:
    """Finance hears of it when even the debits begun leave less than the safety."""
    open_rows = BillingException.objects.open().filter(
        organisation_id=organisation_id, kind=BillingException.Kind.TOP_UP_SHORT
    )
    left = need.spendable_paise + need.coming_paise + found["begun_paise"] - need.forecast_paise
    if left < need.safety_paise:
        open_exception(
            organisation_id=organisation_id, kind=BillingException.Kind.TOP_UP_SHORT, reference="auto-top-up",
            title="The automatic top-up cannot keep up", details=found, amount_paise=need.safety_paise - left, at=now,
        )  # fmt: skip
        return
    for row in open_rows:
        withdraw_one(row, resolution="There will be enough again.", at=now)
