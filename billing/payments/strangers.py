"""Payments that nobody could be found for: asked about once more, then given to their fleet by two people."""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing.approvals import services as approvals
from billing.approvals.models import Approval
from billing.gateways.base import PaymentGateway
from billing.gateways.errors import GatewayFailure, NotFound
from billing.models import GatewayPayment
from billing.payments import applying, calls
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.money import format_inr

MOST_LOOKS = 10
KIND = "payment_owner"


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


@transaction.atomic
def ask_to_give(*, payment_id: int, organisation_id: int, asked_by: User, reason: str, now: datetime) -> Approval:
    """Credit a payment to the fleet that a person found out; another one has to agree.

    Raises Conflict when it cannot be credited or has an owner by now, ValueError without a reason.
    """
    payment = GatewayPayment.objects.get(pk=payment_id)
    applying.refuse_to_give(payment)
    fleet = Organisation.objects.get(pk=organisation_id)
    return approvals.ask(
        kind=KIND, organisation_id=organisation_id, subject=f"payment:{payment.payment_id}", asked_by=asked_by, now=now,
        title=f"Credit {format_inr(payment.amount_paise)} of {payment.payment_id} to {fleet}", reason=reason,
        amount_paise=payment.amount_paise, may_be_free=False, facts={"payment": payment.payment_id},
    )  # fmt: skip


def _give(approval: Approval, decided_by: User, now: datetime) -> str:
    payment_id = str(approval.facts["payment"])
    applying.give_to(payment_id=payment_id, organisation_id=approval.organisation_id, now=now)
    return payment_id


approvals.register(approvals.Kind(KIND, _("Payment without an owner"), _give, is_ours=True))
