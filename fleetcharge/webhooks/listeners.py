"""Who wants to hear what, remembered for a few seconds, so that a fact nobody waits for costs no query."""

import time
from collections import defaultdict

from django.db import transaction

from fleetcharge.webhooks.models import WebhookEndpoint

REMEMBERED_SECONDS = 5.0
NOBODY: frozenset[int] = frozenset()


class _Listeners:
    """Organisations by event type. Another process learns of a new endpoint within REMEMBERED_SECONDS."""

    def __init__(self) -> None:
        self._by_type: dict[str, frozenset[int]] = {}
        self._until = 0.0

    def of(self, event_type: str) -> frozenset[int]:
        """The organisations with an active endpoint for it; queries once in a while."""
        if time.monotonic() >= self._until:
            self._by_type = _load()
            self._until = time.monotonic() + REMEMBERED_SECONDS
        return self._by_type.get(event_type, NOBODY)

    def forget(self) -> None:
        """Endpoints changed: look again, now and once more after the commit."""
        self._expire()
        transaction.on_commit(self._expire)

    def _expire(self) -> None:
        self._until = 0.0


def _load() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    rows = WebhookEndpoint.objects.filter(is_active=True).order_by()
    for organisation_id, event_types in rows.values_list("organisation_id", "event_types"):
        for event_type in event_types:
            found[event_type].add(organisation_id)
    return {event_type: frozenset(organisations) for event_type, organisations in found.items()}


listeners = _Listeners()
