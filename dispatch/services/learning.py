"""What the answer to a reservation proves about the status that its network had shown."""

from datetime import datetime

from django.core.exceptions import ValidationError

from dispatch.models import Reservation
from dispatch.services.asking import SOON
from stations.services import note_proof


def learn_from_answer(*, reservation_key: str, state: str, reason: str, at: datetime) -> bool:
    """True when it was new evidence. A promise for later says nothing about the plug as it is now."""
    try:
        reservation = Reservation.objects.filter(key=reservation_key, sent_at__isnull=False).first()
    except (ValidationError, ValueError):
        return False
    if reservation is None or reservation.sent_at is None or reservation.starts_at > reservation.sent_at + SOON:
        return False
    return note_proof(
        connector_id=reservation.connector_id, key=f"reservation:{reservation_key}", asked_at=reservation.sent_at,
        state=state, reason=reason, at=at,
    )  # fmt: skip
