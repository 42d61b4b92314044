"""v1 is frozen: whoever programmed against it yesterday is understood today, and understands our answers."""

import copy
import json
from typing import Any

import pytest
import yaml

from tests.contract.freeze import FROZEN, OPENAPI, broken, promises


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(OPENAPI.read_text())
    return found


def test_every_promise_of_v1_is_kept(document: dict[str, Any]) -> None:
    assert broken(json.loads(FROZEN.read_text()), promises(document)) == []


def test_what_is_new_is_a_promise_too(document: dict[str, Any]) -> None:
    assert json.loads(FROZEN.read_text()) == promises(document), "run `python -m tests.contract.freeze` and commit it"


def _drop_operation(document: Any) -> None:
    del document["paths"]["/api/v1/stations/"]["get"]


def _drop_parameter(document: Any) -> None:
    listed = document["paths"]["/api/v1/stations/"]["get"]["parameters"]
    listed[:] = [part for part in listed if part.get("name") != "near"]


def _need_more(document: Any) -> None:
    document["components"]["schemas"]["NewReservationRequest"]["required"].append("minutes")


def _drop_field(document: Any) -> None:
    del document["components"]["schemas"]["Connector"]["properties"]["freshness"]


def _change_type(document: Any) -> None:
    document["components"]["schemas"]["Connector"]["properties"]["max_power_w"] = {"type": "string"}


@pytest.mark.parametrize(
    ("change", "says"),
    [(_drop_operation, "is gone"), (_drop_parameter, "parameter query near is gone"),
     (_need_more, "body minutes must be sent now"), (_drop_field, "freshness was"),
     (_change_type, "was integer, is string")],
)  # fmt: skip
def test_a_break_is_found(document: dict[str, Any], change: Any, says: str) -> None:
    changed = copy.deepcopy(document)
    change(changed)
    assert any(says in line for line in broken(promises(document), promises(changed)))


def test_an_addition_is_no_break(document: dict[str, Any]) -> None:
    more = copy.deepcopy(document)
    more["components"]["schemas"]["Connector"]["properties"]["colour"] = {"type": "string"}
    more["paths"]["/api/v1/stations/"]["get"]["parameters"].append({"in": "query", "name": "colour", "schema": {}})
    more["paths"]["/api/v1/colours/"] = {"get": {"responses": {"200": {"description": "New."}}}}
    assert broken(promises(document), promises(more)) == []
