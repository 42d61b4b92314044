"""Every operation of the registry is described with an example that has exactly the fields there are."""

from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "docs/openapi.yaml"
SCHEMA: dict[str, Any] = yaml.safe_load(FILE.read_text())
OURS = tuple(f"/api/v1/{name}/" for name in ("stations", "evses", "connectors", "tariffs", "networks"))
OPERATIONS = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, operations in SCHEMA["paths"].items()
    for method in operations
    if path.startswith(OURS) and method in {"get", "post"}
]


def content(operation: dict[str, Any], status: str) -> dict[str, Any]:
    return dict(operation["responses"][status]["content"]["application/json"])


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return dict(schema)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_an_example_says_every_field(path: str, method: str) -> None:
    operation = SCHEMA["paths"][path][method]
    found = content(operation, "200" if method == "get" else "201")
    assert operation["description"]
    for example in found["examples"].values():
        value, schema = example["value"], fields(found["schema"])
        if "results" in schema.get("properties", {}):
            value, schema = value["results"][0], fields(schema["properties"]["results"]["items"])
        elif schema.get("type") == "array":
            value, schema = value[0], fields(schema["items"])
        assert set(value) == set(schema["properties"]), path


@pytest.mark.parametrize(("path", "method"), [each for each in OPERATIONS if each.id.startswith("get")])
def test_every_read_knows_the_copy_that_its_caller_holds(path: str, method: str) -> None:
    operation = SCHEMA["paths"][path][method]
    assert "304" in operation["responses"]
    assert "If-None-Match" in {parameter["name"] for parameter in operation["parameters"]}
