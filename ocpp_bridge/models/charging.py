"""Smart charging: the limits of a site, what each charger holds as its limit, what vehicles need, and the plans."""

from typing import Self

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.models.commands import Command
from stations.models import Charger, Location


class ChargingSiteQuerySet(models.QuerySet["ChargingSite"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def due(self) -> Self:
        return self.filter(is_active=True).exclude(due_at=None)


class ChargingSite(models.Model):
    """A site whose chargers share one limit. Planning holds this row's lock."""

    class Policy(models.TextChoices):
        FAIR = "fair", _("Equal shares")
        DEADLINE = "deadline", _("Earliest departure first")

    location = models.OneToOneField(Location, models.CASCADE, primary_key=True, related_name="charging")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="charging_sites")
    is_active = models.BooleanField(default=True)
    limit_w = models.PositiveIntegerField(help_text=_("What the connection allows, in watts."))
    windows = models.JSONField(
        default=list, blank=True,
        help_text=_('Lower limits by time of day: [{"from": "18:00", "to": "22:00", "limit_w": 40000}], local time.'),
    )  # fmt: skip
    other_load_w = models.PositiveIntegerField(default=0, help_text=_("What the building draws; taken off the limit."))
    policy = models.CharField(max_length=8, choices=Policy, default=Policy.DEADLINE)
    safe_percent = models.PositiveSmallIntegerField(
        default=20, validators=[MaxValueValidator(100)],
        help_text=_("Part of the limit shared by all plugs for when we are silent; kept free for each of them."),
    )  # fmt: skip
    due_at = models.DateTimeField(null=True, blank=True, editable=False, help_text=_("Something has changed since."))
    planned_at = models.DateTimeField(null=True, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ChargingSiteQuerySet.as_manager()

    class Meta:
        ordering = ["location_id"]
        constraints = [
            models.CheckConstraint(condition=Q(safe_percent__lte=100), name="safe_share_is_a_percentage"),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="charging_sites_due")]

    def __str__(self) -> str:
        return f"{self.location} · {self.limit_w // 1000} kW"


class ChargingPlan(models.Model):
    """One decision about a site with everything it was based on, so that it can be explained later."""

    site = models.ForeignKey(ChargingSite, models.CASCADE, related_name="plans", db_index=False)
    at = models.DateTimeField()
    reason = models.CharField(max_length=40)
    limit_w = models.PositiveIntegerField(help_text=_("At that moment, without the building."))
    allowed_w = models.PositiveIntegerField(help_text=_("What all plugs together may draw at most, as held."))
    missing = models.PositiveSmallIntegerField(help_text=_("Sessions that will leave with less than they need."))
    inputs = models.JSONField()
    result = models.JSONField()

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["site", "-at"], name="charging_plans_of_a_site"),
            models.Index(fields=["at"], name="charging_plans_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.site_id} {self.at:%Y-%m-%d %H:%M:%S} ({self.reason})"


class HeldProfile(models.Model):
    """The profile of ours that a charger holds at one place: what it accepted, and what it may have accepted.

    `accepted`, `asked` and `unsure` are lists of [from, until, watts] with Unix seconds; `until` null has no end.
    """

    class Purpose(models.TextChoices):
        TX = "tx", _("One session")
        TX_DEFAULT = "tx_default", _("Every session without a profile of its own")
        STATION_MAX = "station_max", _("The whole charger")

    class Verdict(models.TextChoices):
        NONE = "", _("Not asked")
        MATCHES = "matches", _("As wanted")
        DIFFERS = "differs", _("The charger reports more")
        UNREADABLE = "unreadable", _("The answer makes no sense")
        UNANSWERED = "unanswered", _("The charger does not say")

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="held_profiles", db_index=False)
    evse_number = models.PositiveSmallIntegerField(help_text=_("0: the whole charger."))
    purpose = models.CharField(max_length=12, choices=Purpose)
    transaction_ref = models.CharField(max_length=36, blank=True)
    accepted = models.JSONField(null=True, blank=True)
    asked = models.JSONField(null=True, blank=True)
    unsure = models.JSONField(null=True, blank=True, help_text=_("Sent and never answered: it may be in force."))
    command = models.ForeignKey(Command, models.SET_NULL, null=True, blank=True, related_name="+")
    times_asked = models.PositiveIntegerField(default=0)
    accepted_at = models.DateTimeField(null=True, blank=True)
    must_renew = models.BooleanField(default=False, help_text=_("Say it again: the charger may have forgotten it."))
    refusals = models.PositiveSmallIntegerField(default=0, help_text=_("In a row."))
    reason = models.CharField(max_length=120, blank=True, help_text=_("The charger's word when it refused."))
    retry_at = models.DateTimeField(null=True, blank=True)
    verdict = models.CharField(max_length=10, choices=Verdict, blank=True, default=Verdict.NONE)
    check_command = models.ForeignKey(Command, models.SET_NULL, null=True, blank=True, related_name="+")
    checked_at = models.DateTimeField(null=True, blank=True)
    composite = models.JSONField(null=True, blank=True, help_text=_("GetCompositeSchedule, as answered."))
    flaws = models.JSONField(default=list, blank=True, help_text=_("What was odd about that answer."))
    faults = models.PositiveSmallIntegerField(default=0, help_text=_("Times it did not do what it accepted."))
    over_since = models.DateTimeField(null=True, blank=True, help_text=_("Measured power is above the limit."))
    over_w = models.PositiveIntegerField(null=True, blank=True, help_text=_("The power measured then."))

    class Meta:
        ordering = ["charger_id", "evse_number", "purpose"]
        constraints = [
            models.UniqueConstraint("charger", "evse_number", "purpose", name="one_limit_per_place_and_purpose"),
        ]

    def __str__(self) -> str:
        return f"{self.charger_id}/{self.evse_number} {self.purpose}"


class ChargingGoal(models.Model):
    """What somebody wants of one session: how much, by when. Empty fields come from the vehicle's schedule."""

    session = models.OneToOneField(ChargingSession, models.CASCADE, primary_key=True, related_name="charging_goal")
    departure_at = models.DateTimeField(null=True, blank=True)
    target_soc_percent = models.PositiveSmallIntegerField(null=True, blank=True)
    energy_wh = models.PositiveIntegerField(null=True, blank=True, help_text=_("Of the whole session."))
    schedule = models.JSONField(
        default=list, blank=True, editable=False, db_default=[],
        help_text=_(
            "[[from, until, watts]] with Unix seconds: at most so much then, and nothing else; empty: any time."
        ),
    )  # fmt: skip
    actor = models.CharField(max_length=120)
    set_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(target_soc_percent=None) | Q(target_soc_percent__lte=100), name="goal_is_a_percentage"
            )
        ]

    def __str__(self) -> str:
        return f"{self.session_id}: {self.target_soc_percent or '?'} % {self.departure_at or ''}"
