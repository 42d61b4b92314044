"""Who may look at a drive without a login, and what drivers say of plugs."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation, User
from stations.models import Connector
from vehicles.models import Driver, Stop, Vehicle


class DriverLinkQuerySet(models.QuerySet["DriverLink"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def open(self, now: datetime) -> Self:
        return self.filter(revoked_at=None, expires_at__gt=now)


class DriverLink(models.Model):
    """A way to one vehicle's drive for whoever has the address, until it ends or is taken back.

    It is made for a plan; when that is replaced, the same link shows what came in its place.
    """

    class Kind(models.TextChoices):
        DRIVE = "drive", _("Driver's page")
        ETA = "eta", _("Arrival only")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="driver_links")
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="driver_links")
    driver = models.ForeignKey(Driver, models.SET_NULL, null=True, blank=True, related_name="links")
    plan = models.ForeignKey("dispatch.ChargePlan", models.CASCADE, related_name="driver_links")
    stop = models.ForeignKey(
        Stop, models.CASCADE, null=True, blank=True, related_name="+",
        help_text=_("Of an arrival: where somebody waits. Empty: at the plug."),
    )  # fmt: skip
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.DRIVE)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, blank=True, help_text=_("When somebody looked at it first."))
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = DriverLinkQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "kind", "stop"], condition=Q(revoked_at=None), nulls_distinct=False,
                name="one_driver_link_per_plan_kind_and_stop",
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.kind} of {self.vehicle}"


class PlugReport(models.Model):
    """A driver stood before a plug that could not be used. Once per plan."""

    class Kind(models.TextChoices):
        BROKEN = "broken", _("Broken")
        BLOCKED = "blocked", _("Blocked")
        REFUSED = "refused", _("Could not be started")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="plug_reports")
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="plug_reports")
    connector = models.ForeignKey(Connector, models.CASCADE, related_name="reports")
    plan = models.OneToOneField("dispatch.ChargePlan", models.CASCADE, related_name="plug_report")
    kind = models.CharField(max_length=7, choices=Kind)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["organisation", "-at"], name="plug_reports_of_a_fleet")]

    def __str__(self) -> str:
        return f"{self.connector} {self.kind}"
