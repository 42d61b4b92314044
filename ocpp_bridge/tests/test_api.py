"""Commands over REST: own chargers only, once per key, with clear errors."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.accounts.services import create_api_key
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories

URL = "/api/v1/commands/"
TRIGGER = {"charger": "BLR-017", "action": "TriggerMessage", "parameters": {"message": "StatusNotification"}}


def client_of(organisation: Organisation, *scopes: str) -> APIClient:
    _, secret = create_api_key(organisation=organisation, name="ops", scopes=list(scopes), created_by=None)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def client(organisation: Organisation) -> APIClient:
    factories.charger(organisation, "BLR-017")
    return client_of(organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)


def post(client: APIClient, body: dict[str, Any], key: str = "k1") -> Any:
    return client.post(URL, body, format="json", headers={"Idempotency-Key": key} if key else {})


def test_a_command_is_queued_once_per_key(client: APIClient) -> None:
    first, again = post(client, TRIGGER), post(client, TRIGGER)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert (first.json()["state"], first.json()["idempotency_key"], first.json()["actor"]) == (
        "queued",
        "k1",
        "key ops",
    )
    assert client.get(f"{URL}{first.json()['id']}/").json()["charger"] == "BLR-017"
    assert [row["id"] for row in client.get(URL).json()["results"]] == [first.json()["id"]]


def test_the_key_may_be_in_the_body(client: APIClient) -> None:
    assert post(client, TRIGGER | {"idempotency_key": "k2"}, key="").json()["idempotency_key"] == "k2"


@pytest.mark.parametrize(
    ("body", "key", "status", "code"),
    [
        (TRIGGER, "", 400, "invalid"),
        (TRIGGER, "x" * 61, 400, "invalid"),
        (TRIGGER | {"action": "Explode"}, "k", 400, "invalid"),
        (TRIGGER | {"parameters": {}}, "k", 400, "invalid"),
        (TRIGGER | {"charger": "NOBODY"}, "k", 404, "unknown_charger"),
        (TRIGGER | {"expires_in_seconds": 1}, "k", 400, "invalid"),
    ],
)
def test_bad_requests_say_what_is_wrong(
    client: APIClient, body: dict[str, Any], key: str, status: int, code: str
) -> None:
    answer = post(client, body, key)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not Command.objects.exists()


def test_a_key_of_another_command_is_a_conflict(client: APIClient) -> None:
    post(client, TRIGGER)
    answer = post(client, TRIGGER | {"action": "RemoteStop", "parameters": {"transaction_ref": "1"}})
    assert (answer.status_code, answer.json()["code"]) == (409, "key_reused")


def test_a_stranger_sees_and_commands_nothing(client: APIClient, other_organisation: Organisation) -> None:
    made = post(client, TRIGGER).json()["id"]
    stranger = client_of(other_organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)
    assert stranger.get(f"{URL}{made}/").status_code == 404
    assert stranger.get(URL).json()["results"] == []
    assert post(stranger, TRIGGER).status_code == 404


def test_reading_is_not_commanding(client: APIClient, organisation: Organisation) -> None:
    reader = client_of(organisation, Scope.DISPATCH_READ)
    assert post(reader, TRIGGER).status_code == 403
    assert not Command.objects.exists()


def test_a_dispatcher_may_command_from_the_page(client: APIClient, dispatcher: User) -> None:
    browser = APIClient()
    browser.force_login(dispatcher)
    answer = post(browser, TRIGGER)
    assert (answer.status_code, answer.json()["actor"]) == (201, str(dispatcher))
