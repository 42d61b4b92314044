"""The list of tokens that a charger keeps for the time it is without us."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from ocpp_bridge.models.commands import Command
from stations.models import Charger


class LocalList(models.Model):
    """What one charger should have on its local authorisation list, what it has, and how the difference travels.

    `entries_there` is only worth something while `version_there` is what the charger says it has: None otherwise.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Not compared yet")
        SENDING = "sending", _("Being sent")
        CURRENT = "current", _("Up to date")
        DISABLED = "disabled", _("Sent, but the charger is set not to use it")
        FAILED = "failed", _("Failed, tried again later")
        UNSUPPORTED = "unsupported", _("The charger keeps no list")

    charger = models.OneToOneField(Charger, models.CASCADE, primary_key=True, related_name="local_list")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    state = models.CharField(max_length=12, choices=State, default=State.WAITING)

    entries = models.JSONField(default=dict, help_text=_("Wanted, by token in lower case."))
    content_hash = models.CharField(max_length=32, blank=True)
    left_out = models.PositiveIntegerField(default=0, help_text=_("Tokens that do not fit or are too long."))
    changed_at = models.DateTimeField(null=True, blank=True)
    version_wanted = models.BigIntegerField(default=0)

    version_there = models.BigIntegerField(null=True, blank=True, help_text=_("As the charger says; empty: unknown."))
    entries_there = models.JSONField(null=True, blank=True)
    compared_at = models.DateTimeField(null=True, blank=True, help_text=_("Empty after a restart of the charger."))
    confirmed_at = models.DateTimeField(null=True, blank=True)

    max_per_message = models.PositiveIntegerField(null=True, blank=True)
    capacity = models.PositiveIntegerField(null=True, blank=True)
    is_enabled = models.BooleanField(null=True, blank=True, help_text=_("LocalAuthListEnabled, as the charger says."))
    limits_read_at = models.DateTimeField(null=True, blank=True)

    pending = models.JSONField(default=list, help_text=_("Messages still to be sent, the first one is under way."))
    command = models.ForeignKey(Command, models.SET_NULL, null=True, blank=True, related_name="+")
    asked = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    last_result = models.CharField(max_length=120, blank=True)
    last_result_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["retry_at"],
                condition=~Q(state__in=("current", "disabled", "unsupported")),
                name="unfinished_local_lists",
            )
        ]

    def __str__(self) -> str:
        return f"{self.charger} v{self.version_wanted} ({self.state})"
