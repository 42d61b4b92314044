"""Every command in the words of every OCPP version, and the table of which version can say what."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson

from ocpp_bridge.actions import TERMS
from ocpp_bridge.dialects import DIALECTS
from ocpp_bridge.models import Command
from ocpp_bridge.saying import Said, Say
from ocpp_bridge.station import Unusable
from ocpp_bridge.v2 import words as v2
from ocpp_bridge.v16 import words as v16

SPEAKERS: dict[str, Callable[[str, dict[str, Any]], Said]] = {
    "ocpp1.6": v16.command,
    "ocpp2.0.1": v2.command,
    "ocpp2.1": v2.command_21,
}


def say(protocol: str, action: str, parameters: dict[str, Any]) -> Said:
    """(wire action, payload) that fits the official schema of this version; raises Unusable, NotSupported."""
    wire_action, payload = SPEAKERS[protocol](action, parameters)
    if flaw := DIALECTS[protocol].request_error(wire_action, payload):
        raise Unusable(f"{wire_action} {flaw[1]}")
    try:
        orjson.dumps(payload)
    except TypeError as error:  # a number of more than 64 bits fits every schema
        raise Unusable(f"{wire_action}: {error}") from None
    return wire_action, payload


def table() -> list[tuple[str, dict[str, str]]]:
    """(action, {sub-protocol: message on the wire, "" when it cannot be said}) for every action, for people."""
    return [(action, {name: _message(name, action) for name in SPEAKERS}) for action in Command.Action.values]


def markdown() -> str:
    """The table of docs/ocpp.md: action, what it needs, how long it waits for an absent charger, and its messages."""
    head = ["Action", "Needs", "Waits", *(f"OCPP {name.removeprefix('ocpp')}" for name in SPEAKERS)]
    rows = [head, ["---"] * len(head)]
    for action, messages in table():
        terms = TERMS[action]
        needs = ", ".join(f"`{name}`" for name in terms.needs)
        rows.append([f"`{action}`", needs, _span(terms.waits), *(text or "-" for text in messages.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _span(waits: timedelta) -> str:
    seconds = int(waits.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"


def _message(protocol: str, action: str) -> str:
    words, wire = _VOCABULARIES[protocol]
    return wire.get(action, action) if action in words else ""


_VOCABULARIES: dict[str, tuple[dict[str, Say], dict[str, str]]] = {
    "ocpp1.6": (v16.WORDS, v16.WIRE),
    "ocpp2.0.1": (v2.WORDS_201, v2.WIRE),
    "ocpp2.1": (v2.WORDS_21, v2.WIRE),
}
