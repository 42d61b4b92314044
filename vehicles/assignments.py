"""Which device reported for which vehicle from when to when: pings that come late still go to whom they are of."""

from datetime import datetime
from typing import Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class DeviceSpan(models.Func):
    """tstzrange(from, to, '[)'): the next vehicle's time begins where this one's ends; an empty end is no end."""

    function = "TSTZRANGE"
    output_field = DateTimeRangeField()


class DeviceAssignmentQuerySet(models.QuerySet["DeviceAssignment"]):
    def at(self, at: datetime) -> Self:
        """Those of that instant."""
        began = Q(starts_at=None) | Q(starts_at__lte=at)
        return self.filter(began, Q(ends_at=None) | Q(ends_at__gt=at))


class DeviceAssignment(models.Model):
    """A device reports for a vehicle. Kept by the database beside `Vehicle.device_id`, which is the open one.

    A device's first assignment has no beginning, so that what it stored before it was claimed counts too.
    """

    vehicle = models.ForeignKey("vehicles.Vehicle", models.CASCADE, related_name="assignments")
    device_id = models.CharField(max_length=64)
    starts_at = models.DateTimeField(null=True, blank=True, help_text=_("Empty: since ever."))
    ends_at = models.DateTimeField(null=True, blank=True, help_text=_("Empty: still."))

    objects = DeviceAssignmentQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            ExclusionConstraint(
                name="one_vehicle_at_a_time_per_device",
                expressions=[(DeviceSpan("starts_at", "ends_at", RangeBoundary()), "&&"), ("device_id", "=")],
                violation_error_message=_("This device reports for another vehicle then."),
            ),
            models.UniqueConstraint("vehicle", condition=Q(ends_at=None), name="one_device_at_a_time_per_vehicle"),
            models.CheckConstraint(
                condition=Q(starts_at=None) | Q(ends_at=None) | Q(ends_at__gte=F("starts_at")),
                name="assignment_ends_after_it_starts",
            ),
        ]
        indexes = [models.Index(fields=["device_id"], name="vehicles_of_a_device")]

    def __str__(self) -> str:
        return f"{self.vehicle_id} from {self.starts_at} to {self.ends_at}"
