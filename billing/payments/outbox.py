"""What integrators are told of payments: top-ups, money that went back, mandates, and what finance has to decide."""

from billing.events import ExceptionOpened, MandateChanged, PaymentReturned, WalletToppedUp
from billing.models import BillingException, GatewayPayment, Mandate, Wallet
from fleetcharge.lib.events import record
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.outbox import Fact, tell


@record(MandateChanged)
def tell_of_a_mandate(event: MandateChanged) -> None:
    if event.is_failing:
        tell(catalogue.MANDATE_FAILED, organisation_id=event.organisation_id, fact=lambda: _failing(event))
    elif event.state == Mandate.State.CONFIRMED:
        tell(catalogue.MANDATE_CONFIRMED, organisation_id=event.organisation_id, fact=lambda: _confirmed(event))


@record(WalletToppedUp)
def tell_of_a_top_up(event: WalletToppedUp) -> None:
    tell(catalogue.WALLET_TOPPED_UP, organisation_id=event.organisation_id, fact=lambda: _topped_up(event))


@record(PaymentReturned)
def tell_of_money_that_went_back(event: PaymentReturned) -> None:
    tell(catalogue.REFUND_PROCESSED, organisation_id=event.organisation_id, fact=lambda: _returned(event))


@record(ExceptionOpened)
def tell_of_something_to_decide(event: ExceptionOpened) -> None:
    tell(catalogue.EXCEPTION_OPENED, organisation_id=event.organisation_id, fact=lambda: _opened(event))


def _failing(event: MandateChanged) -> Fact:
    mandate = Mandate.objects.get(pk=event.mandate_id)
    data = {
        "id": mandate.pk,
        "kind": mandate.kind,
        "state": event.state,
        "reason": event.reason,
        "max_amount_paise": mandate.max_amount_paise,
        "consecutive_failures": mandate.consecutive_failures,
        "at": event.at,
    }
    return Fact(event.organisation_id, f"{mandate.pk}:{event.at.isoformat()}", event.at, data)


def _confirmed(event: MandateChanged) -> Fact:
    mandate = Mandate.objects.get(pk=event.mandate_id)
    data = {
        "id": mandate.pk,
        "kind": mandate.kind,
        "max_amount_paise": mandate.max_amount_paise,
        "total_limit_paise": mandate.total_limit_paise,
        "expires_at": mandate.expires_at,
        "at": event.at,
    }
    return Fact(event.organisation_id, f"{mandate.pk}:{event.at.isoformat()}", event.at, data)


def _topped_up(event: WalletToppedUp) -> Fact:
    wallet = Wallet.objects.select_related("account").get(organisation_id=event.organisation_id)
    data = {
        "amount_paise": event.amount_paise,
        "reference": event.reference,
        "available_paise": wallet.available_paise,
        "posted_paise": wallet.posted_paise,
        "currency": wallet.account.currency,
        "at": event.at,
    }
    return Fact(event.organisation_id, event.reference, event.at, data)


def _returned(event: PaymentReturned) -> Fact:
    payment = GatewayPayment.objects.get(pk=event.payment_id)
    data = {
        "payment_id": payment.payment_id,
        "amount_paise": event.amount_paise,
        "reference": event.reference,
        "at": event.at,
    }
    return Fact(event.organisation_id, event.reference, event.at, data)


def _opened(event: ExceptionOpened) -> Fact:
    row = BillingException.objects.get(pk=event.exception_id)
    data = {
        "id": row.pk,
        "kind": row.kind,
        "title": row.title,
        "session": row.session_id,
        "amount_paise": row.amount_paise,
        "opened_at": row.opened_at,
    }
    return Fact(event.organisation_id, row.pk, row.opened_at, data)
