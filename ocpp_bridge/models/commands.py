"""What we asked of chargers."""

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation
from stations.models import Charger


class CommandQuerySet(models.QuerySet["Command"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def queued(self) -> Self:
        return self.filter(state=Command.State.QUEUED)

    def awaiting_session(self) -> Self:
        """Starts that a charger accepted and that no session has followed yet (`session_due_at` says until when)."""
        return self.filter(state=Command.State.ACCEPTED, session=None).exclude(session_due_at=None)


class Command(models.Model):
    """One thing we asked of a charger, from the click to its answer.

    Actions are version-neutral; `ocpp_bridge.actions` knows each one's parameters and times, `ocpp_bridge.words` how it
    is said in each OCPP version.
    """

    class Action(models.TextChoices):
        REMOTE_START = "RemoteStart", _("Start charging")
        REMOTE_STOP = "RemoteStop", _("Stop charging")
        RESERVE_NOW = "ReserveNow", _("Reserve")
        CANCEL_RESERVATION = "CancelReservation", _("Cancel reservation")
        TRIGGER_MESSAGE = "TriggerMessage", _("Ask for a message")
        RESET = "Reset", _("Restart")
        CHANGE_AVAILABILITY = "ChangeAvailability", _("Change availability")
        UNLOCK_CONNECTOR = "UnlockConnector", _("Unlock connector")
        CLEAR_CACHE = "ClearCache", _("Clear token cache")
        GET_CONFIGURATION = "GetConfiguration", _("Read configuration")
        CHANGE_CONFIGURATION = "ChangeConfiguration", _("Change configuration")
        GET_VARIABLES = "GetVariables", _("Read variables")
        SET_VARIABLES = "SetVariables", _("Set variables")
        GET_BASE_REPORT = "GetBaseReport", _("Ask for a base report")
        GET_REPORT = "GetReport", _("Ask for a report")
        SEND_LOCAL_LIST = "SendLocalList", _("Send local list")
        GET_LOCAL_LIST_VERSION = "GetLocalListVersion", _("Read local list version")
        SET_CHARGING_PROFILE = "SetChargingProfile", _("Set charging profile")
        CLEAR_CHARGING_PROFILE = "ClearChargingProfile", _("Clear charging profile")
        GET_COMPOSITE_SCHEDULE = "GetCompositeSchedule", _("Read composite schedule")
        GET_CHARGING_PROFILES = "GetChargingProfiles", _("Ask for charging profiles")
        UPDATE_FIRMWARE = "UpdateFirmware", _("Update firmware")
        SIGNED_UPDATE_FIRMWARE = "SignedUpdateFirmware", _("Update firmware (signed)")
        GET_DIAGNOSTICS = "GetDiagnostics", _("Upload diagnostics")
        GET_LOG = "GetLog", _("Upload log")
        INSTALL_CERTIFICATE = "InstallCertificate", _("Install certificate")
        DELETE_CERTIFICATE = "DeleteCertificate", _("Delete certificate")
        GET_INSTALLED_CERTIFICATE_IDS = "GetInstalledCertificateIds", _("List certificates")
        CERTIFICATE_SIGNED = "CertificateSigned", _("Hand over signed certificate")
        DATA_TRANSFER = "DataTransfer", _("Vendor message")
        GET_TRANSACTION_STATUS = "GetTransactionStatus", _("Read transaction status")
        COST_UPDATED = "CostUpdated", _("Show running cost")
        SET_DISPLAY_MESSAGE = "SetDisplayMessage", _("Show message")
        CLEAR_DISPLAY_MESSAGE = "ClearDisplayMessage", _("Clear message")
        GET_DISPLAY_MESSAGES = "GetDisplayMessages", _("Ask for messages shown")
        GET_MONITORING_REPORT = "GetMonitoringReport", _("Ask for monitoring report")
        SET_MONITORING_BASE = "SetMonitoringBase", _("Set monitoring base")
        SET_MONITORING_LEVEL = "SetMonitoringLevel", _("Set monitoring level")
        CLEAR_VARIABLE_MONITORING = "ClearVariableMonitoring", _("Clear monitors")
        SET_DEFAULT_TARIFF = "SetDefaultTariff", _("Set default tariff")
        GET_TARIFFS = "GetTariffs", _("Read tariffs")
        CLEAR_TARIFFS = "ClearTariffs", _("Clear tariffs")
        SET_VARIABLE_MONITORING = "SetVariableMonitoring", _("Set monitors")
        SET_NETWORK_PROFILE = "SetNetworkProfile", _("Set network profile")
        PUBLISH_FIRMWARE = "PublishFirmware", _("Publish firmware at a site")
        UNPUBLISH_FIRMWARE = "UnpublishFirmware", _("Take published firmware back")
        CUSTOMER_INFORMATION = "CustomerInformation", _("Ask for or delete a customer's data")
        CHANGE_TRANSACTION_TARIFF = "ChangeTransactionTariff", _("Change the tariff of a session")

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        SENT = "sent", _("Sent")
        ACCEPTED = "accepted", _("Accepted")
        REJECTED = "rejected", _("Rejected")
        TIMED_OUT = "timed_out", _("No answer")
        EXPIRED = "expired", _("Charger was not there in time")
        FAILED = "failed", _("Failed")
        NO_SESSION = "no_session", _("Accepted, but no session began")
        CANCELLED = "cancelled", _("Taken back")

    OPEN_STATES = ("queued", "sent")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="ocpp_commands")
    charger = models.ForeignKey(Charger, models.PROTECT, related_name="commands")
    action = models.CharField(max_length=30, choices=Action)
    parameters = models.JSONField(default=dict, help_text=_("Version-neutral; each protocol module translates."))
    idempotency_key = models.CharField(max_length=80)
    reservation_key = models.CharField(max_length=36, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    reason = models.CharField(max_length=120, blank=True)
    actor = models.CharField(max_length=120, default="system")
    protocol = models.CharField(max_length=12, blank=True, help_text=_("The OCPP version it was said in."))
    wire_action = models.CharField(max_length=40, blank=True, help_text=_("The message it was said with."))
    request = models.JSONField(null=True, blank=True, help_text=_("The payload on the wire."))
    response = models.JSONField(null=True, blank=True)
    session = models.ForeignKey(
        ChargingSession, models.SET_NULL, null=True, blank=True, related_name="+",
        help_text=_("The session that followed a start."),
    )  # fmt: skip
    node = models.CharField(max_length=80, blank=True, help_text=_("Realtime process that sent it."))
    attempts = models.PositiveSmallIntegerField(default=0, help_text=_("How often it went on the wire."))
    deadline_at = models.DateTimeField(help_text=_("Not sent later than this."))
    answer_due_at = models.DateTimeField(null=True, blank=True)
    session_due_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    objects = CommandQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "idempotency_key"], name="one_command_per_key"),
        ]
        indexes = [
            models.Index(fields=["charger", "created_at"], condition=Q(state="queued"), name="queued_commands"),
            models.Index(
                fields=["deadline_at"], condition=Q(state__in=("queued", "sent")), name="open_commands_by_deadline"
            ),
            models.Index(fields=["charger", "-created_at"], name="commands_of_a_charger"),
            models.Index(fields=["created_at"], name="commands_by_age"),
            models.Index(
                fields=["session_due_at"],
                condition=Q(state="accepted", session=None, session_due_at__isnull=False),
                name="starts_awaiting_a_session",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} → {self.charger} ({self.state})"
