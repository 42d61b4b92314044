"""What the webhooks app tells its own subscribers."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class WebhooksQueued:
    """Deliveries wait to be sent."""

    count: int


@dataclass(frozen=True)
class WebhookGivenUp:
    """We switched an endpoint off: nothing is kept for it until somebody has mended it."""

    endpoint_id: int
    organisation_id: int
    name: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class WebhookMended:
    """An endpoint that we had given up was switched on again, or removed."""

    endpoint_id: int
    organisation_id: int
    at: datetime
