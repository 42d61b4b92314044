"""Versions of the rules, experiments that try them, which vehicle follows which, and what came of every plan."""

from datetime import datetime
from typing import Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from dispatch.models import ChargePlan
from fleetcharge.accounts.models import Organisation, User
from vehicles.models import Vehicle

PERCENT = [MaxValueValidator(100)]


class DispatchPolicyQuerySet(models.QuerySet["DispatchPolicy"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class DispatchPolicy(models.Model):
    """One version of the rules by which plans are made; never changed (a trigger refuses it), only followed by another.

    A vehicle outside of a running experiment follows the rules of its fleet (Organisation), which have these fields
    too.
    """

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="dispatch_policies")
    name = models.CharField(max_length=60)
    version = models.PositiveIntegerField()
    soc_low_percent = models.PositiveSmallIntegerField(validators=PERCENT)
    soc_clear_percent = models.PositiveSmallIntegerField(validators=PERCENT)
    reserve_soc_percent = models.PositiveSmallIntegerField(validators=PERCENT)
    target_soc_percent = models.PositiveSmallIntegerField(validators=PERCENT)
    cost_per_minute_paise = models.PositiveIntegerField(help_text=_("The weight of a minute against a rupee."))
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = DispatchPolicyQuerySet.as_manager()

    class Meta:
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint("organisation", "name", "version", name="one_row_per_policy_version"),
            models.CheckConstraint(
                condition=Q(reserve_soc_percent__lt=F("soc_low_percent"), soc_low_percent__lt=F("soc_clear_percent"))
                & Q(soc_clear_percent__lte=F("target_soc_percent"), target_soc_percent__lte=100),
                name="policy_limits_are_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class PolicyExperimentQuerySet(models.QuerySet["PolicyExperiment"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def running(self) -> Self:
        return self.filter(ended_at=None)


class PolicyExperiment(models.Model):
    """Several policies at once, each on its share of the fleet or on chosen vehicles. One runs at a time per fleet."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="policy_experiments")
    name = models.CharField(max_length=60)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    is_drawn = models.BooleanField(
        default=True, db_default=True, help_text=_("Vehicles were drawn by the shares; else people chose them.")
    )
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = PolicyExperimentQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint("organisation", condition=Q(ended_at=None), name="one_running_experiment"),
        ]

    def __str__(self) -> str:
        return self.name


class PolicyArm(models.Model):
    """A policy and the share of the fleet that follows it; the shares of an experiment make 100 (of vehicles that
    people chose they say nothing)."""

    experiment = models.ForeignKey(PolicyExperiment, models.CASCADE, related_name="arms")
    policy = models.ForeignKey(DispatchPolicy, models.PROTECT, related_name="arms")
    share_percent = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), *PERCENT])

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint("experiment", "policy", name="one_arm_per_policy"),
            models.CheckConstraint(condition=Q(share_percent__range=(1, 100)), name="share_is_a_percentage"),
        ]

    def __str__(self) -> str:
        return f"{self.policy} · {self.share_percent} %"


class PolicyAssignment(models.Model):
    """Which policy a vehicle follows in an experiment, for all of its time."""

    experiment = models.ForeignKey(PolicyExperiment, models.CASCADE, related_name="assignments")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="policy_assignments")
    policy = models.ForeignKey(DispatchPolicy, models.PROTECT, related_name="assignments")
    assigned_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint("experiment", "vehicle", name="one_policy_per_vehicle")]

    def __str__(self) -> str:
        return f"{self.vehicle_id}: {self.policy}"


class PlanOutcomeQuerySet(models.QuerySet["PlanOutcome"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def compared(self) -> Self:
        """Plans that were carried out where another plug was free."""
        return self.filter(nearest_delay_seconds__isnull=False)


class PlanOutcome(models.Model):
    """What came of one plan, and what the nearest free charger would have cost instead.

    `is_measured`: minutes and energy are those of the session, else those of the plan. `nearest_*` and `saved_*` are
    expectations of the moment of decision, from the plan's snapshot; empty when no plug was free.
    """

    plan = models.OneToOneField(ChargePlan, models.CASCADE, primary_key=True, related_name="outcome")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="plan_outcomes")
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="plan_outcomes")
    policy = models.ForeignKey(DispatchPolicy, models.PROTECT, null=True, blank=True, related_name="outcomes")
    experiment = models.ForeignKey(
        PolicyExperiment, models.SET_NULL, null=True, blank=True, related_name="outcomes"
    )  # fmt: skip
    planned_on = models.DateField(help_text=_("Day of the decision in the fleet's time zone."))
    is_stranded = models.BooleanField(help_text=_("No charger could be reached."))
    is_measured = models.BooleanField(default=False)
    delay_seconds = models.PositiveIntegerField(null=True, blank=True)
    energy_wh = models.PositiveIntegerField(null=True, blank=True)
    cost_paise = models.BigIntegerField(null=True, blank=True, help_text=_("Incl. GST; empty: no price is known."))
    nearest_delay_seconds = models.PositiveIntegerField(null=True, blank=True)
    nearest_is_out_of_reach = models.BooleanField(default=False)
    saved_seconds = models.IntegerField(null=True, blank=True)
    saved_paise = models.BigIntegerField(
        null=True, blank=True, help_text=_("Minutes at the fleet's rate, price and risk.")
    )
    recorded_at = models.DateTimeField(default=timezone.now)

    objects = PlanOutcomeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organisation", "planned_on"], name="outcomes_by_day"),
            models.Index(fields=["experiment"], condition=Q(experiment__isnull=False), name="outcomes_of_experiment"),
        ]

    def __str__(self) -> str:
        return f"plan {self.plan_id}"


def running_at(organisation_id: int, at: datetime) -> Q:
    """Experiments of a fleet that ran at that moment."""
    return Q(organisation_id=organisation_id, started_at__lte=at) & (Q(ended_at=None) | Q(ended_at__gt=at))
