"""Pages of the desk that hold what others wrote: long addresses, ids and payloads, on a phone as on a desk."""

from typing import Any

import pytest
from django.utils import timezone

from fleetcharge.accounts.models import Membership, Organisation, User
from fleetcharge.lib import crypto
from fleetcharge.webhooks import catalogue, deliveries, services
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint, new_secret
from ocpp_bridge.models import OddMessage
from ocpp_bridge.tests import factories
from tests.e2e.conftest import PASSWORD, PHONE, Theme, Watched
from tests.e2e.test_accessibility import violations

ADDRESS = "https://hooks.example.com/services/T024BE7LD/B0G9QF9C6/" + "x" * 120


@pytest.fixture
def paths(transactional_db: None, organisation: Organisation) -> list[str]:
    charger, now = factories.charger(organisation, "BLR-017"), timezone.now()
    odd = OddMessage.objects.create(
        charger=charger, protocol="ocpp1.6", message_id="6f1c0a9e-4b8d-4c2e-9a57-000000000001", is_taken=False,
        action="StatusNotification", payload={"connectorId": 1, "info": "x" * 200}, payload_hash=b"o" * 16,
        code="PropertyConstraintViolation", flaw="info: " + "x" * 200,
    )  # fmt: skip
    hook = WebhookEndpoint.objects.create(
        organisation=organisation, url=ADDRESS, event_types=list(catalogue.CATALOGUE),
        secret_encrypted=crypto.encrypt(new_secret()),
    )  # fmt: skip
    services.send_test(endpoint_id=hook.pk, now=now)
    outcomes = [
        deliveries.Outcome(post.delivery_id, 410, "HTTP 410.", "y" * 300)
        for post in deliveries.claim(endpoint_id=hook.pk, now=now)
    ]
    deliveries.settle(endpoint_id=hook.pk, outcomes=outcomes, now=now)
    delivery = WebhookDelivery.objects.get()
    webhooks = "/admin/webhooks"
    return [
        "/admin/ocpp_bridge/oddmessage/", f"/admin/ocpp_bridge/oddmessage/{odd.pk}/change/",
        f"{webhooks}/webhookendpoint/", f"{webhooks}/webhookendpoint/add/",
        f"{webhooks}/webhookendpoint/{hook.pk}/change/", f"{webhooks}/webhookendpoint/{hook.pk}/rotate/",
        f"{webhooks}/webhookdelivery/", f"{webhooks}/webhookdelivery/{delivery.pk}/change/",
        f"{webhooks}/webhookmessage/", f"{webhooks}/webhookmessage/{delivery.message_id}/change/",
    ]  # fmt: skip


@pytest.mark.parametrize(("theme", "is_phone"), [("light", False), ("dark", True), ("light", True)])
def test_nothing_scrolls_sideways_and_axe_finds_nothing(
    web: Watched, organisation: Organisation, paths: list[str], theme: Theme, is_phone: bool
) -> None:
    owner = User.objects.create_user("omana@namma.example", PASSWORD, full_name="Omana P", is_staff=True)
    Membership.objects.create(user=owner, organisation=organisation, role="owner")
    options: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if is_phone else {}
    page = web.sign_in(web.page(theme=theme, **options), owner, "/admin/")
    for path in paths:
        answer = page.goto(web.server.url + path)
        assert answer is not None and answer.status == 200, path
        width = page.evaluate("document.documentElement.clientWidth")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert violations(page) == [], path
    assert (web.errors, web.strangers) == ([], [])
