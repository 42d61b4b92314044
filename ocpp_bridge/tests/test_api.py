"""Commands over REST: own chargers only, once per key, with clear errors."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.accounts.services import create_api_key
from ocpp_bridge import commands
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories
from stations.models import Charger

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


def test_a_queued_command_can_be_taken_back_once(client: APIClient) -> None:
    made = post(client, TRIGGER).json()["id"]
    answer = client.post(f"{URL}{made}/cancel/", {"reason": "wrong charger"}, format="json")
    assert (answer.status_code, answer.json()["state"], answer.json()["reason"]) == (200, "cancelled", "wrong charger")
    again = client.post(f"{URL}{made}/cancel/", {}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "not_queued")


def test_what_is_on_its_way_cannot_be_taken_back(client: APIClient, other_organisation: Organisation) -> None:
    made = post(client, TRIGGER).json()["id"]
    Command.objects.update(state="sent")
    assert client.post(f"{URL}{made}/cancel/", {}, format="json").status_code == 409
    Command.objects.update(state="queued")
    stranger = client_of(other_organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)
    assert stranger.post(f"{URL}{made}/cancel/", {}, format="json").status_code == 404
    assert Command.objects.get().state == "queued"


def test_two_fleets_may_use_the_same_key(client: APIClient, other_organisation: Organisation) -> None:
    factories.charger(other_organisation, "DEL-001")
    neighbour = client_of(other_organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)
    ours, theirs = post(client, TRIGGER), post(neighbour, TRIGGER | {"charger": "DEL-001"})
    assert (ours.status_code, theirs.status_code) == (201, 201)
    assert ours.json()["id"] != theirs.json()["id"]


def test_the_same_key_with_other_parameters_is_a_conflict(client: APIClient) -> None:
    start = {"charger": "BLR-017", "action": "RemoteStart", "parameters": {"id_token": "TAG1"}}
    assert [post(client, start).status_code for _ in range(2)] == [201, 200]
    answer = post(client, start | {"parameters": {"id_token": "TAG2"}})
    assert (answer.status_code, answer.json()["code"]) == (409, "key_reused")


def test_what_a_version_cannot_say_fails_at_once_with_the_reason(client: APIClient) -> None:
    Charger.objects.update(protocol="ocpp1.6")
    report = {"charger": "BLR-017", "action": "GetBaseReport"}
    answer = post(client, report).json()
    assert (answer["state"], answer["reason"]) == ("failed", "not_supported by OCPP 1.6")
    long_tag = {"charger": "BLR-017", "action": "RemoteStart", "parameters": {"id_token": "T" * 21}}
    answer = post(client, long_tag, "k2").json()
    assert answer["state"] == "failed"
    assert answer["reason"].startswith("RemoteStartTransaction idTag")


def test_a_profile_arrives_as_it_was_typed(client: APIClient) -> None:
    profile = {
        "profile_id": 1, "stack_level": 0, "purpose": "station_max", "kind": "absolute", "unit": "A",
        "start_at": "2030-01-01T00:00:00Z", "periods": [{"start_seconds": 0, "limit": "32.5", "phases": 3}],
    }  # fmt: skip
    wanted = {
        "charger": "BLR-017", "action": "SetChargingProfile",
        "parameters": {"evse_number": 0, "charging_profile": profile},
    }  # fmt: skip
    made = post(client, wanted)
    assert made.status_code == 201, made.json()
    kept = Command.objects.get().parameters
    assert kept["charging_profile"]["periods"] == [{"start_seconds": 0, "limit": "32.500", "phases": 3}]
    assert "is_operative" not in kept


@pytest.mark.parametrize(
    "parameters",
    [
        {"message": "Heartbeat", "colour": "blue"},
        {"message": "Heartbeat", "variables": [{"component": "C", "unknown": 1}]},
        {"message": "Heartbeat", "evse_number": 40_000},
        {"message": "Nonsense"},
        {"message": "Heartbeat", "charging_profile": {"periods": []}},
        {"message": "Heartbeat", "total_cost": "-1"},
        ["a list"],
    ],
)
def test_parameters_are_typed_and_known(client: APIClient, parameters: Any) -> None:
    assert post(client, TRIGGER | {"parameters": parameters}).status_code == 400
    assert not Command.objects.exists()


def test_each_action_waits_as_long_as_makes_sense(client: APIClient) -> None:
    start = post(client, {"charger": "BLR-017", "action": "RemoteStart", "parameters": {"id_token": "T"}}, "a").json()
    listing = post(client, {"charger": "BLR-017", "action": "GetLocalListVersion"}, "b").json()
    waits = [parse_datetime(row["deadline_at"]) - parse_datetime(row["created_at"]) for row in (start, listing)]
    assert waits == [timedelta(seconds=45), timedelta(hours=24)]


def test_the_list_is_filtered(client: APIClient) -> None:
    for key in ("a", "b"):
        post(client, TRIGGER, key)
    Command.objects.filter(idempotency_key="api:b").update(state="accepted")

    def keys(**query: str) -> list[str]:
        return [row["idempotency_key"] for row in client.get(URL, query).json()["results"]]

    assert keys() == ["b", "a"]
    assert keys(is_open="true") == keys(state="queued") == ["a"]
    assert keys(state="accepted", action="TriggerMessage", charger="BLR-017") == ["b"]
    assert keys(action="Reset") == keys(created_after="2040-01-01T00:00:00Z") == []


def test_secrets_are_never_shown_and_not_kept(client: APIClient) -> None:
    secret = {
        "charger": "BLR-017", "action": "ChangeConfiguration",
        "parameters": {"key": "AuthorizationKey", "value": "S3CR3T-4711"},
    }  # fmt: skip
    made = post(client, secret)
    assert made.status_code == 201
    assert Command.objects.get().parameters["value"] == "S3CR3T-4711"
    assert "S3CR3T" not in made.content.decode() + client.get(URL).content.decode()
    assert post(client, secret).status_code == 200
    commands.cancel(command_id=made.json()["id"], reason="", at=timezone.now())
    assert "S3CR3T" not in str(Command.objects.values().get())
    assert post(client, secret).status_code == 200


@pytest.mark.parametrize("depth", [900, 50_000])
def test_a_body_nested_too_deeply_is_told_so(client: APIClient, depth: int) -> None:
    client.raise_request_exception = False
    head = '{"charger": "BLR-017", "action": "DataTransfer", "parameters": {"vendor_id": "x", "data": '
    body = head + "[" * depth + "]" * depth + "}}"
    told = client.post(URL, body, content_type="application/json", headers={"Idempotency-Key": "k1"})
    assert (told.status_code, told.json()["code"]) == (400, "invalid")
    assert not Command.objects.exists()
