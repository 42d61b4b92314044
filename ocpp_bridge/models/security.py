"""What chargers say of their own safety."""

from typing import Self, TypeVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from stations.models import Charger

M = TypeVar("M", bound=models.Model)


class OfChargerQuerySet(models.QuerySet[M]):
    """Rows of one of our chargers."""

    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(charger__organisation=organisation)


class SecurityEvent(models.Model):
    """One SecurityEventNotification (OCPP 1.6 security white paper section 5.9; OCPP 2.0.1 part 2 A04)."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="security_events", db_index=False)
    type = models.CharField(max_length=50)
    tech_info = models.CharField(max_length=255, blank=True)
    is_critical = models.BooleanField(default=False, help_text=_("As the OCPP list of security events says."))
    at = models.DateTimeField(help_text=_("By the charger's clock."))
    received_at = models.DateTimeField(default=timezone.now)

    objects = OfChargerQuerySet["SecurityEvent"].as_manager()

    class Meta:
        ordering = ["-at"]
        constraints = [
            models.UniqueConstraint("charger", "type", "at", "tech_info", name="one_security_event_per_fact")
        ]
        indexes = [models.Index(fields=["charger", "-at"], name="security_events_of_a_charger")]

    def __str__(self) -> str:
        return f"{self.type} · {self.charger}"


class CertificateRequest(models.Model):
    """A SignCertificate and what became of it (OCPP 2.0.1 part 2 A02; OCPP 1.6 security white paper section 4.3)."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waits for a signature")
        REFUSED = "refused", _("Refused")
        SIGNED = "signed", _("Signed")

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="certificate_requests", db_index=False)
    kind = models.CharField(max_length=40)
    request_id = models.BigIntegerField(null=True, blank=True)
    csr = models.TextField(help_text=_("PEM."))
    csr_hash = models.CharField(max_length=32)
    subject = models.CharField(max_length=255, blank=True)
    key = models.CharField(max_length=30, blank=True, help_text=_("Kind and size of the public key."))
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    reason = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField(default=timezone.now)

    objects = OfChargerQuerySet["CertificateRequest"].as_manager()

    class Meta:
        ordering = ["-received_at"]
        constraints = [models.UniqueConstraint("charger", "csr_hash", name="one_certificate_request_per_csr")]

    def __str__(self) -> str:
        return f"{self.kind} · {self.charger} ({self.state})"
