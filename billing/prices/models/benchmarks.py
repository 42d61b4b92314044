"""What regulators say about prices of public charging in India: dated rows, never constants."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from stations.models import Tariff


class PriceBenchmark(models.Model):
    """Ministry of Power, Guidelines for EV charging infrastructure 2024; `state` empty: in the whole country."""

    class Name(models.TextChoices):
        ACOS = "acos", _("Average cost of supply, rupees per kWh")
        SOLAR_FACTOR = "solar_factor", _("Times the cost of supply in solar hours")
        OTHER_FACTOR = "other_factor", _("Times the cost of supply outside solar hours")
        SOLAR_FROM = "solar_from", _("Solar hours begin, HH:MM")
        SOLAR_UNTIL = "solar_until", _("Solar hours end, HH:MM")
        SERVICE_AC_SOLAR = "service_ac_solar", _("Highest service charge, AC, solar hours, rupees per kWh")
        SERVICE_AC_OTHER = "service_ac_other", _("Highest service charge, AC, other hours, rupees per kWh")
        SERVICE_DC_SOLAR = "service_dc_solar", _("Highest service charge, DC, solar hours, rupees per kWh")
        SERVICE_DC_OTHER = "service_dc_other", _("Highest service charge, DC, other hours, rupees per kWh")

    name = models.CharField(max_length=20, choices=Name)
    state = models.CharField(max_length=40, blank=True, help_text=_("As sites name it, e.g. Karnataka."))
    value = models.CharField(max_length=20)
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True, help_text=_("The last day it holds."))
    source = models.CharField(max_length=200, help_text=_("Order, guideline or notification."))

    class Meta:
        ordering = ["name", "state", "-valid_from"]
        constraints = [
            models.UniqueConstraint("name", "state", "valid_from", name="one_benchmark_per_first_day"),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gte=F("valid_from")), name="benchmark_ends_after_it_begins"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_name_display()} {self.state}: {self.value}".replace("  ", " ")


class CeilingCheck(Tariff):
    """A tariff as finance looks at it: is it above what regulators allow?"""

    class Meta:
        proxy = True
        verbose_name = _("price ceiling")
        verbose_name_plural = _("price ceilings")
