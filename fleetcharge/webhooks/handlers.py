"""Subscribers: one thought each, no logic."""

from fleetcharge.lib.events import subscribe
from fleetcharge.webhooks import tasks
from fleetcharge.webhooks.events import WebhooksQueued


@subscribe(WebhooksQueued)
def send_at_once(event: WebhooksQueued) -> None:
    tasks.wake()
