"""What trackers call besides where they are: emergencies, tampering, a cut supply."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class TrackerAlarmQuerySet(models.QuerySet["TrackerAlarm"]):
    def standing(self) -> Self:
        """Not over, and not told after the fact: late data raises no alert."""
        return self.filter(cleared_at=None, is_late=False)


class TrackerAlarm(models.Model):
    """One alarm of a vehicle's tracker. A button held down is one alarm, however often the tracker repeats it; one that
    is pressed again, or heard again after a silence, is the next."""

    class Kind(models.TextChoices):
        EMERGENCY = "emergency", _("Emergency button")
        TAMPER = "tamper", _("Tracker was opened")
        MAINS_OFF = "mains_off", _("Tracker was cut off from the vehicle's battery")
        WIRE_CUT = "wire_cut", _("Wire of the emergency button is cut")

    vehicle = models.ForeignKey("vehicles.Vehicle", models.CASCADE, related_name="alarms")
    kind = models.CharField(max_length=12, choices=Kind)
    raised_at = models.DateTimeField(help_text=_("By the tracker's clock, or ours when it has none."))
    received_at = models.DateTimeField(default=timezone.now)
    heard_at = models.DateTimeField(default=timezone.now, help_text=_("By our clock, when the tracker last said so."))
    latitude = models.FloatField(null=True, blank=True)
    longitude = models.FloatField(null=True, blank=True)
    is_late = models.BooleanField(default=False)
    cleared_at = models.DateTimeField(null=True, blank=True)

    objects = TrackerAlarmQuerySet.as_manager()

    class Meta:
        ordering = ["-raised_at"]
        constraints = [
            models.UniqueConstraint("vehicle", "kind", "raised_at", name="one_row_per_alarm"),
            models.UniqueConstraint(
                "vehicle", "kind", condition=Q(cleared_at=None, is_late=False), name="one_standing_alarm_per_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.raised_at:%d %b %H:%M}"
