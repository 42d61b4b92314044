"""What one version of OCPI does differently: objects up to our readers, and ours down to its words. Pure data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Raw = dict[str, Any]
Owner = tuple[str, str]
"""Country code and party id of whom an object belongs to; 2.1.1 objects do not say it themselves."""
Up = Callable[[Raw, Owner], Raw]
Down = Callable[[Raw], Raw]


@dataclass(frozen=True)
class Dialect:
    """`modules` are those we host; `up` and `down` are by kind of object (location, evse, connector, tariff, ...)."""

    version: str
    modules: Mapping[str, str]
    up: Mapping[str, Up]
    down: Mapping[str, Down]
    has_roles: bool = True
    has_routing: bool = True
    encodes_token: bool = True
    can_cancel: bool = True
    can_prefer: bool = True
    patches_tariffs: bool = False

    def read(self, kind: str, raw: Any, owner: Owner) -> Any:
        """An object of this version in the shape our readers know; what is no object is left to them to refuse."""
        step = self.up.get(kind)
        return step(raw, owner) if step and isinstance(raw, dict) else raw

    def write(self, kind: str, raw: Raw) -> Raw:
        step = self.down.get(kind)
        return step(raw) if step else raw


def without(raw: Raw, *names: str) -> Raw:
    return {name: value for name, value in raw.items() if name not in names}


def renamed(raw: Raw, names: Mapping[str, str]) -> Raw:
    """Fields under their later names; one that is there under both keeps the later."""
    moved = {names.get(name, name): value for name, value in raw.items()}
    return {**moved, **{name: raw[name] for name in names.values() if name in raw}}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
