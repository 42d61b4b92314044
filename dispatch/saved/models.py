"""What was kept, of whom, in which fleet."""

from typing import Self

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation, User


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def of(self, organisation: Organisation, user: User) -> Self:
        """A person's own in this fleet; nobody else sees them."""
        return self.filter(organisation=organisation, user=user).order_by("name", "pk")


class SavedView(models.Model):
    """`query` is the address behind the page: of a table what stands after `?`, of the map what stands after `#`."""

    class Page(models.TextChoices):
        DISPATCH = "dispatch", _("Dispatch")
        STATIONS = "station-list", _("Stations")
        FLEET = "fleet-list", _("Fleet")
        SESSIONS = "session-list", _("Sessions")
        ALERTS = "alert-list", _("Alerts")
        RESERVATIONS = "reservation-list", _("Reservations")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    page = models.CharField(max_length=20, choices=Page)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "organisation", "page", "name"], name="one_saved_view_of_a_name")
        ]

    def __str__(self) -> str:
        return self.name
