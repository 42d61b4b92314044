"""Guessing is slow: 429 with a reason and a time to wait, counted by all processes together."""

import logging
from typing import Any

import httpx
import pytest
from django.test import Client, override_settings

from fleetcharge.accounts import throttling
from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.accounts.services import create_api_key
from fleetcharge.accounts.throttling import Counter, Rate
from stations import webhooks
from stations.news import announcer
from vehicles import ingest

pytestmark = pytest.mark.usefixtures("one_window")
JSON = {"Accept": "application/json"}
WRONG = throttling.WRONG_CREDENTIALS.limit


def wait_of(answer: Any) -> int:
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert answer.json()["detail"]
    return int(answer.headers["Retry-After"])


@pytest.mark.parametrize("page", ["/login/", "/admin/login/"])
def test_passwords_of_an_account_cannot_be_guessed(client: Client, owner: User, page: str) -> None:
    form = {"username": owner.email, "password": "wrong"}
    answers = [client.post(page, form, headers=JSON) for _ in range(11)]
    assert [answer.status_code for answer in answers[:10]] == [200] * 10
    assert 0 < wait_of(answers[10]) <= 300
    right = {"username": owner.email.upper(), "password": "correct horse"}
    assert client.post(page, right, REMOTE_ADDR="10.9.8.7", headers=JSON).status_code == 429
    shown = client.post(page, form)
    assert (shown.status_code, shown["Content-Type"]) == (429, "text/html; charset=utf-8")


def test_an_unknown_address_is_limited_like_a_known_one(client: Client, db: None) -> None:
    codes = [client.post("/login/", {"username": "x@y.example", "password": "n"}).status_code for _ in range(11)]
    assert codes == [200] * 10 + [429]


def test_one_address_cannot_try_many_accounts(client: Client, db: None) -> None:
    limit = throttling.PASSWORDS_FROM_ADDRESS.limit
    forms = [{"username": f"a{number}@b.example", "password": "wrong"} for number in range(limit + 1)]
    codes = [client.post("/login/", form).status_code for form in forms]
    assert codes == [200] * limit + [429]
    assert client.post("/login/", forms[0], headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9"}).status_code == 200


def test_signing_in_starts_the_count_anew(client: Client, owner: User) -> None:
    for _ in range(3):
        for _ in range(9):
            client.post("/login/", {"username": owner.email, "password": "wrong"})
        assert client.post("/login/", {"username": owner.email, "password": "correct horse"}).status_code == 302


def test_wrong_api_keys_are_told_to_wait_and_right_ones_are_not(client: Client, organisation: Organisation) -> None:
    answers = [client.get("/api/v1/stations/", headers={"X-API-Key": f"fck_{n}"}) for n in range(WRONG + 1)]
    assert {answer.status_code for answer in answers[:WRONG]} == {401}
    assert 0 < wait_of(answers[WRONG]) <= 60
    _, secret = create_api_key(organisation=organisation, name="TMS", scopes=[Scope.STATIONS_READ])
    assert client.get("/api/v1/stations/", headers={"X-API-Key": secret}).status_code == 200


@override_settings(API_RATE="3/hour")
def test_a_key_has_so_many_requests(client: Client, organisation: Organisation) -> None:
    secrets = [
        create_api_key(organisation=organisation, name=name, scopes=[Scope.STATIONS_READ])[1] for name in ("a", "b")
    ]
    answers = [client.get("/api/v1/stations/", headers={"X-API-Key": secrets[0]}) for _ in range(4)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert 0 < wait_of(answers[3]) <= 3600
    assert client.get("/api/v1/stations/", headers={"X-API-Key": secrets[1]}).status_code == 200


async def _ask(app: Any, paths: list[str], headers: list[dict[str, str]], body: bytes = b"") -> list[httpx.Response]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://fleet.test") as http:
        pairs = zip(paths, headers, strict=True)
        return [await http.request("POST", path, headers=head, content=body) for path, head in pairs]


@pytest.mark.django_db(transaction=True)
async def test_wrong_telemetry_keys_are_told_to_wait() -> None:
    wrong = [{"X-API-Key": f"fck_{number}"} for number in range(WRONG + 1)]
    try:
        answers = await _ask(ingest.pings, ["/ingest/v1/pings"] * len(wrong), wrong)
    finally:
        ingest.keys.close()
    assert {answer.status_code for answer in answers[:WRONG]} == {401}
    assert 0 < wait_of(answers[WRONG]) <= 60


@pytest.mark.django_db(transaction=True)
async def test_wrong_addresses_of_ocpi_results_are_told_to_wait() -> None:
    paths = [f"/ocpi/2.2.1/emsp/commands/RESERVE_NOW/guess{number}" for number in range(WRONG + 1)]
    try:
        answers = await _ask(webhooks.ocpi, paths, [{}] * len(paths), b"{}")
    finally:
        webhooks.threads.close()
        announcer.close()
    assert {answer.status_code for answer in answers[:WRONG]} == {404}
    assert 0 < wait_of(answers[WRONG]) <= 60


@pytest.mark.django_db(transaction=True)
async def test_wrong_ocpi_tokens_are_told_to_wait() -> None:
    wrong = [{"Authorization": f"Token t{number}"} for number in range(WRONG + 1)]
    try:
        answers = await _ask(webhooks.ocpi, ["/ocpi/2.2.1/credentials"] * len(wrong), wrong)
    finally:
        webhooks.threads.close()
        announcer.close()
    assert {answer.status_code for answer in answers[:WRONG]} == {401}
    assert 0 < wait_of(answers[WRONG]) <= 60
    assert answers[WRONG].json()["status_code"] == 2000


def test_processes_count_together() -> None:
    rate, first, second = Rate(3, 60), Counter(), Counter()
    waits = [counter.add("x", "me", rate, now=1_000_030.0) for counter in (first, second, first, second)]
    assert waits == [0, 0, 0, 50]
    assert first.add("x", "me", rate, now=1_000_080.0) == 0  # the next window


def test_without_valkey_nobody_is_kept_out_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    counter = Counter()
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"), caplog.at_level(logging.WARNING):
        assert [counter.add("x", "me", Rate(1, 60)) for _ in range(5)] == [0] * 5
    assert [record.message.split(":")[0] for record in caplog.records] == ["attempts are not counted, Valkey is away"]


@pytest.mark.parametrize(("text", "rate"), [("6000/min", Rate(6000, 60)), ("5/s", Rate(5, 1)), ("0/min", None)])
def test_rates_are_written_like_this(text: str, rate: Rate | None) -> None:
    assert Rate.parse(text) == rate


def test_of_many_at_once_only_those_past_the_limit_wait() -> None:
    counter, rate, now = Counter(), Rate(5, 60), 1_000_030.0
    taken = [counter.take("x", "me", rate, by=by, now=now) for by in (3, 4, 2)]
    assert taken == [(3, 0), (2, 50), (0, 50)]
    assert counter.take("x", "me", rate, by=9, now=now + 60) == (5, 50)
    assert counter.take("x", "", rate, by=9, now=now) == (9, 0)  # nobody is not counted
