"""What stands behind verdicts: lines drawn by organisations, true points of stations, earlier verdicts, work to do."""

from datetime import date
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.sessions import ChargingSession, ReconciliationVerdict
from fleetcharge.accounts.models import Organisation, User
from stations.models import Location


class RuleTermsQuerySet(models.QuerySet["RuleTerms"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class RuleTerms(models.Model):
    """Where an organisation draws the lines of the rules, from a day on. Appended only; a trigger refuses change."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="rule_terms")
    valid_from = models.DateField(help_text=_("Sessions that began on this day or later, in India."))
    changes = models.JSONField(default=dict, help_text=_("{name: whole number}; what is not named keeps its default."))
    reason = models.CharField(max_length=500)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects = RuleTermsQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "rule terms"
        ordering = ["-valid_from", "-pk"]
        indexes = [models.Index(fields=["organisation", "-valid_from", "-id"], name="rule_terms_in_force")]

    def __str__(self) -> str:
        return f"{self.organisation} · {self.valid_from}"

    def is_in_force(self, day: date) -> bool:
        return self.valid_from <= day


class StationPoint(models.Model):
    """Where vehicles really stand at a site: learned from sessions of proven presence, or proposed by near misses."""

    class State(models.TextChoices):
        LEARNED = "learned", _("Learned, in use")
        PROPOSED = "proposed", _("Proposed")
        ACCEPTED = "accepted", _("Accepted, in use")
        REFUSED = "refused", _("Refused")

    location = models.OneToOneField(Location, models.CASCADE, primary_key=True, related_name="true_point")
    latitude_e7 = models.IntegerField()
    longitude_e7 = models.IntegerField()
    spread_m = models.PositiveIntegerField(help_text=_("Nine of ten stood closer than this."))
    off_m = models.PositiveIntegerField(help_text=_("From the coordinates that its network tells."))
    sessions = models.PositiveIntegerField()
    vehicles = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=State)
    learned_at = models.DateTimeField()
    decided_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    decision_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-learned_at"]
        indexes = [models.Index(fields=["state"], condition=Q(state="proposed"), name="proposed_points")]

    def __str__(self) -> str:
        return f"{self.location} · {self.off_m} m"


class PastVerdict(models.Model):
    """A verdict that a later one replaced, as it stood. Appended only; a trigger refuses change."""

    session = models.ForeignKey(ChargingSession, models.PROTECT, related_name="past_verdicts")
    verdict = models.CharField(max_length=12, choices=ReconciliationVerdict.Verdict)
    points = models.PositiveIntegerField()
    findings = models.JSONField(default=list)
    evidence = models.JSONField(default=dict)
    thresholds = models.JSONField(default=dict)
    ruleset_version = models.CharField(max_length=20)
    input_hash = models.CharField(max_length=64)
    decided_at = models.DateTimeField()
    replaced_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.session_id}: {self.verdict} ({self.ruleset_version})"


class VerdictWork(models.Model):
    """A session that a worker is judging, or could not judge: who comes first has it until the lease runs out."""

    session = models.OneToOneField(ChargingSession, models.CASCADE, primary_key=True, related_name="+")
    leased_until = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.session_id} until {self.leased_until}"
