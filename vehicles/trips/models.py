"""Days of vehicles and what was driven, waited and charged on them."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class VehicleDay(models.Model):
    """A vehicle's day in India: due again as long as pings of it arrive; the sums of its trips."""

    vehicle = models.ForeignKey("vehicles.Vehicle", models.CASCADE, related_name="days")
    day = models.DateField()
    touched_at = models.DateTimeField(help_text=_("A ping of this day was stored then or up to ten minutes later."))
    due_at = models.DateTimeField(null=True, blank=True)
    pings = models.PositiveIntegerField(default=0)
    distance_m = models.PositiveIntegerField(default=0)
    heard_minutes = models.PositiveSmallIntegerField(default=0, help_text=_("Without silences of over two minutes."))

    class Meta:
        constraints = [models.UniqueConstraint("vehicle", "day", name="one_row_per_vehicle_day")]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="vehicle_days_due")]

    def __str__(self) -> str:
        return f"{self.vehicle_id} {self.day}"


class StretchQuerySet(models.QuerySet["Stretch"]):
    def of_vehicle(self, vehicle_id: int, start: datetime, end: datetime) -> Self:
        """Those that touch the period, in time order."""
        return self.filter(vehicle_id=vehicle_id, started_at__lte=end, ended_at__gte=start).order_by("started_at", "pk")


class Stretch(models.Model):
    """A trip, a halt, or a charge seen by the vehicle itself; billing's sessions are another thing.

    Replaced whenever its day is made again, so nothing may point at its id.
    """

    class Kind(models.TextChoices):
        TRIP = "trip", _("Trip")
        HALT = "halt", _("Halt")
        CHARGE = "charge", _("Charge")
        SWAP = "swap", _("Battery swap")

    vehicle = models.ForeignKey("vehicles.Vehicle", models.CASCADE, related_name="stretches")
    day = models.DateField()
    kind = models.CharField(max_length=6, choices=Kind)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    start_latitude = models.FloatField()
    start_longitude = models.FloatField()
    end_latitude = models.FloatField()
    end_longitude = models.FloatField()
    distance_m = models.PositiveIntegerField(default=0)
    max_speed_kmh = models.FloatField(null=True, blank=True)
    soc_start_percent = models.FloatField(null=True, blank=True)
    soc_end_percent = models.FloatField(null=True, blank=True)
    energy_wh = models.IntegerField(
        null=True, blank=True, help_text=_("Out of the battery on a trip, into it at a charge.")
    )

    objects = StretchQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["vehicle", "started_at"], name="stretches_of_a_vehicle")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.started_at:%d %b %H:%M}"
