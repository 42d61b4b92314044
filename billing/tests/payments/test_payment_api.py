"""The payment API: what an owner or a machine asks for becomes a row; the worker and the gateway do the rest."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from billing.gateways.emulator import payments as payer
from billing.gateways.emulator.mandates import set_state
from billing.gateways.signing import signature
from billing.models import GatewayPayment, Mandate, PaymentIntent, PaymentReceiver, Refund
from billing.payments import intents, tasks
from billing.tests.payments.conftest import World
from billing.tests.payments.helpers import hear, posted
from fleetcharge.accounts.services import create_api_key

pytestmark = pytest.mark.django_db
API = "/api/v1"


def signed_in(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def api(finance) -> APIClient:
    return signed_in(finance)


@pytest.fixture
def key(organisation) -> APIClient:
    _, secret = create_api_key(organisation=organisation, name="erp", scopes=["billing:read", "billing:write"])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def mandate(world: World, key: APIClient) -> Mandate:
    wanted = {
        "max_amount_paise": 15_000_00, "expires_at": timezone.now() + timedelta(days=700), "payer_name": "Namma",
        "payer_email": "pay@namma.example", "payer_contact": "+919999999999",
    }  # fmt: skip
    answer = key.post(f"{API}/mandates/", wanted)
    assert (answer.status_code, answer.json()["state"]) == (202, "draft")
    tasks.sweep_payments()
    made = Mandate.objects.get()
    set_state(world.bank, world.bank.get("invoice", made.link_id)["token_id"], "confirmed")
    hear(world, now=timezone.now())
    made.refresh_from_db()
    return made


def test_a_top_up_from_the_request_to_the_wallet(world: World, key: APIClient, organisation) -> None:
    asked = key.post(f"{API}/top-ups/", {"amount_paise": 2_500_00})
    assert (asked.status_code, asked.json()["state"], asked.json()["checkout"]) == (202, "created", None)
    tasks.sweep_payments()
    row = key.get(f"{API}/top-ups/{asked.json()['id']}/").json()
    assert row["checkout"]["url"] == f"{world.url}/pay/{row['checkout']['order_id']}"
    payer.pay_order(world.bank, row["checkout"]["order_id"])
    hear(world, now=timezone.now())
    row = key.get(f"{API}/top-ups/{row['id']}/").json()
    assert (row["state"], row["checkout"]) == ("confirmed", None)
    assert key.get(f"{API}/wallet/").json()["posted_paise"] == 2_500_00
    assert [each["amount_paise"] for each in key.get(f"{API}/payments/").json()["results"]] == [2_500_00]


def test_the_same_request_with_its_key_is_one_top_up(world: World, key: APIClient) -> None:
    answers = [
        key.post(f"{API}/top-ups/", {"amount_paise": 100_00}, HTTP_IDEMPOTENCY_KEY="month-11").json() for _ in range(3)
    ]
    assert len({answer["id"] for answer in answers}) == 1
    assert PaymentIntent.objects.count() == 1


@pytest.mark.parametrize("amount", [0, -1, 99, "12.5", None, 10**20, 5_00_00_000_01])
def test_amounts_that_nobody_can_pay_are_refused(key: APIClient, amount) -> None:
    assert key.post(f"{API}/top-ups/", {"amount_paise": amount}).status_code == 400
    assert not PaymentIntent.objects.exists()


def test_the_checkouts_word_credits_nothing_and_makes_us_look(world: World, key: APIClient, organisation) -> None:
    asked = key.post(f"{API}/top-ups/", {"amount_paise": 100_00}).json()
    tasks.sweep_payments()
    intent = PaymentIntent.objects.get()
    paid = payer.pay_order(world.bank, intent.order_id)
    forged = {"payment_id": paid["id"], "signature": "0" * 64}
    answer = key.post(f"{API}/top-ups/{asked['id']}/paid/", forged)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert key.post(f"{API}/top-ups/{asked['id']}/paid/", {**forged, "signature": "ü"}).status_code == 400
    good = signature(f"{intent.order_id}|{paid['id']}".encode(), world.emulator.key_secret)
    assert key.post(f"{API}/top-ups/{asked['id']}/paid/", {**forged, "signature": good}).status_code == 202
    assert not GatewayPayment.objects.exists()
    tasks.sweep_payments()
    assert posted(organisation) == 100_00


def test_a_code_and_an_account_are_opened(world: World, key: APIClient) -> None:
    for wanted in ({"kind": "qr", "amount_paise": 500_00}, {"kind": "virtual_account"}):
        assert key.post(f"{API}/payment-receivers/", wanted).status_code == 202
    assert key.post(f"{API}/payment-receivers/", {"kind": "virtual_account"}).status_code == 409
    tasks.sweep_payments()
    states = {row["kind"]: row["state"] for row in key.get(f"{API}/payment-receivers/").json()["results"]}
    assert states == {"qr": "active", "virtual_account": "active"}
    assert PaymentReceiver.objects.count() == 2


def test_a_mandate_is_asked_for_debited_and_ended(world: World, key: APIClient, mandate: Mandate) -> None:
    row = key.get(f"{API}/mandates/{mandate.pk}/").json()
    assert (row["state"], row["link_url"]) == ("confirmed", f"{world.url}/mandates/{mandate.link_id}")
    assert key.post(f"{API}/mandates/{mandate.pk}/debits/", {"amount_paise": 9_000_00}).status_code == 202
    again = key.post(f"{API}/mandates/{mandate.pk}/debits/", {"amount_paise": 1_00})
    assert (again.status_code, again.json()["code"]) == (409, "too_early")
    assert key.post(f"{API}/mandates/{mandate.pk}/cancel/", {"reason": "other bank"}).status_code == 202
    tasks.sweep_payments()
    assert key.get(f"{API}/mandates/{mandate.pk}/").json()["state"] == "cancelled"
    assert key.post(f"{API}/mandates/{mandate.pk}/cancel/", {"reason": "again"}).status_code == 409


def test_the_automatic_top_up_is_set_and_shown(key: APIClient) -> None:
    assert key.get(f"{API}/auto-top-up/").status_code == 404
    assert key.put(f"{API}/auto-top-up/", {"safety_paise": 5_000_00}).status_code == 200
    assert key.put(f"{API}/auto-top-up/", {"safety_paise": -1}).status_code == 400
    assert key.put(f"{API}/auto-top-up/", {"safety_paise": 1, "cover_hours": 5_000}).status_code == 400
    row = key.get(f"{API}/auto-top-up/").json()
    assert (row["is_active"], row["safety_paise"], row["cover_hours"]) == (True, 5_000_00, 72)


def test_a_refund_takes_two_people(world: World, api: APIClient, key: APIClient, owner, organisation) -> None:
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=1_000_00, now=timezone.now())
    tasks.sweep_payments()
    intent.refresh_from_db()
    payer.pay_order(world.bank, intent.order_id)
    hear(world, now=timezone.now())
    wanted = {"payment": GatewayPayment.objects.get().pk, "amount_paise": 400_00, "reason": "fleet closes"}
    assert key.post(f"{API}/refunds/", wanted).json()["code"] == "person_needed"
    asked = api.post(f"{API}/refunds/", wanted).json()
    assert api.post(f"{API}/refunds/{asked['id']}/decide/", {"approve": True}).status_code == 400
    boss = signed_in(owner)
    assert boss.post(f"{API}/refunds/{asked['id']}/decide/", {"approve": True}).json()["state"] == "created"
    assert boss.post(f"{API}/refunds/{asked['id']}/decide/", {"approve": True}).status_code == 409
    tasks.sweep_payments()
    assert (Refund.objects.get().state, posted(organisation)) == ("sent", 600_00)


def test_a_stranger_sees_and_moves_nothing(world: World, mandate: Mandate, stranger, key: APIClient) -> None:
    key.post(f"{API}/top-ups/", {"amount_paise": 100_00})
    other = signed_in(stranger)
    for path in ("top-ups", "mandates", "payments", "payment-receivers", "refunds"):
        assert other.get(f"{API}/{path}/").json()["results"] == []
    for path, body in [("debits", {"amount_paise": 100_00}), ("cancel", {"reason": "x"})]:
        assert other.post(f"{API}/mandates/{mandate.pk}/{path}/", body).status_code == 404
    payment = {"payment_id": "pay_1", "signature": "x"}
    assert other.post(f"{API}/top-ups/{PaymentIntent.objects.get().pk}/paid/", payment).status_code == 404


def test_a_dispatcher_moves_no_money(dispatcher) -> None:
    assert signed_in(dispatcher).post(f"{API}/top-ups/", {"amount_paise": 100_00}).status_code == 403
