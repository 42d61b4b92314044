"""The mail about a webhook that was switched off: to its keepers, of its fleet, with the reason and the way back."""

import pytest
from django.core import mail
from django.utils import timezone

from fleetcharge.accounts.models import Membership, Organisation, User
from fleetcharge.webhooks import deliveries, letters, services
from fleetcharge.webhooks.models import WebhookEndpoint

pytestmark = pytest.mark.django_db


@pytest.fixture
def given_up(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    services.send_test(endpoint_id=endpoint.pk, now=timezone.now())
    [post] = deliveries.claim(endpoint_id=endpoint.pk, now=timezone.now())
    outcome = deliveries.Outcome(post.delivery_id, 410, "HTTP 410.")
    deliveries.settle(endpoint_id=endpoint.pk, outcomes=[outcome], now=timezone.now())
    return endpoint


def test_owners_and_integrators_of_the_fleet_are_written_to(
    given_up: WebhookEndpoint, organisation: Organisation, dispatcher: User, stranger: User
) -> None:
    for role in ("owner", "integrator", "finance"):
        person = User.objects.create_user(email=f"{role}@namma.example", password="x" * 12)
        Membership.objects.create(user=person, organisation=organisation, role=role)
    Membership.objects.filter(user=stranger).update(role="owner")
    assert letters.write_to_keepers(endpoint_id=given_up.pk) == 2
    assert sorted(letter.to for letter in mail.outbox) == [["integrator@namma.example"], ["owner@namma.example"]]
    text = mail.outbox[0].body
    assert "The endpoint answered 410 Gone." in text
    assert given_up.url in text
    assert f"/admin/webhooks/webhookendpoint/{given_up.pk}/change/" in text
    assert given_up.secrets(timezone.now())[0] not in text


def test_nobody_is_written_to_when_it_is_on_again(given_up: WebhookEndpoint, organisation: Organisation) -> None:
    owner = User.objects.create_user(email="owner@namma.example", password="x" * 12)
    Membership.objects.create(user=owner, organisation=organisation, role="owner")
    services.change_endpoint(endpoint_id=given_up.pk, changes={"is_active": True}, now=timezone.now())
    services.change_endpoint(endpoint_id=given_up.pk, changes={"is_active": False}, now=timezone.now())
    assert letters.write_to_keepers(endpoint_id=given_up.pk) == 0
    assert mail.outbox == []
