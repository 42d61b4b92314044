"""Finance's pages of payments: own rows only, refunds by two people, the operator's inbox."""

import pytest
from django.test import Client
from django.urls import reverse

from billing.approvals import services as approvals
from billing.approvals.models import Approval
from billing.gateways.emulator import payments as payer
from billing.gateways.emulator import settlements as payout
from billing.models import GatewayEvent, GatewayPayment, Refund, Wallet
from billing.payments import inbox, intents, settlements, strangers
from billing.payments.inbox import Letter
from billing.services import ledger
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import books_are_right, hear, posted
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict

pytestmark = pytest.mark.django_db
OF_FLEETS = ["gatewaypayment", "paymentintent", "paymentreceiver", "mandate", "refund", "paymentdispute"]
OF_THE_OPERATOR = ["gatewayevent", "settlement", "settlementrow", "bankline", "paymentrule"]


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(name: str, *args: object) -> str:
    return reverse(f"admin:billing_{name}", args=args)


@pytest.fixture
def payment(world: World, organisation) -> GatewayPayment:
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=5_000_00, now=NOON)
    payer.pay_order(world.bank, intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway).order_id)
    hear(world)
    return GatewayPayment.objects.get()


def test_each_page_opens_for_whom_it_is(payment, finance, stranger) -> None:
    operator = User.objects.create_superuser("op@fleetcharge.example", "correct horse")
    for name in OF_FLEETS + OF_THE_OPERATOR:
        assert signed_in(operator).get(page(f"{name}_changelist")).status_code == 200
        wanted = 200 if name in OF_FLEETS else 403
        assert signed_in(finance).get(page(f"{name}_changelist")).status_code == wanted
    assert payment.payment_id in signed_in(finance).get(page("gatewaypayment_changelist")).content.decode()
    assert payment.payment_id not in signed_in(stranger).get(page("gatewaypayment_changelist")).content.decode()


def test_a_refund_is_asked_by_one_and_approved_by_another(payment, finance, owner, organisation) -> None:
    signed_in(finance).post(page("gatewaypayment_ask_refund", payment.pk), {"reason": "fleet closes"})
    refund = Refund.objects.get()
    signed_in(finance).post(page("refund_approve", refund.pk), {"reason": "me too"})
    assert posted(organisation) == 5_000_00
    signed_in(owner).post(page("refund_approve", refund.pk), {"reason": "seen"})
    refund.refresh_from_db()
    assert (refund.state, refund.decided_by, posted(organisation)) == ("created", owner, 0)


def test_a_stranger_decides_nothing(payment, finance, stranger, organisation) -> None:
    signed_in(stranger).post(page("gatewaypayment_ask_refund", payment.pk), {"reason": "mine"})
    assert not Refund.objects.exists()


def test_the_operator_has_a_dead_webhook_handled_again(payment) -> None:
    operator = User.objects.create_superuser("op@fleetcharge.example", "correct horse")
    inbox.keep([Letter("evt_dead", b"[]", NOON)])
    inbox.work(now=NOON)
    dead = GatewayEvent.objects.get(state="dead")
    wanted = {"action": "try_again", "_selected_action": [dead.pk]}
    signed_in(operator).post(page("gatewayevent_changelist"), wanted)
    dead.refresh_from_db()
    assert (dead.state, dead.attempts) == ("waiting", 0)


@pytest.fixture
def stray(world: World) -> GatewayPayment:
    """Taken, settled, and nobody knows whose it is."""
    payer.take(world.bank, payer.new_payment(world.bank, amount=777_00, method="upi"))
    hear(world)
    payout.settle(world.bank)
    settlements.import_recent(now=NOON, gateway=world.gateway)
    payment = GatewayPayment.objects.get()
    assert (payment.organisation, ledger.balance_paise("suspense")) == (None, 777_00)
    return payment


def test_a_payment_without_an_owner_is_given_to_its_fleet_by_two_operators(stray, organisation, finance) -> None:
    clerk, chief = (User.objects.create_superuser(f"{name}@fc.example", "correct horse") for name in ("a", "b"))
    told = {"organisation": organisation.pk, "reason": "their letter of Friday"}
    assert signed_in(finance).post(page("gatewaypayment_give", stray.pk), told).status_code == 403
    assert signed_in(clerk).get(page("gatewaypayment_give", stray.pk)).status_code == 200
    signed_in(clerk).post(page("gatewaypayment_give", stray.pk), told)
    wish = Approval.objects.get()
    with pytest.raises(ValueError, match="Another person"):
        approvals.approve(approval_id=wish.pk, decided_by=clerk, now=NOON)
    assert not Wallet.objects.exists()
    approvals.approve(approval_id=wish.pk, decided_by=chief, now=NOON, reason="seen")
    settlements.settle(now=NOON)
    stray.refresh_from_db()
    assert (stray.organisation, stray.credited_at, posted(organisation)) == (organisation, NOON, 777_00)
    assert [ledger.balance_paise(code) for code in ("suspense", "razorpay_clearing")] == [0, 0]
    assert (settlements.unexplained_paise(), books_are_right()) == (0, True)


def test_a_payment_is_given_once_and_only_while_it_is_there(world, stray, organisation, other_organisation) -> None:
    clerk, chief = (User.objects.create_superuser(f"{name}@fc.example", "correct horse") for name in ("a", "b"))
    wishes = [
        strangers.ask_to_give(payment_id=stray.pk, organisation_id=fleet.pk, asked_by=clerk, reason="r", now=NOON)
        for fleet in (organisation, other_organisation)
    ]
    approvals.approve(approval_id=wishes[0].pk, decided_by=chief, now=NOON, reason="seen")
    with pytest.raises(Conflict, match="belongs to a fleet"):
        approvals.approve(approval_id=wishes[1].pk, decided_by=chief, now=NOON, reason="seen")
    gone = payer.new_payment(world.bank, amount=50_00, method="upi")
    payer.take(world.bank, gone)
    made = payer.refund(world.bank, gone["id"], {"amount": 50_00}, "")
    payer.finish_refund(world.bank, made["id"])
    hear(world)
    payment = GatewayPayment.objects.get(payment_id=gone["id"])
    strangers.work(payment_pk=payment.pk, now=NOON, gateway=world.gateway)
    with pytest.raises(Conflict, match="not given back"):
        strangers.ask_to_give(
            payment_id=payment.pk, organisation_id=organisation.pk, asked_by=clerk, reason="r", now=NOON
        )
    assert Wallet.objects.count() == 1


def test_a_payment_of_which_a_part_went_back_is_not_given_whole(world, stray, organisation) -> None:
    clerk, chief = (User.objects.create_superuser(f"{name}@fc.example", "correct horse") for name in ("a", "b"))
    wish = strangers.ask_to_give(
        payment_id=stray.pk, organisation_id=organisation.pk, asked_by=clerk, reason="r", now=NOON
    )
    made = payer.refund(world.bank, stray.payment_id, {"amount": 77_00}, "")
    payer.finish_refund(world.bank, made["id"])
    hear(world)
    with pytest.raises(Conflict, match=r"₹77\.00 of this payment was given back at the gateway"):
        approvals.approve(approval_id=wish.pk, decided_by=chief, now=NOON, reason="seen")
    stray.refresh_from_db()
    assert (stray.organisation, Wallet.objects.exists()) == (None, False)
