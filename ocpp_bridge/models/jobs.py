"""Long work that chargers do for us: firmware, logs, diagnostics."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ocpp_bridge.models.security import OfChargerQuerySet
from stations.models import Charger


class ChargerJob(models.Model):
    """One firmware update or upload, followed by its status notifications (`request_id` when the charger says it)."""

    class Kind(models.TextChoices):
        FIRMWARE = "firmware", _("Firmware update")
        LOG = "log", _("Log upload")
        PUBLISH = "publish", _("Firmware published in the local network")

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="jobs", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    request_id = models.BigIntegerField(null=True, blank=True)
    status = models.CharField(max_length=30)
    detail = models.CharField(max_length=500, blank=True)
    is_open = models.BooleanField(default=True)
    has_failed = models.BooleanField(default=False)
    steps = models.JSONField(default=list, help_text=_("[status, instant] in the order received."))
    started_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = OfChargerQuerySet["ChargerJob"].as_manager()

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                "charger", "kind", "request_id", condition=Q(request_id__isnull=False), name="one_job_per_request"
            ),
            models.UniqueConstraint(
                "charger", "kind", condition=Q(request_id=None, is_open=True), name="one_open_job_without_a_request"
            ),
        ]
        indexes = [models.Index(fields=["updated_at"], condition=Q(is_open=True), name="open_jobs_by_silence")]

    def __str__(self) -> str:
        return f"{self.kind} · {self.charger}: {self.status}"
