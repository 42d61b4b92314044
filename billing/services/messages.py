"""What a station says of a transaction besides samples (OCPP 2.x): kept once, whatever order it comes in."""

from dataclasses import dataclass
from datetime import datetime

from billing.models import ChargingSession, SessionMessage


@dataclass(frozen=True)
class Said:
    """One TransactionEvent. `dedupe_key`: 32 hex digits over all that a retry repeats (never seqNo alone)."""

    kind: str
    at: datetime
    received_at: datetime
    sequence: int | None
    charging_state: str
    trigger_reason: str
    is_offline: bool
    dedupe_key: str

    def __str__(self) -> str:
        number = "" if self.sequence is None else f" seqNo {self.sequence}"
        return f"TransactionEvent {self.kind}{number} of {self.at:%Y-%m-%d %H:%M:%S}Z"


def keep(*, charger_id: int, transaction_ref: str, said: Said) -> None:
    """One insert; a repeat changes nothing. A session that has ended will be computed again."""
    SessionMessage.objects.bulk_create(
        [
            SessionMessage(
                charger_id=charger_id,
                transaction_ref=transaction_ref,
                kind=said.kind,
                at=said.at,
                received_at=said.received_at,
                sequence=said.sequence,
                charging_state=said.charging_state,
                trigger_reason=said.trigger_reason,
                is_offline=said.is_offline,
                dedupe_key=bytes.fromhex(said.dedupe_key),
            )
        ],
        ignore_conflicts=True,
    )
    ended = ChargingSession.objects.filter(state=ChargingSession.State.ENDED, needs_revision=False)
    ended.filter(charger_id=charger_id, transaction_ref=transaction_ref).update(needs_revision=True)
