"""What we asked of chargers."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from stations.models import Charger


class Command(models.Model):
    """One thing we asked of a charger, from the click to its answer."""

    class Action(models.TextChoices):
        REMOTE_START = "RemoteStart", _("Start charging")
        REMOTE_STOP = "RemoteStop", _("Stop charging")
        RESERVE_NOW = "ReserveNow", _("Reserve")
        CANCEL_RESERVATION = "CancelReservation", _("Cancel reservation")
        TRIGGER_MESSAGE = "TriggerMessage", _("Ask for a message")

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        SENT = "sent", _("Sent")
        ACCEPTED = "accepted", _("Accepted")
        REJECTED = "rejected", _("Rejected")
        TIMED_OUT = "timed_out", _("No answer")
        EXPIRED = "expired", _("Charger was not there in time")
        FAILED = "failed", _("Failed")

    OPEN_STATES = ("queued", "sent")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="ocpp_commands")
    charger = models.ForeignKey(Charger, models.PROTECT, related_name="commands")
    action = models.CharField(max_length=20, choices=Action)
    parameters = models.JSONField(default=dict, help_text=_("Version-neutral; each protocol module translates."))
    idempotency_key = models.CharField(max_length=80, unique=True)
    reservation_key = models.CharField(max_length=36, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    reason = models.CharField(max_length=120, blank=True)
    actor = models.CharField(max_length=120, default="system")
    request = models.JSONField(null=True, blank=True, help_text=_("The payload on the wire."))
    response = models.JSONField(null=True, blank=True)
    deadline_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["charger", "created_at"], condition=Q(state="queued"), name="queued_commands"),
            models.Index(
                fields=["deadline_at"], condition=Q(state__in=("queued", "sent")), name="open_commands_by_deadline"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} → {self.charger} ({self.state})"
