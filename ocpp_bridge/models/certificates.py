"""Which certificates a charger has, as far as we signed, installed or were told of them."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ocpp_bridge.models.security import CertificateRequest, OfChargerQuerySet
from stations.models import Charger


class ChargerCertificateQuerySet(OfChargerQuerySet["ChargerCertificate"]):
    def current(self) -> Self:
        return self.filter(removed_at=None)

    def expiring_before(self, moment: datetime) -> Self:
        """Served by `certificates_by_expiry`."""
        return self.filter(removed_at=None, not_after__lt=moment)


class ChargerCertificate(models.Model):
    """One certificate. Expiry is known when we have seen the certificate itself; a list of hashes does not tell it."""

    class Origin(models.TextChoices):
        SIGNED = "signed", _("Signed by us")
        INSTALLED = "installed", _("Installed by us")
        REPORTED = "reported", _("Reported by the charger")

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="certificates", db_index=False)
    kind = models.CharField(max_length=40)
    serial_number = models.CharField(max_length=64, help_text=_("Hexadecimal, without leading zeros."))
    issuer_hash = models.CharField(max_length=130, blank=True)
    subject = models.CharField(max_length=255, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True, help_text=_("SHA-256."))
    origin = models.CharField(max_length=10, choices=Origin)
    request = models.ForeignKey(CertificateRequest, models.SET_NULL, null=True, blank=True, related_name="certificates")
    not_before = models.DateTimeField(null=True, blank=True)
    not_after = models.DateTimeField(null=True, blank=True)
    is_confirmed = models.BooleanField(default=False, help_text=_("The charger says it has it."))
    created_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(null=True, blank=True)
    warned_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = ChargerCertificateQuerySet.as_manager()

    class Meta:
        ordering = ["not_after", "pk"]
        constraints = [
            models.UniqueConstraint(
                "charger", "kind", "serial_number", condition=Q(removed_at=None), name="one_row_per_certificate"
            )
        ]
        indexes = [
            models.Index(
                fields=["not_after"],
                condition=Q(removed_at=None, not_after__isnull=False),
                name="certificates_by_expiry",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.serial_number} · {self.charger}"
