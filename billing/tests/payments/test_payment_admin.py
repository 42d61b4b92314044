"""Finance's pages of payments: own rows only, refunds by two people, the operator's inbox."""

import pytest
from django.test import Client
from django.urls import reverse

from billing.gateways.emulator import payments as payer
from billing.models import GatewayEvent, GatewayPayment, Refund
from billing.payments import inbox, intents
from billing.payments.inbox import Letter
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import hear, posted
from fleetcharge.accounts.models import User

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
