"""Files that chargers send us: logs and diagnostics."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ocpp_bridge.models.commands import Command
from ocpp_bridge.models.security import OfChargerQuerySet
from stations.models import Charger


class Upload(models.Model):
    """One address that takes one file of one charger, once. Only the hash of its secret is kept."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for the file")
        RECEIVED = "received", _("Received")
        EXPIRED = "expired", _("Not sent in time")

    TOKEN_PURPOSE = "charger-upload"  # noqa: S105 (a label, not a password)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    charger = models.ForeignKey(Charger, models.CASCADE, related_name="uploads", db_index=False)
    command = models.ForeignKey(Command, models.SET_NULL, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=20, default="diagnostics")
    token_hash = models.CharField(max_length=64, editable=False)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    file_name = models.CharField(max_length=120, blank=True, help_text=_("As the charger called it."))
    content_type = models.CharField(max_length=80, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    actor = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    received_at = models.DateTimeField(null=True, blank=True)

    objects = OfChargerQuerySet["Upload"].as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["charger", "-created_at"], name="uploads_of_a_charger")]

    def __str__(self) -> str:
        return f"{self.kind} · {self.charger} ({self.state})"
