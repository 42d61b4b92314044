"""Writes of the webhooks app: endpoints and their secrets, a test message, what is sent once more."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib import crypto
from fleetcharge.lib.events import publish
from fleetcharge.lib.outbound import check_url
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.events import WebhookMended, WebhooksQueued
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.models import BY_HAND, WebhookDelivery, WebhookEndpoint, WebhookMessage, new_secret

MAX_ENDPOINTS = 20
REPLAY_AT_MOST = 10_000
KEEP_OLD_SECRET = timedelta(hours=24)
KEEP_OLD_AT_MOST = timedelta(days=7)

_REPLAY = """
INSERT INTO webhooks_webhookdelivery
    (endpoint_id, message_id, state, attempts, next_attempt_at, last_error, response_snippet, created_at)
SELECT %(endpoint)s, message.id, 'pending', 0, %(now)s, '', '', %(now)s
FROM webhooks_webhookmessage message
LEFT JOIN webhooks_webhookdelivery known ON known.message_id = message.id AND known.endpoint_id = %(endpoint)s
WHERE message.organisation_id = %(organisation)s AND message.created_at >= %(since)s AND message.created_at < %(until)s
  AND message.event_type = ANY(%(event_types)s)
  AND NOT (%(only_undelivered)s AND known.state IS NOT DISTINCT FROM 'delivered')
ORDER BY message.id
LIMIT %(limit)s
ON CONFLICT (endpoint_id, message_id)
DO UPDATE SET state = 'pending', attempts = 0, next_attempt_at = EXCLUDED.next_attempt_at
"""


class TooManyEndpoints(Exception):
    """The organisation has as many endpoints as one may have."""


class UnknownEventType(ValueError):
    """An event type that the catalogue does not have."""


class NotActive(Exception):
    """A switched-off endpoint is sent nothing."""


def create_endpoint(
    *,
    organisation: Organisation,
    url: str,
    event_types: Iterable[str],
    description: str = "",
    actor: User | None = None,
    actor_label: str = "",
    now: datetime,
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which is never readable again.

    Asks the name server. Raises RefusedAddress, UnknownEventType or TooManyEndpoints.
    """
    wanted = _known(event_types)
    check_url(url, allow_private=settings.WEBHOOK_ALLOW_PRIVATE_HOSTS)
    secret = new_secret()
    with transaction.atomic():
        Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)  # two at once do not pass the limit
        if WebhookEndpoint.objects.for_organisation(organisation).count() >= MAX_ENDPOINTS:
            raise TooManyEndpoints(f"An organisation has {MAX_ENDPOINTS} webhooks at most.")
        endpoint = WebhookEndpoint.objects.create(
            organisation=organisation, url=url, event_types=wanted, description=description[:120],
            secret_encrypted=crypto.encrypt(secret), created_at=now,
        )  # fmt: skip
        after = {"url": url, "event_types": wanted}
        audit(action="webhook.create", target=endpoint, actor=actor, actor_label=actor_label, after=after)
        listeners.forget()
    return endpoint, secret


def change_endpoint(
    *, endpoint_id: int, changes: dict[str, Any], actor: User | None = None, actor_label: str = "", now: datetime
) -> WebhookEndpoint:
    """Change url, description, event_types or is_active. Switching it on again forgets why it was off, and sends what
    waits. Asks the name server when the url changes; raises as `create_endpoint` does."""
    if "event_types" in changes:
        changes = {**changes, "event_types": _known(changes["event_types"])}
    if "url" in changes:
        check_url(changes["url"], allow_private=settings.WEBHOOK_ALLOW_PRIVATE_HOSTS)
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update().get(pk=endpoint_id)
        before = {name: getattr(endpoint, name) for name in changes}
        for name, value in changes.items():
            setattr(endpoint, name, value)
        if endpoint.is_active and (endpoint.disabled_at is not None or "url" in changes):
            _begin_anew(endpoint)
            publish(WebhookMended(endpoint.pk, endpoint.organisation_id, now))
        if before.get("is_active") and not endpoint.is_active:
            who = actor_label or str(actor or "system")
            endpoint.disabled_at, endpoint.disabled_reason = now, f"{BY_HAND}{who}."[:200]
        endpoint.save()
        audit(
            action="webhook.change", target=endpoint, actor=actor, actor_label=actor_label, before=before, after=changes
        )
        listeners.forget()
        publish(WebhooksQueued(0))
    return endpoint


def _begin_anew(endpoint: WebhookEndpoint) -> None:
    endpoint.disabled_at, endpoint.disabled_reason = None, ""
    endpoint.failing_since, endpoint.failures_in_row, endpoint.paused_until = None, 0, None


@transaction.atomic
def delete_endpoint(*, endpoint_id: int, actor: User | None = None, actor_label: str = "", now: datetime) -> None:
    """With its deliveries; messages stay as long as all messages do."""
    endpoint = WebhookEndpoint.objects.select_for_update().get(pk=endpoint_id)
    before = {"url": endpoint.url, "event_types": endpoint.event_types}
    audit(action="webhook.delete", target=endpoint, actor=actor, actor_label=actor_label, before=before)
    endpoint.delete()
    listeners.forget()
    publish(WebhookMended(endpoint_id, endpoint.organisation_id, now))


@transaction.atomic
def rotate_secret(
    *,
    endpoint_id: int,
    keep_old_for: timedelta = KEEP_OLD_SECRET,
    actor: User | None = None,
    actor_label: str = "",
    now: datetime,
) -> str:
    """A fresh secret, shown once. Messages carry signatures of both until the old one's time is over (0: at once)."""
    endpoint = WebhookEndpoint.objects.select_for_update().get(pk=endpoint_id)
    secret = new_secret()
    keep = max(timedelta(), min(keep_old_for, KEEP_OLD_AT_MOST))
    endpoint.old_secret_encrypted = endpoint.secret_encrypted if keep else ""
    endpoint.old_secret_until = now + keep if keep else None
    endpoint.secret_encrypted = crypto.encrypt(secret)
    endpoint.save(update_fields=["secret_encrypted", "old_secret_encrypted", "old_secret_until"])
    audit(action="webhook.rotate", target=endpoint, actor=actor, actor_label=actor_label)
    return secret


@transaction.atomic
def send_test(*, endpoint_id: int, now: datetime) -> WebhookDelivery:
    """One message for this endpoint alone, on the same way as all others. Raises NotActive."""
    endpoint = WebhookEndpoint.objects.get(pk=endpoint_id)
    if not endpoint.is_active:
        raise NotActive(endpoint.disabled_reason)
    message = WebhookMessage(organisation_id=endpoint.organisation_id, event_type=catalogue.TEST, created_at=now)
    message.dedupe_key = message.public_id
    message.payload = {
        "type": catalogue.TEST,
        "timestamp": now.isoformat(),
        "data": {"text": "Hello from FleetCharge.", "endpoint": endpoint.pk},
    }
    message.save(force_insert=True)
    delivery = WebhookDelivery.objects.create(endpoint=endpoint, message=message, next_attempt_at=now, created_at=now)
    publish(WebhooksQueued(1))
    return delivery


@transaction.atomic
def replay_one(*, delivery_id: int, now: datetime) -> WebhookDelivery:
    """Send it once more, with its first id; attempts count anew. Raises NotActive."""
    delivery = WebhookDelivery.objects.select_for_update(of=("self",)).select_related("endpoint").get(pk=delivery_id)
    if not delivery.endpoint.is_active:
        raise NotActive(delivery.endpoint.disabled_reason)
    delivery.state, delivery.attempts, delivery.next_attempt_at = WebhookDelivery.State.PENDING, 0, now
    delivery.save(update_fields=["state", "attempts", "next_attempt_at"])
    publish(WebhooksQueued(1))
    return delivery


@transaction.atomic
def replay_since(
    *,
    endpoint_id: int,
    since: datetime,
    until: datetime | None = None,
    event_types: Iterable[str] | None = None,
    only_undelivered: bool = False,
    now: datetime,
) -> int:
    """Send every kept message of that time once more, also those from before the endpoint was made; how many.

    The oldest `REPLAY_AT_MOST`: ask again from a later time for the rest. `event_types` None: what it listens to.
    Raises NotActive or UnknownEventType.
    """
    endpoint = WebhookEndpoint.objects.get(pk=endpoint_id)
    if not endpoint.is_active:
        raise NotActive(endpoint.disabled_reason)
    values: dict[str, Any] = {
        "endpoint": endpoint.pk, "organisation": endpoint.organisation_id, "since": since, "until": until or now,
        "event_types": endpoint.event_types if event_types is None else _known(event_types),
        "only_undelivered": only_undelivered, "limit": REPLAY_AT_MOST, "now": now,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_REPLAY, values)
        count = int(cursor.rowcount)
    publish(WebhooksQueued(count))
    return count


def _known(event_types: Iterable[str]) -> list[str]:
    wanted = sorted(set(event_types))
    if unknown := [name for name in wanted if name not in catalogue.CATALOGUE]:
        raise UnknownEventType(f"There is no event {', '.join(unknown)}.")
    if not wanted:
        raise UnknownEventType("Name at least one event.")
    return wanted
