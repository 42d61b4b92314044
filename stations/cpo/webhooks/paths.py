"""Where a value stands in a vendor's JSON, written by people. Pure.

`payload.site.id` is looked up from the entry (numbers are positions in a list), `$.time` from the whole body,
`@entry.id` from the entry when we stand in a part of it, `@path.0` in the address after the feed's own; `=text` is that
text, `a|b` the first that is there, `{site}-{plug}` several in one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_PATH = 300
PLACE = re.compile(r"\{([^{}]*)\}")


class BadMapping(ValueError):
    """A mapping cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Look:
    """Where a path is looked up: in the part we stand in, in the whole body, in the address, in the whole entry."""

    part: Any
    root: Any = None
    path: tuple[str, ...] = ()
    entry: Any = None


Find = Callable[[Look], Any]


def compiled(text: object, where: str) -> Find:
    """A function that finds the value, None when it is not there. Raises BadMapping."""
    if not isinstance(text, str) or len(text) > MAX_PATH:
        raise BadMapping(f"{where} is a path: a text such as payload.status.")
    if text.startswith("="):
        literal = text[1:]
        return lambda look: literal
    finds = [
        _template(part.strip(), where) if set("{}") & set(part) else _path(part.strip(), where)
        for part in text.split("|")
    ]
    return lambda look: next((value for find in finds if (value := find(look)) is not None), None)


def _template(text: str, where: str) -> Find:
    """Several values in one text; None when one of them is missing."""
    parts = PLACE.split(text)
    finds = [_path(part.strip(), where) for part in parts[1::2]]
    literals = parts[::2]
    if any(set("{}") & set(literal) for literal in literals):
        raise BadMapping(f"{where}: {text} has a brace too many.")

    def find(look: Look) -> str | None:
        values = [each(look) for each in finds]
        if any(value is None or isinstance(value, dict | list) for value in values):
            return None
        return literals[0] + "".join(f"{value}{literal}" for value, literal in zip(values, literals[1:], strict=True))

    return find


def _path(text: str, where: str) -> Find:
    names = text.split(".") if text else []
    if any(not name for name in names):
        raise BadMapping(f"{where}: {text!r} has a dot too many.")
    if names[:1] == ["$"]:
        return lambda look: _walk(look.root, names[1:])
    if names[:1] == ["@path"]:
        return lambda look: _walk(list(look.path), names[1:])
    if names[:1] == ["@entry"]:
        return lambda look: _walk(look.entry, names[1:])
    if names and names[0].startswith("@"):
        raise BadMapping(f"{where}: only @entry and @path are known, not {names[0]}.")
    return lambda look: _walk(look.part, names)


def _walk(value: Any, names: list[str]) -> Any:
    for name in names:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value
