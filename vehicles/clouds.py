"""Vehicle clouds that push to us (Smartcar): one address with its secret per fleet and cloud."""

from typing import Self

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import crypto


class VehicleCloudQuerySet(models.QuerySet["VehicleCloud"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class VehicleCloud(models.Model):
    """A subscription at a vehicle cloud; its deliveries are believed by their signature alone.

    The address ends in `token`, which only finds the secret. A vehicle's device id is the cloud's vehicle id.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="vehicle_clouds")
    name = models.CharField(max_length=60, default="Smartcar")
    token = models.CharField(max_length=40, unique=True, default=crypto.new_token, editable=False)
    secret_encrypted = models.TextField(blank=True, editable=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = VehicleCloudQuerySet.as_manager()

    class Meta:
        verbose_name = _("vehicle cloud")

    def __str__(self) -> str:
        return self.name

    @property
    def secret(self) -> str:
        """Smartcar's Application Management Token."""
        return crypto.decrypt(self.secret_encrypted)

    @secret.setter
    def secret(self, value: str) -> None:
        self.secret_encrypted = crypto.encrypt(value)
