"""Top-ups by order, QR code and bank transfer: each payment is credited once, whatever goes wrong on the way."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from billing.gateways.emulator import payments as payer
from billing.gateways.emulator import receivers as payer_at
from billing.gateways.emulator.faults import Fault
from billing.gateways.razorpay import RazorpayGateway
from billing.models import BillingException, GatewayPayment, PaymentIntent, PaymentReceiver
from billing.payments import applying, intents, receivers, strangers
from billing.services import ledger, wallets
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import books_are_right, hear, posted, top_ups
from fleetcharge.lib.api import Conflict

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(minutes=20)
NEXT_DAY = NOON + timedelta(hours=25)


def begin(organisation, world: World, amount: int = 5_000_00) -> PaymentIntent:
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=amount, now=NOON)
    return intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)


def test_a_top_up_is_ordered_paid_and_in_the_wallet(world: World, organisation) -> None:
    intent = begin(organisation, world)
    assert (intent.state, intent.order_id is not None) == ("sent", True)
    payer.pay_order(world.bank, intent.order_id)
    hear(world)
    intent.refresh_from_db()
    assert (intent.state, posted(organisation)) == ("confirmed", 5_000_00)
    assert ledger.balance_paise("razorpay_clearing") == 5_000_00
    assert books_are_right()


def test_events_and_polling_together_credit_once(world: World, organisation) -> None:
    intent = begin(organisation, world)
    payer.pay_order(world.bank, intent.order_id)
    intents.work(intent_id=intent.pk, now=LATER, gateway=world.gateway)
    hear(world)
    intents.work(intent_id=intent.pk, now=NEXT_DAY, gateway=world.gateway)
    assert top_ups(organisation) == [5_000_00]


def test_without_any_webhook_the_sweep_finds_the_payment(world: World, organisation) -> None:
    intent = begin(organisation, world)
    payer.pay_order(world.bank, intent.order_id)
    assert intents.due(now=NOON, limit=10) == []
    assert intents.due(now=LATER, limit=10) == [intent.pk]
    assert intents.work(intent_id=intent.pk, now=LATER, gateway=world.gateway).state == "confirmed"
    assert posted(organisation) == 5_000_00


@pytest.mark.parametrize("kind", ["html", "error", "cut"])
@pytest.mark.parametrize("after", [False, True])
def test_an_order_of_unknown_outcome_is_looked_up_and_never_doubled(
    world: World, organisation, kind: str, after: bool
) -> None:
    world.emulator.faults.plan(Fault(kind, path="/v1/orders", after=after))
    intent = begin(organisation, world)
    assert (intent.state, intent.order_id) == ("unknown", None)
    intent = intents.work(intent_id=intent.pk, now=LATER, gateway=world.gateway)
    if not after:
        assert intent.state == "created"  # it is surely not there
        intent = intents.work(intent_id=intent.pk, now=NEXT_DAY - timedelta(hours=2), gateway=world.gateway)
    assert (intent.state, intent.order_id is not None) == ("sent", True)
    assert len(world.bank.every("order")) == 1


def test_a_time_out_of_a_slow_gateway_is_looked_up(world: World, hasty: RazorpayGateway, organisation) -> None:
    world.emulator.faults.plan(Fault("timeout", after=True, hold_s=20))
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=100_00, now=NOON)
    assert intents.work(intent_id=intent.pk, now=NOON, gateway=hasty).state == "unknown"
    assert intents.work(intent_id=intent.pk, now=LATER, gateway=world.gateway).state == "sent"
    assert len(world.bank.every("order")) == 1


def test_a_gateway_that_takes_no_calls_leaves_it_to_be_sent_later(world: World, organisation) -> None:
    world.emulator.faults.plan(Fault("busy"))
    intent = begin(organisation, world)
    assert (intent.state, intent.error["status"]) == ("created", 429)
    assert intents.work(intent_id=intent.pk, now=LATER, gateway=world.gateway).state == "sent"


def test_a_failed_look_changes_nothing_and_is_repeated(world: World, organisation) -> None:
    world.emulator.faults.plan(Fault("html", path="/v1/orders", after=True))
    intent = begin(organisation, world)
    world.emulator.faults.plan(Fault("html", method="GET"))
    assert intents.work(intent_id=intent.pk, now=LATER, gateway=world.gateway).state == "unknown"
    assert intents.work(intent_id=intent.pk, now=NEXT_DAY, gateway=world.gateway).order_id


def test_what_the_gateway_refuses_fails_with_its_words(world: World, organisation) -> None:
    world.bank.add("order", "order", receipt="TU-OLD", amount=1)
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=100_00, now=NOON)
    PaymentIntent.objects.filter(pk=intent.pk).update(next_try_at=NOON)
    world.emulator.key_secret, secret = "changed", world.emulator.key_secret
    intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
    assert (intent.state, intent.error["status"]) == ("created", 401)  # our keys, not the payer's fault
    world.emulator.key_secret = secret
    assert intents.work(intent_id=intent.pk, now=LATER, gateway=world.gateway).state == "sent"


def test_a_failed_attempt_leaves_the_order_open_and_a_late_success_counts(world: World, organisation) -> None:
    intent = begin(organisation, world)
    payer.pay_order(world.bank, intent.order_id, outcome="failed")
    hear(world)
    intent.refresh_from_db()
    assert (intent.state, intent.error["reason"]) == ("sent", "payment_cancelled")
    payer.pay_order(world.bank, intent.order_id)
    hear(world)
    intent.refresh_from_db()
    assert (intent.state, posted(organisation)) == ("confirmed", 5_000_00)


def test_an_order_nobody_pays_expires_but_money_that_comes_all_the_same_is_credited(world: World, organisation) -> None:
    intent = begin(organisation, world)
    assert intents.work(intent_id=intent.pk, now=NEXT_DAY, gateway=world.gateway).state == "failed"
    payer.pay_order(world.bank, intent.order_id)
    hear(world, now=NEXT_DAY)
    intent.refresh_from_db()
    assert (intent.state, posted(organisation)) == ("confirmed", 5_000_00)


def test_two_workers_never_send_one_intent_twice(world: World, organisation) -> None:
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=100_00, now=NOON)
    assert intents._claimed_to_send(intent.pk, NOON)
    assert intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway).state == "sent"  # leased: untouched
    assert world.emulator.posts("/v1/orders") == 0


def test_the_same_key_is_the_same_top_up(world: World, organisation, other_organisation) -> None:
    first = intents.start_order(organisation_id=organisation.pk, amount_paise=100_00, now=NOON, key="TU-1")
    assert intents.start_order(organisation_id=organisation.pk, amount_paise=100_00, now=NOON, key="TU-1") == first
    with pytest.raises(ValueError, match="another top-up"):
        intents.start_order(organisation_id=other_organisation.pk, amount_paise=100_00, now=NOON, key="TU-1")


@pytest.mark.parametrize("amount", [-5, 0, 99, 10**12])
def test_amounts_no_gateway_takes_are_refused_at_once(organisation, amount: int) -> None:
    with pytest.raises(ValueError, match="between"):
        intents.start_order(organisation_id=organisation.pk, amount_paise=amount, now=NOON)


def test_a_top_up_pays_off_what_is_owed_first(world: World, organisation) -> None:
    wallets.open_wallet(organisation_id=organisation.pk)
    ledger.post(
        entry_key="owed", occurred_at=NOON,
        legs=[ledger.Leg(ledger.receivable_code(organisation.pk), "revenue:charging", 700_00, "test")],
    )  # fmt: skip
    payer.pay_order(world.bank, begin(organisation, world, 1_000_00).order_id)
    hear(world)
    assert posted(organisation) == 300_00


# --- QR codes and bank transfers ------------------------------------------------------------------------------------


def opened(receiver: PaymentReceiver, world: World) -> PaymentReceiver:
    return receivers.work(receiver_id=receiver.pk, now=NOON, gateway=world.gateway)


def test_a_qr_code_is_shown_scanned_and_credited(world: World, organisation) -> None:
    code = opened(receivers.open_qr(organisation_id=organisation.pk, amount_paise=250_00, now=NOON), world)
    assert code.state == "active" and code.details["image_content"].startswith("upi://pay?")
    payer_at.pay_qr(world.bank, code.gateway_id)
    hear(world)
    code.refresh_from_db()
    assert (code.state, top_ups(organisation)) == ("closed", [250_00])


def test_a_bank_transfer_to_the_fleets_own_account_is_credited(world: World, organisation) -> None:
    account = opened(receivers.open_virtual_account(organisation_id=organisation.pk, now=NOON), world)
    assert set(account.details) == {"account_number", "ifsc", "name"}
    for amount in (1_00_000_00, 2_50_000_50):
        payer_at.transfer(world.bank, account.gateway_id, amount=amount)
    hear(world)
    assert top_ups(organisation) == [1_00_000_00, 2_50_000_50]
    with pytest.raises(Conflict):
        receivers.open_virtual_account(organisation_id=organisation.pk, now=NOON)


def test_a_stranger_cannot_pay_into_an_account_with_allowed_payers(world: World, organisation) -> None:
    payers = [{"account_number": "111000111", "ifsc": "HDFC0000001"}]
    account = opened(
        receivers.open_virtual_account(organisation_id=organisation.pk, now=NOON, allowed_payers=payers), world
    )
    assert payer_at.transfer(world.bank, account.gateway_id, amount=100_00) is None
    assert payer_at.transfer(world.bank, account.gateway_id, amount=100_00, payer_account="111000111")
    hear(world)
    assert top_ups(organisation) == [100_00]


@pytest.mark.parametrize("after", [False, True])
def test_a_code_of_unknown_outcome_is_found_by_its_reference(world: World, organisation, after: bool) -> None:
    world.emulator.faults.plan(Fault("html", path="/v1/payments/qr_codes", after=after))
    code = opened(receivers.open_qr(organisation_id=organisation.pk, amount_paise=250_00, now=NOON), world)
    assert code.state == "unknown"
    code = receivers.work(receiver_id=code.pk, now=LATER, gateway=world.gateway)
    if not after:
        code = receivers.work(receiver_id=code.pk, now=NEXT_DAY, gateway=world.gateway)
    assert code.state == "active"
    assert len(world.bank.every("qr_code")) == 1


def test_money_at_an_account_is_found_without_webhooks(world: World, organisation) -> None:
    account = opened(receivers.open_virtual_account(organisation_id=organisation.pk, now=NOON), world)
    payer_at.transfer(world.bank, account.gateway_id, amount=9_000_00)
    assert receivers.due(now=NOON + timedelta(hours=7), limit=5) == [account.pk]
    receivers.work(receiver_id=account.pk, now=NOON + timedelta(hours=7), gateway=world.gateway)
    hear(world)
    assert top_ups(organisation) == [9_000_00]


def test_a_payment_nobody_is_known_for_is_asked_about(world: World, organisation) -> None:
    """`payment.captured` of a bank transfer does not name the account; `virtual_account.credited` may never come."""
    account = opened(receivers.open_virtual_account(organisation_id=organisation.pk, now=NOON), world)
    made = payer_at.transfer(world.bank, account.gateway_id, amount=9_000_00)
    payment = applying.apply_payment(entity=made, now=NOON)
    assert (payment.organisation_id, payment.credited_at) == (None, None)
    assert strangers.due(now=LATER, limit=5) == [payment.pk]
    strangers.work(payment_pk=payment.pk, now=LATER, gateway=world.gateway)
    assert top_ups(organisation) == [9_000_00]


def test_money_for_nobody_is_kept_and_credited_to_nobody(world: World, organisation) -> None:
    stray = payer.new_payment(world.bank, amount=777_00, method="upi")
    payer.take(world.bank, stray)
    hear(world)
    payment = GatewayPayment.objects.get()
    for look in range(10):
        strangers.work(payment_pk=payment.pk, now=NOON + timedelta(hours=look), gateway=world.gateway)
    hear(world)
    payment.refresh_from_db()
    assert (payment.organisation_id, payment.next_look_at, payment.looks) == (None, None, 10)
    assert top_ups(organisation) == []


# --- what the database refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_paymentintent SET amount_paise = amount_paise + 1",
        "UPDATE billing_paymentintent SET state = 'created'",
        "UPDATE billing_paymentintent SET order_id = 'order_x'",
        "DELETE FROM billing_paymentintent",
        "UPDATE billing_gatewaypayment SET amount_paise = 1",
        "UPDATE billing_gatewaypayment SET credited_at = NULL",
        "DELETE FROM billing_gatewaypayment",
        "UPDATE billing_gatewaypayment SET refunded_paise = amount_paise + 1",
        "UPDATE billing_paymentrule SET value = 1",
        "DELETE FROM billing_paymentrule",
    ],
)
def test_tampering_by_sql_is_refused(world: World, organisation, statement: str) -> None:
    payer.pay_order(world.bank, begin(organisation, world).order_id)
    hear(world)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert posted(organisation) == 5_000_00


def test_another_amount_for_a_known_payment_is_doubted_and_not_believed(world: World, organisation) -> None:
    paid = payer.pay_order(world.bank, begin(organisation, world).order_id)
    hear(world)
    applying.apply_payment(entity={**paid, "amount": 9_999_99}, now=LATER)
    assert BillingException.objects.get().kind == "payment_odd"
    assert posted(organisation) == 5_000_00


@pytest.mark.parametrize(
    "broken",
    [{"id": "order_1"}, {"amount": "5"}, {"amount": True}, {"amount": -1}, {"amount": 1 << 70}, {"status": "?"}],
)
def test_an_entity_that_is_none_is_refused(world: World, organisation, broken: dict) -> None:
    paid = payer.pay_order(world.bank, begin(organisation, world).order_id)
    with pytest.raises(applying.UnreadableNews):
        applying.apply_payment(entity={**paid, **broken}, now=NOON)
    assert top_ups(organisation) == []
