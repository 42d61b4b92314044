"""What every operation of the API shares, written into the OpenAPI file once: its refusals and Idempotency-Key."""

from typing import Any

from fleetcharge.accounts import idempotency

Schema = dict[str, Any]

ERROR: Schema = {
    "type": "object",
    "description": "Every refusal. `code` is for programs, `detail` for people.",
    "properties": {
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "fields": {"type": "object", "additionalProperties": True, "description": "What is wrong with which field."},
    },
    "required": ["detail", "code"],
}
RETRY_AFTER: Schema = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
}  # fmt: skip
# Name of the response, its text, and whether it says when to come again.
REFUSALS: dict[str, tuple[str, str, bool]] = {
    "400": ("Invalid", "A parameter, a header or the body cannot be used.", False),
    "401": ("NotAuthenticated", "No key, or one that is unknown, expired or revoked.", False),
    "403": ("MissingScope", "The key or role does not include this.", False),
    "404": ("NotFound", "There is no such row for this organisation, or no such page.", False),
    "405": ("MethodNotAllowed", "This address does not know the method.", False),
    "406": ("NotAcceptable", "Answers are JSON only.", False),
    "409": (
        "Conflict",
        "The present state forbids it, or the Idempotency-Key belongs to another request.",
        False,
    ),
    "413": ("TooLarge", "The body is too large.", False),
    "415": ("UnsupportedMediaType", "Send JSON.", False),
    "429": ("Throttled", "Too many requests.", True),
}
OF_ALL = ("401", "403", "404", "405", "406", "429")  # also a filter may name what is not there
OF_WRITES = ("400", "409", "413", "415")
KEY: Schema = {
    "name": idempotency.HEADER,
    "in": "header",
    "required": False,
    "description": "A name of yours for this request. Sent again within 24 hours it changes nothing and gets the first "
    "answer, with `Idempotent-Replayed: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_KEY, "pattern": "^[!-~]+$"},
}


def complete(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """drf-spectacular's postprocessing hook."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = ERROR
    components["responses"] = {
        name: _response(text, says_when=says_when) for name, text, says_when in REFUSALS.values()
    }  # fmt: skip
    components.setdefault("parameters", {})["IdempotencyKey"] = KEY
    for path, operations in result["paths"].items():
        if path.startswith("/api/v1/"):
            for method, operation in operations.items():
                _complete(operation, is_write=method.upper() in idempotency.WRITES)
    return result


def _response(text: str, *, says_when: bool) -> Schema:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": text, **({"headers": RETRY_AFTER} if says_when else {}), "content": content}


def _complete(operation: Schema, *, is_write: bool) -> None:
    parameters: list[Schema] = operation.setdefault("parameters", [])
    names = {parameter.get("name") for parameter in parameters}
    codes = {*OF_ALL, *(OF_WRITES if is_write else ())}
    codes |= {"400"} if parameters else set()
    if is_write and idempotency.HEADER not in names:
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    for code in codes:
        operation["responses"].setdefault(code, {"$ref": f"#/components/responses/{REFUSALS[code][0]}"})
    operation["responses"] = dict(sorted(operation["responses"].items()))
