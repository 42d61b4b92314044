"""What chargers answer when they are asked about their local list, in every version's shape."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ocpp_bridge.models import Command

MAX_ENTRIES = 1_000_000
UNHEARD = frozenset({Command.State.TIMED_OUT, Command.State.EXPIRED})
NOT_SUPPORTED = frozenset({"NotSupported", "NotImplemented"})


@dataclass(frozen=True)
class Limits:
    """None: the charger does not say."""

    is_enabled: bool | None = None
    per_message: int | None = None
    capacity: int | None = None


def is_unheard(command: Command) -> bool:
    return command.state in UNHEARD


def is_not_supported(command: Command) -> bool:
    """By its status (NotSupported), by a CALLERROR, or because its version has no words for it."""
    answer = command.response if isinstance(command.response, dict) else {}
    return bool({answer.get("status"), answer.get("error")} & NOT_SUPPORTED)


def version_of(response: object) -> int | None:
    """`listVersion` (1.6) or `versionNumber` (2.x); None when the answer has none."""
    answer = response if isinstance(response, dict) else {}
    return _integer(answer.get("listVersion", answer.get("versionNumber")), low=-1, high=2**31 - 1)


def limits_of(response: object) -> Limits:
    """From GetConfiguration (1.6) or GetVariables (2.x)."""
    said = dict(_pairs(response if isinstance(response, dict) else {}))
    enabled = str(said.get("Enabled", said.get("LocalAuthListEnabled", ""))).strip().lower()
    return Limits(
        {"true": True, "false": False}.get(enabled),
        _integer(said.get("ItemsPerMessage", said.get("SendLocalListMaxLength")), low=1, high=MAX_ENTRIES),
        _integer(said.get("LocalAuthListMaxLength"), low=1, high=MAX_ENTRIES),
    )


def _pairs(answer: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for entry in _objects(answer.get("configurationKey")):
        yield str(entry.get("key")), entry.get("value")
    for entry in _objects(answer.get("getVariableResult")):
        variable = entry.get("variable")
        if entry.get("attributeStatus") == "Accepted" and isinstance(variable, dict):
            yield str(variable.get("name")), entry.get("attributeValue")


def _objects(value: object) -> Iterator[dict[str, Any]]:
    yield from (entry for entry in (value if isinstance(value, list) else ()) if isinstance(entry, dict))


def _integer(value: object, *, low: int, high: int) -> int | None:
    try:
        number = int(str(value).strip())
    except ValueError:
        return None
    return number if low <= number <= high else None
