"""What integrators are told: their endpoints, the outbox of messages, the delivery of each message to each endpoint."""

import base64
import contextlib
import secrets
from datetime import datetime
from typing import Self
from urllib.parse import urlsplit

from cryptography.fernet import InvalidToken
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import crypto, ids

SECRET_PREFIX = "whsec_"  # noqa: S105 (a label, not a password)
SECRET_BYTES = 32
BY_HAND = "Switched off by "
"""How the reason begins when a person did it, and nobody need be told."""


def new_secret() -> str:
    """As Standard Webhooks writes a symmetric secret: `whsec_` and the base64 of its bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def message_id() -> str:
    """`msg_` and 130 random bits: the webhook-id header, the same for every attempt and endpoint."""
    return "msg_" + "".join(secrets.choice(ids.ALPHABET) for _ in range(26))


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def given_up(self) -> Self:
        """Switched off by us, because they failed."""
        return self.filter(is_active=False, disabled_at__isnull=False).exclude(disabled_reason__startswith=BY_HAND)


class WebhookEndpoint(models.Model):
    """An address of an integrator, what it wants to hear, and how it has been doing."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="webhook_endpoints")
    url = models.URLField(max_length=500, help_text=_("https, reachable from the internet."))
    description = models.CharField(max_length=120, blank=True)
    event_types = ArrayField(models.CharField(max_length=40))
    secret_encrypted = models.TextField(editable=False)
    old_secret_encrypted = models.TextField(blank=True, editable=False)
    old_secret_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("Until then messages are signed with the old secret too."),
    )
    is_active = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_reason = models.CharField(max_length=200, blank=True, editable=False)
    failing_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text=_("The first failure since the last success.")
    )
    failures_in_row = models.PositiveIntegerField(default=0, editable=False)
    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    paused_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("Left alone until then: it asked for it, or fails."),
    )
    busy_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text=_("One sender at a time; a lease, should that sender die.")
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook")
        ordering = ["pk"]
        indexes = [models.Index(fields=["organisation"], condition=Q(is_active=True), name="active_webhooks")]

    def __str__(self) -> str:
        return self.description or self.host

    @property
    def host(self) -> str:
        """Where it leads, short enough for a list."""
        return urlsplit(self.url).hostname or self.url

    def secrets(self, now: datetime) -> list[str]:
        """The secrets to sign with, the newest first; two during a rotation, none when SECRET_KEY has changed since."""
        stored = [self.secret_encrypted]
        if self.old_secret_until is not None and self.old_secret_until > now:
            stored.append(self.old_secret_encrypted)
        found = []
        for secret in filter(None, stored):
            with contextlib.suppress(InvalidToken):
                found.append(crypto.decrypt(secret))
        return found


class WebhookMessage(models.Model):
    """One fact for one organisation, written in the transaction that made it true; told once, however often said."""

    public_id = models.CharField(max_length=32, unique=True, default=message_id, editable=False)
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    event_type = models.CharField(max_length=40)
    dedupe_key = models.CharField(max_length=120)
    payload = models.JSONField(help_text=_("type, timestamp and data, as sent."))
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("webhook message")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint("organisation", "event_type", "dedupe_key", name="one_message_per_fact"),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="webhook_messages_by_age"),
            models.Index(fields=["organisation", "created_at"], name="webhook_messages_to_replay"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.public_id}"


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(endpoint__organisation=organisation)

    def due(self, now: datetime) -> Self:
        return self.filter(state=WebhookDelivery.State.PENDING, next_attempt_at__lte=now)


class WebhookDelivery(models.Model):
    """One message on its way to one endpoint. While it is being sent, next_attempt_at is the end of a lease."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Given up")

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="deliveries")
    message = models.ForeignKey(WebhookMessage, models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True, help_text=_("HTTP; empty: no answer."))
    last_error = models.CharField(max_length=200, blank=True)
    response_snippet = models.TextField(blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint("endpoint", "message", name="one_delivery_per_endpoint"),
            models.CheckConstraint(
                condition=~Q(state="pending") | Q(next_attempt_at__isnull=False), name="waiting_deliveries_have_a_time"
            ),
        ]
        indexes = [
            models.Index(fields=["endpoint", "next_attempt_at"], condition=Q(state="pending"), name="due_deliveries"),
        ]

    def __str__(self) -> str:
        return f"{self.message} ({self.state})"
