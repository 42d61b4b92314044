"""Intents: written down first, sent once, and looked up when nobody knows what became of them.

`created` is surely not at the gateway; `sent` may be; `unknown` was sent and not answered. Only `created` is ever sent.
From the other two a row comes back to `created` when the gateway's own lists have shown that nothing is there, and then
under the same receipt or on the same order, of which there can only be one.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from billing.events import PaymentWorkWaiting
from billing.gateways.base import Entity, PaymentGateway
from billing.gateways.errors import GatewayFailure, OutcomeUnknown, Refused, Unavailable
from billing.models import Mandate, PaymentIntent
from billing.payments import applying, calls, debit_times, outcomes
from fleetcharge.accounts.models import User
from fleetcharge.lib import ids
from fleetcharge.lib.events import publish

State, Kind, Step = PaymentIntent.State, PaymentIntent.Kind, PaymentIntent.Step
ORDER_LIVES = timedelta(hours=24)
FIRST_LOOK = timedelta(minutes=2)  # at an order that somebody is about to pay; webhooks are quicker
RESEND_AFTER = timedelta(minutes=10)  # a debit that the gateway does not list by then was never made
LEAST_PAISE, MOST_PAISE = 1_00, 5_00_00_000_00


@transaction.atomic
def start_order(
    *, organisation_id: int, amount_paise: int, now: datetime, asked_by: User | None = None, key: str = ""
) -> PaymentIntent:
    """Write down a top-up that a payer will make in the checkout; the same `key` again is the same intent.

    Raises ValueError for an amount that no gateway takes.
    """
    if not LEAST_PAISE <= amount_paise <= MOST_PAISE:
        raise ValueError("A top-up is between ₹1 and ₹5 crore.")
    key = key or new_key("TU")
    intent, is_new = PaymentIntent.objects.get_or_create(
        key=key,
        defaults={
            "organisation_id": organisation_id, "kind": Kind.ORDER, "amount_paise": amount_paise, "created_at": now,
            "expires_at": now + ORDER_LIVES, "next_try_at": now, "asked_by": asked_by,
        },
    )  # fmt: skip
    if (intent.organisation_id, intent.amount_paise) != (organisation_id, amount_paise):
        raise ValueError("This key was used for another top-up.")
    if is_new:
        publish(PaymentWorkWaiting("intent", intent.pk))
    return intent


def new_key(prefix: str) -> str:
    """Readable on the phone; ninety random bits, and the unique constraint settles the rest."""
    return f"{prefix}-" + "".join(secrets.choice(ids.ALPHABET) for _ in range(18))


def work(*, intent_id: int, now: datetime, gateway: PaymentGateway) -> PaymentIntent:
    """Send it, or look what became of it; does nothing while another worker has it. Not inside a transaction."""
    if _claimed_to_send(intent_id, now):
        _send(PaymentIntent.objects.select_related("mandate").get(pk=intent_id), now, gateway)
    elif calls.claim(PaymentIntent.objects.filter(pk=intent_id, state__in=[State.SENT, State.UNKNOWN]), now=now):
        _look(PaymentIntent.objects.select_related("mandate").get(pk=intent_id), now, gateway)
    return PaymentIntent.objects.get(pk=intent_id)


@transaction.atomic
def look_now(*, intent_id: int, now: datetime) -> None:
    """Somebody says it is paid: look sooner. Only what the gateway says counts."""
    open_rows = PaymentIntent.objects.filter(pk=intent_id, state__in=[State.SENT, State.UNKNOWN], leased_until=None)
    if open_rows.update(next_try_at=now):
        publish(PaymentWorkWaiting("intent", intent_id))


def due(*, now: datetime, limit: int) -> list[int]:
    open_rows = PaymentIntent.objects.filter(state__in=[State.CREATED, State.SENT, State.UNKNOWN])
    return list(calls.due(open_rows, now=now, limit=limit))


def _claimed_to_send(intent_id: int, now: datetime) -> bool:
    """From here on it may have been sent, whatever happens to this process."""
    rows = PaymentIntent.objects.filter(pk=intent_id, state=State.CREATED)
    return calls.claim(rows, now=now, state=State.SENT, sent_at=now)


# --- sending --------------------------------------------------------------------------------------------------------


def _send(intent: PaymentIntent, now: datetime, gateway: PaymentGateway) -> None:
    if now > intent.expires_at:  # the gateway was away for so long that nobody wants it any more
        return _give_up(intent, {"reason": "expired"}, now)
    try:
        if intent.step == Step.ORDER:
            _tell_from_now(intent, now)
            order = _order(intent, gateway)
            _has_order(intent, str(order["id"]), now)
        if intent.kind == Kind.DEBIT:
            answer = _debit(intent, gateway)
            _release(intent, now, payment_id=str(answer.get("razorpay_payment_id") or "") or None)
    except Refused as refusal:
        _give_up(intent, calls.words(refusal), now)
    except Unavailable as failure:
        _release(intent, now, state=State.CREATED, error=calls.words(failure))
    except (OutcomeUnknown, KeyError) as failure:
        said = calls.words(failure) if isinstance(failure, GatewayFailure) else {"description": f"no {failure}"}
        _release(intent, now, state=State.UNKNOWN, error=said)
    return None


def _tell_from_now(intent: PaymentIntent, now: datetime) -> None:
    """The order tells the payer, so the day of notice begins when it is sent, however late that is."""
    if intent.mandate is None:
        return
    intent.debit_due_at = debit_times.due_at(intent.mandate, now=now)
    intent.save(update_fields=["debit_due_at"])
    allowed_at = debit_times.next_allowed_at(intent.mandate, now=now)
    Mandate.objects.filter(pk=intent.mandate.pk).update(next_allowed_at=allowed_at)


def _order(intent: PaymentIntent, gateway: PaymentGateway) -> Entity:
    notes = {"reference": intent.key, "organisation": str(intent.organisation_id)}
    extra = _of_mandate(intent) if intent.mandate else None
    try:
        return gateway.create_order(receipt=intent.key, amount_paise=intent.amount_paise, notes=notes, extra=extra)
    except Refused as refusal:
        there = gateway.find_order(receipt=intent.key) if refusal.said.field == "receipt" else None
        if there is None:
            raise
        return there


def _of_mandate(intent: PaymentIntent) -> dict[str, Any]:
    mandate = intent.mandate
    assert mandate is not None  # noqa: S101 - the database keeps it so
    extra: dict[str, Any] = {"customer_id": mandate.customer_id}
    if mandate.kind == "upi":
        due_at = int(intent.debit_due_at.timestamp()) if intent.debit_due_at else None
        extra |= {"method": "upi", "notification": {"token_id": mandate.token_id, "payment_after": due_at}}
    return extra


def _debit(intent: PaymentIntent, gateway: PaymentGateway) -> Entity:
    mandate = intent.mandate
    assert mandate is not None and intent.order_id and mandate.token_id  # noqa: S101 - kept by constraints
    return gateway.debit(
        order_id=intent.order_id, customer_id=mandate.customer_id, token_id=mandate.token_id,
        amount_paise=intent.amount_paise, email=mandate.payer_email, contact=mandate.payer_contact,
        description=f"Top-up {intent.key}",
    )  # fmt: skip


def _has_order(intent: PaymentIntent, order_id: str, now: datetime) -> None:
    """Kept before the next call, so that a debit is only ever made on this one order."""
    intent.order_id, intent.state, intent.error = order_id, State.SENT, {}
    intent.step = Step.PAYMENT if intent.kind == Kind.DEBIT else Step.ORDER
    if intent.kind == Kind.ORDER:
        intent.leased_until, intent.next_try_at = None, now + FIRST_LOOK
        intent.attempts = 0
    if intent.mandate is not None:
        over_at = debit_times.over_at(intent.mandate, now=now)
        intent.expires_at = max(intent.expires_at, over_at + debit_times.MARGIN)
    names = ["order_id", "state", "error", "step", "leased_until", "next_try_at", "attempts", "expires_at"]
    intent.save(update_fields=names)


@transaction.atomic
def _give_up(intent: PaymentIntent, error: dict[str, Any], now: datetime) -> None:
    outcomes.fail(PaymentIntent.objects.select_for_update(of=("self",)).get(pk=intent.pk), error=error, now=now)


@transaction.atomic
def _release(intent: PaymentIntent, now: datetime, **changes: Any) -> None:
    """Back into the queue, unless a webhook has settled it meanwhile."""
    fresh = PaymentIntent.objects.select_for_update(of=("self",)).get(pk=intent.pk)
    if fresh.state in {State.CONFIRMED, State.FAILED}:
        return
    for name, value in changes.items():
        if value is not None:
            setattr(fresh, name, value)
    fresh.leased_until, fresh.next_try_at = None, _next_look(fresh, now)
    fresh.save()


def _next_look(intent: PaymentIntent, now: datetime) -> datetime:
    soon = now + calls.wait(intent.attempts)
    if intent.payment_id and intent.debit_due_at and intent.debit_due_at > now:
        return intent.debit_due_at  # a debit that was taken is heard of in its hour
    return soon


# --- looking --------------------------------------------------------------------------------------------------------


def _look(intent: PaymentIntent, now: datetime, gateway: PaymentGateway) -> None:
    """Only the gateway's own rows decide."""
    try:
        if intent.order_id is None:
            return _look_for_order(intent, now, gateway)
        found = gateway.order_payments(order_id=intent.order_id)
    except GatewayFailure as failure:
        return _release(intent, now, error=calls.words(failure))
    for payment in reversed(found):
        applying.apply_payment(entity=payment, now=now)
    return _conclude(intent, bool(found), now)


def _look_for_order(intent: PaymentIntent, now: datetime, gateway: PaymentGateway) -> None:
    order = gateway.find_order(receipt=intent.key)
    if order is None:
        if now > intent.expires_at:
            return _give_up(intent, {"reason": "expired"}, now)
        return _release(intent, now, state=State.CREATED)  # the receipt is unique: a late first one wins
    _has_order(intent, str(order["id"]), now)
    if intent.kind == Kind.DEBIT:  # the debit itself has surely not been asked for yet
        _release(intent, now, state=State.CREATED)
    return None


def _conclude(intent: PaymentIntent, has_payments: bool, now: datetime) -> None:
    intent.refresh_from_db()
    if intent.state in {State.CONFIRMED, State.FAILED}:
        return None
    is_late = intent.sent_at is not None and now - intent.sent_at >= RESEND_AFTER
    if intent.kind == Kind.DEBIT and not has_payments and is_late and now <= intent.expires_at:
        return _release(intent, now, state=State.CREATED)  # on the same order, which can be paid once
    if now > intent.expires_at and (intent.kind == Kind.ORDER or not has_payments):
        return _give_up(intent, intent.error or {"reason": "expired"}, now)
    return _release(intent, now)
