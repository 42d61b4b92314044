"""A limit and what is used of it in each of its periods. The database refuses to reserve beyond a hard one."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from stations.models import Location, Tariff
from vehicles.models import Driver, Vehicle


class SpendLimitQuerySet(models.QuerySet["SpendLimit"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class SpendLimit(models.Model):
    """What one scope may spend (paise including GST) and draw (Wh) in one period of the fleet's time zone.

    A tariff's limit holds for every version of it. Soft limits let charging go on and tell finance.
    """

    class Scope(models.TextChoices):
        ORGANISATION = "organisation", _("Whole fleet")
        COST_CENTRE = "cost_centre", _("Cost centre")
        SITE = "site", _("Site")
        VEHICLE = "vehicle", _("Vehicle")
        DRIVER = "driver", _("Driver")
        TARIFF = "tariff", _("Tariff")

    class Period(models.TextChoices):
        SESSION = "session", _("Session")
        DAY = "day", _("Day")
        WEEK = "week", _("Week, from Monday")
        MONTH = "month", _("Month")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="spend_limits", db_index=False)
    scope = models.CharField(max_length=12, choices=Scope)
    cost_centre = models.CharField(max_length=40, blank=True)
    location = models.ForeignKey(Location, models.CASCADE, null=True, blank=True, related_name="+")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, null=True, blank=True, related_name="spend_limits")
    driver = models.ForeignKey(Driver, models.CASCADE, null=True, blank=True, related_name="spend_limits")
    tariff = models.ForeignKey(Tariff, models.CASCADE, null=True, blank=True, related_name="+")
    period = models.CharField(max_length=8, choices=Period)
    amount_paise = models.PositiveBigIntegerField(null=True, blank=True, help_text=_("Incl. GST; empty: no bound."))
    energy_wh = models.PositiveBigIntegerField(null=True, blank=True, help_text=_("In Wh; empty: no bound."))
    is_hard = models.BooleanField(default=True, help_text=_("Refuse beyond it; otherwise only tell finance."))

    objects = SpendLimitQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "organisation",
                    "scope",
                    "cost_centre",
                    "location",
                    "vehicle",
                    "driver",
                    "tariff",
                    "period",
                    "is_hard",
                ],
                name="one_limit_per_scope_and_period",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(scope="cost_centre") ^ Q(cost_centre=""), name="limit_names_its_cost_centre"
            ),
            models.CheckConstraint(condition=Q(scope="site") ^ Q(location=None), name="limit_names_its_site"),
            models.CheckConstraint(condition=Q(scope="vehicle") ^ Q(vehicle=None), name="limit_names_its_vehicle"),
            models.CheckConstraint(condition=Q(scope="driver") ^ Q(driver=None), name="limit_names_its_driver"),
            models.CheckConstraint(condition=Q(scope="tariff") ^ Q(tariff=None), name="limit_names_its_tariff"),
            models.CheckConstraint(
                condition=Q(amount_paise__isnull=False) | Q(energy_wh__isnull=False), name="limit_bounds_something"
            ),
        ]

    def __str__(self) -> str:
        whose = self.vehicle or self.driver or self.location or self.tariff or self.cost_centre or self.organisation
        return f"{whose}: {self.get_period_display()}"


class LimitUsage(models.Model):
    """One limit in one period: reserved by holds, spent by captures.

    What was delivered beyond a limit is a fact: `excess_*` is how far reserved and spent together are over it, and
    leaves nothing to reserve.
    """

    limit = models.ForeignKey(SpendLimit, models.CASCADE, related_name="usages")
    period_start = models.DateField()
    zone = models.CharField(max_length=40, default="", db_default="")
    """The fleet's calendar when the period was opened."""
    is_hard = models.BooleanField()
    cap_paise = models.BigIntegerField(null=True)
    cap_wh = models.BigIntegerField(null=True)
    reserved_paise = models.BigIntegerField(default=0)
    spent_paise = models.BigIntegerField(default=0)
    excess_paise = models.BigIntegerField(default=0)
    reserved_wh = models.BigIntegerField(default=0)
    spent_wh = models.BigIntegerField(default=0)
    excess_wh = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-period_start", "limit"]
        constraints = [
            models.UniqueConstraint("limit", "period_start", name="one_usage_per_limit_and_period"),
            models.CheckConstraint(
                condition=Q(reserved_paise__gte=0, spent_paise__gte=0, excess_paise__gte=0)
                & Q(reserved_wh__gte=0, spent_wh__gte=0, excess_wh__gte=0),
                name="limit_usage_is_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(is_hard=False)
                | Q(cap_paise=None)
                | Q(reserved_paise__lte=F("cap_paise") + F("excess_paise") - F("spent_paise")),
                name="hard_limit_is_kept",
            ),
            models.CheckConstraint(
                condition=Q(is_hard=False)
                | Q(cap_wh=None)
                | Q(reserved_wh__lte=F("cap_wh") + F("excess_wh") - F("spent_wh")),
                name="hard_energy_limit_is_kept",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.limit} {self.period_start}"
