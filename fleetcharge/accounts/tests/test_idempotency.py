"""A write that is sent twice with one Idempotency-Key happens once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from fleetcharge.accounts import idempotency, services, throttling
from fleetcharge.accounts.models import APIKey, IdempotentWrite, Organisation, Scope, User
from fleetcharge.accounts.tasks import forget_idempotency_keys
from fleetcharge.webhooks.models import WebhookEndpoint
from vehicles.models import Driver

HOOK = {"url": "http://127.0.0.1:9/hook", "event_types": ["wallet.low"]}


def client_of(organisation: Organisation, *scopes: str) -> Client:
    _, secret = services.create_api_key(organisation=organisation, name="t", scopes=scopes or list(Scope.values))
    return Client(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def machine(organisation: Organisation, settings: Any) -> Client:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = True
    return client_of(organisation)


def post(client: Client, path: str, body: Any, key: str = "k1") -> Any:
    return client.post(f"/api/v1/{path}/", body, content_type="application/json", headers={"Idempotency-Key": key})


def test_the_second_answer_is_the_first_and_nothing_is_made_twice(machine: Client) -> None:
    first, second = (post(machine, "drivers", {"name": "Ravi"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second["Content-Type"] == first["Content-Type"]
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    assert Driver.objects.count() == 1


def test_a_secret_that_is_shown_once_is_shown_again_to_a_retry_and_never_kept_in_the_clear(machine: Client) -> None:
    first, second = (post(machine, "webhooks", HOOK) for _ in range(2))
    assert first.json()["secret"] == second.json()["secret"]
    assert WebhookEndpoint.objects.count() == 1
    assert first.json()["secret"] not in IdempotentWrite.objects.get().body_encrypted


def test_what_one_person_decided_is_not_done_in_the_name_of_another(
    client: Client, owner: User, organisation: Organisation
) -> None:
    client.force_login(owner)
    answers = {}
    for decider in (f"{owner.pk}.{organisation.pk}", f"{owner.pk + 1}.{organisation.pk}", f"{owner.pk}.0"):
        headers = {"Idempotency-Key": f"k {decider}", "X-Decided-By": decider}
        body = {"name": f"Ravi {decider}"}
        answers[decider] = client.post("/api/v1/drivers/", body, content_type="application/json", headers=headers)
    assert [answer.status_code for answer in answers.values()] == [201, 409, 409]
    assert answers[f"{owner.pk}.0"].json()["code"] == "decided_by_another"
    assert Driver.objects.count() == 1


def test_an_answer_without_a_body_is_repeated_too(machine: Client) -> None:
    endpoint = post(machine, "webhooks", HOOK).json()
    url, headers = f"/api/v1/webhooks/{endpoint['id']}/", {"Idempotency-Key": "k2"}
    answers = [machine.delete(url, headers=headers) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b""), (204, b"")]
    assert machine.delete(url, headers={"Idempotency-Key": "k3"}).status_code == 404


def test_a_key_belongs_to_one_request(machine: Client) -> None:
    post(machine, "drivers", {"name": "Ravi"})
    for answer in (post(machine, "drivers", {"name": "Sita"}), post(machine, "webhooks", HOOK)):
        assert (answer.status_code, answer.json()["code"]) == (409, "key_reused")
    assert Driver.objects.count() == 1
    assert WebhookEndpoint.objects.count() == 0


def test_what_was_refused_may_be_corrected_under_the_same_key(machine: Client) -> None:
    assert post(machine, "drivers", {"name": ""}).status_code == 400
    assert IdempotentWrite.objects.count() == 0
    assert post(machine, "drivers", {"name": "Ravi"}).status_code == 201


def test_two_fleets_and_two_keys_of_a_fleet_share_nothing(
    machine: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    for client in (machine, client_of(organisation), client_of(other_organisation)):
        answer = post(client, "drivers", {"name": "Ravi"})
        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer
    assert Driver.objects.count() == 3


def test_a_key_that_was_taken_back_hears_nothing_of_what_it_did(machine: Client) -> None:
    post(machine, "drivers", {"name": "Ravi"})
    APIKey.objects.update(revoked_at=timezone.now())
    answer = post(machine, "drivers", {"name": "Ravi"})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")
    assert b"Ravi" not in answer.content


@pytest.mark.usefixtures("one_window")
def test_repeats_count_for_the_rate_too(machine: Client, settings: Any) -> None:
    settings.API_RATE = "2/day"
    assert [post(machine, "drivers", {"name": "Ravi"}).status_code for _ in range(3)] == [201, 201, 429]
    assert int(post(machine, "drivers", {"name": "Ravi"})["Retry-After"]) > 0
    assert throttling.Rate.parse(settings.API_RATE) == throttling.Rate(2, 86400)


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "a\tb"])
def test_a_key_that_is_none_is_named(machine: Client, key: str) -> None:
    answer = post(machine, "drivers", {"name": "Ravi"}, key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_idempotency_key")
    assert Driver.objects.count() == 0


def test_a_stranger_is_still_a_stranger(db: None) -> None:
    assert post(Client(), "drivers", {"name": "Ravi"}).status_code in {401, 403}
    wrong = Client(headers={"X-API-Key": "fck_wrong"})
    assert post(wrong, "drivers", {"name": "Ravi"}).status_code == 401
    assert IdempotentWrite.objects.count() == 0


def test_people_in_a_browser_have_keys_too(client: Client, owner: User) -> None:
    client.force_login(owner)
    first, second = (post(client, "drivers", {"name": "Ravi"}) for _ in range(2))
    assert first.content == second.content
    assert Driver.objects.count() == 1


def test_after_a_day_a_key_may_be_used_anew(machine: Client) -> None:
    post(machine, "drivers", {"name": "Ravi"})
    IdempotentWrite.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert "Idempotent-Replayed" not in post(machine, "drivers", {"name": "Sita"})
    assert sorted(Driver.objects.values_list("name", flat=True)) == ["Ravi", "Sita"]
    IdempotentWrite.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert forget_idempotency_keys() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_writes_and_all_get_its_answer(organisation: Organisation) -> None:
    _, secret = services.create_api_key(organisation=organisation, name="t", scopes=list(Scope.values))
    together = threading.Barrier(8)

    def call(_: int) -> tuple[int, bytes]:
        client = Client(headers={"X-API-Key": secret})
        together.wait(60)
        try:
            answer = post(client, "drivers", {"name": "Ravi"})
            return answer.status_code, answer.content
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(call, range(8)))
    assert [status for status, _ in answers] == [201]
    assert Driver.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_crash_after_the_write_leaves_neither_the_write_nor_the_key(
    machine: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(idempotency, "_keep", crash)
    machine.raise_request_exception = False
    assert post(machine, "drivers", {"name": "Ravi"}).status_code == 500
    assert (Driver.objects.count(), IdempotentWrite.objects.count()) == (0, 0)
    monkeypatch.undo()
    assert post(machine, "drivers", {"name": "Ravi"}).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_who_waits_too_long_for_the_first_is_told_to_come_again(
    machine: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "PATIENCE", "50ms")
    is_claimed, may_end = threading.Event(), threading.Event()
    keep = idempotency._keep

    def slowly(*args: Any) -> None:
        is_claimed.set()
        assert may_end.wait(60)
        keep(*args)

    monkeypatch.setattr(idempotency, "_keep", slowly)

    def first() -> int:
        try:
            return int(post(machine, "drivers", {"name": "Ravi"}).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(first)
        assert is_claimed.wait(60)
        answer = post(machine, "drivers", {"name": "Ravi"})
        may_end.set()
        assert done.result() == 201
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (409, "in_progress", "1")
    assert Driver.objects.count() == 1
