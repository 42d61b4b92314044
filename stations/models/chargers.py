"""Our own chargers: the units that open an OCPP socket."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from stations.models.sites import Location


class ChargerQuerySet(models.QuerySet["Charger"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def online(self) -> Self:
        return self.filter(is_online=True)


class Charger(models.Model):
    """One of our own chargers: the unit that opens an OCPP socket."""

    class Registration(models.TextChoices):
        ACCEPTED = "Accepted", _("Accepted")
        PENDING = "Pending", _("Pending")
        REJECTED = "Rejected", _("Rejected")

    class SecurityProfile(models.IntegerChoices):
        NONE = 0, _("No key")
        BASIC = 1, _("Key")
        TLS = 2, _("Key over TLS")
        CERTIFICATE = 3, _("Client certificate")

    KEY_PURPOSE = "ocpp-key"

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="chargers")
    location = models.ForeignKey(Location, models.PROTECT, related_name="chargers")
    ocpp_identity = models.CharField(max_length=48, unique=True)
    auth_key_hash = models.CharField(max_length=64, blank=True, help_text=_("HMAC of the Basic-auth key; empty: none."))
    next_auth_key_hash = models.CharField(
        max_length=64, blank=True, help_text=_("HMAC of the key to come; its first use retires the one before.")
    )
    max_power_w = models.PositiveIntegerField(
        default=0, help_text=_("What its plugs may draw together; 0: as much as they can.")
    )
    min_security_profile = models.PositiveSmallIntegerField(
        choices=SecurityProfile, default=SecurityProfile.NONE, help_text=_("It only ever rises.")
    )
    security_profile = models.PositiveSmallIntegerField(
        choices=SecurityProfile, null=True, blank=True, editable=False, help_text=_("Of its last socket.")
    )
    subprotocols = ArrayField(models.CharField(max_length=12), default=list, blank=True, help_text=_("Empty: any."))
    registration = models.CharField(max_length=10, choices=Registration, default=Registration.ACCEPTED)
    vendor = models.CharField(max_length=50, blank=True)
    model = models.CharField(max_length=50, blank=True)
    serial_number = models.CharField(max_length=50, blank=True)
    firmware_version = models.CharField(max_length=50, blank=True)
    protocol = models.CharField(max_length=12, blank=True)
    is_online = models.BooleanField(default=False)
    is_faulted = models.BooleanField(default=False, help_text=_("Station-wide fault (connector 0)."))
    is_inoperative = models.BooleanField(default=False, help_text=_("Station-wide unavailable (connector 0)."))
    station_status_at = models.DateTimeField(null=True, blank=True, editable=False)
    node = models.CharField(max_length=80, blank=True, help_text=_("Realtime process that owns the socket."))
    connection_epoch = models.BigIntegerField(default=0)
    connected_at = models.DateTimeField(null=True, blank=True)
    disconnected_at = models.DateTimeField(null=True, blank=True)
    silent_shown_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    last_boot_at = models.DateTimeField(null=True, blank=True)
    clock_skew_seconds = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ChargerQuerySet.as_manager()

    class Meta:
        ordering = ["ocpp_identity"]
        indexes = [
            models.Index(fields=["last_seen_at"], condition=Q(is_online=True), name="online_chargers_by_silence")
        ]

    def __str__(self) -> str:
        return self.ocpp_identity

    def clean(self) -> None:
        """A security profile is never lowered (OCPP 2.0.1 part 2 A05.FR.02); queries."""
        before = Charger.objects.filter(pk=self.pk).values_list("min_security_profile", flat=True).first()
        if before is not None and self.min_security_profile < before:
            raise ValidationError({"min_security_profile": _("A security profile is never lowered.")})
