"""Subscribers: one thought each, no logic."""

from fleetcharge.lib import hints
from fleetcharge.lib.events import subscribe
from fleetcharge.webhooks import tasks
from fleetcharge.webhooks.events import WebhookGivenUp, WebhooksQueued


@subscribe(WebhooksQueued)
def send_at_once(event: WebhooksQueued) -> None:
    tasks.wake()


@subscribe(WebhookGivenUp)
def write_to_its_keepers(event: WebhookGivenUp) -> None:
    hints.start(tasks.write_to_keepers, event.endpoint_id)
