"""Areas that a fleet has drawn, who stands in them, and every time that somebody came in or left."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation


class GeofenceSet(models.Model):
    """What a fleet has drawn, as a whole: `revision` counts its changes, in the order of their commits."""

    organisation = models.OneToOneField(Organisation, models.CASCADE, primary_key=True, related_name="geofence_set")
    revision = models.PositiveIntegerField(default=0)
    geofences = models.PositiveIntegerField(default=0, help_text=_("That are not removed."))

    def __str__(self) -> str:
        return f"{self.organisation_id} r{self.revision}"


class GeofenceQuerySet(models.QuerySet["Geofence"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def drawn(self) -> Self:
        """Those that are not removed."""
        return self.filter(removed_at=None)


class Geofence(models.Model):
    """A circle (a Point with a radius) or polygons, in GeoJSON. A removed one is kept for its events."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="geofences")
    name = models.CharField(max_length=120)
    geometry = models.JSONField(help_text=_("GeoJSON: Point, Polygon or MultiPolygon; longitude first."))
    radius_m = models.PositiveIntegerField(null=True, blank=True, help_text=_("Of a Point."))
    revision = models.PositiveIntegerField(
        editable=False, help_text=_("Of the fleet's geofences when it came: who was inside then did not enter.")
    )
    depot = models.CharField(
        max_length=40,
        blank=True,
        default="",
        db_default="",
        help_text=_("Public id of the site of a depot."),
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = GeofenceQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                "organisation", Lower("name"), condition=Q(removed_at=None), name="one_geofence_per_name"
            ),
            models.UniqueConstraint("organisation", "depot", condition=~Q(depot=""), name="one_geofence_per_depot"),
            models.CheckConstraint(
                condition=Q(radius_m=None) | Q(radius_m__range=(20, 50_000)), name="geofence_radius_is_in_range"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class GeofenceCursor(models.Model):
    """How far a vehicle's positions have been judged. `version` is that of its state, `revision` of its fleet's set."""

    vehicle = models.OneToOneField("vehicles.Vehicle", models.CASCADE, primary_key=True, related_name="+")
    checked_at = models.DateTimeField(help_text=_("The newest position that was judged."))
    version = models.BigIntegerField()
    revision = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.vehicle_id} to {self.checked_at}"


class GeofenceStanding(models.Model):
    """A vehicle that is in a geofence, or that its last position puts in doubt; all others are outside."""

    geofence = models.ForeignKey(Geofence, models.CASCADE, related_name="standings")
    vehicle = models.ForeignKey("vehicles.Vehicle", models.CASCADE, related_name="geofence_standings")
    is_inside = models.BooleanField()
    is_doubted = models.BooleanField()
    since = models.DateTimeField(help_text=_("Of the position that settled it, or the first that was looked at."))

    class Meta:
        constraints = [
            models.UniqueConstraint("vehicle", "geofence", name="one_standing_per_vehicle_and_geofence"),
            models.CheckConstraint(condition=Q(is_inside=True) | Q(is_doubted=True), name="who_is_outside_has_no_row"),
        ]

    def __str__(self) -> str:
        return f"{self.vehicle_id} in {self.geofence_id}"


class GeofenceEventQuerySet(models.QuerySet["GeofenceEvent"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class GeofenceEvent(models.Model):
    """A vehicle came in or left. `at` is the instant of the position that settled it, the place is that position's."""

    class Kind(models.TextChoices):
        ENTERED = "entered", _("Entered")
        LEFT = "left", _("Left")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="geofence_events")
    geofence = models.ForeignKey(Geofence, models.CASCADE, related_name="events")
    vehicle = models.ForeignKey("vehicles.Vehicle", models.CASCADE, related_name="geofence_events")
    kind = models.CharField(max_length=7, choices=Kind)
    at = models.DateTimeField()
    latitude = models.FloatField()
    longitude = models.FloatField()

    objects = GeofenceEventQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint("vehicle", "geofence", "at", name="one_crossing_per_position"),
        ]
        indexes = [models.Index(fields=["organisation", "-id"], name="geofence_events_of_a_fleet")]

    def __str__(self) -> str:
        return f"{self.vehicle_id} {self.kind} {self.geofence_id}"
