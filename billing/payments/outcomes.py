"""What becomes of an intent when its payment moves, and of the mandate behind a debit."""

from datetime import datetime
from typing import Any

from billing.events import MandateChanged
from billing.models import BillingException, GatewayPayment, Mandate, PaymentIntent
from billing.services.exceptions import open_exception, withdraw_one
from fleetcharge.lib.events import publish

FAILURES_BEFORE_ALARM = 2
State, Kind = PaymentIntent.State, PaymentIntent.Kind


def follow(*, payment: GatewayPayment, now: datetime) -> None:
    """The intent goes where its payment is. Call it in a transaction.

    A failed payment ends a debit, but not an order: the payer may try again on the same order until it expires.
    """
    intent = PaymentIntent.objects.select_for_update(of=("self",)).get(payments=payment)
    if payment.status in {GatewayPayment.Status.CAPTURED, GatewayPayment.Status.REFUNDED}:
        confirm(intent, payment_id=payment.payment_id, now=now)
    elif payment.status == GatewayPayment.Status.FAILED:
        if intent.kind == Kind.DEBIT:
            fail(intent, error={"reason": payment.error_reason, "payment": payment.payment_id}, now=now)
        elif intent.state in {State.SENT, State.UNKNOWN}:
            intent.error = {"reason": payment.error_reason, "payment": payment.payment_id}
            intent.save(update_fields=["error"])
    elif intent.state in {State.SENT, State.UNKNOWN} and intent.kind == Kind.DEBIT:
        intent.payment_id, intent.state = payment.payment_id, State.SENT
        intent.save(update_fields=["payment_id", "state"])


def confirm(intent: PaymentIntent, *, payment_id: str, now: datetime) -> None:
    """Paid; also when we had given it up."""
    if intent.state == State.CONFIRMED:
        return
    intent.state, intent.payment_id, intent.settled_at = State.CONFIRMED, payment_id, now
    intent.sent_at = intent.sent_at or now
    _end(intent)
    if intent.mandate_id:
        _debit_came(intent, now)


def fail(intent: PaymentIntent, *, error: dict[str, Any], now: datetime) -> None:
    if intent.state in {State.CONFIRMED, State.FAILED}:
        return
    intent.state, intent.error, intent.settled_at = State.FAILED, error, now
    intent.sent_at = intent.sent_at or now
    _end(intent)
    if intent.mandate_id:
        _debit_failed(intent, now)


def _end(intent: PaymentIntent) -> None:
    intent.next_try_at = intent.leased_until = None
    intent.save()


def _debit_came(intent: PaymentIntent, now: datetime) -> None:
    mandate = Mandate.objects.select_for_update(of=("self",)).get(debits=intent)
    mandate.last_debit_state, mandate.consecutive_failures = State.CONFIRMED, 0
    _see_whether_used_up(mandate, now)
    mandate.is_told = False
    mandate.save()
    for alarm in _alarms(mandate):
        withdraw_one(alarm, resolution="The next debit came through.", at=now)


def _see_whether_used_up(mandate: Mandate, now: datetime) -> None:
    if mandate.total_limit_paise is None or mandate.state != Mandate.State.CONFIRMED:
        return
    taken = sum(mandate.debits.filter(state=State.CONFIRMED).values_list("amount_paise", flat=True))
    if taken >= mandate.total_limit_paise:
        mandate.state, mandate.ended_at = Mandate.State.EXHAUSTED, now
        mandate.end_reason = "The whole limit is used."
        publish(MandateChanged(mandate.pk, mandate.organisation_id, mandate.state, False, mandate.end_reason, now))


def _debit_failed(intent: PaymentIntent, now: datetime) -> None:
    mandate = Mandate.objects.select_for_update(of=("self",)).get(debits=intent)
    mandate.last_debit_state = State.FAILED
    mandate.consecutive_failures += 1
    if mandate.consecutive_failures >= FAILURES_BEFORE_ALARM:
        alarm(mandate, str(intent.error.get("reason") or intent.error.get("description") or "unknown"), now)
    mandate.save()


def alarm(mandate: Mandate, why: str, now: datetime) -> None:
    """Finance is told once, until the mandate works again."""
    open_exception(
        organisation_id=mandate.organisation_id, kind=BillingException.Kind.MANDATE_FAILED,
        title=f"Mandate does not pay: {why}", reference=f"mandate:{mandate.pk}",
        details={"mandate": mandate.key, "reason": why, "failures": mandate.consecutive_failures}, at=now,
    )  # fmt: skip
    if not mandate.is_told:
        mandate.is_told = True
        publish(MandateChanged(mandate.pk, mandate.organisation_id, mandate.state, True, why, now))


def _alarms(mandate: Mandate) -> Any:
    return BillingException.objects.open().filter(
        organisation_id=mandate.organisation_id, kind=BillingException.Kind.MANDATE_FAILED,
        reference=f"mandate:{mandate.pk}",
    )  # fmt: skip
