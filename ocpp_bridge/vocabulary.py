"""Every command in the words of every OCPP version, and the table of which version can say what."""

from collections.abc import Callable
from typing import Any

from ocpp_bridge.dialects import DIALECTS
from ocpp_bridge.models import Command
from ocpp_bridge.saying import Said
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
    return wire_action, payload


def table() -> list[tuple[str, dict[str, str]]]:
    """(action, {sub-protocol: message on the wire, "" when it cannot be said}) for every action, for people."""
    vocabularies = {
        "ocpp1.6": (v16.WORDS, v16.WIRE),
        "ocpp2.0.1": (v2.WORDS_201, v2.WIRE),
        "ocpp2.1": (v2.WORDS_21, v2.WIRE),
    }
    return [
        (
            action,
            {name: wire.get(action, action) if action in words else "" for name, (words, wire) in vocabularies.items()},
        )
        for action in Command.Action.values
    ]
