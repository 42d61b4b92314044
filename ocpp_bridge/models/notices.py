"""What chargers notify us of: limits from outside, monitored components, what vehicles need, and everything else."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ocpp_bridge.models.security import OfChargerQuerySet
from stations.models import Charger


class Notice(models.Model):
    """One message kept as it came, because nothing else of ours depends on it."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="notices", db_index=False)
    action = models.CharField(max_length=40)
    evse_number = models.PositiveSmallIntegerField(null=True, blank=True)
    transaction_ref = models.CharField(max_length=36, blank=True)
    payload = models.JSONField()
    received_at = models.DateTimeField(default=timezone.now)

    objects = OfChargerQuerySet["Notice"].as_manager()

    class Meta:
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["charger", "-received_at"], name="notices_of_a_charger"),
            models.Index(fields=["received_at"], name="notices_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.action} · {self.charger}"


class OddMessage(models.Model):
    """A message that decides about a session and breaks its schema: kept raw, whether we could use it or not."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="odd_messages", db_index=False)
    protocol = models.CharField(max_length=12)
    message_id = models.CharField(max_length=36)
    action = models.CharField(max_length=40)
    payload = models.JSONField()
    payload_hash = models.BinaryField(max_length=16)
    code = models.CharField(max_length=40)
    flaw = models.CharField(max_length=255)
    is_taken = models.BooleanField(help_text=_("What we needed of it was there; the charger got an ordinary answer."))
    received_at = models.DateTimeField(default=timezone.now)

    objects = OfChargerQuerySet["OddMessage"].as_manager()

    class Meta:
        ordering = ["-received_at"]
        constraints = [models.UniqueConstraint("charger", "payload_hash", name="one_odd_message_per_payload")]
        indexes = [
            models.Index(fields=["charger", "-received_at"], name="odd_messages_of_a_charger"),
            models.Index(fields=["received_at"], name="odd_messages_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.action} · {self.charger}: {self.flaw}"


class ComponentEvent(models.Model):
    """One entry of NotifyEvent: a monitored variable crossed its line (OCPP 2.0.1 part 2 N07)."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="component_events", db_index=False)
    event_id = models.BigIntegerField()
    trigger = models.CharField(max_length=10)
    component = models.CharField(max_length=110, help_text=_("With its instance, if it has one."))
    variable = models.CharField(max_length=110)
    evse_number = models.PositiveSmallIntegerField(null=True, blank=True)
    value = models.TextField(blank=True)
    severity = models.PositiveSmallIntegerField(null=True, blank=True, help_text=_("0 danger ... 9 debug (OCPP 2.1)."))
    is_cleared = models.BooleanField(default=False)
    transaction_ref = models.CharField(max_length=36, blank=True)
    tech_code = models.CharField(max_length=50, blank=True)
    tech_info = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)

    objects = OfChargerQuerySet["ComponentEvent"].as_manager()

    class Meta:
        ordering = ["-at"]
        constraints = [  # a station that does not count its events loses none
            models.UniqueConstraint(
                "charger", "event_id", "at", "component", "variable", name="one_component_event_per_fact"
            )
        ]
        indexes = [models.Index(fields=["received_at"], name="component_events_by_age")]

    def __str__(self) -> str:
        return f"{self.component}.{self.variable} · {self.charger}"


class ExternalLimit(models.Model):
    """A limit that somebody else set at the charger (OCPP 2.0.1 part 2 K12-K14); EVSE 0 is the whole station."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="external_limits", db_index=False)
    evse_number = models.PositiveSmallIntegerField(default=0)
    source = models.CharField(max_length=20)
    is_grid_critical = models.BooleanField(null=True, blank=True)
    schedules = models.JSONField(default=list)
    notified_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)

    objects = OfChargerQuerySet["ExternalLimit"].as_manager()

    class Meta:
        ordering = ["-notified_at"]
        constraints = [
            models.UniqueConstraint(
                "charger", "evse_number", "source", condition=Q(cleared_at=None), name="one_limit_in_force_per_source"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} · {self.charger}/{self.evse_number}"


class ChargingNeeds(models.Model):
    """What the vehicle at an EVSE asked for last (NotifyEVChargingNeeds, OCPP 2.0.1 part 2 K15)."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="charging_needs", db_index=False)
    evse_number = models.PositiveSmallIntegerField()
    transfer_mode = models.CharField(max_length=30, blank=True)
    departure_at = models.DateTimeField(null=True, blank=True)
    energy_wh = models.BigIntegerField(null=True, blank=True)
    soc_percent = models.PositiveSmallIntegerField(null=True, blank=True)
    capacity_wh = models.BigIntegerField(null=True, blank=True)
    payload = models.JSONField()
    received_at = models.DateTimeField()

    objects = OfChargerQuerySet["ChargingNeeds"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint("charger", "evse_number", name="the_latest_needs_per_evse")]

    def __str__(self) -> str:
        return f"{self.charger}/{self.evse_number}"
