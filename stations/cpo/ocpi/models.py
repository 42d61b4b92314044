"""What CPOs tell us of our own vehicles: sessions, charge detail records, and objects we only keep.

Each row keeps the CPO's own words beside what we read from them.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.lib import crypto


def new_public_id() -> str:
    return crypto.new_token(18)


class RoamingUse(models.Model):
    """Who charged where, as a CPO says it; what Session and CDR have in common."""

    key = models.CharField(max_length=50, help_text=_("country*party*id as the CPO wrote it."))
    country_code = models.CharField(max_length=2)
    party_id = models.CharField(max_length=3)
    connector = models.ForeignKey(
        "stations.Connector", models.SET_NULL, null=True, blank=True, related_name="%(class)ss"
    )
    location_ref = models.CharField(max_length=48, blank=True)
    evse_ref = models.CharField(max_length=48, blank=True)
    connector_ref = models.CharField(max_length=48, blank=True)
    token_uid = models.CharField(max_length=48, blank=True)
    token_type = models.CharField(max_length=20, blank=True)
    contract_id = models.CharField(max_length=48, blank=True)
    auth_method = models.CharField(max_length=20, blank=True)
    authorization_reference = models.CharField(max_length=48, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    energy_wh = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3, default="INR")
    total_before_taxes = models.DecimalField(max_digits=16, decimal_places=6, null=True, blank=True)
    total_after_taxes = models.DecimalField(
        max_digits=16, decimal_places=6, null=True, blank=True, help_text=_("Empty: the CPO did not say.")
    )
    raw = models.JSONField(help_text=_("As the CPO sent it."))
    content_hash = models.CharField(max_length=64)
    source_updated_at = models.DateTimeField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.key


class RoamingSession(RoamingUse):
    """A session at a CPO (OCPI Session), running or over; `periods` is all that was told, in order."""

    source = models.ForeignKey("stations.Source", models.CASCADE, related_name="roaming_sessions")
    status = models.CharField(
        max_length=20, help_text=_("ACTIVE, COMPLETED, INVALID, PENDING, RESERVATION, or the CPO's own word.")
    )
    periods = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    watched_at = models.DateTimeField(null=True, blank=True, help_text=_("When we last asked why it stays pending."))

    class Meta:
        ordering = ["-started_at"]
        constraints = [models.UniqueConstraint("source", Lower("key"), name="one_row_per_roaming_session")]
        indexes = [
            models.Index(
                fields=["authorization_reference"], condition=~Q(authorization_reference=""),
                name="roaming_sessions_by_reference",
            ),
            models.Index(fields=["updated_at"], condition=Q(status="PENDING"), name="pending_roaming_sessions"),
        ]  # fmt: skip


class RoamingCDR(RoamingUse):
    """A CPO's final record of a session. Appended only (a trigger refuses change); corrected by a credit CDR."""

    source = models.ForeignKey("stations.Source", models.PROTECT, related_name="roaming_cdrs")
    public_id = models.CharField(max_length=40, unique=True, default=new_public_id, editable=False)
    session_ref = models.CharField(max_length=48, blank=True)
    is_credit = models.BooleanField(default=False, help_text=_("Takes another CDR back; its total is negative."))
    credit_reference = models.CharField(max_length=48, blank=True)
    total_seconds = models.PositiveIntegerField(default=0)
    parking_seconds = models.PositiveIntegerField(default=0)
    costs = models.JSONField(default=dict, blank=True, help_text=_("What the CPO wants for each dimension."))
    taxes = models.JSONField(default=list, blank=True)
    tariffs = models.JSONField(default=list, blank=True)
    periods = models.JSONField(default=list, blank=True)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "roaming CDR"
        ordering = ["-started_at"]
        constraints = [models.UniqueConstraint("source", Lower("key"), name="one_row_per_roaming_cdr")]
        indexes = [
            models.Index(fields=["source", "session_ref"], name="cdrs_of_a_roaming_session"),
            models.Index(fields=["source", "credit_reference"], condition=Q(is_credit=True), name="credits_of_a_cdr"),
        ]


class CDRConflict(models.Model):
    """Another CDR under the id of one we hold: refused (2001), kept for finance."""

    cdr = models.ForeignKey(RoamingCDR, models.PROTECT, related_name="conflicts")
    raw = models.JSONField()
    content_hash = models.CharField(max_length=64)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "CDR conflict"
        constraints = [models.UniqueConstraint("cdr", "content_hash", name="one_row_per_conflicting_cdr")]

    def __str__(self) -> str:
        return str(self.cdr)


class PeerDocument(models.Model):
    """An object that its owner keeps and we look up: a booking, where one can book, an invoice, an active profile."""

    class Kind(models.TextChoices):
        BOOKING_LOCATION = "booking_location", _("Where one can book")
        BOOKING = "booking", _("Booking")
        INVOICE = "invoice", _("Invoice")
        PROFILE = "profile", _("Active charging profile")

    source = models.ForeignKey("stations.Source", models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=20, choices=Kind)
    key = models.CharField(max_length=60, help_text=_("country*party*id as the CPO wrote it."))
    reference = models.CharField(max_length=48, blank=True, help_text=_("Our own key: of a booking, its request_id."))
    state = models.CharField(max_length=20, blank=True, help_text=_("Of a booking: its reservation_status."))
    cdr_ids = ArrayField(models.CharField(max_length=48), default=list, blank=True)
    raw = models.JSONField()
    is_deleted = models.BooleanField(default=False)
    source_updated_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint("source", "kind", Lower("key"), name="one_row_per_peer_document")]
        indexes = [
            models.Index(fields=["kind", "reference"], condition=~Q(reference=""), name="documents_by_reference")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
