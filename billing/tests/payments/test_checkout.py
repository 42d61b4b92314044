"""The hosted checkout: our form leads there, the payer pays, and a signed form leads back."""

import re
from typing import Any

import httpx
import pytest
from django.test import Client

from billing.models import PaymentIntent
from billing.payments import intents
from billing.tests import factories
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import hear, posted
from fleetcharge.accounts.models import Organisation, User

pytestmark = pytest.mark.django_db


def fields_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))


@pytest.fixture
def ready(client: Client, world: World, organisation: Organisation, finance: User) -> PaymentIntent:
    """A top-up that the gateway knows, and somebody signed in to pay it."""
    factories.fund(organisation, 0)
    client.force_login(finance)
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=5_000_00, now=NOON)
    return intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)


def checkout_form(client: Client, intent: PaymentIntent) -> tuple[str, dict[str, str], Any]:
    answer = client.get(f"/wallet/top-up/{intent.pk}/")
    page = answer.content.decode().partition('id="state"')[2]
    action = re.search(r'<form method="post" action="([^"]+)"', page)
    assert action
    return action[1], fields_of(page), answer


def test_the_whole_way_there_and_back(
    client: Client, world: World, ready: PaymentIntent, organisation: Organisation
) -> None:
    url, fields, answer = checkout_form(client, ready)
    assert url == f"{world.url}/v1/checkout/embedded"
    assert f"form-action 'self' {world.url}" in answer["Content-Security-Policy"]
    there = httpx.post(url, data=fields).text
    assert "₹5,000.00" in there
    back = httpx.post(url, data={**fields_of(there), "do": "pay"}).text
    assert f'action="{fields["callback_url"]}"' in back
    signed = fields_of(back)
    looks_at = ready.next_try_at
    client.logout()  # a form from elsewhere brings no cookies
    came = Client(enforce_csrf_checks=True).post("/wallet/top-up/paid/", signed)
    assert (came.status_code, came["Location"]) == (302, f"/wallet/top-up/{ready.pk}/?back=1")
    ready.refresh_from_db()
    assert (ready.state, posted(organisation)) == ("sent", 0), "what the browser says credits nothing"
    assert ready.next_try_at is not None and ready.next_try_at != looks_at, "but we look sooner"
    hear(world)
    ready.refresh_from_db()
    assert (ready.state, posted(organisation)) == ("confirmed", 5_000_00)


def test_a_forged_way_back_is_not_believed(client: Client, world: World, ready: PaymentIntent) -> None:
    before = ready.next_try_at
    form = {"razorpay_order_id": ready.order_id, "razorpay_payment_id": "pay_1", "razorpay_signature": "ü" * 64}
    assert client.post("/wallet/top-up/paid/", form).status_code == 302
    ready.refresh_from_db()
    assert ready.next_try_at == before


def test_a_failed_payment_leads_back_to_its_top_up(client: Client, ready: PaymentIntent) -> None:
    told = f'{{"order_id": "{ready.order_id}", "payment_id": "pay_1"}}'
    answer = client.post("/wallet/top-up/paid/", {"error[code]": "BAD_REQUEST_ERROR", "error[metadata]": told})
    assert answer["Location"] == f"/wallet/top-up/{ready.pk}/?back=1"
    for odd in ("[]", "{", '{"order_id": 5}', ""):
        assert client.post("/wallet/top-up/paid/", {"error[metadata]": odd})["Location"] == "/wallet/top-up/"


def test_the_code_is_drawn_by_us(client: Client, world: World, organisation: Organisation, finance: User) -> None:
    from billing.payments import receivers

    factories.fund(organisation, 0)
    client.force_login(finance)
    code = receivers.open_qr(organisation_id=organisation.pk, amount_paise=100_00, now=NOON)
    receivers.work(receiver_id=code.pk, now=NOON, gateway=world.gateway)
    page = client.get(f"/wallet/codes/{code.pk}/").content.decode()
    assert "<svg" in page.partition('class="qr"')[2]
    assert "<img" not in page


@pytest.mark.parametrize(
    ("named", "host"),
    [("", "https://api.razorpay.com"), ("https://checkout.razorpay.com/v1/hosted", "https://checkout.razorpay.com")],
)
def test_the_real_checkout_opens_the_policy_of_its_one_page_alone(
    client: Client, ready: PaymentIntent, settings: Any, named: str, host: str
) -> None:
    settings.PAYMENT_GATEWAY, settings.RAZORPAY_KEY_ID = "razorpay", "rzp_test_4711"
    settings.RAZORPAY_CHECKOUT_URL, settings.PUBLIC_BASE_URL = named, "https://fleet.example"
    url, fields, answer = checkout_form(client, ready)
    assert url == (named or f"{host}/v1/checkout/embedded")
    assert (fields["key_id"], fields["order_id"]) == ("rzp_test_4711", ready.order_id)
    assert fields["callback_url"] == "https://fleet.example/wallet/top-up/paid/"
    policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
    assert policy["form-action"] == f"'self' {host}"
    assert not [name for name, value in policy.items() if "razorpay" in value and name != "form-action"]
    for path in ("/wallet/", "/wallet/top-up/", "/wallet/mandates/"):
        assert "razorpay" not in client.get(path)["Content-Security-Policy"], path
    PaymentIntent.objects.update(state="failed")
    assert "razorpay" not in client.get(f"/wallet/top-up/{ready.pk}/")["Content-Security-Policy"]
