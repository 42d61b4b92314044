"""What billing tells the apps above it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SessionStarted:
    session_id: int
    organisation_id: int
    connector_id: int
    location_id: int
    vehicle_id: int | None
    at: datetime


@dataclass(frozen=True)
class SessionMetered:
    """Running figures of active sessions after one committed batch.

    Each is (session_id, connector_id, energy_wh, power_w, soc_percent).
    """

    readings: tuple[tuple[int, int, int, int | None, float | None], ...]


@dataclass(frozen=True)
class SessionEnded:
    session_id: int
    organisation_id: int
    connector_id: int
    location_id: int
    vehicle_id: int | None
    energy_wh: int
    at: datetime


@dataclass(frozen=True)
class SessionDoubted:
    """A running session has seemed to be over for a while; `why` is superseded, left, rebooted or silent. Repeated.

    Or one has ended and messages of it are missing (`why` incomplete), said once.
    """

    session_id: int
    organisation_id: int
    charger_id: int
    transaction_ref: str
    why: str
    at: datetime


@dataclass(frozen=True)
class CDRCaptured:
    """A session was priced and paid from the wallet (and, for a shortfall, booked as receivable)."""

    cdr_id: int
    session_id: int
    organisation_id: int
    total_paise: int
    receivable_paise: int


@dataclass(frozen=True)
class SessionJudged:
    """Reconciliation decided (values of ReconciliationVerdict.Verdict)."""

    session_id: int
    organisation_id: int
    verdict: str
    points: int


@dataclass(frozen=True)
class ExceptionOpened:
    exception_id: int
    organisation_id: int
    kind: str
    session_id: int | None


@dataclass(frozen=True)
class ExceptionResolved:
    """Finance (or later evidence) has decided; nothing is waiting any more."""

    exception_id: int
    organisation_id: int
    at: datetime


@dataclass(frozen=True)
class WalletChanged:
    """A committed balance: posted, held, available."""

    organisation_id: int
    posted_paise: int
    held_paise: int
    available_paise: int
