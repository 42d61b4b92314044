"""Depots whose nights are planned, whose vehicle comes first, and every plan of a night with what it rests on."""

from datetime import time
from typing import Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.fields import LargeJSONField
from stations.models import Location
from vehicles.models import Vehicle

NIGHT_FROM, READY_BY = time(20), time(6)


class DepotQuerySet(models.QuerySet["Depot"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class Depot(models.Model):
    """A site of the fleet's own where its vehicles stand at night. A plan is stored under this row's lock.

    Its vehicles are those whose depot lies within `radius_m` of the site, and nearer to no other one. `prices` are what
    a kWh costs by local time of day, where it is not `paise_per_kwh`:
    [{"from": "22:00", "to": "06:00", "paise_per_kwh": 620}].
    """

    location = models.OneToOneField(Location, models.CASCADE, primary_key=True, related_name="depot")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="depots")
    is_active = models.BooleanField(default=True)
    night_from = models.TimeField(default=NIGHT_FROM, help_text=_("Local time at which planning begins."))
    ready_by = models.TimeField(default=READY_BY, help_text=_("For vehicles without a shift or a stop that is due."))
    radius_m = models.PositiveIntegerField(default=400)
    buffer_minutes = models.PositiveSmallIntegerField(default=15, help_text=_("Ready so long before departure."))
    move_every_minutes = models.PositiveSmallIntegerField(
        default=0, help_text=_("So often somebody moves vehicles from plug to plug; 0: they stay until they leave.")
    )
    paise_per_kwh = models.PositiveIntegerField(default=800)
    prices = models.JSONField(default=list, blank=True)
    planned_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = DepotQuerySet.as_manager()

    class Meta:
        ordering = ["location_id"]
        constraints = [
            models.CheckConstraint(condition=Q(move_every_minutes__lte=480), name="vehicles_are_moved_by_night"),
        ]

    def __str__(self) -> str:
        return str(self.location)


class DepotVehicle(models.Model):
    """A vehicle that comes before others when not everybody can be ready, or belongs here wherever its own depot is."""

    depot = models.ForeignKey(Depot, models.CASCADE, related_name="vehicles")
    vehicle = models.OneToOneField(Vehicle, models.CASCADE, related_name="depot_place")
    priority = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(9)], help_text=_("1 to 9; 9 comes first.")
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(priority__range=(1, 9)), name="depot_priority_is_1_to_9"),
        ]

    def __str__(self) -> str:
        return f"{self.vehicle_id}: {self.priority}"


class NightPlan(models.Model):
    """One version of the plan of a night; the newest one counts. `snapshot` replays it."""

    depot = models.ForeignKey(Depot, models.CASCADE, related_name="plans")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="night_plans")
    night_on = models.DateField(help_text=_("The evening, in the site's time zone."))
    version = models.PositiveIntegerField()
    made_at = models.DateTimeField()
    reason = models.CharField(max_length=200, help_text=_("What was different from the version before."))
    starts_at = models.DateTimeField(help_text=_("Of the first slot."))
    vehicles = models.PositiveIntegerField()
    ready = models.PositiveIntegerField(help_text=_("Of them, how many will have what they need."))
    missing_wh = models.PositiveIntegerField()
    cost_paise = models.PositiveIntegerField()
    core_version = models.CharField(max_length=20)
    snapshot = LargeJSONField()
    result = LargeJSONField()

    class Meta:
        ordering = ["-night_on", "-version"]
        constraints = [
            models.UniqueConstraint("depot", "night_on", "version", name="one_row_per_version_of_a_night"),
        ]

    def __str__(self) -> str:
        return f"{self.depot_id} {self.night_on} v{self.version}"
