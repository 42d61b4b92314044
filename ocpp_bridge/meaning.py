"""What one OCPP version makes of the messages: put together in v16/ and v2/, used by the socket."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ocpp_bridge.dialects import Dialect
from ocpp_bridge.frames import Readers
from ocpp_bridge.station import AtOnce, AtOnceTyped, Handler


@dataclass(frozen=True)
class Meaning:
    """`lenient`: stateful actions, taken although they break their schema when what we need of them is usable.

    `is_remembered(action, payload)`: must a repeat on another socket get the same answer? `command(action, params)`:
    a version-neutral command as (action, payload) of a CALL; raises Unusable. `before_acceptance`: what a charger may
    say that was not accepted yet (OCPP 2.0.1 part 2 B02.FR.02: what we may ask it for), None: everything while it is
    Pending. `kept` and `declined` tell the support table which handlers only store, or politely refuse.
    `readers` read the hottest payloads into classes, which `typed` answers as `at_once` does the rest.
    """

    dialect: Dialect
    handlers: Mapping[str, Handler]
    at_once: Mapping[str, AtOnce]
    lenient: frozenset[str]
    is_remembered: Callable[[str, dict[str, Any]], bool]
    command: Callable[[str, dict[str, Any]], tuple[str, dict[str, Any]]]
    before_acceptance: frozenset[str] | None = None
    kept: frozenset[str] = frozenset()
    declined: frozenset[str] = frozenset()
    readers: Readers = field(default_factory=dict)
    typed: Mapping[str, AtOnceTyped] = field(default_factory=dict)
