"""What integrators hear of money: each fact once, with what they need to act on it."""

from typing import Any

import pytest
from django.utils import timezone

from billing.models import BillingException, Mandate
from billing.payments import intents, mandates
from billing.services import wallets
from billing.services.exceptions import open_exception
from billing.tests import factories
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import STORM, hear
from fleetcharge.accounts.models import Organisation
from fleetcharge.webhooks import services
from fleetcharge.webhooks.models import WebhookMessage

pytestmark = pytest.mark.django_db
HEARD = ["wallet.topped_up", "mandate.confirmed", "mandate.failed", "refund.processed", "exception.opened"]


@pytest.fixture
def listening(organisation: Organisation, settings: Any) -> Organisation:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = True
    factories.fund(organisation, 0)
    services.create_endpoint(
        organisation=organisation, url="http://127.0.0.1:9/in", event_types=HEARD, now=timezone.now()
    )
    return organisation


def told(event_type: str) -> list[dict[str, Any]]:
    rows = WebhookMessage.objects.filter(event_type=event_type).order_by("pk")
    return [row.payload["data"] for row in rows]


def test_a_top_up_is_told_once_however_often_the_gateway_says_it(world: World, listening: Organisation) -> None:
    intent = intents.start_order(organisation_id=listening.pk, amount_paise=5_000_00, now=NOON)
    intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
    from billing.gateways.emulator import payments

    payment = payments.pay_order(world.bank, intent.order_id or "")
    hear(world, STORM)
    (data,) = told("wallet.topped_up")
    assert (data["amount_paise"], data["available_paise"], data["reference"]) == (5_000_00, 5_000_00, payment["id"])


def test_a_top_up_by_hand_is_told_too(listening: Organisation) -> None:
    for _time in range(2):
        wallets.top_up(organisation_id=listening.pk, amount_paise=10_00, key="cheque 4711", at=NOON)
    (data,) = told("wallet.topped_up")
    assert data["reference"] == "cheque 4711"


def test_a_mandate_is_told_when_it_is_confirmed(world: World, listening: Organisation) -> None:
    from datetime import timedelta

    from billing.gateways.emulator import mandates as payer

    mandate = mandates.start(
        organisation_id=listening.pk, kind="upi", max_amount_paise=9_000_00, expires_at=NOON + timedelta(days=400),
        payer_name="Namma", payer_email="pay@namma.example", payer_contact="+919900112233", now=NOON,
    )  # fmt: skip
    mandates.work(mandate_id=mandate.pk, now=NOON, gateway=world.gateway)
    (token,) = world.bank.every("token")
    payer.set_state(world.bank, token["id"], "confirmed")
    hear(world, STORM)
    (data,) = told("mandate.confirmed")
    assert (data["id"], data["max_amount_paise"]) == (mandate.pk, 9_000_00)
    assert Mandate.objects.get().state == "confirmed"
    payer.set_state(world.bank, token["id"], "cancelled")
    hear(world, STORM)
    assert len(told("mandate.failed")) == 1, "it was relied on"


def test_something_to_decide_is_told_once(listening: Organisation) -> None:
    for _time in range(2):
        row = open_exception(
            organisation_id=listening.pk, kind=BillingException.Kind.REFUND_FAILED, title="No", reference="RF-1",
            amount_paise=700, at=NOON,
        )  # fmt: skip
    (data,) = told("exception.opened")
    assert (data["id"], data["kind"], data["amount_paise"]) == (row.pk, "refund_failed", 700)
