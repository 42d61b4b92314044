"""Standing authority to debit a payer (UPI AutoPay, e-mandate, NACH), its rules by date, and who tops up by itself."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.payments import GatewayCall, OwnedQuerySet
from fleetcharge.accounts.models import Organisation, User


class Mandate(GatewayCall):
    """What a payer allowed, and how it goes. `state` follows the gateway's token; `call` is our request for it."""

    class Kind(models.TextChoices):
        UPI = "upi", _("UPI AutoPay")
        EMANDATE = "emandate", _("E-mandate on a bank account")
        NACH = "nach", _("NACH on a bank account")

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        LINK_SENT = "link_sent", _("Link sent to the payer")
        INITIATED = "initiated", _("The payer has begun")
        CONFIRMED = "confirmed", _("In force")
        PAUSED = "paused", _("Paused by the payer")
        REJECTED = "rejected", _("Refused")
        CANCELLED = "cancelled", _("Cancelled")
        EXPIRED = "expired", _("Expired")
        EXHAUSTED = "exhausted", _("Used up")

    class Call(models.TextChoices):
        CREATED = "created", _("Not sent yet")
        SENT = "sent", _("Sent")
        UNKNOWN = "unknown", _("Outcome unknown")
        DONE = "done", _("Done")
        FAILED = "failed", _("Refused")

    FINAL = ("rejected", "cancelled", "expired", "exhausted")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="mandates")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.UPI)
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    call = models.CharField(max_length=8, choices=Call, default=Call.CREATED)
    frequency = models.CharField(max_length=20, default="as_presented")
    max_amount_paise = models.BigIntegerField(help_text=_("Per debit."))
    total_limit_paise = models.BigIntegerField(null=True, blank=True, help_text=_("Of all debits together."))
    payer_name = models.CharField(max_length=80)
    payer_email = models.EmailField()
    payer_contact = models.CharField(max_length=20)
    customer_id = models.CharField(max_length=40, blank=True)
    link_id = models.CharField(max_length=40, blank=True)
    link_url = models.CharField(max_length=300, blank=True)
    token_id = models.CharField(max_length=40, null=True, blank=True, unique=True)
    payer_account = models.CharField(max_length=80, blank=True, help_text=_("UPI address or bank, shortened."))
    news_at = models.DateTimeField(null=True, blank=True, help_text=_("Of the newest word about it; older is ignored."))
    confirmed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=160, blank=True)
    cancel_asked_at = models.DateTimeField(null=True, blank=True, help_text=_("No debit is begun after this."))
    rests_since = models.DateTimeField(
        null=True, blank=True, help_text=_("Paused by the fleet itself: no debit is begun until it is resumed.")
    )
    last_debit_state = models.CharField(max_length=10, blank=True)
    next_allowed_at = models.DateTimeField(null=True, blank=True, help_text=_("No debit is begun before."))
    consecutive_failures = models.PositiveSmallIntegerField(default=0)
    is_told = models.BooleanField(default=False, help_text=_("Finance was told that it fails."))
    asked_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(max_amount_paise__gt=0), name="mandate_amount_is_positive"),
            models.CheckConstraint(
                condition=Q(frequency="as_presented") | ~Q(kind="upi"), name="a_top_up_mandate_is_as_presented"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["confirmed", "paused"]) | Q(token_id__isnull=False),
                name="a_mandate_in_force_has_a_token",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["rejected", "cancelled", "expired", "exhausted"]) | Q(ended_at__isnull=False),
                name="a_mandate_that_is_over_has_its_end",
            ),
        ]

    @property
    def is_over(self) -> bool:
        return self.state in self.FINAL


class PaymentRule(models.Model):
    """A rule of the regulator or the scheme, in force from a day on. Never edited: a new day is a new row."""

    class Name(models.TextChoices):
        AFA_FREE = "afa_free_paise", _("Debit without approval by the payer, up to (paise)")
        NOTICE = "notice_hours", _("Payer is told before a debit (hours)")
        DEBIT_AFTER = "debit_after_hours", _("Debit in the hour after the notice (hours)")
        DEBIT_UNTIL = "debit_until_hours", _("Debit is over by then (hours)")
        MANDATE_MAX = "mandate_max_paise", _("Most that a mandate may allow per debit (paise)")

    name = models.CharField(max_length=20, choices=Name)
    kind = models.CharField(max_length=10, choices=Mandate.Kind)
    value = models.BigIntegerField()
    valid_from = models.DateField()
    source = models.CharField(max_length=200)

    class Meta:
        ordering = ["name", "kind", "-valid_from"]
        constraints = [
            models.UniqueConstraint("name", "kind", "valid_from", name="one_rule_per_day"),
            models.CheckConstraint(condition=Q(value__gte=0), name="rule_value_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.get_name_display()}, {self.get_kind_display()}"


class AutoTopUp(models.Model):
    """An organisation whose wallet is filled before it runs dry, a debit's day ahead."""

    organisation = models.OneToOneField(Organisation, models.PROTECT, related_name="auto_top_up")
    is_active = models.BooleanField(default=True)
    safety_paise = models.BigIntegerField(help_text=_("What shall be left when the debit arrives."))
    cover_hours = models.PositiveSmallIntegerField(
        default=72, help_text=_("A debit covers the spend of so many hours.")
    )
    next_look_at = models.DateTimeField(default=timezone.now)
    looked_at = models.DateTimeField(null=True, blank=True)
    found = models.JSONField(default=dict, blank=True, help_text=_("The last forecast and what came of it."))

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(safety_paise__gte=0), name="safety_is_not_negative")]

    def __str__(self) -> str:
        return str(self.organisation)
