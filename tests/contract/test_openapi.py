"""The committed OpenAPI file is what the code serves; a change to it is a deliberate one."""

from pathlib import Path

import yaml
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"


def test_the_committed_file_is_current(db: None) -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    validate_schema(schema)
    rendered = OpenApiYamlRenderer().render(schema, renderer_context={}).decode()
    assert yaml.safe_load(COMMITTED.read_text()) == yaml.safe_load(rendered), "run `make openapi` and commit the diff"


def test_every_operation_says_what_it_is_for(db: None) -> None:
    schema = yaml.safe_load(COMMITTED.read_text())
    silent = [
        f"{method.upper()} {path}"
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        if method in {"get", "post", "put", "patch", "delete"}
        and not (operation.get("description") or operation.get("summary"))
    ]
    assert silent == []
