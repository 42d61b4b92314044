"""Vendors that push (or are polled) in JSON of their own: how they sign, how they are read, what they sent."""

from datetime import timedelta
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.lib import crypto
from stations.cpo.webhooks import paging, presets, signatures
from stations.cpo.webhooks.mapping import FeedMapping
from stations.cpo.webhooks.paths import BadMapping
from stations.cpo.webhooks.signatures import Scheme

ALGORITHMS = {
    "hmac-sha256": "HMAC SHA-256", "hmac-sha512": "HMAC SHA-512", "hmac-sha1": "HMAC SHA-1 (old vendors)",
    "ed25519": "Ed25519", "static": _("A static key in a header"),
}  # fmt: skip


class WebhookFeed(models.Model):
    """One vendor's feed: where it pushes to (/hooks/<slug of its network>), whom we believe, how its JSON is read."""

    class Style(models.TextChoices):
        MAPPING = "mapping", _("By the mapping")
        OCPI = "ocpi", _("OCPI PATCH and PUT")
        MONTA = "monta", "Monta"
        OICP = "oicp", "OICP 2.3"

    source = models.OneToOneField("stations.Source", models.CASCADE, related_name="feed")
    style = models.CharField(
        max_length=10, choices=Style, default=Style.MAPPING, help_text=_("How pushes look, and how we answer.")
    )
    mapping = models.JSONField(
        default=dict, blank=True, help_text=_("Left empty, it is filled with what is usual for the style.")
    )
    algorithm = models.CharField(max_length=12, choices=list(ALGORITHMS.items()), default="hmac-sha256")
    signed = models.CharField(
        max_length=120, default="{timestamp}.{body}",
        help_text=_("What the signature covers, of {timestamp}, {id}, {method}, {path} and {body}."),
    )  # fmt: skip
    signature_header = models.CharField(max_length=60, default="X-Signature")
    timestamp_header = models.CharField(
        max_length=60, blank=True, default="X-Timestamp", help_text=_("Empty: inside the signature's, as t=...")
    )
    id_header = models.CharField(max_length=60, blank=True)
    window_seconds = models.PositiveIntegerField(
        default=300, validators=[MinValueValidator(1), MaxValueValidator(86_400)],
        help_text=_("How far a signed time may lie from our clock."),
    )  # fmt: skip
    allowed_addresses = ArrayField(
        models.CharField(max_length=50), default=list, blank=True,
        help_text=_("Networks such as 203.0.113.0/24; empty: from anywhere."),
    )  # fmt: skip
    secret_encrypted = models.TextField(blank=True, editable=False)
    old_secret_encrypted = models.TextField(blank=True, editable=False)
    old_secret_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    poll = models.JSONField(
        default=dict, blank=True,
        help_text='Where it is polled: {"url": "https://...", "next": "$.next"}; empty: never.',
    )  # fmt: skip
    poll_mapping = models.JSONField(
        default=dict, blank=True, help_text=_("How polled pages are read, when unlike pushes.")
    )
    poll_key_encrypted = models.TextField(blank=True, editable=False)

    class Meta:
        verbose_name = _("webhook feed")

    def __str__(self) -> str:
        return str(self.source)

    def clean(self) -> None:
        """Everything that is written down here must be understood."""
        if not self.mapping and self.style != self.Style.OCPI:
            self.mapping = presets.MAPPINGS[self.style]
        errors: dict[str, Any] = {}
        for name, check in (
            ("mapping", lambda: self.mapping and FeedMapping.parse(self.mapping)),
            ("poll_mapping", lambda: self.poll_mapping and FeedMapping.parse(self.poll_mapping)),
            ("poll", lambda: self.poll and paging.PollPlan.parse(self.poll)),
            ("allowed_addresses", lambda: signatures.networks_of(self.allowed_addresses)),
        ):
            try:
                check()
            except (BadMapping, ValueError) as error:
                errors[name] = str(error)
        if problem := self.scheme.problem():
            errors["signed"] = problem
        if errors:
            raise ValidationError(errors)

    @property
    def scheme(self) -> Scheme:
        return Scheme(
            algorithm=self.algorithm, signed=self.signed, signature_header=self.signature_header.strip().lower(),
            timestamp_header=self.timestamp_header.strip().lower(), id_header=self.id_header.strip().lower(),
            window=timedelta(seconds=self.window_seconds),
        )  # fmt: skip

    @property
    def secrets(self) -> list[str]:
        """Those that are believed, the newest first: two while a vendor changes over. Ed25519: its public keys."""
        return [plain for plain in map(crypto.decrypt, (self.secret_encrypted, self.old_secret_encrypted)) if plain]

    @property
    def secret(self) -> str:
        return crypto.decrypt(self.secret_encrypted)

    @secret.setter
    def secret(self, value: str) -> None:
        self.secret_encrypted = crypto.encrypt(value)

    @property
    def poll_key(self) -> str:
        """What we send when we poll; ours to keep as theirs is."""
        return crypto.decrypt(self.poll_key_encrypted)

    @poll_key.setter
    def poll_key(self, value: str) -> None:
        self.poll_key_encrypted = crypto.encrypt(value)

    def reader(self) -> FeedMapping:
        """How its pushes are read. Raises BadMapping."""
        return FeedMapping.parse(self.mapping or presets.MAPPINGS.get(self.style, presets.PLAIN))

    def poll_reader(self) -> FeedMapping:
        """How its pages are read. Raises BadMapping."""
        return FeedMapping.parse(self.poll_mapping or self.mapping)


class WebhookPush(models.Model):
    """The inbox: a push as it came, kept before it is answered, applied once."""

    feed = models.ForeignKey(WebhookFeed, models.CASCADE, related_name="pushes")
    dedupe_key = models.CharField(max_length=64)
    method = models.CharField(max_length=7)
    path = models.CharField(max_length=300, blank=True, help_text=_("After the feed's own address."))
    raw = models.BinaryField()
    sent_at = models.DateTimeField(null=True, blank=True, help_text=_("As it was signed, or written in the body."))
    received_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True, blank=True)
    entries = models.PositiveIntegerField(default=0)
    outcomes = models.JSONField(default=dict, help_text=_("How many entries became what."))
    problems = models.JSONField(default=list, help_text=_("[index, code, detail] of entries that were not applied."))

    class Meta:
        verbose_name = _("webhook push")
        verbose_name_plural = _("webhook pushes")
        constraints = [models.UniqueConstraint("feed", "dedupe_key", name="one_row_per_push")]
        indexes = [
            models.Index(fields=["received_at"], name="pushes_by_age"),
            models.Index(fields=["feed", "-received_at"], name="pushes_of_a_feed"),
            models.Index(fields=["received_at"], condition=Q(applied_at=None), name="pushes_to_apply"),
        ]

    def __str__(self) -> str:
        return f"{self.feed_id}: {self.received_at:%Y-%m-%d %H:%M:%S}"


class DeadLetterQuerySet(models.QuerySet["DeadLetter"]):
    def waiting(self) -> Self:
        return self.filter(replayed_at=None)


class DeadLetter(models.Model):
    """An entry that could not be applied. The newest of its kind for one EVSE; replayed when the reason is gone."""

    feed = models.ForeignKey(WebhookFeed, models.CASCADE, related_name="dead_letters")
    push = models.ForeignKey(WebhookPush, models.CASCADE, related_name="dead_letters")
    index = models.PositiveIntegerField(help_text=_("Of the entry in its push, from 0."))
    code = models.CharField(max_length=40)
    subject = models.CharField(max_length=160, help_text=_("The EVSE it speaks of, or a digest of the push."))
    detail = models.CharField(max_length=255, blank=True)
    times = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    replayed_at = models.DateTimeField(null=True, blank=True)
    replay_code = models.CharField(max_length=40, blank=True)

    objects = DeadLetterQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint("feed", "code", "subject", name="one_dead_letter_per_subject")]
        indexes = [models.Index(fields=["feed", "code"], condition=Q(replayed_at=None), name="letters_to_replay")]

    def __str__(self) -> str:
        return f"{self.code}: {self.subject}"


class WebhookCount(models.Model):
    """How often something happened to a feed's pushes and entries on one day; `lag_...` are milliseconds from the
    vendor's clock to our commit, in steps."""

    feed = models.ForeignKey(WebhookFeed, models.CASCADE, related_name="counts")
    day = models.DateField()
    code = models.CharField(max_length=40)
    count = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField()
    last_detail = models.CharField(max_length=255, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint("feed", "day", "code", name="one_count_per_feed_day_and_code")]

    def __str__(self) -> str:
        return f"{self.code}: {self.count}"
