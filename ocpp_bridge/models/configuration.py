"""How chargers should be set, how they say they are set, and the changes that bring the two together."""

from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from ocpp_bridge.models.commands import Command
from stations.models import Charger


class DesiredConfiguration(models.Model):
    """What the chargers of a model should be set to. Keys are OCPP 1.6 names or `Component.Variable` (OCPP 2.x)."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="desired_configurations")
    name = models.CharField(max_length=80)
    vendor_pattern = models.CharField(max_length=80, default="*", help_text=_("* and ? stand for anything."))
    model_pattern = models.CharField(max_length=80, default="*", help_text=_("* and ? stand for anything."))
    values = models.JSONField(
        default=dict, help_text=_('{"HeartbeatInterval": "300"}; null takes a key out of the built-in ones.')
    )
    priority = models.SmallIntegerField(default=0, help_text=_("Where several fit, the highest decides each key."))
    is_active = models.BooleanField(default=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-priority", "name"]
        constraints = [models.UniqueConstraint("organisation", "name", name="one_desired_configuration_per_name")]

    def __str__(self) -> str:
        return self.name


class ChargerConfiguration(models.Model):
    """When we last asked a charger for its configuration, and what came of it."""

    charger = models.OneToOneField(Charger, models.CASCADE, primary_key=True, related_name="configuration")
    asked_at = models.DateTimeField(null=True, blank=True)
    asked_for_boot_at = models.DateTimeField(null=True, blank=True, help_text=_("The boot that was checked."))
    read_at = models.DateTimeField(null=True, blank=True)
    drifted = models.PositiveIntegerField(default=0, help_text=_("Keys that are not as they should be."))

    def __str__(self) -> str:
        return f"{self.charger} ({self.drifted})"


class ConfigurationValue(models.Model):
    """One key as the charger reported it last. Values of secret keys are never stored."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="configuration_values", db_index=False)
    key = models.CharField(max_length=220)
    value = models.TextField(null=True, blank=True, help_text=_("Empty: the charger does not say."))  # noqa: DJ001
    is_readonly = models.BooleanField(default=False)
    is_unknown = models.BooleanField(default=False, help_text=_("We asked; the charger has no such key."))
    reported_at = models.DateTimeField()

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint("charger", "key", name="one_value_per_configuration_key")]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.key}={self.value}"


class RolloutQuerySet(models.QuerySet["ConfigurationRollout"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def unfinished(self) -> Self:
        return self.filter(state__in=ConfigurationRollout.OPEN_STATES)


class ConfigurationRollout(models.Model):
    """Changes for many chargers: the first few, then the rest, and back again when too many fail."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        STOPPED = "stopped", _("Stopped after failures")
        DONE = "done", _("Done")
        ROLLING_BACK = "rolling_back", _("Being taken back")
        ROLLED_BACK = "rolled_back", _("Taken back")

    OPEN_STATES = ("running", "rolling_back")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="configuration_rollouts")
    state = models.CharField(max_length=12, choices=State, default=State.RUNNING)
    first_chargers = models.PositiveIntegerField(default=1, help_text=_("Chargers of the first stage."))
    failures_allowed = models.PositiveIntegerField(default=0)
    rolls_back = models.BooleanField(default=True, help_text=_("Restore the old values when it stops."))
    actor = models.CharField(max_length=120)
    reason = models.TextField(blank=True)
    order_key = models.CharField(max_length=80, blank=True, help_text=_("The same order is one roll-out."))
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RolloutQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                "organisation", "order_key", condition=~Q(order_key=""), name="one_rollout_per_order"
            )
        ]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M} ({self.state})"


class ConfigurationChange(models.Model):
    """One key of one charger inside a rollout."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        SET = "set", _("Set")
        FAILED = "failed", _("Failed")
        RESTORING = "restoring", _("Being taken back")
        RESTORED = "restored", _("Taken back")
        LEFT = "left", _("Could not be taken back")
        SKIPPED = "skipped", _("Not sent")

    OPEN_STATES = ("waiting", "sent")

    rollout = models.ForeignKey(ConfigurationRollout, models.CASCADE, related_name="changes")
    charger = models.ForeignKey(Charger, models.CASCADE, related_name="configuration_changes")
    stage = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=220)
    old_value = models.TextField(null=True, blank=True)  # noqa: DJ001 (null: we do not know it)
    new_value = models.TextField()
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    reason = models.CharField(max_length=120, blank=True, help_text=_("The charger's word, e.g. RebootRequired."))
    command = models.ForeignKey(Command, models.SET_NULL, null=True, blank=True, related_name="+")
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["stage", "charger_id", "key"]
        constraints = [models.UniqueConstraint("rollout", "charger", "key", name="one_change_per_key_and_rollout")]
        indexes = [
            models.Index(fields=["charger"], condition=Q(state__in=("waiting", "sent")), name="changes_under_way")
        ]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.key}: {self.old_value} → {self.new_value} ({self.state})"

    def as_dict(self) -> dict[str, Any]:
        """For the audit trail."""
        return {"key": self.key, "old": self.old_value, "new": self.new_value}
