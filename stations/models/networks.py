"""A network as we are connected to it, who operates in it, and which fleets may charge there."""

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import crypto


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
    help_phone = models.CharField(
        max_length=20, blank=True, default="", db_default="",
        help_text=_("For drivers in front of a plug that does not start."),
        validators=[RegexValidator(r"^\+?[0-9][0-9 -]{2,18}$", _("Digits, spaces and dashes, perhaps a + before."))],
    )  # fmt: skip
    app_url = models.URLField(
        blank=True, default="", db_default="", help_text=_("Opens the network's own app, or its page in a shop.")
    )
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
