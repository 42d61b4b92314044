"""Every write of the API has a rate limit, an Idempotency-Key and no door for nobody; walked from the OpenAPI file."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client

from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Organisation, Scope

DOCUMENT = yaml.safe_load((Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml").read_text())
WRITES = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if method in {"post", "put", "patch", "delete"} and path.startswith("/api/v1/")
]
OF_ITS_OWN = {("POST", "/api/v1/commands/")}  # a command is known by its key for good
EACH = pytest.mark.parametrize(("method", "path", "operation"), WRITES, ids=[f"{row[0]} {row[1]}" for row in WRITES])


def call(client: Client, method: str, path: str, **headers: str) -> Any:
    address = re.sub(r"{\w+}", "1", path)
    return client.generic(method, address, b"{}", content_type="application/json", headers=headers)


@pytest.fixture
def machine(organisation: Organisation) -> Client:
    _, secret = accounts.create_api_key(organisation=organisation, name="t", scopes=list(Scope.values))
    return Client(headers={"X-API-Key": secret})


def test_there_are_writes() -> None:
    assert len(WRITES) > 20


@pytest.mark.usefixtures("one_window")
@EACH
def test_it_is_within_the_rate_of_its_key(
    method: str, path: str, operation: dict[str, Any], machine: Client, settings: Any
) -> None:
    settings.API_RATE = "1/day"
    assert call(machine, method, path).status_code != 429
    answer = call(machine, method, path)
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert int(answer["Retry-After"]) > 0
    assert "429" in operation["responses"]


@EACH
def test_it_takes_an_idempotency_key(method: str, path: str, operation: dict[str, Any], machine: Client) -> None:
    answer = call(machine, method, path, **{"Idempotency-Key": "x" * 256})
    assert answer.status_code in {400, 404}
    if (method, path) not in OF_ITS_OWN:
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_idempotency_key")
    named = [part.get("$ref", part.get("name", "")) for part in operation["parameters"]]
    assert any("Idempotency" in name for name in named)


@EACH
def test_it_is_for_nobody_without_a_key(method: str, path: str, operation: dict[str, Any], db: None) -> None:
    answer = call(Client(), method, path, **{"Idempotency-Key": "k"})
    assert (answer.status_code, set(answer.json())) == (401, {"detail", "code"})


@EACH
def test_it_needs_a_scope(method: str, path: str, operation: dict[str, Any], organisation: Organisation) -> None:
    _, secret = accounts.create_api_key(organisation=organisation, name="t", scopes=[])
    answer = call(Client(headers={"X-API-Key": secret}), method, path)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
