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
    """A session was priced and paid from the wallet (and, for a shortfall, booked as receivable).

    `is_of_a_network`: by a network's own record, whose price is compared.
    """

    cdr_id: int
    session_id: int
    organisation_id: int
    total_paise: int
    receivable_paise: int
    is_of_a_network: bool = False


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
class PaymentWorkWaiting:
    """A row waits to be taken to the payment gateway; `kind` is intent, receiver, mandate or refund."""

    kind: str
    row_id: int


@dataclass(frozen=True)
class PaymentReceived:
    """Money of a payer arrived through the gateway and is in the wallet: an advance, in the words of GST."""

    payment_id: int
    organisation_id: int
    amount_paise: int
    at: datetime


@dataclass(frozen=True)
class PaymentReturned:
    """Unspent money has gone back to where it came from (a refund, or a dispute that was lost)."""

    payment_id: int
    organisation_id: int
    amount_paise: int
    reference: str
    at: datetime


@dataclass(frozen=True)
class MandateChanged:
    """A mandate has another state; `is_failing`: its debits do not come through any more."""

    mandate_id: int
    organisation_id: int
    state: str
    is_failing: bool
    reason: str
    at: datetime


@dataclass(frozen=True)
class WalletToppedUp:
    """Money is in the wallet, from whichever side; `reference` is the payment's id, or the key it was booked under."""

    organisation_id: int
    amount_paise: int
    reference: str
    at: datetime


@dataclass(frozen=True)
class WalletChanged:
    """A committed balance: posted, held, available. `may_warn` False: it is on the same side of its limit as before."""

    organisation_id: int
    posted_paise: int
    held_paise: int
    available_paise: int
    may_warn: bool = True


@dataclass(frozen=True)
class DocumentIssued:
    """A tax document has its number (`kind` as of TaxDocument.Kind)."""

    document_id: int
    organisation_id: int
    kind: str
    number: str
    total_paise: int


@dataclass(frozen=True)
class MonthClosed:
    """The books of a month are final (`starts_on` in ISO form)."""

    starts_on: str
    at: datetime


@dataclass(frozen=True)
class LettersWaiting:
    """Letters to owners and finance were committed."""

    count: int


@dataclass(frozen=True)
class ApprovalAsked:
    """Somebody wants what needs a second person (`kind` as registered with the approvals)."""

    approval_id: int
    organisation_id: int
    kind: str
    amount_paise: int
    asked_by_id: int
    at: datetime


@dataclass(frozen=True)
class ApprovalDecided:
    """A wish came to its end: approved and done, declined, withdrawn, expired, or small and done at once (free)."""

    approval_id: int
    organisation_id: int
    kind: str
    state: str
    at: datetime
