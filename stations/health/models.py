"""How well each unit works, day by day, and what is being done about those that do not."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation, User
from stations.models.chargers import Charger
from stations.models.connectors import EVSE


class Cause(models.TextChoices):
    """Names of stations/health/score.py."""

    FAILED_STARTS = "failed_starts", _("Starts fail")
    SHORT_SESSIONS = "short_sessions", _("Sessions end at once")
    FAULTS = "faults", _("Reports faults")
    SILENCE = "silence", _("Falls silent")
    RECONNECTS = "reconnects", _("Keeps reconnecting")
    FLAPPING = "flapping", _("Status keeps changing")
    POWER_DRIFT = "power_drift", _("Gives less power than before")


class EvseHealthQuerySet(models.QuerySet["EvseHealth"]):
    def failing_but_available(self) -> Self:
        """They fail whoever comes, and a plug of theirs says that it is free."""
        plugs = Q(evse__connectors__status="available", evse__connectors__is_removed=False)
        return self.filter(plugs, is_failing=True, evse__is_removed=False).distinct()


class EvseHealth(models.Model):
    """The latest word on one unit, of whatever network; none where nothing is known of it."""

    evse = models.OneToOneField(EVSE, models.CASCADE, primary_key=True, related_name="health")
    score = models.PositiveSmallIntegerField(help_text=_("0 to 100: full marks less the penalties."))
    p_unusable = models.FloatField(help_text=_("Chance that it cannot be used by who comes now."))
    is_failing = models.BooleanField(default=False, help_text=_("It fails whoever comes, whatever status it shows."))
    penalties = models.JSONField(default=list, help_text=_("[{cause, points, figure}], the heaviest first."))
    features = models.JSONField(default=dict, help_text=_("The figures that the penalties rest on."))
    judged_at = models.DateTimeField()

    objects = EvseHealthQuerySet.as_manager()

    class Meta:
        verbose_name = _("charger health")
        verbose_name_plural = _("charger health")
        ordering = ["score", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(score__lte=100), name="a_score_is_of_100"),
            models.CheckConstraint(condition=Q(p_unusable__gte=0, p_unusable__lte=1), name="unusable_is_a_chance"),
        ]
        indexes = [models.Index(fields=["score"], name="worst_units_first")]

    def __str__(self) -> str:
        return f"{self.evse}: {self.score}"


class HealthDay(models.Model):
    """The same at the end of each day (UTC)."""

    evse = models.ForeignKey(EVSE, models.CASCADE, related_name="health_days")
    on = models.DateField()
    score = models.PositiveSmallIntegerField()
    p_unusable = models.FloatField()
    penalties = models.JSONField(default=list)
    features = models.JSONField(default=dict)

    class Meta:
        ordering = ["-on"]
        constraints = [models.UniqueConstraint("evse", "on", name="one_health_per_day")]

    def __str__(self) -> str:
        return f"{self.evse_id} {self.on}: {self.score}"


class SocketDay(models.Model):
    """How far a charger's count of sockets had come by the last look of each day (UTC)."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="+")
    on = models.DateField()
    first_epoch = models.BigIntegerField()
    last_epoch = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint("charger", "on", name="one_count_of_sockets_per_day")]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.on}: {self.last_epoch - self.first_epoch}"


class MaintenanceTicketQuerySet(models.QuerySet["MaintenanceTicket"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def open(self) -> Self:
        return self.filter(closed_at=None)

    def without_slot(self, now: datetime) -> Self:
        """Open, and the proposed time has passed or was never proposed."""
        return self.open().filter(
            Q(slot_starts_at=None) | Q(slot_starts_at__lt=now, state=MaintenanceTicket.State.OPEN)
        )


class MaintenanceTicket(models.Model):
    """Something is to be done at one of our chargers. One open ticket per charger and cause, by constraint."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        PLANNED = "planned", _("Planned")
        IN_WORK = "in_work", _("Being worked on")
        DONE = "done", _("Done")
        HEALED = "healed", _("Works again by itself")
        DISMISSED = "dismissed", _("Nothing to be done")

    CLOSED_STATES = ("done", "healed", "dismissed")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="maintenance_tickets")
    charger = models.ForeignKey(Charger, models.PROTECT, related_name="maintenance_tickets")
    cause = models.CharField(max_length=20, choices=Cause)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    score = models.PositiveSmallIntegerField(help_text=_("Of its worst unit, when last looked at."))
    evidence = models.JSONField(default=dict, help_text=_("The penalty and the figures that opened it."))
    assignee = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    slot_starts_at = models.DateTimeField(null=True, blank=True, help_text=_("When least use is expected."))
    slot_ends_at = models.DateTimeField(null=True, blank=True)
    slot_busy_share = models.FloatField(null=True, blank=True, help_text=_("Expected share of it with a vehicle."))
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    close_reason = models.CharField(max_length=200, blank=True)

    objects = MaintenanceTicketQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint("charger", "cause", condition=Q(closed_at=None), name="one_open_ticket_per_cause"),
            models.CheckConstraint(
                condition=Q(closed_at=None, state__in=("open", "planned", "in_work"))
                | Q(closed_at__isnull=False, state__in=("done", "healed", "dismissed")),
                name="a_ticket_is_closed_or_open",
            ),
            models.CheckConstraint(
                condition=Q(slot_starts_at=None, slot_ends_at=None) | Q(slot_ends_at__gt=F("slot_starts_at")),
                name="a_slot_lasts",
            ),
        ]
        indexes = [models.Index(fields=["organisation", "-opened_at"], name="tickets_of_an_organisation")]

    def __str__(self) -> str:
        return f"{self.charger}: {self.get_cause_display()}"


class TicketNote(models.Model):
    """What was done or found; appended only. `author` None: FleetCharge itself."""

    ticket = models.ForeignKey(MaintenanceTicket, models.CASCADE, related_name="notes")
    author = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    text = models.CharField(max_length=1000)
    at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.text[:60]
