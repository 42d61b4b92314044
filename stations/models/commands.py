"""Commands to networks, and what became of them."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from stations.models.networks import Source


class CPOCommand(models.Model):
    """A command we sent to a CPO (OCPI commands module). The result comes later, to an address nobody can guess."""

    class Kind(models.TextChoices):
        RESERVE_NOW = "RESERVE_NOW", _("Reserve")
        CANCEL_RESERVATION = "CANCEL_RESERVATION", _("Cancel reservation")
        START_SESSION = "START_SESSION", _("Start")
        STOP_SESSION = "STOP_SESSION", _("Stop")
        UNLOCK_CONNECTOR = "UNLOCK_CONNECTOR", _("Unlock")
        SET_PROFILE = "SET_PROFILE", _("Set charging profile")
        CLEAR_PROFILE = "CLEAR_PROFILE", _("Clear charging profile")
        ACTIVE_PROFILE = "ACTIVE_PROFILE", _("Ask for the charging profile")
        BOOKING = "BOOKING", _("Book")

    class State(models.TextChoices):
        SENT = "sent", _("Sent")
        CPO_ACCEPTED = "cpo_accepted", _("Taken by the CPO")
        ACCEPTED = "accepted", _("Accepted by the charger")
        REJECTED = "rejected", _("Rejected")
        FAILED = "failed", _("Failed")
        TIMED_OUT = "timed_out", _("No result in time")
        CANCELLED = "cancelled", _("Taken back by the CPO")
        SESSION_SEEN = "session_seen", _("A session followed")

    source = models.ForeignKey(Source, models.CASCADE, related_name="commands")
    kind = models.CharField(max_length=20, choices=Kind)
    state = models.CharField(max_length=14, choices=State, default=State.SENT)
    reservation_key = models.CharField(
        max_length=36, db_index=True, help_text=_("Of a start: its authorization_reference; of a stop: its key.")
    )
    session_ref = models.CharField(max_length=48, blank=True, help_text=_("The CPO's session it is about, or began."))
    response_token_hash = models.CharField(max_length=64, unique=True)
    request = models.JSONField()
    response = models.JSONField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    deadline_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "CPO command"

    def __str__(self) -> str:
        return f"{self.kind} {self.reservation_key} ({self.state})"
