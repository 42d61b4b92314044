"""A letter to one person about one fact: written with the fact, sent once."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation, User


class Letter(models.Model):
    """An outbox row. A worker that dies while it hands the letter over leaves `unsure`: it may be there already, so it
    is not sent again.
    """

    class Kind(models.TextChoices):
        WALLET_LOW = "wallet_low", _("Wallet is low")
        MANDATE_FAILED = "mandate_failed", _("Mandate does not pay")
        TOP_UP_SHORT = "top_up_short", _("Automatic top-up cannot keep up")
        REFUND_FAILED = "refund_failed", _("Refund failed")
        INVOICE_ISSUED = "invoice_issued", _("Invoice or note issued")
        APPROVAL_ASKED = "approval_asked", _("A second person is asked")
        APPROVAL_DECIDED = "approval_decided", _("A wish was decided")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENDING = "sending", _("Being sent")
        SENT = "sent", _("Sent")
        UNSURE = "unsure", _("Perhaps sent")
        GIVEN_UP = "given_up", _("Given up")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="+")
    address = models.EmailField()
    language = models.CharField(max_length=5, default="en")
    kind = models.CharField(max_length=20, choices=Kind)
    key = models.CharField(max_length=120, help_text=_("The fact; an address hears of it once."))
    facts = models.JSONField(default=dict, help_text=_("What it says."))
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(
        default=timezone.now, help_text=_("While it is being sent: the end of the lease.")
    )
    error = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint("address", "kind", "key", name="one_letter_per_address_and_fact"),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False) | ~Q(state="sent"), name="a_sent_letter_has_its_time"
            ),
        ]
        indexes = [
            models.Index(fields=["next_try_at"], condition=Q(state__in=["waiting", "sending"]), name="letters_to_send")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} → {self.address}"
