"""Refunds with four eyes, refunds made elsewhere, and disputes: the wallet and the ledger follow, once each."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from billing.gateways.emulator import payments as payer
from billing.gateways.emulator.faults import Fault
from billing.models import BillingException, GatewayPayment, PaymentDispute, Refund, Wallet
from billing.payments import intents, refunds
from billing.services import ledger, wallets
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import STORM, books_are_right, hear, posted
from fleetcharge.accounts.models import AuditEntry
from fleetcharge.lib.api import Conflict

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(minutes=20)


@pytest.fixture
def payment(world: World, organisation) -> GatewayPayment:
    """Five thousand rupees, paid and in the wallet."""
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=5_000_00, now=NOON)
    intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
    payer.pay_order(world.bank, intent.order_id)
    hear(world)
    return GatewayPayment.objects.get()


def ask(payment: GatewayPayment, who, amount: int = 2_000_00) -> Refund:
    return refunds.ask(payment_id=payment.pk, amount_paise=amount, asked_by=who, reason="fleet closes", now=NOON)


def approved(payment: GatewayPayment, finance, owner, amount: int = 2_000_00) -> Refund:
    return refunds.approve(refund_id=ask(payment, finance, amount).pk, decided_by=owner, now=NOON)


def finish(world: World, **how) -> None:
    payer.finish_refund(world.bank, world.bank.every("refund")[0]["id"], **how)
    hear(world, STORM)


def test_a_refund_leaves_the_wallet_at_once_and_the_gateway_later(world, organisation, payment, finance, owner) -> None:
    refund = approved(payment, finance, owner)
    assert (posted(organisation), ledger.balance_paise("refunds_payable")) == (3_000_00, 2_000_00)
    refund = refunds.work(refund_id=refund.pk, now=NOON, gateway=world.gateway)
    assert refund.state == "sent"
    finish(world)
    refund.refresh_from_db()
    payment.refresh_from_db()
    assert (refund.state, payment.refunded_paise) == ("confirmed", 2_000_00)
    assert (ledger.balance_paise("refunds_payable"), ledger.balance_paise("razorpay_clearing")) == (0, 3_000_00)
    assert books_are_right()


def test_nobody_approves_what_he_asked_for(payment, finance) -> None:
    refund = ask(payment, finance)
    with pytest.raises(ValueError, match="Another person"):
        refunds.approve(refund_id=refund.pk, decided_by=finance, now=NOON)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE billing_refund SET decided_by_id = asked_by_id, state = 'created'")
    assert posted(payment.organisation) == 5_000_00


def test_a_decision_is_made_once_with_names_and_a_reason(payment, finance, owner) -> None:
    refund = ask(payment, finance)
    refunds.decline(refund_id=refund.pk, decided_by=owner, reason="not yet", now=NOON)
    with pytest.raises(Conflict):
        refunds.approve(refund_id=refund.pk, decided_by=owner, now=NOON)
    with pytest.raises(ValueError, match="reason"):
        refunds.ask(payment_id=payment.pk, amount_paise=1, asked_by=finance, reason=" ", now=NOON)
    actions = list(AuditEntry.objects.filter(action__endswith="refund").values_list("action", flat=True).order_by("pk"))
    assert actions == ["ask_refund", "declined_refund"]
    assert posted(payment.organisation) == 5_000_00


@pytest.mark.parametrize("amount", [0, -1, 5_000_01])
def test_no_more_than_was_paid(payment, finance, amount: int) -> None:
    with pytest.raises(ValueError, match="left of this payment"):
        ask(payment, finance, amount)


def test_two_refunds_together_never_exceed_the_payment(payment, finance, owner) -> None:
    approved(payment, finance, owner, 3_000_00)
    with pytest.raises(ValueError, match="left of this payment"):
        ask(payment, finance, 2_000_01)
    assert ask(payment, finance, 2_000_00)


def test_spent_and_held_money_and_credit_are_not_given_back(payment, organisation, finance, owner) -> None:
    Wallet.objects.filter(organisation=organisation).update(credit_limit_paise=10_000_00)
    refund = ask(payment, finance, 5_000_00)
    assert wallets.hold(organisation_id=organisation.pk, session_key="s", amount_paise=1_00, now=NOON).is_held
    with pytest.raises(Conflict, match="spent or held"):
        refunds.approve(refund_id=refund.pk, decided_by=owner, now=NOON)
    refund.refresh_from_db()
    assert (refund.state, posted(organisation)) == ("asked", 5_000_00)


def test_a_refund_that_fails_is_back_in_the_wallet_and_on_somebodys_desk(world, organisation, payment, finance, owner):
    refund = approved(payment, finance, owner)
    refunds.work(refund_id=refund.pk, now=NOON, gateway=world.gateway)
    finish(world, is_failed=True)
    refund.refresh_from_db()
    assert (refund.state, posted(organisation)) == ("failed", 5_000_00)
    assert BillingException.objects.get().kind == "refund_failed"
    assert ledger.balance_paise("refunds_payable") == 0
    assert books_are_right()


@pytest.mark.parametrize("kind", ["html", "error", "cut"])
@pytest.mark.parametrize("after", [False, True])
def test_a_refund_of_unknown_outcome_goes_back_once(
    world, organisation, payment, finance, owner, kind: str, after: bool
) -> None:
    refund = approved(payment, finance, owner)
    world.emulator.faults.plan(Fault(kind, path="/v1/payments/", after=after))
    assert refunds.work(refund_id=refund.pk, now=NOON, gateway=world.gateway).state == "unknown"
    for minutes in (20, 60, 120):
        now = NOON + timedelta(minutes=minutes)
        refund = refunds.work(refund_id=refund.pk, now=now, gateway=world.gateway)
    assert (refund.state, len(world.bank.every("refund"))) == ("sent", 1)
    finish(world)
    assert posted(organisation) == 3_000_00
    assert world.bank.every("payment")[0]["amount_refunded"] == 2_000_00


def test_what_the_gateway_refuses_to_refund_comes_back(world, organisation, payment, finance, owner) -> None:
    refund = approved(payment, finance, owner)
    world.bank.every("payment")[0]["amount_refunded"] = 4_000_00  # somebody was quicker there
    assert refunds.work(refund_id=refund.pk, now=NOON, gateway=world.gateway).state == "failed"
    assert posted(organisation) == 5_000_00


def test_a_refund_on_the_gateways_own_pages_leaves_the_wallet_too(world, organisation, payment) -> None:
    made = payer.refund(world.bank, payment.payment_id, {"amount": 1_500_00}, "")
    hear(world)
    assert posted(organisation) == 5_000_00  # only asked for
    payer.finish_refund(world.bank, made["id"])
    hear(world, STORM)
    assert (posted(organisation), ledger.balance_paise("razorpay_clearing")) == (3_500_00, 3_500_00)
    assert BillingException.objects.get().title == "Refunded outside of FleetCharge"


# --- disputes -------------------------------------------------------------------------------------------------------


def test_a_disputed_amount_cannot_be_spent(world, organisation, payment) -> None:
    payer.open_dispute(world.bank, payment.payment_id)
    hear(world, STORM)
    assert (posted(organisation), ledger.balance_paise("suspense")) == (0, 5_000_00)
    assert BillingException.objects.get().kind == "payment_dispute"
    assert not wallets.hold(organisation_id=organisation.pk, session_key="s", amount_paise=1_00, now=NOON).is_held


@pytest.mark.parametrize(
    ("outcome", "wallet", "clearing"), [("won", 5_000_00, 5_000_00), ("closed", 5_000_00, 5_000_00), ("lost", 0, 0)]
)
@pytest.mark.parametrize("is_spent", [False, True])
def test_a_dispute_ends_told_in_any_order(
    world, organisation, payment, outcome: str, wallet: int, clearing: int, is_spent: bool
) -> None:
    if is_spent:
        leg = ledger.Leg(ledger.wallet_code(organisation.pk), "revenue:charging", 4_000_00, "test")
        ledger.post(entry_key="spent", legs=[leg], occurred_at=NOON)
    dispute = payer.open_dispute(world.bank, payment.payment_id)
    payer.end_dispute(world.bank, dispute["id"], outcome=outcome)
    hear(world, STORM)
    owed = ledger.balance_paise(ledger.receivable_code(organisation.pk))
    spent = 4_000_00 if is_spent else 0
    assert posted(organisation) - owed == wallet - spent
    assert owed == (spent if outcome == "lost" else 0)
    assert (ledger.balance_paise("suspense"), ledger.balance_paise("razorpay_clearing")) == (0, clearing)
    assert PaymentDispute.objects.get().status == outcome
    assert not BillingException.objects.open().exists()
    state = Wallet.objects.get(organisation=organisation).state
    assert state == ("hold_only" if owed else "active")
    assert books_are_right()


def test_a_won_dispute_opens_no_wallet_that_an_operator_closed(world, organisation, payment) -> None:
    dispute = payer.open_dispute(world.bank, payment.payment_id)
    hear(world)
    Wallet.objects.update(state=Wallet.State.HOLD_ONLY)
    payer.end_dispute(world.bank, dispute["id"], outcome="won")
    hear(world)
    assert (posted(organisation), Wallet.objects.get().state) == (5_000_00, "hold_only")


def test_a_dispute_beats_its_payment_to_us(world, organisation) -> None:
    """Its own payload names the payment, so even the first word of all can be the last one of the dispute."""
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=5_000_00, now=NOON)
    intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
    paid = payer.pay_order(world.bank, intent.order_id)
    world.bank.events.clear()
    dispute = payer.open_dispute(world.bank, paid["id"], amount=1_000_00)
    world.bank.events.clear()
    payer.end_dispute(world.bank, dispute["id"], outcome="lost")
    hear(world)
    assert (posted(organisation), ledger.balance_paise("suspense")) == (4_000_00, 0)
