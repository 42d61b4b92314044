"""A payer's bank disputes a payment: the amount lies in suspense until it is won or lost, told in any order."""

from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from billing.events import PaymentReturned
from billing.gateways.base import Entity
from billing.models import BillingException, GatewayPayment, LedgerTransfer, PaymentDispute
from billing.payments import taking_back
from billing.payments.applying import CLEARING, NotYet, UnreadableNews
from billing.services import ledger, wallets
from billing.services.exceptions import open_exception, withdraw_one
from billing.services.ledger import Dimensions, Leg
from fleetcharge.lib.events import publish

SUSPENSE = "suspense"
FINAL = {"won", "lost", "closed"}


@transaction.atomic
def apply_dispute(*, entity: Entity, now: datetime) -> bool:
    """Suspend, give back or give up; False for nobody's payment. Raises UnreadableNews."""
    dispute_id, status = str(entity.get("id") or ""), str(entity.get("status") or "")
    payment = GatewayPayment.objects.select_for_update(of=("self",)).filter(
        payment_id=str(entity.get("payment_id") or "")
    ).first()  # fmt: skip
    if payment is None:
        return False
    if payment.credited_at is None or payment.organisation_id is None:
        raise NotYet(f"dispute {dispute_id}: payment {payment.payment_id} is in no wallet")
    amount = entity.get("amount")
    if not isinstance(amount, int) or not 0 < amount <= payment.amount_paise:
        raise UnreadableNews(f"dispute {dispute_id}: amount {amount!r}")
    dispute, _ = PaymentDispute.objects.get_or_create(
        dispute_id=dispute_id,
        defaults={
            "payment": payment, "organisation_id": payment.organisation_id, "amount_paise": amount, "status": "open",
            "reason_code": str(entity.get("reason_code") or "")[:80], "respond_by": _instant(entity.get("respond_by")),
            "opened_at": _instant(entity.get("created_at")) or now,
        },
    )  # fmt: skip
    if dispute.status in FINAL:
        return True
    _suspend(dispute, now)
    dispute.status = status[:20]
    if status in FINAL:
        dispute.ended_at = now
        _decide(dispute, now)
    dispute.save()
    return True


def _instant(value: Any) -> datetime | None:
    is_time = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 33
    return datetime.fromtimestamp(value, UTC) if is_time else None


def _suspend(dispute: PaymentDispute, now: datetime) -> None:
    key = f"dispute:{dispute.dispute_id}"
    if LedgerTransfer.objects.filter(entry_key=key).exists():
        return
    taking_back.take(
        organisation_id=dispute.organisation_id, amount_paise=dispute.amount_paise, to=SUSPENSE, entry_key=key,
        kind="dispute", now=now,
    )  # fmt: skip
    open_exception(
        organisation_id=dispute.organisation_id, kind=BillingException.Kind.PAYMENT_DISPUTE,
        title="A payer's bank disputes a payment", reference=dispute.dispute_id, amount_paise=dispute.amount_paise,
        details={"payment": dispute.payment.payment_id, "reason": dispute.reason_code}, at=now,
    )  # fmt: skip


def _decide(dispute: PaymentDispute, now: datetime) -> None:
    about = Dimensions(organisation_id=dispute.organisation_id)
    key = f"dispute:{dispute.dispute_id}:{dispute.status}"
    if dispute.status == "lost":
        leg = Leg(SUSPENSE, CLEARING, dispute.amount_paise, "dispute_lost")
        ledger.post(entry_key=key, legs=[leg], occurred_at=now, about=about)
        publish(PaymentReturned(dispute.payment_id, dispute.organisation_id, dispute.amount_paise, key, now))
    else:
        wallets.take_back(
            organisation_id=dispute.organisation_id, entry_key=f"dispute:{dispute.dispute_id}", as_key=key,
            reason=f"Dispute {dispute.status}", at=now,
        )  # fmt: skip
    for question in BillingException.objects.open().filter(
        organisation_id=dispute.organisation_id, kind=BillingException.Kind.PAYMENT_DISPUTE,
        reference=dispute.dispute_id,
    ):  # fmt: skip
        withdraw_one(question, resolution=f"The dispute is {dispute.status}.", at=now)
