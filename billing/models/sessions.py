"""Charging sessions, what their meters said, the final record, and whether the evidence agrees."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.ids import short
from stations.cpo.ocpi.models import RoamingCDR
from stations.models import Charger, Connector, Source, Tariff
from vehicles.models import Driver, IdToken, Vehicle


class ChargingSessionQuerySet(models.QuerySet["ChargingSession"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def active(self) -> Self:
        return self.filter(state=ChargingSession.State.ACTIVE)

    def unfinished(self, *, since: datetime) -> Self:
        """Without a stop of the station: running, or ended by our own estimate after `since`."""
        estimated = Q(state=ChargingSession.State.ENDED, is_stop_estimated=True, ended_at__gte=since)
        return self.filter(Q(state=ChargingSession.State.ACTIVE) | estimated)

    def unreconciled(self) -> Self:
        """Ended sessions without a verdict; the sweep finds what an event missed."""
        return self.filter(state=ChargingSession.State.ENDED, reconciled_at=None)


class ChargingSession(models.Model):
    """One vehicle at one connector, from plug-in to stop (OCPP transaction, OCPI session)."""

    class State(models.TextChoices):
        ACTIVE = "active", _("Charging")
        ENDED = "ended", _("Ended")
        INVALID = "invalid", _("Invalid")

    class Quality(models.TextChoices):
        BILLABLE = "billable", _("Billable")
        ESTIMATED = "estimated", _("Estimated")
        REVIEW = "review", _("Needs review")

    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        related_name="sessions",
        help_text=_("Who pays: the token's fleet, or the charger's owner for an unknown token."),
    )
    source = models.ForeignKey(Source, models.PROTECT, related_name="sessions")
    charger = models.ForeignKey(Charger, models.PROTECT, null=True, blank=True, related_name="sessions")
    connector = models.ForeignKey(Connector, models.PROTECT, related_name="sessions")
    transaction_ref = models.CharField(
        max_length=36, help_text=_("OCPP 1.6: our transactionId in decimal; 2.x: the station's; OCPI: the session id.")
    )
    start_key = models.CharField(max_length=64, help_text=_("Hash of what a retry repeats; one session per key."))
    id_token_uid = models.CharField(max_length=36, blank=True)
    id_token = models.ForeignKey(IdToken, models.SET_NULL, null=True, blank=True, related_name="sessions")
    vehicle = models.ForeignKey(Vehicle, models.SET_NULL, null=True, blank=True, related_name="sessions")
    driver = models.ForeignKey(Driver, models.SET_NULL, null=True, blank=True, related_name="sessions")
    authorisation_reason = models.CharField(max_length=40, blank=True)
    reservation_number = models.BigIntegerField(null=True, blank=True)
    remote_start_id = models.BigIntegerField(null=True, blank=True)

    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    quality = models.CharField(max_length=10, choices=Quality, default=Quality.BILLABLE)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    stop_reason = models.CharField(max_length=30, blank=True)
    is_start_reported = models.BooleanField(
        default=True, help_text=_("False: the start is missing, and started_at is the earliest moment we know of.")
    )
    is_meter_start_reported = models.BooleanField(
        default=True, help_text=_("False: meter_start_wh is the first register among the samples.")
    )
    is_stop_estimated = models.BooleanField(
        default=False, help_text=_("True: the stop never came, we ended the session by its last trusted values.")
    )
    is_time_ours = models.BooleanField(
        default=False, help_text=_("True: the station's clock was not to be believed, times of receipt stand in.")
    )
    meter_start_wh = models.BigIntegerField(null=True, blank=True)
    meter_last_wh = models.BigIntegerField(null=True, blank=True)
    meter_stop_wh = models.BigIntegerField(null=True, blank=True)
    energy_wh = models.BigIntegerField(default=0)
    power_w = models.IntegerField(null=True, blank=True)
    soc_start_percent = models.FloatField(null=True, blank=True)
    soc_percent = models.FloatField(null=True, blank=True)
    metered_at = models.DateTimeField(null=True, blank=True)
    quality_reasons = models.JSONField(default=list, blank=True, help_text=_("Why it is not simply billable."))
    gaps = models.JSONField(default=list, blank=True, help_text=_("What is missing: start, stop, samples, messages."))
    suspect_reason = models.CharField(max_length=20, blank=True, help_text=_("Why we think it is over."))
    suspect_since = models.DateTimeField(null=True, blank=True)
    revised_at = models.DateTimeField(null=True, blank=True, help_text=_("When its final figures were last computed."))
    needs_revision = models.BooleanField(
        default=False, help_text=_("Samples or messages arrived after its final figures were computed.")
    )
    adjusted_paise = models.BigIntegerField(default=0, help_text=_("Posted after pricing: the sum of adjustments."))
    reconciled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ChargingSessionQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                "charger", "transaction_ref", condition=Q(charger__isnull=False), name="one_session_per_transaction"
            ),
            models.UniqueConstraint("start_key", name="one_session_per_start"),
            models.CheckConstraint(condition=Q(energy_wh__gte=0), name="energy_is_not_negative"),
        ]
        indexes = [
            models.Index(fields=["connector"], condition=Q(state="active"), name="active_sessions_by_connector"),
            models.Index(fields=["connector", "-started_at"], name="sessions_of_a_connector"),
            models.Index(fields=["organisation", "-started_at"], name="sessions_of_an_organisation"),
            models.Index(fields=["vehicle", "-started_at"], name="sessions_of_a_vehicle"),
            models.Index(
                fields=["ended_at"], condition=Q(state="ended", needs_revision=True), name="sessions_to_revise"
            ),
            models.Index(
                fields=["ended_at"], condition=Q(state="ended", reconciled_at=None), name="unreconciled_sessions"
            ),
        ]

    def __str__(self) -> str:
        return f"{short(self.transaction_ref)} · {self.vehicle or short(self.id_token_uid) or '?'}"

    @property
    def duration_seconds(self) -> int:
        return int(((self.ended_at or timezone.now()) - self.started_at).total_seconds())


class MeterValue(models.Model):
    """One sampled moment of one connector, as the charger said it. Appended by the OCPP batch writer.

    `dedupe_key` hashes charger, EVSE, transaction and content: a replay on another socket is the same row.
    """

    charger = models.ForeignKey(Charger, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    evse_number = models.PositiveSmallIntegerField()
    transaction_ref = models.CharField(max_length=36, blank=True)
    at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    energy_wh = models.BigIntegerField(null=True, help_text=_("Import register."))
    power_w = models.IntegerField(null=True)
    soc_percent = models.FloatField(null=True)
    interval_wh = models.BigIntegerField(null=True, help_text=_("Import since the sample before, where reported."))
    sequence = models.BigIntegerField(null=True, help_text=_("seqNo of the OCPP 2.x event that carried it."))
    context = models.CharField(max_length=20, blank=True)
    sampled = models.JSONField(help_text=_("The sampledValue list, untouched."))
    dedupe_key = models.BinaryField(max_length=16, unique=True)

    class Meta:
        indexes = [models.Index(fields=["charger", "transaction_ref", "at"], name="meter_values_of_a_session")]

    def __str__(self) -> str:
        return f"{self.charger_id}/{self.evse_number} {self.at}"


class SessionMessage(models.Model):
    """One OCPP 2.x TransactionEvent that said more than samples; `dedupe_key` hashes all of it (never seqNo alone)."""

    charger = models.ForeignKey(Charger, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    transaction_ref = models.CharField(max_length=36)
    kind = models.CharField(max_length=10, help_text=_("Started, Updated or Ended."))
    at = models.DateTimeField()
    received_at = models.DateTimeField()
    sequence = models.BigIntegerField(null=True)
    charging_state = models.CharField(max_length=20, blank=True)
    trigger_reason = models.CharField(max_length=30, blank=True)
    is_offline = models.BooleanField(default=False)
    dedupe_key = models.BinaryField(max_length=16, unique=True)

    class Meta:
        indexes = [models.Index(fields=["charger", "transaction_ref", "at"], name="messages_of_a_session")]

    def __str__(self) -> str:
        return f"{self.kind} {self.transaction_ref} {self.at}"


class SessionCorrection(models.Model):
    """One change of a session by something that arrived late, or never: from what, to what, why, and by which message.

    Appended only; a trigger refuses change.
    """

    session = models.ForeignKey(ChargingSession, models.PROTECT, related_name="corrections")
    field = models.CharField(max_length=40)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.CharField(max_length=200)
    cause = models.CharField(max_length=120, help_text=_("The message, or the sweep, that brought it about."))
    at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.session_id}: {self.field}"


class CDRQuerySet(models.QuerySet["CDR"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def unrated(self) -> Self:
        """Records that still need a price; the sweep finds what an event missed."""
        return self.filter(rated_at=None, is_blocked=False)

    def uncaptured(self) -> Self:
        """Records whose charge is not in the ledger yet, priced or not; served by `uncaptured_cdrs`."""
        return self.filter(captured_at=None, is_blocked=False)


class CDR(models.Model):
    """Charge detail record: final, priced once, never edited after `rated_at` (a trigger refuses)."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="cdrs")
    session = models.OneToOneField(ChargingSession, models.PROTECT, related_name="cdr")
    roaming_cdr = models.OneToOneField(
        RoamingCDR, models.PROTECT, null=True, blank=True, related_name="billed",
        help_text=_("The network's own record that this one is made of."),
    )  # fmt: skip
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    energy_wh = models.BigIntegerField()
    charging_seconds = models.PositiveIntegerField(default=0)
    idle_seconds = models.PositiveIntegerField(default=0, help_text=_("Plugged in and full (OCPI PARKING_TIME)."))
    tariff = models.ForeignKey(Tariff, models.PROTECT, null=True, blank=True, related_name="cdrs")
    negotiated_rate = models.ForeignKey(
        "billing.NegotiatedRate", models.PROTECT, null=True, blank=True, related_name="cdrs",
        help_text=_("The fleet's own agreement, which came before any tariff."),
    )  # fmt: skip
    plan_version = models.ForeignKey(
        "billing.PlanVersion", models.PROTECT, null=True, blank=True, related_name="cdrs",
        help_text=_("The subscription that came before the public tariff."),
    )  # fmt: skip
    included_wh = models.PositiveBigIntegerField(default=0, help_text=_("Included in the subscription."))
    currency = models.CharField(max_length=3, default="INR")
    taxable_paise = models.BigIntegerField(null=True, blank=True)
    tax_paise = models.BigIntegerField(null=True, blank=True)
    cgst_paise = models.BigIntegerField(default=0)
    sgst_paise = models.BigIntegerField(default=0)
    igst_paise = models.BigIntegerField(default=0)
    total_paise = models.BigIntegerField(null=True, blank=True)
    explanation = models.JSONField(default=list, blank=True, help_text=_("One line per priced component."))
    is_blocked = models.BooleanField(default=False, help_text=_("Waits in the exception queue; never priced as 0."))
    rated_at = models.DateTimeField(null=True, blank=True)
    captured_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CDRQuerySet.as_manager()

    class Meta:
        verbose_name = "CDR"
        verbose_name_plural = "CDRs"
        ordering = ["-ended_at"]
        constraints = [
            models.CheckConstraint(condition=Q(ended_at__gte=F("started_at")), name="cdr_ends_after_it_starts"),
            models.CheckConstraint(
                condition=Q(rated_at=None) | Q(total_paise=F("taxable_paise") + F("tax_paise")),
                name="cdr_total_is_taxable_plus_tax",
            ),
            models.CheckConstraint(
                condition=Q(rated_at=None) | Q(tax_paise=F("cgst_paise") + F("sgst_paise") + F("igst_paise")),
                name="cdr_tax_is_the_sum_of_its_heads",
            ),
        ]
        indexes = [
            models.Index(fields=["ended_at"], condition=Q(rated_at=None), name="unrated_cdrs"),
            models.Index(fields=["ended_at"], condition=Q(captured_at=None), name="uncaptured_cdrs"),
            models.Index(fields=["organisation", "-ended_at"], name="cdrs_of_an_organisation"),
            models.Index(
                fields=["organisation", "ended_at"],
                include=["total_paise"],
                condition=Q(captured_at__isnull=False),
                name="spending_of_an_organisation",
            ),
        ]

    def __str__(self) -> str:
        return f"CDR {self.pk} · {self.energy_wh / 1000:.2f} kWh"

    @property
    def price_kind(self) -> str:
        """Whose price it is by: contract, subscription, tariff; '' before it has one."""
        if self.negotiated_rate_id:
            return "contract"
        return "subscription" if self.plan_version_id else "tariff" if self.tariff_id else ""


class CDRAdjustment(models.Model):
    """What a rated CDR would have been, had we known: the differences, priced by the same tariff and posted.

    Money is the signed difference to the CDR and the adjustments before it. Appended only; a trigger refuses change.
    """

    cdr = models.ForeignKey(CDR, models.PROTECT, related_name="adjustments")
    number = models.PositiveSmallIntegerField()
    roaming_cdr = models.OneToOneField(
        RoamingCDR, models.PROTECT, null=True, blank=True, related_name="adjusted",
        help_text=_("The network's credit, or its fresh record after one, that brought it about."),
    )  # fmt: skip
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    energy_wh = models.BigIntegerField(help_text=_("The corrected figure, not the difference."))
    charging_seconds = models.PositiveIntegerField()
    idle_seconds = models.PositiveIntegerField()
    taxable_paise = models.BigIntegerField()
    cgst_paise = models.BigIntegerField()
    sgst_paise = models.BigIntegerField()
    igst_paise = models.BigIntegerField()
    tax_paise = models.BigIntegerField()
    total_paise = models.BigIntegerField()
    explanation = models.JSONField(default=list, help_text=_("The corrected price, line by line."))
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = "CDR adjustment"
        ordering = ["cdr", "number"]
        constraints = [
            models.UniqueConstraint("cdr", "number", name="one_adjustment_per_number"),
            models.CheckConstraint(
                condition=Q(total_paise=F("taxable_paise") + F("tax_paise"))
                & Q(tax_paise=F("cgst_paise") + F("sgst_paise") + F("igst_paise")),
                name="adjustment_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return f"CDR {self.cdr_id} · {self.number}"


class ReconciliationVerdict(models.Model):
    """What GPS, shift and state of charge say about a session; re-runnable to the same answer."""

    class Verdict(models.TextChoices):
        VERIFIED = "verified", _("Verified")
        INCONCLUSIVE = "inconclusive", _("Inconclusive")
        REVIEW = "review", _("Needs review")
        BLOCKED = "blocked", _("Blocked")
        INVALID = "invalid", _("Record in doubt")

    class Outcome(models.TextChoices):
        DISMISSED = "dismissed", _("Doubt unfounded")
        ACCEPTED = "accepted", _("Billed all the same")
        DISPUTED = "disputed", _("Disputed with the network")
        CHARGED_BACK = "charged_back", _("Not billed")

    session = models.OneToOneField(ChargingSession, models.PROTECT, related_name="verdict")
    verdict = models.CharField(max_length=12, choices=Verdict)
    points = models.PositiveIntegerField()
    findings = models.JSONField(default=list, help_text=_("[{rule, points, text, evidence}]"))
    evidence = models.JSONField(
        default=dict, blank=True, help_text=_("All inputs, copied: the verdict outlives the pings.")
    )
    thresholds = models.JSONField(default=dict, blank=True, help_text=_("The lines it was judged by."))
    dwell_latitude_e7 = models.IntegerField(null=True, blank=True, help_text=_("Where the vehicle stood."))
    dwell_longitude_e7 = models.IntegerField(null=True, blank=True)
    ruleset_version = models.CharField(max_length=20)
    input_hash = models.CharField(max_length=64)
    decided_at = models.DateTimeField()
    outcome = models.CharField(max_length=12, choices=Outcome, blank=True, help_text=_("What a person made of it."))
    outcome_reason = models.CharField(max_length=500, blank=True)
    outcome_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    outcome_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["decided_at"], condition=Q(outcome="", verdict__in=["review", "blocked", "invalid"]),
                name="verdicts_to_look_at",
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.session}: {self.get_verdict_display()}"


class BillingExceptionQuerySet(models.QuerySet["BillingException"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def open(self) -> Self:
        return self.filter(resolved_at=None)


class BillingException(models.Model):
    """Something a person in finance must decide. Nothing is silently zero, nothing silently lost."""

    class Kind(models.TextChoices):
        MISSING_TARIFF = "missing_tariff", _("No tariff")
        ODD_METER = "odd_meter", _("Meter does not add up")
        SUSPICIOUS = "suspicious_session", _("Evidence disagrees")
        OVER_CAPTURE = "over_capture", _("Wallet too low, booked as receivable")
        UNKNOWN_TOKEN = "unknown_token", _("Charged with an unknown token")
        REFUSED = "refused", _("Charged although refused")
        OFFLINE = "offline", _("Charged offline although not allowed")
        NO_WALLET = "no_wallet", _("No wallet")
        ORPHAN_STOP = "orphan_stop", _("Stop without a start")
        CONFLICTING_STOP = "conflicting_stop", _("Two different stops")
        NEVER_ENDED = "never_ended", _("Session without an end")
        MISSING_START = "missing_start", _("Session without a start")
        BOOKS_DIFFER = "books_differ", _("The books do not add up")
        NOT_ADJUSTED = "not_adjusted", _("Late correction could not be booked")
        CPO_PRICE = "cpo_price", _("Network asks another price")
        CPO_CORRECTION = "cpo_correction", _("Network corrected its record")
        CPO_BALANCE = "cpo_balance", _("Network asks for an earlier balance")
        PAYMENT_ODD = "payment_odd", _("Payment that does not fit")
        PAYMENT_DISPUTE = "payment_dispute", _("A payer's bank disputes a payment")
        MANDATE_FAILED = "mandate_failed", _("Mandate does not pay")
        TOP_UP_SHORT = "top_up_short", _("Automatic top-up cannot keep up")
        REFUND_FAILED = "refund_failed", _("Refund failed")
        CPO_RECORD = "cpo_record", _("Network's record in doubt")
        CPO_BILL = "cpo_bill", _("Network's bill differs")
        LIMIT_REACHED = "limit_reached", _("A spending limit is reached")
        JOB_DEAD = "job_dead", _("Background work was given up")
        UTILITY_LOSS = "utility_loss", _("Depot loses more electricity than it may")
        E_INVOICE = "e_invoice", _("E-invoice not registered")
        LATE_NOTE = "late_note", _("Credit note after its last day")

    organisation = models.ForeignKey(
        Organisation, models.PROTECT, null=True, blank=True, related_name="billing_exceptions",
        help_text=_("Empty: it is about the platform's own books or work."),
    )  # fmt: skip
    kind = models.CharField(max_length=20, choices=Kind)
    session = models.ForeignKey(ChargingSession, models.PROTECT, null=True, blank=True, related_name="exceptions")
    reference = models.CharField(
        max_length=120, blank=True, help_text=_("Names the cause when no session does; one open row per cause.")
    )
    title = models.CharField(max_length=160)
    details = models.JSONField(default=dict, blank=True)
    amount_paise = models.BigIntegerField(default=0)
    owner = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    resolution = models.TextField(blank=True)

    objects = BillingExceptionQuerySet.as_manager()

    class Meta:
        ordering = ["opened_at"]
        constraints = [
            models.UniqueConstraint(
                "session", "kind", condition=Q(resolved_at=None), name="one_open_exception_per_session_and_kind"
            ),
            models.UniqueConstraint(
                "organisation",
                "kind",
                "reference",
                condition=Q(resolved_at=None) & ~Q(reference=""),
                name="one_open_exception_per_cause",
                nulls_distinct=False,
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "opened_at"], condition=Q(resolved_at=None), name="open_exceptions")
        ]

    def __str__(self) -> str:
        return self.title

    def age(self, now: datetime) -> float:
        return (now - self.opened_at).total_seconds()
