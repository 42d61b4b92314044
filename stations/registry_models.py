"""What several sources say of one thing, which sites may be the same, and whether a network's word proved true."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import User


class Claim(models.Model):
    """What one source (or a person) says of one of our rows; the winner of each field is what we show.

    Kept for rows that more than one source speaks of. `values` holds the fields that are not empty.
    """

    class Kind(models.TextChoices):
        LOCATION = "location", _("Location")
        CONNECTOR = "connector", _("Connector")

    kind = models.CharField(max_length=10, choices=Kind)
    object_id = models.BigIntegerField()
    source = models.ForeignKey(
        "stations.Source", models.CASCADE, null=True, blank=True, related_name="claims",
        help_text=_("Empty: a person said so."),
    )  # fmt: skip
    values = models.JSONField(default=dict)
    source_updated_at = models.DateTimeField(null=True, blank=True, help_text=_("The source's clock."))
    received_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "kind", "object_id", "source", name="one_claim_per_source", nulls_distinct=False
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.source or _('A person')}: {self.kind} {self.object_id}"


class StatusClaim(models.Model):
    """The status of one EVSE as one of several sources tells it; which one is shown is decided with every word."""

    evse = models.ForeignKey("stations.EVSE", models.CASCADE, related_name="status_claims")
    source = models.ForeignKey("stations.Source", models.CASCADE, related_name="+")
    raw_status = models.CharField(max_length=30, blank=True)
    status = models.CharField(max_length=12)
    status_at = models.DateTimeField(help_text=_("The source's clock."))
    heard_at = models.DateTimeField()
    is_shown = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint("evse", "source", name="one_status_claim_per_source")]

    def __str__(self) -> str:
        return f"{self.source}: {self.raw_status or self.status}"


class DuplicateQuerySet(models.QuerySet["Duplicate"]):
    def waiting(self) -> Self:
        return self.filter(state=Duplicate.State.WAITING)


class Duplicate(models.Model):
    """Two sites that may be one. `kept` is the row that stays (or would stay) when they are merged."""

    class State(models.TextChoices):
        WAITING = "waiting", _("To be looked at")
        MERGED = "merged", _("Merged")
        DIFFERENT = "different", _("Two sites")

    kept = models.ForeignKey("stations.Location", models.CASCADE, related_name="+")
    other = models.ForeignKey("stations.Location", models.CASCADE, related_name="+")
    score = models.FloatField(help_text=_("0 to 1; above 0.8 sites are merged by themselves, below 0.25 nobody asks."))
    why = models.JSONField(default=dict, help_text=_("The factors of the score, and what stands against a merge."))
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    moved = models.JSONField(default=dict, blank=True, editable=False, help_text=_("What a merge moved."))
    found_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = DuplicateQuerySet.as_manager()

    class Meta:
        verbose_name = _("possible duplicate")
        verbose_name_plural = _("possible duplicates")
        ordering = ["-score", "pk"]
        constraints = [
            models.UniqueConstraint("kept", "other", name="one_row_per_pair_of_sites"),
            models.CheckConstraint(condition=~Q(kept=F("other")), name="a_site_is_no_duplicate_of_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.kept} = {self.other} ({self.score:.2f})"


class StatusProof(models.Model):
    """A plug that was shown as free was asked for, and was free or was not: evidence of a network's truthfulness."""

    source = models.ForeignKey("stations.Source", models.CASCADE, related_name="proofs")
    connector = models.ForeignKey("stations.Connector", models.CASCADE, related_name="+")
    key = models.CharField(max_length=80, help_text=_("The asking it comes from; each counts once."))
    was_true = models.BooleanField()
    why = models.CharField(max_length=120, blank=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint("source", "key", name="one_proof_per_asking")]
        indexes = [models.Index(fields=["source", "at"], name="proofs_of_a_network")]

    def __str__(self) -> str:
        return f"{self.source}: {'true' if self.was_true else 'untrue'} ({self.why})"

    @staticmethod
    def counted_since(now: datetime) -> datetime:
        """Older evidence says little about how a network is today."""
        return now - timedelta(days=30)
