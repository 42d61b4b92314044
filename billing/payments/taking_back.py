"""Money that leaves a wallet although nobody here asked for it: a refund made elsewhere, a dispute."""

from datetime import datetime

from django.db import transaction

from billing.events import PaymentReturned, WalletChanged
from billing.gateways.base import Entity
from billing.models import BillingException, GatewayPayment, LedgerTransfer, Wallet
from billing.payments.applying import CLEARING, NotYet
from billing.services import ledger
from billing.services.exceptions import open_exception
from billing.services.ledger import Dimensions, Leg
from fleetcharge.lib.events import publish


@transaction.atomic
def take(*, organisation_id: int, amount_paise: int, to: str, entry_key: str, kind: str, now: datetime) -> int:
    """Out of the wallet as far as there is money, the rest is owed; returns what is owed. Once per `entry_key`."""
    wallet = Wallet.objects.select_for_update().get(organisation_id=organisation_id)
    if LedgerTransfer.objects.filter(entry_key=entry_key).exists():
        return 0
    from_wallet = min(amount_paise, max(0, wallet.posted_paise - wallet.held_paise))
    sides = [
        (ledger.wallet_code(organisation_id), from_wallet),
        (ledger.receivable_code(organisation_id), amount_paise - from_wallet),
    ]
    legs = [Leg(account, to, amount, kind) for account, amount in sides if amount]
    about = Dimensions(organisation_id=organisation_id)
    ledger.post(entry_key=entry_key, legs=legs, occurred_at=now, about=about)
    if amount_paise > from_wallet:  # nobody charges on money that is being taken back
        active = Wallet.objects.filter(pk=wallet.pk, state=Wallet.State.ACTIVE)
        active.update(state=Wallet.State.HOLD_ONLY)
    announce(organisation_id)
    return amount_paise - from_wallet


def foreign_refund(*, entity: Entity, now: datetime) -> bool:
    """A refund made on the gateway's own pages: the money is gone, so it leaves the wallet too."""
    payments = GatewayPayment.objects.select_for_update(of=("self",))
    payment = payments.filter(payment_id=str(entity.get("payment_id") or "")).first()
    if payment is None:
        return False
    amount, refund_id = entity.get("amount"), str(entity.get("id") or "")
    if entity.get("status") != "processed" or not isinstance(amount, int) or not 0 < amount <= payment.amount_paise:
        return True
    if payment.credited_at is None or payment.organisation_id is None:
        raise NotYet(f"refund {refund_id}: payment {payment.payment_id} is in no wallet")
    is_new = not LedgerTransfer.objects.filter(entry_key=f"refund:{refund_id}").exists()
    take(
        organisation_id=payment.organisation_id, amount_paise=amount, to=CLEARING, entry_key=f"refund:{refund_id}",
        kind="refund", now=now,
    )  # fmt: skip
    if is_new:
        open_exception(
            organisation_id=payment.organisation_id, kind=BillingException.Kind.PAYMENT_ODD, reference=refund_id,
            title="Refunded outside of FleetCharge", details={"payment": payment.payment_id, "refund": refund_id},
            amount_paise=amount, at=now,
        )  # fmt: skip
        publish(PaymentReturned(payment.pk, payment.organisation_id, amount, f"refund:{refund_id}", now))
    return True


def announce(organisation_id: int) -> None:
    wallet = Wallet.objects.get(organisation_id=organisation_id)
    publish(WalletChanged(organisation_id, wallet.posted_paise, wallet.held_paise, wallet.available_paise))
