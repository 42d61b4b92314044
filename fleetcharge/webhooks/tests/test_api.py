"""Webhooks over REST: make, look, change, rotate, try, replay; and what is refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import AuditEntry, Membership, Organisation, Scope, User
from fleetcharge.lib import outbound
from fleetcharge.webhooks import api, catalogue, sending, services
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookMessage
from fleetcharge.webhooks.tests.receiver import Receiver

HOOKS = "/api/v1/webhooks/"
Call = Callable[..., tuple[int, Any]]


def caller(client: Client, organisation: Organisation, scopes: list[str]) -> Call:
    _, secret = accounts.create_api_key(organisation=organisation, name="erp", scopes=scopes)

    def call(method: str, path: str = "", **body: Any) -> tuple[int, Any]:
        arguments = {"data": body, "content_type": "application/json"} if method != "get" else {}
        answer = getattr(client, method)(HOOKS + path, headers={"X-API-Key": secret}, **arguments)
        return answer.status_code, answer.json() if answer.content else None

    return call


@pytest.fixture
def call(client: Client, organisation: Organisation) -> Call:
    return caller(client, organisation, list(Scope.values))


def make(call: Call, **fields: Any) -> dict[str, Any]:
    values = {"url": "http://127.0.0.1:9/in", "event_types": ["wallet.low"], **fields}
    status, row = call("post", **values)
    assert status == 201, row
    return dict(row)


def test_a_webhook_is_made_and_its_secret_shown_once(call: Call, organisation: Organisation) -> None:
    made = make(call, description="ERP", event_types=["wallet.low", "cdr.created", "wallet.low"])
    assert made["secret"].startswith("whsec_")
    assert (made["event_types"], made["description"], made["is_active"]) == (["cdr.created", "wallet.low"], "ERP", True)
    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.organisation, endpoint.secrets(timezone.now())) == (organisation, [made["secret"]])
    assert made["secret"] not in endpoint.secret_encrypted
    for path in ("", f"{made['id']}/"):
        _, seen = call("get", path)
        assert made["secret"] not in str(seen)
    entry = AuditEntry.objects.get(action="webhook.create")
    assert (entry.actor_label, entry.organisation) == ("key erp", organisation)
    assert made["secret"] not in str(entry.after)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "not an address"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["session.exploded"]}, "event_types"),
        ({"event_types": ["webhook.test"]}, "event_types"),
        ({"description": "x" * 121}, "description"),
    ],
)
def test_bad_input_is_named(call: Call, fields: dict[str, Any], field: str) -> None:
    status, body = call("post", **{"url": "http://127.0.0.1:9/in", "event_types": ["wallet.low"], **fields})
    assert (status, body["code"], list(body["fields"])) == (400, "invalid", [field])
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize(
    "url",
    ["http://8.8.8.8/in", "https://127.0.0.1/in", "https://10.0.0.8/in", "https://[::1]/in",
     "https://user:pw@8.8.8.8/", "https://169.254.169.254/latest"],
)  # fmt: skip
def test_an_address_inside_is_refused_and_later_ones_too(call: Call, settings: Any, url: str) -> None:
    made = make(call)
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = False
    for status, body in (
        call("post", url=url, event_types=["wallet.low"]),
        call("patch", f"{made['id']}/", url=url),
    ):
        assert (status, list(body["fields"])) == (400, ["url"])
    assert WebhookEndpoint.objects.get().url == made["url"]


def test_a_public_https_address_is_taken(call: Call, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = False
    found = [(2, 1, 6, "", ("203.0.114.7", 443))]
    monkeypatch.setattr(outbound.socket, "getaddrinfo", lambda *_, **__: found)
    assert make(call, url="https://hooks.example/in")["url"] == "https://hooks.example/in"


def test_to_hear_something_takes_the_scope_to_read_it(client: Client, organisation: Organisation) -> None:
    narrow = caller(client, organisation, ["webhooks:read", "webhooks:write", "stations:read"])
    status, body = narrow("post", url="http://127.0.0.1:9/in", event_types=["cdr.created"])
    assert (status, body["code"]) == (403, "missing_scope")
    made = make(narrow, event_types=["connector.status_changed"])
    assert narrow("patch", f"{made['id']}/", event_types=["wallet.low"])[0] == 403
    wide = caller(client, organisation, list(Scope.values))
    money = make(wide, event_types=["wallet.low"])
    assert narrow("patch", f"{money['id']}/", url="http://127.0.0.1:9/mine")[0] == 403  # would lead it elsewhere
    mine = {"url": "http://127.0.0.1:9/mine", "event_types": ["connector.status_changed"]}
    assert narrow("patch", f"{money['id']}/", **mine)[0] == 403  # and with it what waits, or is kept to be replayed
    assert narrow("post", f"{money['id']}/replay/", since="2026-01-01T00:00:00Z")[0] == 403


def test_deliveries_show_only_what_the_key_may_read(client: Client, organisation: Organisation, say: Any) -> None:
    wide = caller(client, organisation, list(Scope.values))
    made = make(wide)
    say("low")
    narrow = caller(client, organisation, ["webhooks:read"])
    assert [row["payload"]["type"] for row in wide("get", f"{made['id']}/deliveries/")[1]["results"]] == ["wallet.low"]
    assert narrow("get", f"{made['id']}/deliveries/")[1]["results"] == []


def test_scopes_are_needed(client: Client, organisation: Organisation) -> None:
    made = make(caller(client, organisation, list(Scope.values)))
    reader = caller(client, organisation, ["webhooks:read", "billing:read"])
    assert reader("get")[0] == 200
    assert reader("post", url="http://127.0.0.1:9/in", event_types=["wallet.low"])[0] == 403
    assert reader("post", f"{made['id']}/rotate-secret/")[0] == 403
    assert caller(client, organisation, ["billing:read"])("get")[0] == 403


def test_a_stranger_finds_nothing(client: Client, call: Call, other_organisation: Organisation, say: Any) -> None:
    made = make(call)
    say("low")
    delivery = WebhookDelivery.objects.get()
    stranger = caller(client, other_organisation, list(Scope.values))
    assert stranger("get")[1]["results"] == []
    own = make(stranger, event_types=["cdr.created"])
    for method, path in (
        ("get", ""), ("patch", ""), ("delete", ""), ("get", "deliveries/"), ("post", "test/"),
        ("post", "rotate-secret/"),
    ):  # fmt: skip
        assert stranger(method, f"{made['id']}/{path}")[0] == 404, path
    assert stranger("post", f"{made['id']}/replay/", since="2026-01-01T00:00:00Z")[0] == 404
    assert stranger("post", f"{own['id']}/replay/", delivery=delivery.pk)[0] == 404


def test_it_is_changed_switched_off_and_on(call: Call, say: Any) -> None:
    made = make(call)
    status, row = call("patch", f"{made['id']}/", event_types=["cdr.created"], is_active=False)
    assert (status, row["event_types"], row["is_active"]) == (200, ["cdr.created"], False)
    assert row["disabled_reason"] == "Switched off by key erp."
    assert say("price", event_type="cdr.created") == 0
    status, row = call("patch", f"{made['id']}/", is_active=True)
    assert (row["is_active"], row["disabled_at"], row["disabled_reason"]) == (True, None, "")
    assert say("price", event_type="cdr.created") == 1
    assert AuditEntry.objects.filter(action="webhook.change").count() == 2


def test_it_is_removed_with_its_deliveries(call: Call, say: Any) -> None:
    made = make(call)
    say("low")
    assert call("delete", f"{made['id']}/") == (204, None)
    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()
    assert WebhookMessage.objects.count() == 1
    assert say("later") == 0


def test_the_secret_is_rotated(call: Call) -> None:
    made = make(call)
    status, row = call("post", f"{made['id']}/rotate-secret/", keep_old_hours=2)
    now = timezone.now()
    endpoint = WebhookEndpoint.objects.get()
    assert (status, endpoint.secrets(now)) == (200, [row["secret"], made["secret"]])
    assert endpoint.secrets(now + timedelta(hours=2)) == [row["secret"]]
    _, last = call("post", f"{made['id']}/rotate-secret/", keep_old_hours=0)
    assert WebhookEndpoint.objects.get().secrets(now) == [last["secret"]]
    assert call("post", f"{made['id']}/rotate-secret/", keep_old_hours=1000)[0] == 400


def test_no_more_than_twenty(call: Call) -> None:
    for _ in range(services.MAX_ENDPOINTS):
        make(call)
    status, body = call("post", url="http://127.0.0.1:9/in", event_types=["wallet.low"])
    assert (status, body["code"]) == (409, "too_many")


@pytest.mark.django_db(transaction=True)
def test_a_test_message_really_arrives(call: Call, receiver: Receiver) -> None:
    made = make(call, url=receiver.url())
    status, row = call("post", f"{made['id']}/test/")
    assert (status, row["event_type"], row["state"]) == (202, "webhook.test", "pending")
    sending.send_round(clock=timezone.now)
    assert receiver.received[0].headers["webhook-id"] == row["message"]
    _, page = call("get", f"{made['id']}/deliveries/?event_type=webhook.test&state=delivered")
    assert [(found["id"], found["last_status"]) for found in page["results"]] == [(row["id"], 204)]
    assert call("get", f"{made['id']}/deliveries/?state=failed")[1]["results"] == []


@pytest.mark.django_db(transaction=True)
def test_one_delivery_or_all_since_a_time_are_sent_once_more(call: Call, receiver: Receiver, say: Any) -> None:
    made = make(call, url=receiver.url())
    for key in ("a", "b", "c"):
        say(key)
    sending.send_round(clock=timezone.now)
    assert len(receiver.received) == 3
    first = WebhookDelivery.objects.order_by("pk").first()
    assert first is not None
    assert call("post", f"{made['id']}/replay/", delivery=first.pk) == (202, {"deliveries": 1})
    sending.send_round(clock=timezone.now)
    assert receiver.received[3].headers["webhook-id"] == first.message.public_id
    since = WebhookMessage.objects.get(dedupe_key="b").created_at.isoformat()
    assert call("post", f"{made['id']}/replay/", since=since) == (202, {"deliveries": 2})
    sending.send_round(clock=timezone.now)
    assert len(receiver.received) == 6
    assert call("post", f"{made['id']}/replay/", since=since, only_undelivered=True)[1] == {"deliveries": 0}
    assert call("post", f"{made['id']}/replay/", since=since, until=since)[1] == {"deliveries": 0}
    assert call("post", f"{made['id']}/replay/", since=since, event_types=["cdr.created"])[1] == {"deliveries": 0}


@pytest.mark.django_db(transaction=True)
def test_a_new_webhook_can_be_told_what_another_was(call: Call, receiver: Receiver, say: Any) -> None:
    make(call)
    say("before")
    late = make(call, url=receiver.url("/late"))
    assert call("post", f"{late['id']}/replay/", since="2026-01-01T00:00:00Z") == (202, {"deliveries": 1})
    sending.send_round(clock=timezone.now)
    assert len(receiver.at("/late")) == 1


def test_a_replay_names_one_thing(call: Call) -> None:
    made = make(call)
    assert call("post", f"{made['id']}/replay/")[0] == 400
    assert call("post", f"{made['id']}/replay/", delivery=1, since="2026-01-01T00:00:00Z")[0] == 400
    assert call("post", f"{made['id']}/replay/", delivery=1)[1]["code"] == "unknown_delivery"


def test_what_is_switched_off_is_sent_nothing(call: Call) -> None:
    made = make(call)
    call("patch", f"{made['id']}/", is_active=False)
    for path, body in (("test", {}), ("replay", {"since": "2026-01-01T00:00:00Z"})):
        status, answer = call("post", f"{made['id']}/{path}/", **body)
        assert (status, answer["code"]) == (409, "not_active")


@pytest.mark.usefixtures("one_window")
def test_tests_and_replays_are_throttled(call: Call) -> None:
    made = make(call)
    answers = [call("post", f"{made['id']}/test/")[0] for _ in range(api.ASKED_FOR.limit + 1)]
    assert (set(answers[:-1]), answers[-1]) == ({202}, 429)


def test_the_catalogue_is_served(call: Call) -> None:
    status, rows = call("get", "events/")
    assert (status, [row["name"] for row in rows]) == (200, list(catalogue.CATALOGUE))
    assert all(row["when"] and row["scope"] and row["data"] for row in rows)


def test_an_integrator_may_in_a_session(client: Client, organisation: Organisation) -> None:
    person = User.objects.create_user("ivan@namma.example", "correct horse")
    Membership.objects.create(user=person, organisation=organisation, role=Membership.Role.INTEGRATOR)
    client.force_login(person)
    values = {"url": "http://127.0.0.1:9/in", "event_types": list(catalogue.CATALOGUE)}
    assert client.post(HOOKS, data=values, content_type="application/json").status_code == 403
    values["event_types"] = [name for name in catalogue.CATALOGUE if name != catalogue.DRIVER_LINK_MADE]
    assert client.post(HOOKS, data=values, content_type="application/json").status_code == 201
    Membership.objects.update(role=Membership.Role.DRIVER)
    assert client.get(HOOKS).status_code == 403
