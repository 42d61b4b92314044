"""What the message modules know of the station behind a socket, and how they read its payloads."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from fleetcharge.lib.batching import Receipt
from ocpp_bridge import frames
from ocpp_bridge.clocks import ClockWatch
from ocpp_bridge.instants import parse_instant
from ocpp_bridge.quirks import QuirkProfile
from stations.models import Charger

_STANDING = (Charger.Registration.REJECTED, Charger.Registration.PENDING, Charger.Registration.ACCEPTED)
MAX_SMALL, MAX_INT32, MAX_INT = 32_767, 2**31 - 1, 2**63 - 1

Handler = Callable[["Station", dict[str, Any], datetime], Awaitable[dict[str, Any]]]
# The answer, and what must be committed before it is given. None: this message needs its `Handler`, nothing happened.
Promise = tuple[dict[str, Any], Receipt[Any] | None] | None
AtOnce = Callable[["Station", dict[str, Any], datetime], Promise]
AtOnceTyped = Callable[["Station", Any, datetime], Promise]  # of a class of v16/typed.py


class Unusable(Exception):
    """A payload lacks what its meaning needs; nothing has been written."""


@dataclass(slots=True)
class TransactionMemory:
    """OCPP 2.x says EVSE, token and numbers once per transaction; the socket remembers them. EVSE 0: not said yet."""

    evse_number: int = 0
    remote_start_id: int | None = None
    reservation_number: int | None = None
    connector_pk: int = 0
    is_known: bool = False
    charging_state: str = ""
    meter_start_wh: int | None = None


@dataclass(slots=True)
class Station:
    """One connected charger, as long as its socket lives."""

    charger_id: int
    organisation_id: int
    identity: str
    registration: str
    has_booted: bool = True
    transactions: dict[str, TransactionMemory] = field(default_factory=dict)
    has_reported: bool = False
    profile: QuirkProfile | None = None
    clock: ClockWatch = field(default_factory=ClockWatch)
    registered_as: str = ""  # the registration that its boot was answered with, or of its record when it came

    def __post_init__(self) -> None:
        self.registered_as = self.registered_as or self.registration

    def tell(self, registration: str) -> None:
        """Its boot is answered with this."""
        self.registration = self.registered_as = registration

    def heed(self, registration: str) -> None:
        """What its record says meanwhile: less holds at once, more when a boot has told the charger so."""
        self.registration = min(registration, self.registered_as, key=_STANDING.index)

    @property
    def is_accepted(self) -> bool:
        """It may say and be told everything."""
        return self.has_booted and self.registration == Charger.Registration.ACCEPTED

    def instant(self, raw: object, received_at: datetime) -> datetime:
        """What the station's clock means, in UTC; `received_at` for what cannot be true."""
        if self.profile is None:
            return parse_instant(raw, received_at=received_at)
        return parse_instant(raw, received_at=received_at, ahead=self.profile.clock_ahead)

    def told(self, raw: object, received_at: datetime) -> tuple[datetime, bool]:
        """`instant`, and True when that is our own time, for want of a better."""
        at = self.instant(raw, received_at)
        return at, at is received_at

    def transaction(self, reference: str) -> TransactionMemory:
        """Bounded: a station runs a handful of transactions at a time."""
        if reference not in self.transactions and len(self.transactions) > 64:
            self.transactions.pop(next(iter(self.transactions)))
        return self.transactions.setdefault(reference, TransactionMemory())


def integer(payload: dict[str, Any], key: str, *, low: int = 0, high: int = MAX_INT) -> int:
    """A whole number in range; numbers written as text are forgiven."""
    value = payload.get(key)
    if type(value) is int and low <= value <= high:
        return value
    try:
        number = int(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        number = None
    if number is None or not low <= number <= high:
        raise Unusable(f"{key}: expected a whole number from {low} to {high}")
    return number


def optional_integer(payload: dict[str, Any], key: str, *, low: int = 0, high: int = MAX_INT) -> int | None:
    """None when the field is missing or unusable."""
    if key not in payload:
        return None
    try:
        return integer(payload, key, low=low, high=high)
    except Unusable:
        return None


def text(payload: dict[str, Any], key: str, *, limit: int, default: str | None = None) -> str:
    """A text of at most `limit` characters, cut; `default` None makes it required."""
    value = payload.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and value:
        return value[:limit]
    if default is None:
        raise Unusable(f"{key}: expected a text")
    return default


def section(payload: dict[str, Any], key: str) -> dict[str, Any]:
    """A nested object, or an empty one."""
    value = payload.get(key)
    return value if isinstance(value, dict) else {}


def digest(*parts: object) -> str:
    """32 hex digits over JSON values; the same for a retry on any socket."""
    return hashlib.blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def call_hash(call: frames.Call) -> str:
    """What tells a repeated CALL from another one with the same id."""
    return digest(call.action, call.payload)
