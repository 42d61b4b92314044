"""Which rows of a fleet are demo data; nothing else tells them from real ones."""

from django.db import models
from django.utils import timezone

from fleetcharge.accounts.models import Organisation


class SampleRowQuerySet(models.QuerySet["SampleRow"]):
    def ids(self, organisation: Organisation, kind: str) -> list[int]:
        return list(self.filter(organisation=organisation, kind=kind).values_list("object_id", flat=True))


class SampleRow(models.Model):
    """`object_id` is of a vehicle, a driver or a network (`stations.Source`), as `kind` says."""

    class Kind(models.TextChoices):
        VEHICLE = "vehicle"
        DRIVER = "driver"
        SOURCE = "source"

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind)
    object_id = models.BigIntegerField()
    told_since = models.DateTimeField(default=timezone.now, help_text="They report from then on, for a day.")

    objects = SampleRowQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint("kind", "object_id", name="one_sample_row_per_row")]

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}"
