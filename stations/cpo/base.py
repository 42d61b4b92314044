"""What FleetCharge asks of a network. One adapter per kind of source; capabilities decide the buttons."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from stations.models import EVSE, Connector, Source


class Capability(StrEnum):
    PULL = "pull"
    PUSH = "push"
    RESERVE = "reserve"
    START_STOP = "start_stop"
    BOOK = "book"
    UNLOCK = "unlock"
    LIMIT = "limit"
    PREFER = "prefer"


class CPOError(Exception):
    """The network answered, and its answer is an error; `code` is ours, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class CPOUnavailable(CPOError):
    """The network could not be reached; the same call may work later (after what it asked for, if it said so).

    `is_silent`: no connection came about, or no answer in time; what was asked for cannot be the reason.
    """

    def __init__(self, message: str, *, retry_after_seconds: float = 0, is_silent: bool = False) -> None:
        super().__init__("cpo_unavailable", message)
        self.retry_after_seconds = retry_after_seconds
        self.is_silent = is_silent


@dataclass(frozen=True)
class ReserveRequest:
    """Hold `connector` for one token until `expires_at`. `reservation_number` is an int32 for OCPP's sake."""

    connector: Connector
    reservation_key: str
    reservation_number: int
    id_token: str
    expires_at: datetime
    token_type: str = "RFID"  # noqa: S105 (an OCPI TokenType)
    group_id: str = ""
    occasion: str = ""
    """Names a later asking of the same reservation (a charger that restarted may have forgotten it)."""


@dataclass(frozen=True)
class BookRequest:
    """A time slot at `connector` for one token. The same `booking_key` again changes it, or (is_cancelled) ends it."""

    connector: Connector
    booking_key: str
    id_token: str
    starts_at: datetime
    ends_at: datetime
    is_cancelled: bool = False


@dataclass(frozen=True)
class StopRequest:
    """End a running session. The same `stop_key` (36 characters at most) asks only once."""

    connector: Connector
    transaction_ref: str
    stop_key: str
    source: Source | None = None
    """Who told us of the session; None: whose site it is. Several networks may tell of one plug."""


@dataclass(frozen=True)
class StartRequest:
    """Begin a session for one token. `start_key` (36 characters at most) is what its session and CDR carry later."""

    connector: Connector
    start_key: str
    id_token: str
    token_type: str = "RFID"  # noqa: S105 (an OCPI TokenType)
    group_id: str = ""


@dataclass(frozen=True)
class UnlockRequest:
    """Free a cable that is stuck. The same `unlock_key` (36 characters at most) asks only once."""

    connector: Connector
    unlock_key: str


@dataclass(frozen=True)
class LimitRequest:
    """The most a running session may draw, in W; None takes the limit away."""

    connector: Connector
    transaction_ref: str
    limit_key: str
    max_power_w: int | None
    source: Source | None = None


@dataclass(frozen=True)
class OutlookRequest:
    """What will a running session be given in the next `seconds`? The answer comes with the result."""

    connector: Connector
    transaction_ref: str
    outlook_key: str
    seconds: int
    source: Source | None = None


@dataclass(frozen=True)
class PreferRequest:
    """What is wanted of a running session: `style` is an OCPI ProfileType (FAST, REGULAR, CHEAP, GREEN)."""

    connector: Connector
    transaction_ref: str
    style: str
    departure_at: datetime | None = None
    energy_wh: int | None = None
    source: Source | None = None


@dataclass(frozen=True)
class CommandReceipt:
    """What is known at once: accepted, rejected, or pending (a ReservationAnswered event will follow)."""

    state: str
    reason: str = ""
    reference: str = ""


PENDING = CommandReceipt("pending")


@dataclass
class PullReport:
    """What one page of a poll did; shown in the admin.

    `part` is the list it is of, `page` its number there, `pages` how many there are (None: nobody says), `read` how
    many objects it held; `is_full`: the poll reads everything, not only what changed.
    """

    part: str = ""
    page: int = 0
    pages: int | None = None
    read: int = 0
    is_full: bool = True
    locations: int = 0
    connectors: int = 0
    tariffs: int = 0
    sessions: int = 0
    cdrs: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


class CPOAdapter(Protocol):
    """Every method may raise CPOError or CPOUnavailable; none is called inside a database transaction."""

    kind: str
    capabilities: frozenset[Capability]

    def poll(self, source: Source) -> Iterator[PullReport]:
        """Fetch locations and tariffs page by page; yields progress after each page."""
        ...

    def reserve(self, request: ReserveRequest) -> CommandReceipt: ...

    def cancel(self, connector: Connector, reservation_key: str, reservation_number: int) -> CommandReceipt: ...


class StopsSessions(Protocol):
    """What an adapter with the capability START_STOP can do besides."""

    def stop(self, request: StopRequest) -> CommandReceipt: ...


class StartsSessions(Protocol):
    """What a roaming adapter with the capability START_STOP can do besides."""

    def start(self, request: StartRequest) -> CommandReceipt: ...


class BooksSlots(Protocol):
    """What an adapter with the capability BOOK can do besides; which of its networks can, it says itself."""

    def can_book(self, source: Source) -> bool: ...

    def book(self, request: BookRequest) -> CommandReceipt: ...


class UnlocksPlugs(Protocol):
    """What an adapter with the capability UNLOCK can do besides; at which of its units, it says itself."""

    def can_unlock(self, evse: EVSE) -> bool: ...

    def unlock(self, request: UnlockRequest) -> CommandReceipt: ...


class LimitsSessions(Protocol):
    """What an adapter with the capability LIMIT can do besides; at which of its units, it says itself."""

    def can_limit(self, evse: EVSE, source: Source) -> bool: ...

    def limit(self, request: LimitRequest) -> CommandReceipt: ...

    def outlook(self, request: OutlookRequest) -> CommandReceipt: ...


class TakesPreferences(Protocol):
    """What an adapter with the capability PREFER can do besides; it answers at once."""

    def can_prefer(self, evse: EVSE, source: Source) -> bool: ...

    def prefer(self, request: PreferRequest) -> CommandReceipt: ...
