"""The inbox of webhooks: kept raw and once, then handled in any order, each in its own transaction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from django.db import connection, transaction

from billing.models import GatewayEvent
from billing.payments import calls, news
from billing.payments.applying import NotYet, UnreadableNews

logger = logging.getLogger(__name__)
State = GatewayEvent.State
LEASE = timedelta(minutes=1)
MOST_ATTEMPTS = 12

INSERT = """
INSERT INTO billing_gatewayevent (event_id, name, raw, state, attempts, received_at, next_try_at, error)
SELECT id, '', raw, 'waiting', 0, at, at, '' FROM unnest(%s::text[], %s::bytea[], %s::timestamptz[]) AS t (id, raw, at)
ON CONFLICT (event_id) DO NOTHING
"""
CLAIM = """
UPDATE billing_gatewayevent SET attempts = attempts + 1, next_try_at = %(until)s
WHERE id IN (SELECT id FROM billing_gatewayevent WHERE state = 'waiting' AND next_try_at <= %(now)s
             ORDER BY next_try_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id
"""


@dataclass(frozen=True)
class Letter:
    event_id: str
    raw: bytes
    at: datetime


def columns(letters: Sequence[Letter]) -> tuple[list[str], list[bytes], list[datetime]]:
    """What INSERT wants."""
    return [each.event_id for each in letters], [each.raw for each in letters], [each.at for each in letters]


def keep(letters: Sequence[Letter]) -> None:
    """All of them, those that are there already left as they are."""
    with connection.cursor() as cursor:
        cursor.execute(INSERT, columns(letters))


def work(*, now: datetime, limit: int = 200) -> int:
    """Handle what waits; any number of workers share it (SKIP LOCKED), and one that dies leaves its part after a lease.

    Returns how many were taken on.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"now": now, "until": now + LEASE, "limit": limit})
        claimed = sorted(row[0] for row in cursor.fetchall())
    for event_pk in claimed:
        _handle(event_pk, now)
    return len(claimed)


def _handle(event_pk: int, now: datetime) -> None:
    try:
        with transaction.atomic():
            event = GatewayEvent.objects.select_for_update(skip_locked=True).filter(
                pk=event_pk, state=State.WAITING
            ).first()  # fmt: skip
            if event is None:
                return
            body = _read(event)
            event.name = str(body.get("event") or "")[:60]
            event.state = State.DONE if news.take(body, now=now) else State.PARKED
            event.done_at, event.error = now, ""
            event.save()
    except UnreadableNews as error:
        logger.exception("webhook %s cannot be used", event_pk)
        GatewayEvent.objects.filter(pk=event_pk).update(state=State.DEAD, done_at=now, error=str(error)[:255])
    except NotYet as error:
        _again(event_pk, str(error), now)
    except Exception as error:
        logger.exception("webhook %s could not be handled", event_pk)
        _again(event_pk, f"{type(error).__name__}: {error}", now)


def _read(event: GatewayEvent) -> dict[str, object]:
    try:
        body = orjson.loads(bytes(event.raw))
    except orjson.JSONDecodeError as error:
        raise UnreadableNews(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise UnreadableNews("not an object")
    return body


def _again(event_pk: int, error: str, now: datetime) -> None:
    event = GatewayEvent.objects.get(pk=event_pk)
    event.error, event.next_try_at = error[:255], now + calls.wait(event.attempts)
    if event.attempts >= MOST_ATTEMPTS:
        event.state, event.done_at = State.DEAD, now
    event.save(update_fields=["error", "next_try_at", "state", "done_at"])


@transaction.atomic
def try_again(*, event_ids: Sequence[int], now: datetime) -> int:
    """A person has mended what kept them from being handled; returns how many wait again."""
    dead = GatewayEvent.objects.filter(pk__in=list(event_ids), state=State.DEAD)
    return dead.update(state=State.WAITING, attempts=0, next_try_at=now, done_at=None)


def prune(*, now: datetime, keep_for: timedelta) -> int:
    """Forget what was handled long ago; a copy that late is a day after the gateway gave up."""
    old = GatewayEvent.objects.filter(done_at__lt=now - keep_for).exclude(state=State.DEAD)
    count, _ = old.delete()
    return count
