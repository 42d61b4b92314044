"""The API documentation as one quiet page of ours, rendered from the OpenAPI schema: no script, both themes."""

import functools
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator

from fleetcharge.api_samples import BASE, Sample, guides, samples

METHODS = ("get", "post", "put", "patch", "delete")
DEPTH = 4
Schema = dict[str, Any]


@dataclass
class Field:
    """One line of a body or an answer; `level` indents it."""

    name: str
    kind: str
    text: str
    level: int
    is_required: bool


@dataclass
class Operation:
    """One method of one address."""

    method: str
    path: str
    anchor: str
    title: str
    text: str
    parameters: list[Schema]
    body: list[Field]
    samples: list[Sample]
    answers: list[tuple[str, str, list[Field]]] = field(default_factory=list)


def api_docs(request: HttpRequest) -> HttpResponse:
    groups, info = _documented()
    page = render(
        request,
        "api_docs.html",
        {"groups": groups, "info": info, "guides": guides(), "realtime_port": settings.REALTIME_PORT},
    )
    page.content = page.content.replace(BASE.encode(), f"{request.scheme}://{request.get_host()}".encode())
    return page


@functools.cache
def _documented() -> tuple[dict[str, list[Operation]], Schema]:
    """Built once per process; groups follow the first word of the path, as the URLs do."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    groups: dict[str, list[Operation]] = {}
    for path, item in schema["paths"].items():
        name = path.removeprefix("/api/v1/").split("/")[0] or "api"
        found = [_operation(schema, path, method, item[method]) for method in METHODS if method in item]
        groups.setdefault(name, []).extend(found)
    return groups, schema["info"]


def _operation(schema: Schema, path: str, method: str, spec: Schema) -> Operation:
    operation_id = spec.get("operationId", f"{method}-{path}")
    text = spec.get("description", "")
    title = spec.get("summary") or text.split(". ")[0].rstrip(".") or operation_id.replace("_", " ")
    return Operation(
        method=method.upper(),
        path=path,
        anchor=operation_id,
        title=title,
        text=text if text.rstrip(".") != title else "",
        parameters=[_parameter(_component(schema, parameter)) for parameter in spec.get("parameters", [])],
        body=_content_fields(schema, spec.get("requestBody", {})),
        samples=samples(method.upper(), path, spec, schema),
        answers=[
            (code, answer.get("description", ""), _content_fields(schema, answer))
            for code, answer in ((code, _component(schema, given)) for code, given in spec["responses"].items())
        ],
    )


def _component(schema: Schema, node: Schema) -> Schema:
    """Follow a `$ref` to a shared response or parameter."""
    if "$ref" not in node:
        return node
    _, _, kind, name = node["$ref"].split("/")
    shared: Schema = schema["components"][kind][name]
    return shared


def _parameter(parameter: Schema) -> Schema:
    return {**parameter, "place": parameter.get("in", ""), "kind": _kind(parameter.get("schema", {}))}


def _content_fields(schema: Schema, holder: Schema) -> list[Field]:
    content = holder.get("content", {})
    media: Schema = content.get("application/json") or next(iter(content.values()), {})
    return list(_fields(schema, media.get("schema", {}), 0))


def _fields(schema: Schema, node: Schema, level: int) -> list[Field]:
    """The properties of an object, depth first; arrays show their items."""
    node = _resolve(schema, node)
    if node.get("type") == "array":
        return _fields(schema, node.get("items", {}), level)
    lines: list[Field] = []
    required = set(node.get("required", []))
    for name, child in node.get("properties", {}).items():
        whole = _resolve(schema, child)
        text = child.get("description") or whole.get("description", "")
        lines.append(Field(name, _kind(whole), text, level, name in required))
        if level < DEPTH:
            lines.extend(_fields(schema, whole, level + 1))
    return lines


def _resolve(schema: Schema, node: Schema) -> Schema:
    """Follow `$ref` and a single `allOf` to the shape itself."""
    if "$ref" in node:
        return _resolve(schema, schema["components"]["schemas"][node["$ref"].rsplit("/", 1)[1]])
    if len(node.get("allOf", [])) == 1:
        return {**_resolve(schema, node["allOf"][0]), **{key: node[key] for key in ("description",) if key in node}}
    return node


def _kind(node: Schema) -> str:
    if "enum" in node:
        return " | ".join(str(value) for value in node["enum"])
    if node.get("type") == "array":
        return f"list of {_kind(node.get('items', {})) or 'objects'}"
    kind = node.get("format") or node.get("type") or ("object" if "properties" in node else "")
    return f"{kind}, may be null" if node.get("nullable") else str(kind)
