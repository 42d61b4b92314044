"""What stations say of money (OCPP 2.1): kept beside our own price, never instead of it."""

from django.db import models

from ocpp_bridge.models.security import OfChargerQuerySet
from stations.models import Charger


class StationCost(models.Model):
    """The cost a station calculated itself for a transaction, as last told (TransactionEvent.costDetails, I07)."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="station_costs", db_index=False)
    transaction_ref = models.CharField(max_length=36)
    currency = models.CharField(max_length=3, blank=True)
    total_paise = models.BigIntegerField(null=True, blank=True)
    tariff_id = models.CharField(max_length=60, blank=True)
    has_failed = models.BooleanField(default=False)
    reason = models.CharField(max_length=500, blank=True)
    details = models.JSONField()
    at = models.DateTimeField()

    objects = OfChargerQuerySet["StationCost"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint("charger", "transaction_ref", name="one_station_cost_per_transaction")]

    def __str__(self) -> str:
        return f"{self.transaction_ref} · {self.charger}"


class Settlement(models.Model):
    """A payment at the station's own terminal (NotifySettlement, OCPP 2.1 part 2 C21)."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="settlements", db_index=False)
    transaction_ref = models.CharField(max_length=36, blank=True)
    psp_ref = models.CharField(max_length=255)
    status = models.CharField(max_length=10)
    status_info = models.CharField(max_length=500, blank=True)
    amount_paise = models.BigIntegerField()
    receipt_id = models.CharField(max_length=50, blank=True)
    receipt_url = models.CharField(max_length=2000, blank=True)
    vat_number = models.CharField(max_length=20, blank=True)
    settled_at = models.DateTimeField()
    received_at = models.DateTimeField()

    objects = OfChargerQuerySet["Settlement"].as_manager()

    class Meta:
        ordering = ["-settled_at"]
        constraints = [models.UniqueConstraint("charger", "psp_ref", "status", name="one_settlement_per_outcome")]

    def __str__(self) -> str:
        return f"{self.psp_ref} {self.status} · {self.charger}"
