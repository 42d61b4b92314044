"""News of a payment becomes money in a wallet, once, whoever tells it, how often, and in whatever order."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from billing.events import PaymentReceived
from billing.gateways.base import Entity
from billing.models import BillingException, GatewayPayment, Mandate, PaymentIntent, PaymentReceiver
from billing.payments import outcomes
from billing.services import wallets
from billing.services.exceptions import open_exception
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.events import publish
from fleetcharge.lib.money import format_inr

CLEARING = "razorpay_clearing"
Status = GatewayPayment.Status
# a failed payment can still be captured later; a captured one never fails any more
RANK = {"created": 0, "pending": 0, "authorized": 1, "failed": 2, "captured": 3, "refunded": 4}
TAKEN = (Status.CAPTURED, Status.REFUNDED)
FIRST_LOOK = timedelta(minutes=1)


class UnreadableNews(ValueError):
    """The entity is not what the gateway documents; it will not become so by trying again."""


class NotYet(Exception):
    """The payment that this is about is not in a wallet yet; the news is taken later."""


@transaction.atomic
def apply_payment(*, entity: Entity, now: datetime, receiver: str = "") -> GatewayPayment:
    """Move our picture of the payment forward and credit it when it is taken. `receiver`: the code or account it is at.

    Raises UnreadableNews.
    """
    payment, is_new = _locked(entity, now)
    if _amount(entity) != payment.amount_paise:
        _doubt(payment, "The gateway names another amount than before", {"amount": entity.get("amount")}, now)
        return payment
    is_news = _move(payment, entity) or is_new
    _attach(payment, entity, receiver)
    if payment.organisation_id is None:
        if payment.next_look_at is None and payment.looks == 0 and payment.status in TAKEN:
            payment.next_look_at = now + FIRST_LOOK
    elif payment.status in TAKEN and payment.credited_at is None:
        _credit(payment, now)
    payment.save()
    if is_news and payment.intent_id:
        outcomes.follow(payment=payment, now=now)
    return payment


@transaction.atomic
def give_to(*, payment_id: str, organisation_id: int, now: datetime) -> GatewayPayment:
    """Credit a payment that nobody was found for to the fleet that a person found. Raises Conflict when it cannot be
    credited, or has an owner by now."""
    payment = GatewayPayment.objects.select_for_update(of=("self",)).get(payment_id=payment_id)
    refuse_to_give(payment)
    payment.organisation_id, payment.next_look_at = organisation_id, None
    _credit(payment, now)
    payment.save()
    return payment


def refuse_to_give(payment: GatewayPayment) -> None:
    """Raises Conflict unless it is paid, in rupees, still there in whole and nobody's: a wallet gets all of it."""
    if payment.organisation_id is not None:
        raise Conflict("This payment belongs to a fleet already.", code="has_owner")
    if payment.status != Status.CAPTURED or payment.currency != "INR":
        raise Conflict("Only a payment in rupees that was taken and not given back can be credited.", code="not_there")
    if payment.refunded_paise > 0:
        raise Conflict(
            f"{format_inr(payment.refunded_paise)} of this payment was given back at the gateway: give the rest back "
            "there as well, and ask the fleet to pay again.",
            code="given_back_in_part",
        )


def _locked(entity: Entity, now: datetime) -> tuple[GatewayPayment, bool]:
    payment_id = str(entity.get("id") or "")
    if not payment_id.startswith("pay_") or len(payment_id) > 40:
        raise UnreadableNews(f"no payment: {payment_id[:40]!r}")
    _, is_new = GatewayPayment.objects.get_or_create(
        payment_id=payment_id,
        defaults={
            "amount_paise": _amount(entity), "currency": str(entity.get("currency") or "INR")[:3],
            "status": Status.CREATED, "paid_at": _instant(entity.get("created_at"), now), "seen_at": now,
        },
    )  # fmt: skip
    return GatewayPayment.objects.select_for_update(of=("self",)).get(payment_id=payment_id), is_new


def _amount(entity: Entity) -> int:
    amount = entity.get("amount")
    if not isinstance(amount, int) or isinstance(amount, bool) or not 0 < amount < 1 << 62:
        raise UnreadableNews(f"payment {entity.get('id')}: amount {amount!r}")
    return amount


def _instant(value: Any, now: datetime) -> datetime:
    """The gateway's clock; what lies in the future happened now."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        return now
    return min(now, datetime.fromtimestamp(min(value, 1 << 33), UTC))


def _move(payment: GatewayPayment, entity: Entity) -> bool:
    """Only forward; True when that is news."""
    status = str(entity.get("status") or "")
    if status not in RANK:
        raise UnreadableNews(f"payment {payment.payment_id}: status {status!r}")
    refunded = entity.get("amount_refunded")
    if isinstance(refunded, int) and payment.refunded_paise < refunded <= payment.amount_paise:
        payment.refunded_paise = refunded
    payment.order_id = payment.order_id or str(entity.get("order_id") or "")
    payment.method = payment.method or str(entity.get("method") or "")[:30]
    is_forward = RANK[status] > RANK[payment.status]
    if RANK[status] >= RANK[payment.status]:
        payment.status = Status.CREATED if status == "pending" else Status(status)
        payment.error_reason = str(entity.get("error_reason") or "")[:80]
        payment.fee_paise = _paise(entity.get("fee"), payment.fee_paise)
        payment.tax_paise = _paise(entity.get("tax"), payment.tax_paise)
    return is_forward


def _paise(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and value >= 0 else otherwise


def _attach(payment: GatewayPayment, entity: Entity, receiver: str) -> None:
    """Whose it is: by its order, by the code or account it came to, by the mandate it was debited from."""
    if payment.intent_id is None and payment.order_id:
        payment.intent = PaymentIntent.objects.filter(order_id=payment.order_id).first()
    if payment.receiver_id is None and receiver:
        payment.receiver = PaymentReceiver.objects.filter(gateway_id=receiver).first()
    if payment.organisation_id is None:
        owner = payment.intent or payment.receiver or _mandate(entity)
        payment.organisation_id = owner.organisation_id if owner else None
    if payment.organisation_id is not None:
        payment.next_look_at = None


def _mandate(entity: Entity) -> Mandate | None:
    token = str(entity.get("token_id") or "")
    return Mandate.objects.filter(token_id=token).first() if token else None


def _credit(payment: GatewayPayment, now: datetime) -> None:
    """The whole amount: what was given back since is taken by its refund."""
    organisation_id = payment.organisation_id
    assert organisation_id is not None  # noqa: S101 - the caller has asked
    if payment.currency != "INR":
        _doubt(payment, f"Paid in {payment.currency}: not credited", {}, now)
        return
    wallets.open_wallet(organisation_id=organisation_id, reason="first payment")
    wallets.top_up(
        organisation_id=organisation_id, amount_paise=payment.amount_paise, key=payment.payment_id, at=payment.paid_at,
        reason=f"{payment.method or 'payment'} {payment.payment_id}", source_account=CLEARING,
    )  # fmt: skip
    payment.credited_at = now
    publish(PaymentReceived(payment.pk, organisation_id, payment.amount_paise, now))
    if payment.intent and payment.intent.amount_paise != payment.amount_paise:
        _doubt(payment, "Another amount than asked for was paid", {"asked_paise": payment.intent.amount_paise}, now)


def _doubt(payment: GatewayPayment, title: str, details: dict[str, Any], now: datetime) -> None:
    if payment.organisation_id is None:
        return
    open_exception(
        organisation_id=payment.organisation_id, kind=BillingException.Kind.PAYMENT_ODD, title=title,
        reference=payment.payment_id, details={"payment": payment.payment_id, **details},
        amount_paise=payment.amount_paise, at=now,
    )  # fmt: skip
