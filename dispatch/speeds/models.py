"""What was learned of a fleet's ways, one row for each hour of the day."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation


class SpeedLawQuerySet(models.QuerySet["SpeedLaw"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class SpeedLaw(models.Model):
    """Ways without a map at one hour, by India's clock: metres = circuity · h, seconds = factor · h^0.75."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="speed_laws")
    hour = models.PositiveSmallIntegerField(help_text=_("By India's clock: 8 is 08:00 to 09:00."))
    circuity = models.FloatField(help_text=_("Metres on the road per metre as the crow flies."))
    seconds_factor = models.FloatField(help_text=_("a of t = a · h^0.75, h in metres as the crow flies."))
    trips = models.PositiveIntegerField(help_text=_("Of this hour; the fewer, the more it is like the fleet's day."))
    learned_on = models.DateField()

    objects = SpeedLawQuerySet.as_manager()

    class Meta:
        ordering = ["organisation", "hour"]
        constraints = [
            models.UniqueConstraint("organisation", "hour", name="one_speed_law_per_hour"),
            models.CheckConstraint(condition=Q(hour__lte=23), name="a_day_has_24_hours"),
            models.CheckConstraint(condition=Q(circuity__gt=0, seconds_factor__gt=0), name="ways_take_time"),
        ]

    def __str__(self) -> str:
        return f"{self.organisation} {self.hour:02}:00"
