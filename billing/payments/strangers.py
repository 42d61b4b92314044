"""Payments that nobody could be found for: asked about once more, then left for a person."""

from datetime import datetime

from billing.gateways.base import PaymentGateway
from billing.gateways.errors import GatewayFailure, NotFound
from billing.models import GatewayPayment
from billing.payments import applying, calls

MOST_LOOKS = 10


def due(*, now: datetime, limit: int) -> list[int]:
    rows = GatewayPayment.objects.filter(next_look_at__lte=now, organisation=None).order_by("next_look_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def work(*, payment_pk: int, now: datetime, gateway: PaymentGateway) -> GatewayPayment:
    """Which account it came to stands in the transfer behind it. Not inside a transaction."""
    payment = GatewayPayment.objects.get(pk=payment_pk)
    try:
        entity = gateway.fetch_payment(payment_id=payment.payment_id)
        receiver = _receiver(payment, gateway)
    except GatewayFailure:
        return _later(payment_pk, now)
    payment = applying.apply_payment(entity=entity, now=now, receiver=receiver)
    return payment if payment.organisation_id else _later(payment_pk, now)


def _receiver(payment: GatewayPayment, gateway: PaymentGateway) -> str:
    if payment.method not in {"bank_transfer", "upi"} or payment.order_id:
        return ""
    try:
        transfer = gateway.transfer_of(payment_id=payment.payment_id, method=payment.method)
    except NotFound:
        return ""
    return str(transfer.get("virtual_account_id") or "")


def _later(payment_pk: int, now: datetime) -> GatewayPayment:
    payment = GatewayPayment.objects.get(pk=payment_pk)
    if payment.organisation_id is None:
        payment.looks += 1
        payment.next_look_at = now + calls.wait(payment.looks) if payment.looks < MOST_LOOKS else None
        payment.save(update_fields=["looks", "next_look_at"])
    return payment
