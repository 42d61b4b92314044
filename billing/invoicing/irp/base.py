"""What we ask of an invoice registration portal, whoever runs it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class Registered:
    """The portal's answer; `signed_qr` is what must be printed."""

    irn: str
    ack_number: str
    ack_at: datetime
    signed_qr: str = ""
    signed_invoice: str = ""
    is_cancelled: bool = False


class PortalError(Exception):
    """Base of everything that can go wrong with it."""


class PortalUnavailable(PortalError):
    """Nobody answered, or not in time: we do not know whether it was registered; ask again, then compare."""


@dataclass
class Refused(PortalError):
    """It answered no; `code` as the portal has it (2150 duplicate, 2163 too old, 2270 too late to cancel)."""

    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def duplicate_irn(self) -> str:
        """Of what is registered already under this number; '' when it is something else."""
        return str(self.details.get("Irn", "")) if self.code == DUPLICATE else ""


DUPLICATE, TOO_OLD, TOO_LATE_TO_CANCEL = "2150", "2163", "2270"


class Portal(Protocol):
    def register(self, payload: dict[str, Any]) -> Registered: ...

    def fetch(self, irn: str) -> Registered: ...

    def cancel(self, irn: str, *, reason_code: str, remark: str) -> datetime: ...
