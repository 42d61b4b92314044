"""Price lists in OCPI form, in versions."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stations.models.networks import Source


class Tariff(models.Model):
    """A price list in OCPI form. Immutable: a change is a new version, sessions pin the one they were priced by."""

    source = models.ForeignKey(Source, models.PROTECT, related_name="tariffs")
    external_id = models.CharField(max_length=36)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=120, blank=True)
    currency = models.CharField(max_length=3, default="INR")
    elements = models.JSONField(help_text=_("OCPI TariffElement list; prices in currency units as decimal strings."))
    terms = models.JSONField(
        default=dict, blank=True,
        help_text=_("OCPI type, min_price, max_price, tax_included, start_date_time, end_date_time."),
    )  # fmt: skip
    content_hash = models.CharField(max_length=64)
    valid_from = models.DateTimeField(default=timezone.now)
    valid_to = models.DateTimeField(null=True, blank=True)
    source_updated_at = models.DateTimeField(null=True, blank=True, help_text=_("The source's clock."))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("source", Lower("external_id"), "version", name="one_row_per_tariff_version"),
            models.UniqueConstraint(
                "source", Lower("external_id"), condition=Q(valid_to=None), name="one_current_version_per_tariff"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.external_id} v{self.version}"
