"""One piece of work that must happen, until it has."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.ids import short


class Job(models.Model):
    """Waiting, leased to a worker, or dead after too many attempts. What is done is deleted."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DEAD = "dead", _("Given up")

    kind = models.CharField(max_length=40)
    key = models.CharField(max_length=120, help_text=_("What it is about; one job per kind and key."))
    organisation = models.ForeignKey(Organisation, models.CASCADE, null=True, blank=True, related_name="+")
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(
        default=timezone.now, help_text=_("While it is worked on: the end of the lease.")
    )
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    died_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["next_try_at"]
        constraints = [
            models.UniqueConstraint("kind", "key", name="one_job_per_key"),
            models.CheckConstraint(
                condition=Q(state="dead", died_at__isnull=False) | Q(state="waiting", died_at=None),
                name="job_died_or_waits",
            ),
        ]
        indexes = [models.Index(F("next_try_at"), F("id"), condition=Q(state="waiting"), name="jobs_to_do")]

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {short(self.key)}"
