"""What a client of v1 may rely on, in a file of its own: `python -m tests.contract.freeze` adds what is new to it.

Nothing is ever taken out: an operation, a parameter, a field of an answer, a value of a question. A new field of an
answer, a new optional parameter and a new operation are no break.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
OPENAPI, FROZEN = ROOT / "docs" / "openapi.yaml", Path(__file__).with_name("v1.json")
METHODS = {"get", "post", "put", "patch", "delete"}
DEPTH = 6
Document = dict[str, Any]


def promises(document: Document) -> dict[str, Any]:
    """By operation: its parameters, what it must be sent, what it may be sent, and what it answers."""
    return {
        f"{method.upper()} {path}": _operation(document, operation)
        for path, operations in sorted(document["paths"].items())
        for method, operation in sorted(operations.items())
        if method in METHODS
    }


def broken(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Every promise of `before` that `now` does not keep."""
    found = [f"{name} is gone" for name in before if name not in now]
    for name in before.keys() & now.keys():
        old, new = before[name], now[name]
        found += [f"{name}: parameter {one} is gone" for one in old["parameters"] if one not in new["parameters"]]
        found += [f"{name}: {one} must be sent now" for one in new["must"] if one not in old["must"]]
        found += [f"{name}: {one} cannot be sent any more" for one in old["may"] if one not in new["may"]]
        for code, fields in old["answers"].items():
            known = new["answers"].get(code)
            if known is None:
                found.append(f"{name}: is never answered {code} any more")
                continue
            found += [
                f"{name} {code}: {field} was {kind}, is {known.get(field, 'gone')}"
                for field, kind in fields.items()
                if known.get(field) != kind
            ]
    return sorted(found)


def _operation(document: Document, operation: Document) -> dict[str, Any]:
    parameters = [_resolved(document, part) for part in operation.get("parameters", [])]
    body = _media(_resolved(document, operation.get("requestBody", {})))
    sent = _fields(document, body, "", 0)
    named = [f"{part['in']} {part['name']}" for part in parameters]
    must = [f"{part['in']} {part['name']}" for part in parameters if part.get("required")]
    return {
        "parameters": sorted(named),
        "must": sorted({*must, *(f"body {name}" for name in _required(document, body))}),
        "may": sorted(f"body {name}" for name in sent),
        "answers": {
            code: dict(sorted(_fields(document, _media(_resolved(document, answer)), "", 0).items()))
            for code, answer in sorted(operation["responses"].items())
            if code.startswith("2")
        },
    }


def _fields(document: Document, node: Document, prefix: str, depth: int) -> dict[str, str]:
    """Every field by its path, with its type; enums of answers may grow, so their values are not kept."""
    node = _resolved(document, node)
    if node.get("type") == "array":
        return _fields(document, node.get("items", {}), f"{prefix}[]", depth)
    found: dict[str, str] = {}
    for name, child in node.get("properties", {}).items():
        whole = _resolved(document, child)
        path = f"{prefix}.{name}".lstrip(".")
        found[path] = str(whole.get("type", "object" if "properties" in whole else "any"))
        if depth < DEPTH:
            found |= _fields(document, whole, path, depth + 1)
    return found


def _required(document: Document, node: Document) -> list[str]:
    node = _resolved(document, node)
    node = _resolved(document, node.get("items", {})) if node.get("type") == "array" else node
    return [str(name) for name in node.get("required", [])]


def _media(holder: Document) -> Document:
    content = holder.get("content", {})
    media: Document = content.get("application/json") or next(iter(content.values()), {})
    schema: Document = media.get("schema", {})
    return schema


def _resolved(document: Document, node: Document) -> Document:
    if "$ref" in node:
        _, _, kind, name = node["$ref"].split("/")
        return _resolved(document, document["components"][kind][name])
    for way in ("allOf", "oneOf", "anyOf"):
        if len(node.get(way, [])) >= 1:
            return _resolved(document, node[way][0])
    return node


def main() -> int:
    now = promises(yaml.safe_load(OPENAPI.read_text()))
    before = json.loads(FROZEN.read_text()) if FROZEN.exists() else {}
    if breaks := broken(before, now):
        print("\n".join(breaks))
        return 1
    FROZEN.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    print(f"{len(now)} operations, {len(now) - len(before)} of them new")
    return 0


if __name__ == "__main__":
    sys.exit(main())
