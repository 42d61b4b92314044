"""What the webhooks app tells its own subscribers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WebhooksQueued:
    """Deliveries wait to be sent."""

    count: int
