"""The owner's desk: made, rotated, tried and switched there; the secret shown once; others see nothing."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint

ADMIN = "/admin/webhooks/webhookendpoint/"


@pytest.fixture
def desk(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def said(answer: Any) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def add(desk: Client, organisation: Organisation, **fields: Any) -> Any:
    values = {"organisation": organisation.pk, "url": "http://127.0.0.1:9/in", "description": "ERP",
              "event_types": ["wallet.low", "cdr.created"], **fields}  # fmt: skip
    return desk.post(f"{ADMIN}add/", values)


def test_the_owner_makes_one_and_sees_its_secret_once(desk: Client, organisation: Organisation) -> None:
    assert desk.get(f"{ADMIN}add/").status_code == 200
    answer = add(desk, organisation)
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    endpoint = WebhookEndpoint.objects.get()
    [secret] = endpoint.secrets(timezone.now())
    assert secret in said(answer)
    assert (endpoint.organisation, endpoint.is_active) == (organisation, True)
    assert endpoint.event_types == ["cdr.created", "wallet.low"]
    for path in ("", f"{endpoint.pk}/change/"):
        page = desk.get(ADMIN + path)
        assert page.status_code == 200
    assert secret.encode() not in desk.get(f"{ADMIN}{endpoint.pk}/change/").content
    assert AuditEntry.objects.filter(action="webhook.create").count() == 1


def test_an_address_inside_is_refused_on_the_form(desk: Client, organisation: Organisation, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = False
    page = add(desk, organisation, url="https://10.0.0.8/in")
    assert b"leads into a private network" in page.content
    assert not WebhookEndpoint.objects.exists()


def test_it_is_changed_and_switched_off(desk: Client, organisation: Organisation) -> None:
    add(desk, organisation)
    endpoint = WebhookEndpoint.objects.get()
    values = {"url": endpoint.url, "description": "New ERP", "event_types": ["wallet.low"]}  # is_active unticked
    assert desk.post(f"{ADMIN}{endpoint.pk}/change/", values).status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.description, endpoint.event_types, endpoint.is_active) == ("New ERP", ["wallet.low"], False)
    assert endpoint.disabled_reason == "Switched off by Omana P."
    assert AuditEntry.objects.filter(action="webhook.change").count() == 1


def test_the_secret_is_rotated_after_a_reason(desk: Client, organisation: Organisation) -> None:
    add(desk, organisation)
    endpoint = WebhookEndpoint.objects.get()
    [old] = endpoint.secrets(timezone.now())
    assert b"the old one signs beside it" in desk.get(f"{ADMIN}{endpoint.pk}/rotate/").content
    answer = desk.post(f"{ADMIN}{endpoint.pk}/rotate/", {"reason": "it was in a ticket"})
    endpoint.refresh_from_db()
    new, kept = endpoint.secrets(timezone.now())
    assert (kept, new != old) == (old, True)
    assert new in said(answer)


def test_a_test_is_sent_and_a_delivery_sent_again(desk: Client, organisation: Organisation) -> None:
    add(desk, organisation)
    endpoint = WebhookEndpoint.objects.get()
    desk.post(f"{ADMIN}{endpoint.pk}/test/", {"reason": "trying"})
    delivery = WebhookDelivery.objects.get()
    assert delivery.message.event_type == "webhook.test"
    WebhookDelivery.objects.update(state="failed", attempts=10, next_attempt_at=None)
    page = desk.get("/admin/webhooks/webhookdelivery/")
    assert b"webhook.test" in page.content
    again = {"action": "send_again", "_selected_action": [delivery.pk]}
    desk.post("/admin/webhooks/webhookdelivery/", again)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("pending", 0)
    assert desk.get(f"/admin/webhooks/webhookmessage/{delivery.message_id}/change/").status_code == 200


def test_others_see_and_do_nothing(
    desk: Client, organisation: Organisation, client: Client, finance: User, stranger: User
) -> None:
    add(desk, organisation)
    endpoint = WebhookEndpoint.objects.get()
    for person, expected in ((finance, {403}), (stranger, {302, 404})):
        client.force_login(person)
        assert client.get(f"{ADMIN}{endpoint.pk}/change/").status_code in expected
        client.post(f"{ADMIN}{endpoint.pk}/rotate/", {"reason": "mine"})
        client.post(f"{ADMIN}{endpoint.pk}/delete/", {"post": "yes"})
    again = WebhookEndpoint.objects.get()
    assert again.secret_encrypted == endpoint.secret_encrypted
    client.force_login(stranger)
    taken = add(client, organisation)
    assert WebhookEndpoint.objects.count() == 1
    assert taken.status_code == 200  # the form again: that fleet is not theirs to choose


def test_removing_one_leaves_an_audit_entry(desk: Client, organisation: Organisation) -> None:
    add(desk, organisation)
    endpoint = WebhookEndpoint.objects.get()
    desk.post(f"{ADMIN}{endpoint.pk}/delete/", {"post": "yes"})
    assert not WebhookEndpoint.objects.exists()
    assert AuditEntry.objects.filter(action="webhook.delete").count() == 1
