"""Every operation of the OpenAPI file as one would write it in curl, Python and JavaScript."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASE = "https://HOST"  # the page puts its own host there
EXAMPLES = Path(__file__).parent / "api_examples"
LANGUAGES = {"sh": "curl", "py": "Python", "mjs": "JavaScript"}
GUIDES = {
    "nearest": "Find a plug, and ask again for nothing",
    "reserve": "Ask for the price, and reserve once",
    "follow": "Follow live status, and miss nothing",
}
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
Schema = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """Some lines in one language."""

    language: str
    code: str


def guides() -> list[tuple[str, str, list[Sample]]]:
    """(anchor, title, the same program in three languages); tests/docs run every one of them."""
    return [
        (name, title, [Sample(LANGUAGES[end], (EXAMPLES / f"{name}.{end}").read_text().strip()) for end in LANGUAGES])
        for name, title in GUIDES.items()
    ]


def samples(method: str, path: str, spec: Schema, schema: Schema) -> list[Sample]:
    """One call of an operation, with what it cannot do without."""
    query = {
        name: _value(name, parameter.get("schema", {}), schema)
        for parameter in spec.get("parameters", [])
        if (name := parameter.get("name")) and parameter["in"] == "query" and parameter.get("required")
    }
    content = spec.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = _body(content, schema) if content else None
    address = f"{BASE}{path}" + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")
    headers = {"Authorization": "Bearer fck_…"} | ({"Idempotency-Key": "order-4711"} if method in WRITES else {})
    return [
        Sample("curl", _curl(method, address, headers, body)),
        Sample("Python", _python(method, address, headers, body)),
        Sample("JavaScript", _javascript(method, address, headers, body)),
    ]


def _curl(method: str, address: str, headers: dict[str, str], body: Any) -> str:
    given = {**headers, **({"Content-Type": "application/json"} if body is not None else {})}
    lines = [f"curl -X {method} '{address}'", *(f"  -H '{name}: {value}'" for name, value in given.items())]
    if body is not None:
        lines.append("  -d '" + json.dumps(body, ensure_ascii=False).replace("'", "'\\''") + "'")
    return " \\\n".join(lines)


def _python(method: str, address: str, headers: dict[str, str], body: Any) -> str:
    arguments = [repr(method), repr(address), f"headers={headers!r}"]
    arguments += [f"json={body!r}"] if body is not None else []
    inner = ",\n    ".join(arguments)
    return f"import httpx\n\nanswer = httpx.request(\n    {inner},\n)\nprint(answer.raise_for_status().text)"


def _javascript(method: str, address: str, headers: dict[str, str], body: Any) -> str:
    given = {**headers, **({"Content-Type": "application/json"} if body is not None else {})}
    lines = [f"  method: {json.dumps(method)},", f"  headers: {json.dumps(given, ensure_ascii=False)},"]
    if body is not None:
        lines.append(f"  body: JSON.stringify({json.dumps(body, ensure_ascii=False)}),")
    options = "\n".join(lines)
    return f"const answer = await fetch({json.dumps(address)}, {{\n{options}\n}});\nconsole.log(await answer.text());"


def _body(content: Schema, schema: Schema) -> Any:
    """The example of the file, else one made of the fields that are required."""
    for example in content.get("examples", {}).values():
        return example.get("value")
    return _object(content.get("schema", {}), schema)


def _object(node: Schema, schema: Schema) -> Any:
    node = _resolved(node, schema)
    properties = node.get("properties", {})
    wanted = node.get("required") or [name for name in list(properties)[:1] if not properties[name].get("readOnly")]
    return {name: _value(name, properties[name], schema) for name in wanted if name in properties}


def _value(name: str, node: Schema, schema: Schema) -> Any:
    node = _resolved(node, schema)
    if "enum" in node:
        return node["enum"][0]
    if node.get("type") == "array":
        return [_value(name, node.get("items", {}), schema)]
    if node.get("type") == "object" or "properties" in node:
        return _object(node, schema)
    simple: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True}
    words = {"date-time": "2026-11-21T12:00:00+05:30", "date": "2026-11-21", "uri": "https://example.com/fleetcharge"}
    return simple.get(node.get("type", ""), words.get(node.get("format", ""), f"<{name}>"))


def _resolved(node: Schema, schema: Schema) -> Schema:
    if "$ref" in node:
        return _resolved(schema["components"]["schemas"][node["$ref"].rsplit("/", 1)[1]], schema)
    for way in ("allOf", "oneOf", "anyOf"):
        if node.get(way):
            return _resolved(node[way][0], schema)
    return node
