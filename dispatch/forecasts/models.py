"""What was learned, and every forecast beside what came of it."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stations.models import EVSE, Connector, Location, Plug
from vehicles.models import VehicleModel


class PlugGroup(models.Model):
    """Plugs of one kind at one site, and what is usual there. Without a site: of one class everywhere.

    A class names the least power in it. Nothing in here tells one session or one fleet from another.
    """

    location = models.ForeignKey(Location, models.CASCADE, null=True, blank=True, related_name="+")
    plug = models.CharField(max_length=16, choices=Plug)
    max_power_w = models.PositiveIntegerField()
    plugs = models.PositiveIntegerField(default=0)
    sessions = models.PositiveIntegerField(default=0)
    session_seconds = ArrayField(
        models.FloatField(), default=list, help_text=_("How long they last: each number stands for as many sessions.")
    )
    hours_seen = models.FloatField(default=0)
    busy_by_hour = ArrayField(
        models.FloatField(), default=list, help_text=_("Share of the time, by the hour of the week from Monday 00:00.")
    )
    keeps = models.FloatField(default=0, help_text=_("What is left of a deviation after an hour."))
    learned_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "location", "plug", "max_power_w", name="one_group_per_kind_of_plug", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.location or _('Everywhere')} · {self.get_plug_display()} {self.max_power_w // 1000} kW"


class ForecastQuerySet(models.QuerySet["Forecast"]):
    def due(self) -> Self:
        return self.filter(scored_at=None)

    def scored(self) -> Self:
        """With an outcome: nobody knows what became of a plug that went dark."""
        return self.filter(is_free__isnull=False)


class Forecast(models.Model):
    """What was said of one plug for one moment, and whether it came true."""

    connector = models.ForeignKey(Connector, models.CASCADE, related_name="+")
    made_at = models.DateTimeField()
    for_at = models.DateTimeField()
    horizon_minutes = models.PositiveSmallIntegerField()
    was_free = models.BooleanField(help_text=_("When it was made."))
    raw_probability = models.FloatField(help_text=_("Of being free, before calibration."))
    probability = models.FloatField(help_text=_("Of being free, as it was given."))
    is_free = models.BooleanField(null=True, help_text=_("What came of it; empty: nobody knows."))
    scored_at = models.DateTimeField(null=True, blank=True)

    objects = ForecastQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint("connector", "made_at", "horizon_minutes", name="one_forecast_per_moment")
        ]
        indexes = [
            models.Index(fields=["for_at"], condition=Q(scored_at=None), name="forecasts_to_score"),
            BrinIndex(fields=["made_at"], name="forecasts_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.connector_id} +{self.horizon_minutes} min: {self.probability:.0%}"


class Calibration(models.Model):
    """What came of forecasts that said so: for plugs that were free (or busy), by how far ahead."""

    was_free = models.BooleanField()
    horizon_minutes = models.PositiveSmallIntegerField()
    points = models.JSONField(default=list, help_text=_("[[said, came true], ...], rising."))
    forecasts = models.PositiveIntegerField(default=0)
    learned_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint("was_free", "horizon_minutes", name="one_calibration_per_horizon")]

    def __str__(self) -> str:
        return f"{'free' if self.was_free else 'busy'} +{self.horizon_minutes} min"


class LearnedCurve(models.Model):
    """Power that a model of vehicle took at one EVSE, by its state of charge; medians over sessions of any fleet.

    One for its plugs of direct current, and one for the others.
    """

    vehicle_model = models.ForeignKey(VehicleModel, models.CASCADE, related_name="+")
    evse = models.ForeignKey(EVSE, models.CASCADE, related_name="+")
    is_dc = models.BooleanField(default=True, db_default=True)
    points = models.JSONField(help_text=_("[[soc_percent, power_w], ...]"))
    sessions = models.PositiveIntegerField()
    learned_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint("vehicle_model", "evse", "is_dc", name="one_curve_per_model_evse_and_current")
        ]

    def __str__(self) -> str:
        return f"{self.vehicle_model} · {self.evse}"
