"""Where one can charge: sites of every network, with ids of ours that never change."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import ids
from stations.models.networks import Party, Source


class LocationQuerySet(models.QuerySet["Location"]):
    def visible_to(self, organisation: Organisation) -> Self:
        """Public sites and the fleet's own ones; never another fleet's depot."""
        return self.filter(Q(organisation=None) | Q(organisation=organisation), is_removed=False)

    def in_box(self, *, south: float, west: float, north: float, east: float) -> Self:
        return self.filter(latitude__range=(south, north), longitude__range=(west, east))


class Location(models.Model):
    """A site (OCPI Location). Its public id never changes and is never reused."""

    class Removal(models.TextChoices):
        WITHDRAWN = "withdrawn", _("Withdrawn by its network")
        VANISHED = "vanished", _("No longer listed")
        MERGED = "merged", _("Merged into another")

    public_id = models.CharField(max_length=16, unique=True, default=ids.location_id, editable=False)
    source = models.ForeignKey(Source, models.PROTECT, related_name="locations")
    party = models.ForeignKey(Party, models.SET_NULL, null=True, blank=True)
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, null=True, blank=True, help_text=_("Set for a private depot.")
    )
    name = models.CharField(max_length=255)
    address = models.CharField(max_length=255, blank=True)
    city = models.CharField(max_length=60, blank=True)
    state = models.CharField(max_length=60, blank=True)
    postal_code = models.CharField(max_length=10, blank=True)
    country_code = models.CharField(max_length=2, default="IN")
    latitude = models.FloatField()
    longitude = models.FloatField()
    time_zone = models.CharField(max_length=40, default="Asia/Kolkata")
    opening_times = models.JSONField(null=True, blank=True)
    is_removed = models.BooleanField(default=False)
    removed_because = models.CharField(max_length=12, choices=Removal, blank=True, editable=False)
    merged_into = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="merged_from",
        help_text=_("It turned out to be this site; its links lead there."),
    )  # fmt: skip
    is_shared = models.BooleanField(default=False, editable=False, help_text=_("More than one source speaks of it."))
    source_updated_at = models.DateTimeField(null=True, blank=True)
    tariff = models.ForeignKey(
        "Tariff", models.SET_NULL, null=True, blank=True, editable=False, related_name="locations",
        help_text=_("Of plugs that appear here later; those present have their own."),
    )  # fmt: skip
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = LocationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(latitude__range=(-90, 90)) & Q(longitude__range=(-180, 180)), name="location_is_on_earth"
            )
        ]
        indexes = [
            models.Index(fields=["latitude", "longitude"], name="locations_in_a_box"),
            models.Index(fields=["updated_at"], name="locations_changed_since"),
        ]

    def __str__(self) -> str:
        return self.name
