"""What a charger and the system say to each other, before it is put into the words of an OCPP version."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from fleetcharge.demo.bays import Bay, Visit

if TYPE_CHECKING:
    from fleetcharge.demo.charger import SimCharger

Said = tuple[str, dict[str, Any]]


@dataclass
class Call:
    """One CALL to the system; a durable one is kept and repeated, with the same id, until it is answered."""

    id: str
    kind: str
    action: str
    payload: dict[str, Any]
    is_durable: bool = False
    visit_key: str = ""
    needs_ref: bool = False
    attempts: int = 0


@dataclass
class Order:
    """A command of the system. `kind` names the handler in obedience.py; `said` is the payload as it came."""

    kind: str
    number: int | None = None
    token: str = ""
    reference: str = ""
    expires_at: datetime | None = None
    message: str = ""
    remote_start_id: int | None = None
    said: dict[str, Any] = field(default_factory=dict)


class Dialect(Protocol):
    """How one OCPP version says things: (action, payload), and what an answer or a command means."""

    subprotocol: str

    def boot(self, charger: "SimCharger") -> Said: ...
    def status(self, bay: Bay, status: str, at: datetime) -> Said: ...
    def authorize(self, token: str) -> Said: ...
    def start(self, bay: Bay, visit: Visit, at: datetime) -> Said: ...
    def meter(self, bay: Bay, visit: Visit, at: datetime) -> Said: ...
    def stop(self, bay: Bay, visit: Visit, at: datetime) -> Said: ...
    def firmware_status(self, status: str, request_id: int | None) -> Said: ...
    def log_status(self, status: str, request_id: int | None) -> Said: ...
    def with_reference(self, payload: dict[str, Any], reference: str) -> dict[str, Any]: ...
    def reference_in(self, key: str, answer: dict[str, Any]) -> str: ...
    def token_status(self, answer: dict[str, Any]) -> str: ...
    def order(self, action: str, payload: dict[str, Any]) -> Order: ...
