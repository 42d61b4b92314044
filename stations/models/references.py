"""What a source calls each of our rows."""

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stations.models.networks import Source

models.CharField.register_lookup(Lower)  # `external_key__lower=` is served by the unique index; `__iexact` is not


class ExternalRef(models.Model):
    """What a source calls one of our rows. Keys compare without case, as OCPI's CiString does."""

    class Kind(models.TextChoices):
        LOCATION = "location", _("Location")
        EVSE = "evse", "EVSE"
        CONNECTOR = "connector", _("Connector")
        TARIFF = "tariff", _("Tariff")

    source = models.ForeignKey(Source, models.CASCADE, related_name="refs")
    kind = models.CharField(max_length=10, choices=Kind)
    external_key = models.CharField(max_length=160)
    object_id = models.BigIntegerField()
    raw_hash = models.CharField(max_length=64, blank=True)
    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(default=timezone.now)
    missed_syncs = models.PositiveSmallIntegerField(default=0, help_text=_("Full pulls in a row that did not name it."))

    class Meta:
        constraints = [
            models.UniqueConstraint("source", "kind", Lower("external_key"), name="one_object_per_external_key")
        ]
        indexes = [models.Index(fields=["kind", "object_id"], name="refs_of_an_object")]

    def __str__(self) -> str:
        return f"{self.source_id}:{self.external_key}"
