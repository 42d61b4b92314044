"""Answers that take many frames: put together by request and sequence number."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ocpp_bridge.models.security import OfChargerQuerySet
from stations.models import Charger


class Report(models.Model):
    """One report of a charger; incomplete when parts are missing and nothing more came (OCPP 2.0.1 part 2 B07, N02)."""

    class Kind(models.TextChoices):
        VARIABLES = "NotifyReport", _("Variables")
        MONITORS = "NotifyMonitoringReport", _("Monitors")
        PROFILES = "ReportChargingProfiles", _("Charging profiles")
        MESSAGES = "NotifyDisplayMessages", _("Display messages")
        CUSTOMER = "NotifyCustomerInformation", _("Customer information")
        DER = "ReportDERControl", _("DER controls")

    class State(models.TextChoices):
        RECEIVING = "receiving", _("Being received")
        COMPLETE = "complete", _("Complete")
        INCOMPLETE = "incomplete", _("Incomplete")

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="reports", db_index=False)
    kind = models.CharField(max_length=30, choices=Kind)
    request_id = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.RECEIVING)
    last_seq_no = models.IntegerField(null=True, blank=True, help_text=_("Of the part that said it is the last."))
    missing = ArrayField(models.IntegerField(), default=list, blank=True)
    started_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = OfChargerQuerySet["Report"].as_manager()

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                "charger", "kind", "request_id", condition=Q(state="receiving"), name="one_report_received_per_request"
            )
        ]
        indexes = [
            models.Index(fields=["charger", "kind", "-started_at"], name="reports_of_a_charger"),
            models.Index(fields=["updated_at"], condition=Q(state="receiving"), name="reports_being_received"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.request_id} · {self.charger} ({self.state})"

    def payloads(self) -> list[dict[str, Any]]:
        """The parts in order; queries."""
        return list(self.parts.order_by("seq_no").values_list("payload", flat=True))


class ReportPart(models.Model):
    """One frame of a report. Where OCPP gives no seqNo, parts count as they come."""

    report = models.ForeignKey(Report, models.CASCADE, related_name="parts", db_index=False)
    seq_no = models.IntegerField()
    payload = models.JSONField()
    payload_hash = models.CharField(max_length=32)
    received_at = models.DateTimeField()

    class Meta:
        ordering = ["seq_no"]
        constraints = [models.UniqueConstraint("report", "seq_no", name="one_part_per_seq_no")]

    def __str__(self) -> str:
        return f"{self.report_id} {self.seq_no}"
