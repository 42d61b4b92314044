"""The corporate wallet and the money held for running sessions. The database refuses an overdraft."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.ledger import LedgerAccount
from fleetcharge.accounts.models import Organisation


class Wallet(models.Model):
    """Projection of one `wallet:<org>` account. `posted - held + credit_limit` can never fall below zero."""

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        HOLD_ONLY = "hold_only", _("No new sessions")
        FROZEN = "frozen", _("Frozen")

    class WhenShort(models.TextChoices):
        STOP = "stop", _("Stop at what is held, and tell finance")
        ALLOW_CREDIT = "allow_credit", _("Charge on; the rest is owed")
        ALERT = "alert", _("Charge on, and tell finance")

    account = models.OneToOneField(LedgerAccount, models.PROTECT, primary_key=True, related_name="wallet")
    organisation = models.OneToOneField(Organisation, models.PROTECT, related_name="wallet")
    posted_paise = models.BigIntegerField(default=0)
    held_paise = models.BigIntegerField(default=0)
    credit_limit_paise = models.BigIntegerField(default=0)
    low_threshold_paise = models.BigIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    when_short = models.CharField(
        max_length=12, choices=WhenShort, default=WhenShort.ALERT,
        help_text=_("When no more can be held for a session that runs."),
    )  # fmt: skip
    low_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text=_("Below the warning limit since then, and somebody was told.")
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(held_paise__gte=0), name="held_money_is_not_negative"),
            models.CheckConstraint(condition=Q(credit_limit_paise__gte=0), name="credit_limit_is_not_negative"),
            models.CheckConstraint(
                condition=Q(posted_paise__gte=F("held_paise") - F("credit_limit_paise")), name="wallet_is_not_overdrawn"
            ),
        ]

    def __str__(self) -> str:
        return str(self.organisation)

    @property
    def available_paise(self) -> int:
        return self.posted_paise - self.held_paise + self.credit_limit_paise


class Hold(models.Model):
    """Money set aside for one session, so that it cannot be spent twice."""

    class State(models.TextChoices):
        ACTIVE = "active", _("Held")
        CAPTURED = "captured", _("Captured")
        RELEASED = "released", _("Released")

    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="holds")
    session_key = models.CharField(max_length=64, unique=True)
    amount_paise = models.BigIntegerField()
    energy_wh = models.BigIntegerField(default=0, help_text=_("Reserved on the limits together with the money."))
    limits = models.JSONField(
        default=dict, blank=True, help_text=_("The limits it is reserved on, as they were when it began.")
    )
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount_paise__gte=0), name="hold_amount_is_not_negative")]
        indexes = [models.Index(fields=["expires_at"], condition=Q(state="active"), name="active_holds_by_expiry")]

    def __str__(self) -> str:
        return f"{self.session_key.replace(':', ' ')} ({self.get_state_display()})"
