"""From a fact to rows: the message and its deliveries, written in the transaction that made the fact true."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.utils import timezone

from fleetcharge.lib.events import publish
from fleetcharge.webhooks.events import WebhooksQueued
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.models import message_id

# One statement: messages that an active endpoint wants and nobody has told yet, each with its deliveries.
_TELL = """
WITH input AS (
    SELECT * FROM jsonb_to_recordset(%(facts)s::jsonb)
        AS fact(public_id text, organisation_id bigint, event_type text, dedupe_key text, payload jsonb)
), wanted AS (
    SELECT input.public_id, endpoint.id AS endpoint_id
    FROM input JOIN webhooks_webhookendpoint endpoint
      ON endpoint.organisation_id = input.organisation_id AND endpoint.is_active
     AND input.event_type = ANY(endpoint.event_types)
), message AS (
    INSERT INTO webhooks_webhookmessage (public_id, organisation_id, event_type, dedupe_key, payload, created_at)
    SELECT public_id, organisation_id, event_type, dedupe_key, payload, %(now)s FROM input
    WHERE public_id IN (SELECT public_id FROM wanted)
    ON CONFLICT DO NOTHING
    RETURNING id, public_id
)
INSERT INTO webhooks_webhookdelivery
    (endpoint_id, message_id, state, attempts, next_attempt_at, last_error, response_snippet, created_at)
SELECT wanted.endpoint_id, message.id, 'pending', 0, %(now)s, '', '', %(now)s
FROM message JOIN wanted USING (public_id)
"""


@dataclass(frozen=True)
class Fact:
    """What one organisation is told of `at`; the same key of the same type is told once."""

    organisation_id: int
    key: object
    at: datetime
    data: dict[str, Any]


def tell(event_type: str, *, organisation_id: int, fact: Callable[[], Fact]) -> int:
    """Put one message into the outbox, in the caller's transaction; how many deliveries now wait.

    `fact` is only asked for when somebody listens. What goes wrong in here is undone alone (a savepoint) and raised; it
    never undoes the caller's work.
    """
    if organisation_id not in listeners.of(event_type):
        return 0
    return tell_many(event_type, facts=lambda: [fact()])


def tell_many(event_type: str, *, facts: Callable[[], Iterable[Fact]]) -> int:
    """Several messages of one type in one statement; ask `listeners` first."""
    with transaction.atomic():
        rows = [_row(event_type, fact) for fact in facts()]
        return _write(rows) if rows else 0


def _row(event_type: str, fact: Fact) -> dict[str, Any]:
    return {
        "public_id": message_id(),
        "organisation_id": fact.organisation_id,
        "event_type": event_type,
        "dedupe_key": str(fact.key)[:120],
        "payload": {"type": event_type, "timestamp": fact.at.astimezone(UTC), "data": fact.data},
    }


def _write(rows: list[dict[str, Any]]) -> int:
    facts = json.dumps(rows, cls=DjangoJSONEncoder, allow_nan=False)
    with connection.cursor() as cursor:
        cursor.execute(_TELL, {"facts": facts, "now": timezone.now()})
        count = int(cursor.rowcount)
    if count:
        publish(WebhooksQueued(count))
    return count
