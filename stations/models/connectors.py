"""Units and their plugs, each with the status we show, and how that came about."""

from datetime import datetime
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import ids
from stations.belief import is_believed
from stations.models.chargers import Charger
from stations.models.sites import Location
from stations.models.tariffs import Tariff


class Plug(models.TextChoices):
    """Keys of our connector map (reference: OCPI enum, Open Charge Map ids, UBC codes, Indian standards)."""

    CCS2 = "ccs2", "CCS2"
    TYPE2_SOCKET = "type2_socket", "Type 2 socket"
    TYPE2_CABLE = "type2_cable", "Type 2 cable"
    CHADEMO = "chademo", "CHAdeMO"
    BHARAT_AC001 = "bharat_ac001", "Bharat AC-001"
    BHARAT_DC001 = "bharat_dc001", "Bharat DC-001"
    GBT_DC = "gbt_dc", "GB/T DC"
    IS17017_2_6 = "is17017_2_6", "Type 6 (LEVDC)"
    IS17017_2_7 = "is17017_2_7", "Type 7 (LECCS)"
    IS1293_15A = "is1293_15a", "15 A socket"
    IS1293_5A = "is1293_5a", "5 A socket"
    PANTOGRAPH_UP = "pantograph_up", "Pantograph"
    MCS = "mcs", "MCS"
    UNKNOWN = "unknown", _("Unknown plug")


class EVSE(models.Model):
    """A unit that charges one vehicle at a time (OCPI EVSE; OCPP 2.x EVSE; one per connector for OCPP 1.6)."""

    public_id = models.CharField(max_length=16, unique=True, default=ids.evse_id, editable=False)
    location = models.ForeignKey(Location, models.CASCADE, related_name="evses")
    charger = models.ForeignKey(Charger, models.PROTECT, null=True, blank=True, related_name="evses")
    evse_number = models.PositiveSmallIntegerField(default=1, help_text=_("From 1, as OCPP 2.x counts."))
    uid = models.CharField(max_length=48, blank=True)
    physical_reference = models.CharField(max_length=16, blank=True)
    capabilities = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    is_removed = models.BooleanField(default=False)
    is_shared = models.BooleanField(default=False, editable=False, help_text=_("More than one source speaks of it."))
    source_updated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "EVSE"
        verbose_name_plural = "EVSEs"
        ordering = ["evse_number", "pk"]
        constraints = [
            models.UniqueConstraint(
                "charger", "evse_number", condition=Q(charger__isnull=False), name="one_evse_per_number"
            )
        ]

    def __str__(self) -> str:
        return self.physical_reference or self.uid or self.public_id

    @property
    def is_reservable(self) -> bool:
        return self.charger_id is not None or "RESERVABLE" in self.capabilities

    @property
    def takes_starts(self) -> bool:
        """OCPI's word for it; a unit whose capabilities nobody told may be tried."""
        is_said = "REMOTE_START_STOP_CAPABLE" in self.capabilities
        return self.charger_id is not None or is_said or not self.capabilities


class ConnectorQuerySet(models.QuerySet["Connector"]):
    def visible_to(self, organisation: Organisation) -> Self:
        """Connectors this fleet may see: public sites and its own."""
        public_or_own = Q(evse__location__organisation=None) | Q(evse__location__organisation=organisation)
        return self.existing().filter(public_or_own)

    def existing(self) -> Self:
        return self.filter(is_removed=False, evse__is_removed=False, evse__location__is_removed=False)

    def usable_by(self, organisation: Organisation) -> Self:
        """Connectors this fleet may charge at: its own chargers, and networks it has access to."""
        own = Q(evse__location__source__organisation=organisation)
        return self.visible_to(organisation).filter(
            own | Q(evse__location__source__access__organisation=organisation)
        ).distinct()  # fmt: skip

    def available(self, now: datetime | None = None) -> Self:
        """Connectors that say they are free, and said so recently enough to be believed."""
        return self.filter(is_believed(now or timezone.now()), status=Connector.Status.AVAILABLE)

    def fast(self, min_power_w: int = 25_000) -> Self:
        return self.filter(max_power_w__gte=min_power_w)

    def fitting(self, plugs: list[str]) -> Self:
        return self.filter(plug__in=plugs)


class Connector(models.Model):
    """One plug, with the status we show. `status` is decided by stations/status.py from everything below it."""

    class Status(models.TextChoices):
        AVAILABLE = "available", _("Available")
        OCCUPIED = "occupied", _("Occupied")
        CHARGING = "charging", _("Charging")
        RESERVED = "reserved", _("Reserved")
        UNAVAILABLE = "unavailable", _("Unavailable")
        FAULTED = "faulted", _("Faulted")
        UNKNOWN = "unknown", _("Unknown")

    class Format(models.TextChoices):
        SOCKET = "SOCKET", _("Socket")
        CABLE = "CABLE", _("Cable")

    class PowerType(models.TextChoices):
        AC_1_PHASE = "AC_1_PHASE", _("AC, one phase")
        AC_2_PHASE = "AC_2_PHASE", _("AC, two phases")
        AC_2_PHASE_SPLIT = "AC_2_PHASE_SPLIT", _("AC, split phase")
        AC_3_PHASE = "AC_3_PHASE", _("AC, three phases")
        DC = "DC", "DC"

    public_id = models.CharField(max_length=16, unique=True, default=ids.connector_public_id, editable=False)
    evse = models.ForeignKey(EVSE, models.CASCADE, related_name="connectors")
    connector_id = models.PositiveSmallIntegerField(default=1, help_text=_("From 1; station-wide for OCPP 1.6."))
    external_id = models.CharField(max_length=36, blank=True)
    plug = models.CharField(max_length=16, choices=Plug, default=Plug.UNKNOWN)
    raw_plug = models.CharField(max_length=60, blank=True)
    format = models.CharField(max_length=6, choices=Format, default=Format.CABLE)
    power_type = models.CharField(max_length=16, choices=PowerType, default=PowerType.DC)
    max_power_w = models.PositiveIntegerField(default=0, help_text=_("0: unknown."))
    max_voltage_v = models.PositiveIntegerField(default=0)
    max_current_a = models.PositiveIntegerField(default=0)
    tariff = models.ForeignKey(Tariff, models.SET_NULL, null=True, blank=True, related_name="connectors")
    tariff_ids = ArrayField(
        models.CharField(max_length=36), default=list, blank=True, editable=False,
        help_text=_("As the source names them; a tariff may arrive after the connector."),
    )  # fmt: skip

    status = models.CharField(max_length=12, choices=Status, default=Status.UNKNOWN)
    status_reason = models.CharField(max_length=120, blank=True)
    status_since = models.DateTimeField(default=timezone.now)
    raw_status = models.CharField(max_length=30, blank=True, help_text=_("Word for word what the source said."))
    reported_status = models.CharField(max_length=12, choices=Status, default=Status.UNKNOWN)
    status_at = models.DateTimeField(null=True, blank=True, help_text=_("The source's clock."))
    heard_at = models.DateTimeField(null=True, blank=True, help_text=_("Ours, when it last said anything."))
    swings = models.FloatField(default=0, editable=False, help_text=_("Changes of late, the older ones forgotten."))
    swung_at = models.DateTimeField(null=True, editable=False)
    is_flapping = models.BooleanField(default=False, help_text=_("Its status keeps changing; shown at its worst."))
    error_code = models.CharField(max_length=50, blank=True)
    error_info = models.CharField(max_length=255, blank=True)
    is_removed = models.BooleanField(default=False, help_text=_("The source no longer names it; kept for history."))
    is_switched_off = models.BooleanField(default=False, help_text=_("Taken out of service by an operator."))
    has_session = models.BooleanField(default=False)
    is_delivering = models.BooleanField(default=False)
    is_held = models.BooleanField(default=False, help_text=_("A reservation of ours is in force."))

    objects = ConnectorQuerySet.as_manager()

    class Meta:
        ordering = ["connector_id"]
        constraints = [
            models.UniqueConstraint("evse", "connector_id", name="one_row_per_connector"),
            models.CheckConstraint(condition=Q(connector_id__gte=1), name="connector_id_is_1_based"),
        ]
        indexes = [
            models.Index(fields=["status", "plug", "max_power_w"], name="free_connectors_by_plug"),
            models.Index(F("heard_at").desc(), name="connectors_by_silence"),
            models.Index(fields=["swung_at"], condition=Q(is_flapping=True), name="flapping_connectors"),
            models.Index(fields=["id"], condition=Q(is_held=True), name="held_connectors"),
        ]

    def __str__(self) -> str:
        return f"{self.connector_id} · {self.get_plug_display()} {self.max_power_w // 1000} kW"


class StatusChange(models.Model):
    """One transition of a connector's shown status; the history behind utilisation, faults and truthfulness."""

    connector = models.ForeignKey(Connector, models.CASCADE, related_name="status_changes")
    old = models.CharField(max_length=12, choices=Connector.Status)
    new = models.CharField(max_length=12, choices=Connector.Status)
    raw_status = models.CharField(max_length=30, blank=True)
    reason = models.CharField(max_length=120, blank=True)
    at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["connector", "-at"], name="history_of_a_connector")]

    def __str__(self) -> str:
        return f"{self.connector_id}: {self.old} → {self.new}"
