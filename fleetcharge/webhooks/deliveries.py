"""The queue behind the sender: who is served, what is sent next, what came of it. Claims are leases, no open locks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish
from fleetcharge.webhooks.events import WebhookGivenUp
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookMessage
from fleetcharge.webhooks.retrying import LONGEST_PAUSE, pause_after

ENDPOINTS_AT_ONCE = 50
BATCH, SIDE_BY_SIDE = 20, 5
LEASE_MARGIN_SECONDS = 20
BREATH, LONGEST_BREATH = timedelta(seconds=5), timedelta(minutes=1)  # a failing endpoint is left alone so long
FORGET_AT_ONCE = 5000
GONE, TOO_MANY, UNAVAILABLE = 410, 429, 503


@dataclass(frozen=True)
class Post:
    """One attempt, in plain values, so that nothing is read while it is on the wire."""

    delivery_id: int
    message_id: str
    url: str
    secrets: tuple[str, ...]
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt. `status` None: no answer; `retry_after`: what the receiver asked for."""

    delivery_id: int
    status: int | None
    error: str = ""
    snippet: str = ""
    duration_ms: int = 0
    retry_after: timedelta | None = None

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def lease() -> timedelta:
    """Longer than a whole batch can take; a sender that dies costs so long."""
    turns = BATCH / SIDE_BY_SIDE
    return timedelta(seconds=turns * settings.WEBHOOK_TIMEOUT_SECONDS + LEASE_MARGIN_SECONDS)


@transaction.atomic
def claim_endpoints(*, now: datetime) -> list[int]:
    """Endpoints with something due that nobody serves, the longest unserved first; ours until released."""
    due = WebhookDelivery.objects.due(now).filter(endpoint_id=OuterRef("pk"))
    is_free = Q(busy_until=None) | Q(busy_until__lte=now)
    may_be_asked = Q(paused_until=None) | Q(paused_until__lte=now)
    rows = WebhookEndpoint.objects.select_for_update(skip_locked=True).filter(
        is_free, may_be_asked, Exists(due), is_active=True
    )
    longest_unserved = rows.order_by(F("busy_until").asc(nulls_first=True), "pk")
    found = list(longest_unserved.values_list("pk", flat=True)[:ENDPOINTS_AT_ONCE])
    WebhookEndpoint.objects.filter(pk__in=found).update(busy_until=now + lease())
    return found


@transaction.atomic
def claim(*, endpoint_id: int, now: datetime) -> list[Post]:
    """The next attempts for an endpoint we hold; only one while it fails, so that it costs little."""
    endpoint = WebhookEndpoint.objects.filter(pk=endpoint_id, is_active=True).first()
    if endpoint is None or (endpoint.paused_until is not None and endpoint.paused_until > now):
        return []
    secrets = tuple(endpoint.secrets(now))
    if not secrets:  # never send unsigned
        _disable(endpoint, "Its secret cannot be read any more (FLEETCHARGE_SECRET_KEY has changed): rotate it.", now)
        endpoint.save(update_fields=["is_active", "disabled_at", "disabled_reason"])
        return []
    waiting = WebhookDelivery.objects.select_for_update(skip_locked=True, of=("self",)).due(now)
    chosen = waiting.filter(endpoint_id=endpoint_id).select_related("message").order_by("next_attempt_at", "pk")
    rows = list(chosen[: 1 if endpoint.failures_in_row else BATCH])
    WebhookDelivery.objects.filter(pk__in=[row.pk for row in rows]).update(
        attempts=F("attempts") + 1, last_attempt_at=now, next_attempt_at=now + lease()
    )
    WebhookEndpoint.objects.filter(pk=endpoint_id).update(busy_until=now + lease())
    return [Post(row.pk, row.message.public_id, endpoint.url, secrets, body_of(row.message)) for row in rows]


def body_of(message: WebhookMessage) -> bytes:
    """The same bytes at every attempt, as jsonb keeps what is inside `data`."""
    return orjson.dumps({name: message.payload[name] for name in ("type", "timestamp", "data")})


def release(*, endpoint_id: int, now: datetime) -> None:
    """Somebody else may serve it; whoever was served last comes last."""
    WebhookEndpoint.objects.filter(pk=endpoint_id).update(busy_until=now)


@transaction.atomic
def settle(*, endpoint_id: int, outcomes: Sequence[Outcome], now: datetime) -> bool:
    """Keep what came of a batch; False when the endpoint should be left alone for now."""
    endpoint = WebhookEndpoint.objects.select_for_update().filter(pk=endpoint_id).first()
    if endpoint is None:
        return False
    by_id = {outcome.delivery_id: outcome for outcome in outcomes}
    rows = WebhookDelivery.objects.select_for_update().filter(pk__in=by_id).order_by("pk")
    for row in rows:
        _keep(row, by_id[row.pk], now)
    _judge(endpoint, outcomes, now)
    endpoint.save(
        update_fields=[
            "failing_since", "failures_in_row", "last_success_at", "paused_until", "is_active", "disabled_at",
            "disabled_reason",
        ]
    )  # fmt: skip
    return endpoint.is_active and all(outcome.is_delivered for outcome in outcomes)


def _keep(row: WebhookDelivery, outcome: Outcome, now: datetime) -> None:
    row.last_status, row.last_error = outcome.status, outcome.error[:200]
    row.response_snippet, row.duration_ms = outcome.snippet, outcome.duration_ms
    if outcome.is_delivered:
        row.state, row.delivered_at, row.next_attempt_at = WebhookDelivery.State.DELIVERED, now, None
    else:
        pause = pause_after(row.attempts, asked=outcome.retry_after, seed=row.pk)
        row.next_attempt_at = now + pause if pause else None
        row.state = WebhookDelivery.State.PENDING if pause else WebhookDelivery.State.FAILED
    row.save()


def _judge(endpoint: WebhookEndpoint, outcomes: Sequence[Outcome], now: datetime) -> None:
    """How the endpoint does; a single message it cannot bear says nothing about it."""
    failures = [outcome for outcome in outcomes if not outcome.is_delivered]
    if len(failures) < len(outcomes):
        endpoint.failures_in_row, endpoint.failing_since, endpoint.last_success_at = 0, None, now
    else:
        endpoint.failures_in_row += len(failures)
        endpoint.failing_since = endpoint.failing_since or now
        endpoint.paused_until = now + min(endpoint.failures_in_row * BREATH, LONGEST_BREATH)
    asked = [outcome.retry_after for outcome in failures if outcome.retry_after]
    if asked:
        endpoint.paused_until = now + min(max(asked), LONGEST_PAUSE)
    if any(outcome.status == GONE for outcome in failures):
        _disable(endpoint, "The endpoint answered 410 Gone.", now)
    elif endpoint.failing_since and now - endpoint.failing_since >= timedelta(days=settings.WEBHOOK_DISABLE_DAYS):
        since, why = endpoint.failing_since, failures[-1].error
        _disable(endpoint, f"Every delivery since {since:%Y-%m-%d %H:%M} UTC failed; the last: {why}", now)


def _disable(endpoint: WebhookEndpoint, reason: str, now: datetime) -> None:
    endpoint.is_active, endpoint.disabled_at, endpoint.disabled_reason = False, now, reason[:200]
    audit(action="webhook.disable", target=endpoint, reason=endpoint.disabled_reason)
    listeners.forget()
    publish(WebhookGivenUp(endpoint.pk, endpoint.organisation_id, str(endpoint), endpoint.disabled_reason, now))


# --- no more -------------------------------------------------------------------------------------------------------


def forget_old(*, now: datetime) -> int:
    """Delete messages past their time with their deliveries, a bounded number at a time; returns how many."""
    before = now - timedelta(days=settings.WEBHOOK_RETENTION_DAYS)
    past = WebhookMessage.objects.filter(created_at__lt=before).order_by("created_at")
    old = list(past.values_list("pk", flat=True)[:FORGET_AT_ONCE])
    WebhookDelivery.objects.filter(message_id__in=old).delete()
    WebhookMessage.objects.filter(pk__in=old).delete()
    return len(old)
