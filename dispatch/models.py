"""What a human decides, or lets the house decide: plans, reservations, alerts."""

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models import ChargingSession
from dispatch.driving.models import DriverLink, PlugReport  # noqa: F401 (Django looks for models here)
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.fields import LargeJSONField
from stations.models import EVSE, Connector, Location
from vehicles.models import Vehicle


class ChargePlanQuerySet(models.QuerySet["ChargePlan"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def open(self) -> Self:
        return self.filter(state__in=ChargePlan.OPEN_STATES)

    def for_display(self) -> Self:
        """With everything PlanSerializer shows; two queries in all."""
        shown = self.select_related("vehicle", "connector__evse__location__source").defer("snapshot")
        return shown.prefetch_related("reservations")


class ChargePlan(models.Model):
    """One answer to "this vehicle must charge": where, when, at what price, and why there.

    `window_*` is when the EVSE is its vehicle's, whichever of its connectors: two vehicles under way to one at one time
    are impossible by constraint (without a window: at any time). A trigger fills in the EVSE.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed", _("Waiting for a decision")
        ACCEPTED = "accepted", _("Accepted, reserving")
        RESERVED = "reserved", _("Reserved")
        CHARGING = "charging", _("Charging")
        COMPLETED = "completed", _("Done")
        DISMISSED = "dismissed", _("Dismissed")
        REPLACED = "replaced", _("Replaced by another plan")
        INFEASIBLE = "infeasible", _("No charger can be reached")
        EXPIRED = "expired", _("Expired")

    class ArrivedBy(models.TextChoices):
        POSITION = "position", _("Its position")
        DRIVER = "driver", _("The driver's word")
        SESSION = "session", _("It began to charge")

    OPEN_STATES = ("proposed", "accepted", "reserved", "charging")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="plans")
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="plans")
    connector = models.ForeignKey(Connector, models.PROTECT, null=True, blank=True, related_name="plans")
    evse = models.ForeignKey(EVSE, models.PROTECT, null=True, blank=True, editable=False, related_name="+")
    state = models.CharField(max_length=12, choices=State, default=State.PROPOSED)
    trigger = models.CharField(max_length=20, help_text=_("soc_low, faulted, taken, rejected, manual"))
    trigger_key = models.CharField(
        max_length=80, unique=True, help_text=_("One plan per trigger, however often it fires.")
    )
    replaces = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="replaced_by")
    session = models.ForeignKey(ChargingSession, models.SET_NULL, null=True, blank=True, related_name="plans")

    soc_percent = models.FloatField()
    arrival_soc_percent = models.FloatField(null=True, blank=True)
    target_soc_percent = models.FloatField(null=True, blank=True)
    energy_wh = models.PositiveIntegerField(default=0)
    distance_m = models.PositiveIntegerField(default=0)
    detour_m = models.PositiveIntegerField(default=0)
    drive_seconds = models.PositiveIntegerField(default=0)
    wait_seconds = models.PositiveIntegerField(default=0)
    charge_seconds = models.PositiveIntegerField(default=0)
    delay_seconds = models.PositiveIntegerField(default=0)
    cost_paise = models.PositiveIntegerField(null=True, blank=True, help_text=_("Incl. GST; empty: no tariff known."))
    plug_in_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    window_starts_at = models.DateTimeField(null=True, blank=True, help_text=_("From when on its place is kept."))
    window_ends_at = models.DateTimeField(null=True, blank=True, help_text=_("Until when nobody else is sent there."))
    route = LargeJSONField(default=dict, blank=True, help_text=_("{old: [[lat, lon]], new: [[lat, lon]], onward: ...}"))
    explanation = LargeJSONField(default=dict, blank=True, help_text=_("Candidates with their breakdown in paise."))
    snapshot = LargeJSONField(default=dict, blank=True, help_text=_("Inputs; the same core gives the same plan."))
    engine = models.CharField(max_length=120, blank=True, help_text=_("Whose distances it rests on, with versions."))
    core_version = models.CharField(max_length=20, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    undo_until = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    set_off_at = models.DateTimeField(null=True, blank=True, help_text=_("When the driver said to be on the way."))
    arrived_at = models.DateTimeField(null=True, blank=True)
    arrived_by = models.CharField(max_length=8, choices=ArrivedBy, blank=True)

    objects = ChargePlanQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                "vehicle",
                condition=Q(state__in=("proposed", "accepted", "reserved", "charging")),
                name="one_open_plan_per_vehicle",
            ),
            ExclusionConstraint(
                name="one_vehicle_under_way_per_evse",
                expressions=[
                    ("evse", RangeOperators.EQUAL),
                    (Func("window_starts_at", "window_ends_at", function="TSTZRANGE"), RangeOperators.OVERLAPS),
                ],
                condition=Q(state__in=("proposed", "accepted", "reserved")),
            ),
            models.CheckConstraint(
                condition=Q(window_starts_at=None, window_ends_at=None) | Q(window_ends_at__gt=F("window_starts_at")),
                name="a_plans_window_lasts",
            ),
        ]
        indexes = [
            models.Index(fields=["connector"], condition=Q(closed_at=None), name="open_plans_by_connector"),
            models.Index(
                fields=["closed_at"],
                condition=Q(state="expired", arrived_at=None, connector__isnull=False),
                name="plans_nobody_came_for",
            ),
            models.Index(
                fields=["evse"],
                condition=Q(state__in=("proposed", "accepted", "reserved")),
                name="plans_under_way_at_evse",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.vehicle} → {self.connector or '?'} ({self.state})"


class ReservationQuerySet(models.QuerySet["Reservation"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def active(self) -> Self:
        return self.filter(state__in=Reservation.ACTIVE_STATES)


class Reservation(models.Model):
    """A connector promised to one vehicle, from `starts_at` to `expires_at`: who has not come by then has lost it.

    `stay_ends_at` is when it will have charged, where a plan knows; until then the place is nobody else's. Two of ours
    on one EVSE at one time, and one of ours at two, are impossible by constraint; a trigger fills in the EVSE.
    """

    class Way(models.TextChoices):
        SOFT = "soft", _("Held in FleetCharge only")
        NETWORK = "network", _("Reserved at the network")
        BOOKING = "booking", _("Time slot booked at the network")

    class State(models.TextChoices):
        REQUESTED = "requested", _("Requested")
        CONFIRMED = "confirmed", _("Confirmed")
        USED = "used", _("Used")
        REJECTED = "rejected", _("Rejected")
        CANCELLED = "cancelled", _("Cancelled")
        EXPIRED = "expired", _("Expired")
        FAILED = "failed", _("Failed")

    ACTIVE_STATES = ("requested", "confirmed")
    LET_GO = ("cancelled", "expired", "failed")
    """Promises we no longer want; a network that was asked for one may yet grant it, or have granted it unheard."""
    LOST = (*LET_GO, "rejected")

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    number = models.BigAutoField(primary_key=True, help_text=_("Also the OCPP reservationId (int32)."))
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="reservations")
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="reservations")
    connector = models.ForeignKey(Connector, models.PROTECT, related_name="reservations")
    evse = models.ForeignKey(EVSE, models.PROTECT, null=True, editable=False, related_name="+")
    plan = models.ForeignKey(ChargePlan, models.SET_NULL, null=True, blank=True, related_name="reservations")
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    reason = models.CharField(max_length=120, blank=True)
    id_token = models.CharField(max_length=36)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    starts_at = models.DateTimeField(help_text=_("Left out: when it was made."))
    expires_at = models.DateTimeField()
    stay_ends_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Of a plan: until when it is to charge there.")
    )
    reminded_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When a charger that had restarted was told of it again.")
    )
    given_back_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the network was told that we do not want it any more.")
    )
    way = models.CharField(max_length=8, choices=Way, blank=True, help_text=_("Empty until it was asked for."))
    agreed_until = models.DateTimeField(
        null=True, blank=True, help_text=_("Where an extension is not answered yet: what holds if it is refused.")
    )
    is_rebooked = models.BooleanField(
        default=True, help_text=_("Without a plan: look for another place when this one is lost.")
    )
    rebook_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    replaces = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="replaced_by")
    given_up_for = models.ForeignKey(
        ChargePlan, models.SET_NULL, null=True, blank=True, editable=False, related_name="gave_up"
    )

    objects = ReservationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            ExclusionConstraint(
                name="reservations_never_overlap",
                expressions=[
                    ("evse", RangeOperators.EQUAL),
                    (
                        Func(
                            "starts_at", Func("expires_at", "stay_ends_at", function="GREATEST"), function="TSTZRANGE"
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(state__in=("requested", "confirmed")),
            ),
            ExclusionConstraint(
                name="one_place_per_vehicle",
                expressions=[
                    ("vehicle", RangeOperators.EQUAL),
                    (Func("starts_at", "expires_at", function="TSTZRANGE"), RangeOperators.OVERLAPS),
                ],
                condition=Q(state__in=("requested", "confirmed")),
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("starts_at")), name="a_reservation_lasts"),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], condition=Q(state__in=("requested", "confirmed")), name="reservations_by_expiry"
            ),
            models.Index(
                fields=["connector"], condition=Q(state__in=("requested", "confirmed")), name="promises_of_a_connector"
            ),
            models.Index(
                fields=["rebook_due_at"], condition=Q(rebook_due_at__isnull=False), name="reservations_to_rebook"
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(given_back_at=None, sent_at__isnull=False, state__in=("cancelled", "expired", "failed")),
                name="reservations_to_give_back",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.vehicle} at {self.connector} ({self.state})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.starts_at = self.starts_at or min(self.created_at, self.expires_at - timedelta(seconds=1))
        super().save(*args, **kwargs)

    @property
    def ends_at(self) -> datetime:
        """Until then the place is nobody else's, unless its vehicle does not come."""
        return max(self.expires_at, self.stay_ends_at or self.expires_at)


class SessionCommandQuerySet(models.QuerySet["SessionCommand"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class SessionCommand(models.Model):
    """What somebody asked of a plug or a session, at whatever kind of network, from the click to what came of it.

    What follows a start counts more than what was answered: a session is its proof, even after a time-out.
    """

    class Kind(models.TextChoices):
        START = "start", _("Start charging")
        STOP = "stop", _("Stop charging")
        UNLOCK = "unlock", _("Unlock the plug")
        LIMIT = "limit", _("Limit the power")
        UNLIMIT = "unlimit", _("Lift the limit")
        OUTLOOK = "outlook", _("Ask what it will be given")
        PREFER = "prefer", _("Say when it leaves")

    class State(models.TextChoices):
        REQUESTED = "requested", _("Requested")
        SENT = "sent", _("Sent")
        ACCEPTED = "accepted", _("Accepted")
        REJECTED = "rejected", _("Rejected")
        FAILED = "failed", _("Failed")
        TIMED_OUT = "timed_out", _("No answer")
        NO_SESSION = "no_session", _("Accepted, but no session began")
        DONE = "done", _("Done")

    OPEN_STATES = ("requested", "sent")

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="session_commands")
    kind = models.CharField(max_length=8, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    reason = models.CharField(max_length=120, blank=True)
    parameters = models.JSONField(default=dict, blank=True, help_text=_("What a limit or a preference says."))
    result = models.JSONField(null=True, blank=True, help_text=_("What the network tells beyond yes and no."))
    connector = models.ForeignKey(Connector, models.PROTECT, related_name="session_commands")
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, null=True, blank=True, related_name="session_commands")
    session = models.ForeignKey(
        ChargingSession, models.PROTECT, null=True, blank=True, related_name="session_commands",
        help_text=_("The one to stop, or the one that began."),
    )  # fmt: skip
    id_token = models.CharField(max_length=36, blank=True)
    reference = models.CharField(max_length=120, blank=True, help_text=_("How the network calls it."))
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    objects = SessionCommandQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                "connector", condition=Q(kind="start", state__in=("requested", "sent")), name="one_open_start_per_plug"
            ),
            models.UniqueConstraint(
                "session", condition=Q(kind="stop", state__in=("requested", "sent")), name="one_open_stop_per_session"
            ),
            models.UniqueConstraint(
                "connector", condition=Q(kind="unlock", state__in=("requested", "sent")),
                name="one_open_unlock_per_plug",
            ),
            models.UniqueConstraint(
                "session",
                condition=Q(
                    kind__in=("limit", "unlimit", "outlook", "prefer"), state__in=("requested", "sent")
                ),
                name="one_open_wish_per_session",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(
                fields=["created_at"], condition=Q(state__in=("requested", "sent", "accepted")),
                name="session_commands_to_follow",
            ),
            models.Index(fields=["connector", "-created_at"], name="session_commands_by_plug"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.kind} at {self.connector_id} ({self.state})"


class ReservationBreach(models.Model):
    """Somebody else began to charge on a promised connector; what was done about it, until that session ends."""

    class State(models.TextChoices):
        FLAGGED = "flagged", _("Alert only")
        STOPPING = "stopping", _("Being stopped")
        STOPPED = "stopped", _("Stopped")
        NOT_STOPPED = "not_stopped", _("Could not be stopped")

    reservation = models.OneToOneField(Reservation, models.PROTECT, related_name="breach")
    session = models.ForeignKey(ChargingSession, models.PROTECT, related_name="+")
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, related_name="+", help_text=_("Whose promise it was.")
    )
    state = models.CharField(max_length=12, choices=State)
    attempts = models.PositiveSmallIntegerField(default=0)
    asked_at = models.DateTimeField(null=True, blank=True)
    found_at = models.DateTimeField()
    replanned_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When another place was looked for, for the vehicle that lost this one.")
    )
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["session"], condition=Q(closed_at=None), name="open_breaches"),
            models.Index(fields=["found_at"], condition=Q(replanned_at=None), name="breaches_to_replan"),
        ]

    def __str__(self) -> str:
        return f"{self.reservation} ({self.state})"


class AlertQuerySet(models.QuerySet["Alert"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def open(self) -> Self:
        return self.filter(closed_at=None)

    def for_display(self) -> Self:
        """With everything AlertSerializer shows; two queries in all."""
        plan = ("plan__vehicle", "plan__connector__evse__location__source")
        shown = self.select_related("organisation", "vehicle", *plan).defer("plan__snapshot")
        return shown.prefetch_related("plan__reservations")


class Alert(models.Model):
    """One thing that needs somebody. Durable: browsers replay what they missed by id."""

    class Kind(models.TextChoices):
        WILL_NOT_REACH = "will_not_reach", _("Will not reach")
        REROUTED = "rerouted", _("Re-routed")
        NO_CHARGER = "no_charger", _("No charger in reach")
        RESERVATION_LOST = "reservation_lost", _("Reserved bay is blocked")
        CHARGER_SILENT = "charger_silent", _("Charger stopped reporting")
        MONEY = "money", _("Session held back")
        NETWORK_DOWN = "network_down", _("Network does not answer")
        VEHICLE_SILENT = "vehicle_silent", _("Low and does not report")
        CHARGER_MATTER = "charger_matter", _("Charger needs attention")
        WEBHOOK_OFF = "webhook_off", _("Webhook switched off")
        VEHICLE_ALARM = "vehicle_alarm", _("Vehicle calls for help")
        NO_SHOW = "no_show", _("Did not come")
        OVERSTAY = "overstay", _("Full and still plugged in")

    class Severity(models.TextChoices):
        BAD = "bad", _("Act now")
        WARN = "warn", _("Look at it")
        INFO = "info", _("For your information")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="alerts")
    kind = models.CharField(max_length=20, choices=Kind)
    severity = models.CharField(max_length=4, choices=Severity, default=Severity.WARN)
    title = models.CharField(max_length=160, help_text=_("In English; pages say it in the reader's language."))
    body = models.CharField(max_length=400, blank=True)
    code = models.CharField(
        max_length=40, blank=True, default="", db_default="",
        help_text=_("What the title says; empty: only as text."),
    )  # fmt: skip
    body_codes = ArrayField(models.CharField(max_length=40), default=list, blank=True, db_default=[])
    parameters = models.JSONField(default=dict, blank=True, db_default={})
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, null=True, blank=True, related_name="alerts")
    location = models.ForeignKey(Location, models.CASCADE, null=True, blank=True, related_name="+")
    plan = models.ForeignKey(ChargePlan, models.SET_NULL, null=True, blank=True, related_name="alerts")
    session = models.ForeignKey(ChargingSession, models.SET_NULL, null=True, blank=True, related_name="+")
    data = models.JSONField(default=dict, blank=True)
    dedupe_key = models.CharField(max_length=80)
    revision = models.BigIntegerField(default=0, help_text=_("Grows with every change of any alert; replay cursor."))
    opened_revision = models.BigIntegerField(default=0)
    opened_at = models.DateTimeField(default=timezone.now)
    snoozed_until = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    close_reason = models.CharField(max_length=120, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                "organisation", "dedupe_key", condition=Q(closed_at=None), name="one_open_alert_per_cause"
            )
        ]
        indexes = [
            models.Index(fields=["organisation", "revision"], name="alerts_to_replay"),
            models.Index(fields=["organisation", "-opened_at"], condition=Q(closed_at=None), name="open_alerts"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def op(self) -> str:
        """What a list of open alerts does with this row: add | upd | del."""
        if self.closed_at is not None:
            return "del"
        return "add" if self.revision == self.opened_revision else "upd"


# Files of their own; Django looks for them here.
from dispatch.depot.models import Depot as Depot  # noqa: E402
from dispatch.depot.models import DepotVehicle as DepotVehicle  # noqa: E402
from dispatch.depot.models import NightPlan as NightPlan  # noqa: E402
from dispatch.forecasts.models import Calibration as Calibration  # noqa: E402
from dispatch.forecasts.models import Forecast as Forecast  # noqa: E402
from dispatch.forecasts.models import LearnedCurve as LearnedCurve  # noqa: E402
from dispatch.forecasts.models import PlugGroup as PlugGroup  # noqa: E402
from dispatch.onboarding.models import SampleRow as SampleRow  # noqa: E402
from dispatch.policies.models import DispatchPolicy as DispatchPolicy  # noqa: E402
from dispatch.policies.models import PlanOutcome as PlanOutcome  # noqa: E402
from dispatch.policies.models import PolicyArm as PolicyArm  # noqa: E402
from dispatch.policies.models import PolicyAssignment as PolicyAssignment  # noqa: E402
from dispatch.policies.models import PolicyExperiment as PolicyExperiment  # noqa: E402
from dispatch.saved.models import SavedView as SavedView  # noqa: E402
from dispatch.speeds.models import SpeedLaw as SpeedLaw  # noqa: E402
from dispatch.wall.models import WallLink as WallLink  # noqa: E402
