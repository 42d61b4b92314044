"""Where one can charge and whether it works right now; one registry over every network."""

from datetime import datetime
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import crypto, ids
from stations.belief import is_believed
from stations.cpo.ocpi.models import CDRConflict, PeerDocument, RoamingCDR, RoamingSession  # noqa: F401 (likewise)
from stations.cpo.ubc.models import (  # noqa: F401 (Django finds the models of an app here)
    UBCCarry,
    UBCItem,
    UBCKey,
    UBCMessage,
    UBCNetwork,
    UBCOrder,
    UBCRefusal,
)
from stations.cpo.webhooks.models import (  # noqa: F401 (likewise)
    DeadLetter,
    WebhookCount,
    WebhookFeed,
    WebhookPush,
)
from stations.registry_models import Claim, Duplicate, StatusClaim, StatusProof  # noqa: F401 (likewise)

models.CharField.register_lookup(Lower)  # `external_key__lower=` is served by the unique index; `__iexact` is not


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


class Source(models.Model):
    """One connection to a network: our own OCPP chargers, a CPO over OCPI, an imported file."""

    class Kind(models.TextChoices):
        OWN_OCPP = "ocpp-own", _("Own chargers (OCPP)")
        OCPI = "ocpi", _("OCPI, newest common version")
        OCPI_211 = "ocpi-2.1.1", "OCPI 2.1.1"
        OCPI_221 = "ocpi-2.2.1", "OCPI 2.2.1"
        OCPI_230 = "ocpi-2.3.0", "OCPI 2.3.0"
        UBC_09 = "ubc-0.9", "UBC 0.9 (Beckn)"
        WEBHOOK = "webhook", _("Webhook (JSON of a vendor)")
        REST_POLL = "rest-poll", _("JSON of a vendor, polled (and pushed)")
        IMPORT = "import", _("Imported file")

    class State(models.TextChoices):
        NEW = "new", _("Not connected yet")
        CONNECTED = "connected", _("Connected")
        FAILING = "failing", _("Failing")
        DISABLED = "disabled", _("Switched off")

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=Kind)
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, null=True, blank=True, help_text=_("Empty: a public network every fleet may see.")
    )
    trust = models.PositiveSmallIntegerField(default=50)
    licence = models.CharField(max_length=120, blank=True)
    attribution = models.CharField(max_length=255, blank=True)
    state = models.CharField(max_length=12, choices=State, default=State.NEW)
    base_url = models.URLField(blank=True, help_text=_("OCPI versions address of the CPO."))
    peer_token_encrypted = models.TextField(blank=True, help_text=_("What we send to the CPO; encrypted at rest."))
    our_token_hash = models.CharField(max_length=64, blank=True, db_index=True)
    old_token_hash = models.CharField(max_length=64, blank=True, db_index=True, editable=False)
    sends_raw_token = models.BooleanField(
        default=False, editable=False, help_text=_("The peer wants our token as it is, not in base64 (OCPI 2.1.1).")
    )
    endpoints = models.JSONField(default=dict, blank=True)
    poll_interval_seconds = models.PositiveIntegerField(default=3600)
    next_poll_at = models.DateTimeField(null=True, blank=True)
    last_polled_at = models.DateTimeField(null=True, blank=True)
    last_push_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    last_error_code = models.CharField(max_length=40, blank=True, editable=False)
    failures_in_row = models.PositiveIntegerField(default=0)
    failed_at = models.DateTimeField(null=True, blank=True, editable=False, help_text=_("When a call last failed."))
    refused_objects = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("How many the last poll that met any could not use.")
    )
    refusals = models.JSONField(
        default=list, editable=False, help_text=_("The first of them: how the network calls each, and what is wrong.")
    )
    refused_at = models.DateTimeField(null=True, editable=False)
    full_sync_seconds = models.PositiveIntegerField(
        default=86_400, help_text=_("How often everything is asked for; a site that is missing three times is hidden.")
    )
    full_synced_at = models.DateTimeField(null=True, blank=True)
    usual_push_seconds = models.FloatField(
        default=0, editable=False, help_text=_("Its usual pause between pushes, as far as we know it; 0: unknown.")
    )
    truth_percent = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("Of plugs shown as free, how many were; empty: too few asked."),
    )
    created_at = models.DateTimeField(auto_now_add=True)

    OUR_TOKEN_PURPOSE = "ocpi-token"  # noqa: S105 (a label, not a password)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_ocpi(self) -> bool:
        return self.kind.startswith("ocpi")

    @property
    def ocpi_version(self) -> str:
        """The version we speak with it; "" until it is agreed."""
        return self.kind.removeprefix("ocpi").removeprefix("-") if self.is_ocpi else ""

    @property
    def peer_token(self) -> str:
        return crypto.decrypt(self.peer_token_encrypted)

    @peer_token.setter
    def peer_token(self, value: str) -> None:
        self.peer_token_encrypted = crypto.encrypt(value)


class NetworkAccess(models.Model):
    """This fleet may charge at this network (contract, roaming). Dispatch never sends a vehicle elsewhere."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="network_access")
    source = models.ForeignKey(Source, models.CASCADE, related_name="access")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "network access"
        constraints = [models.UniqueConstraint("organisation", "source", name="one_access_per_network")]

    def __str__(self) -> str:
        return f"{self.organisation} → {self.source}"


class Party(models.Model):
    """A CPO as OCPI names it: country code and party id."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="parties")
    country_code = models.CharField(max_length=2)
    party_id = models.CharField(max_length=36, help_text=_("Three letters in OCPI; a provider's id in UBC."))
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=10, blank=True, help_text=_("CPO, EMSP, HUB, ... as OCPI names it."))
    hub_status = models.CharField(
        max_length=10, blank=True, help_text=_("CONNECTED, OFFLINE, PLANNED or SUSPENDED, as its hub says.")
    )
    hub_status_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "parties"
        constraints = [models.UniqueConstraint("source", "country_code", "party_id", name="one_row_per_party")]

    def __str__(self) -> str:
        return self.name


class LocationQuerySet(models.QuerySet["Location"]):
    def visible_to(self, organisation: Organisation) -> Self:
        """Public sites and the fleet's own ones; never another fleet's depot."""
        return self.filter(Q(organisation=None) | Q(organisation=organisation), is_removed=False)

    def in_box(self, *, south: float, west: float, north: float, east: float) -> Self:
        return self.filter(latitude__range=(south, north), longitude__range=(west, east))


class Location(models.Model):
    """A site (OCPI Location). Its public id never changes and is never reused."""

    class Removal(models.TextChoices):
        WITHDRAWN = "withdrawn", _("Withdrawn by its network")
        VANISHED = "vanished", _("No longer listed")
        MERGED = "merged", _("Merged into another")

    public_id = models.CharField(max_length=16, unique=True, default=ids.location_id, editable=False)
    source = models.ForeignKey(Source, models.PROTECT, related_name="locations")
    party = models.ForeignKey(Party, models.SET_NULL, null=True, blank=True)
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, null=True, blank=True, help_text=_("Set for a private depot.")
    )
    name = models.CharField(max_length=255)
    address = models.CharField(max_length=255, blank=True)
    city = models.CharField(max_length=60, blank=True)
    state = models.CharField(max_length=60, blank=True)
    postal_code = models.CharField(max_length=10, blank=True)
    country_code = models.CharField(max_length=2, default="IN")
    latitude = models.FloatField()
    longitude = models.FloatField()
    time_zone = models.CharField(max_length=40, default="Asia/Kolkata")
    opening_times = models.JSONField(null=True, blank=True)
    is_removed = models.BooleanField(default=False)
    removed_because = models.CharField(max_length=12, choices=Removal, blank=True, editable=False)
    merged_into = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="merged_from",
        help_text=_("It turned out to be this site; its links lead there."),
    )  # fmt: skip
    is_shared = models.BooleanField(default=False, editable=False, help_text=_("More than one source speaks of it."))
    source_updated_at = models.DateTimeField(null=True, blank=True)
    tariff = models.ForeignKey(
        "Tariff", models.SET_NULL, null=True, blank=True, editable=False, related_name="locations",
        help_text=_("Of plugs that appear here later; those present have their own."),
    )  # fmt: skip
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = LocationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(latitude__range=(-90, 90)) & Q(longitude__range=(-180, 180)), name="location_is_on_earth"
            )
        ]
        indexes = [
            models.Index(fields=["latitude", "longitude"], name="locations_in_a_box"),
            models.Index(fields=["updated_at"], name="locations_changed_since"),
        ]

    def __str__(self) -> str:
        return self.name


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


class Tariff(models.Model):
    """A price list in OCPI form. Immutable: a change is a new version, sessions pin the one they were priced by."""

    source = models.ForeignKey(Source, models.PROTECT, related_name="tariffs")
    external_id = models.CharField(max_length=36)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=120, blank=True)
    currency = models.CharField(max_length=3, default="INR")
    elements = models.JSONField(help_text=_("OCPI TariffElement list; prices in currency units as decimal strings."))
    terms = models.JSONField(
        default=dict, blank=True,
        help_text=_("OCPI type, min_price, max_price, tax_included, start_date_time, end_date_time."),
    )  # fmt: skip
    content_hash = models.CharField(max_length=64)
    valid_from = models.DateTimeField(default=timezone.now)
    valid_to = models.DateTimeField(null=True, blank=True)
    source_updated_at = models.DateTimeField(null=True, blank=True, help_text=_("The source's clock."))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("source", Lower("external_id"), "version", name="one_row_per_tariff_version"),
            models.UniqueConstraint(
                "source", Lower("external_id"), condition=Q(valid_to=None), name="one_current_version_per_tariff"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.external_id} v{self.version}"


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


class CPOCommand(models.Model):
    """A command we sent to a CPO (OCPI commands module). The result comes later, to an address nobody can guess."""

    class Kind(models.TextChoices):
        RESERVE_NOW = "RESERVE_NOW", _("Reserve")
        CANCEL_RESERVATION = "CANCEL_RESERVATION", _("Cancel reservation")
        START_SESSION = "START_SESSION", _("Start")
        STOP_SESSION = "STOP_SESSION", _("Stop")
        UNLOCK_CONNECTOR = "UNLOCK_CONNECTOR", _("Unlock")
        SET_PROFILE = "SET_PROFILE", _("Set charging profile")
        CLEAR_PROFILE = "CLEAR_PROFILE", _("Clear charging profile")
        ACTIVE_PROFILE = "ACTIVE_PROFILE", _("Ask for the charging profile")
        BOOKING = "BOOKING", _("Book")

    class State(models.TextChoices):
        SENT = "sent", _("Sent")
        CPO_ACCEPTED = "cpo_accepted", _("Taken by the CPO")
        ACCEPTED = "accepted", _("Accepted by the charger")
        REJECTED = "rejected", _("Rejected")
        FAILED = "failed", _("Failed")
        TIMED_OUT = "timed_out", _("No result in time")
        CANCELLED = "cancelled", _("Taken back by the CPO")
        SESSION_SEEN = "session_seen", _("A session followed")

    source = models.ForeignKey(Source, models.CASCADE, related_name="commands")
    kind = models.CharField(max_length=20, choices=Kind)
    state = models.CharField(max_length=14, choices=State, default=State.SENT)
    reservation_key = models.CharField(
        max_length=36, db_index=True, help_text=_("Of a start: its authorization_reference; of a stop: its key.")
    )
    session_ref = models.CharField(max_length=48, blank=True, help_text=_("The CPO's session it is about, or began."))
    response_token_hash = models.CharField(max_length=64, unique=True)
    request = models.JSONField()
    response = models.JSONField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    deadline_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "CPO command"

    def __str__(self) -> str:
        return f"{self.kind} {self.reservation_key} ({self.state})"
