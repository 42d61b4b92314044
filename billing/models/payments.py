"""Money that comes in and goes back through a payment gateway: what we asked for, what it said, what came of it."""

from typing import Self, TypeVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation, User

OPEN_INTENTS = ("created", "sent", "unknown")


M = TypeVar("M", bound=models.Model)


class OwnedQuerySet(models.QuerySet[M]):
    """Rows of one organisation."""

    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class GatewayCall(models.Model):
    """Something we ask of the gateway once. The row exists before the call, so a crash leaves a trace to follow."""

    key = models.CharField(max_length=40, unique=True, help_text=_("Receipt at the gateway; asking twice is once."))
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.JSONField(default=dict, blank=True, help_text=_("The gateway's last refusal, as it said it."))
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.key


class PaymentIntent(GatewayCall):
    """A payment that we want: an order a payer fulfils, or a debit of a mandate. Never repeated while unsure."""

    class Kind(models.TextChoices):
        ORDER = "order", _("Top-up")
        DEBIT = "debit", _("Mandate debit")

    class State(models.TextChoices):
        CREATED = "created", _("Not sent yet")
        SENT = "sent", _("Waiting for the payment")
        UNKNOWN = "unknown", _("Outcome unknown")
        CONFIRMED = "confirmed", _("Paid")
        FAILED = "failed", _("Failed")

    class Step(models.TextChoices):
        ORDER = "order", _("Order")
        PAYMENT = "payment", _("Payment")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="payment_intents")
    kind = models.CharField(max_length=8, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.CREATED)
    step = models.CharField(max_length=8, choices=Step, default=Step.ORDER, help_text=_("The call that is under way."))
    amount_paise = models.BigIntegerField()
    mandate = models.ForeignKey("billing.Mandate", models.PROTECT, null=True, blank=True, related_name="debits")
    order_id = models.CharField(max_length=40, null=True, blank=True, unique=True)
    payment_id = models.CharField(max_length=40, null=True, blank=True, unique=True)
    debit_due_at = models.DateTimeField(null=True, blank=True, help_text=_("The 25th hour after the payer was told."))
    expires_at = models.DateTimeField(help_text=_("Nobody pays it after this; it is looked at once more and closed."))
    settled_at = models.DateTimeField(null=True, blank=True)
    asked_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=200, blank=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount_paise__gt=0), name="intent_amount_is_positive"),
            models.CheckConstraint(
                condition=Q(kind="debit", mandate__isnull=False) | Q(kind="order", mandate=None),
                name="a_debit_has_a_mandate",
            ),
            models.UniqueConstraint("mandate", condition=Q(state__in=OPEN_INTENTS), name="one_open_debit_per_mandate"),
            models.CheckConstraint(
                condition=~Q(state="confirmed") | Q(payment_id__isnull=False), name="a_paid_intent_has_its_payment"
            ),
            models.CheckConstraint(
                condition=Q(state="created") | Q(sent_at__isnull=False), name="an_outcome_comes_after_the_call"
            ),
        ]
        indexes = [
            models.Index(fields=["next_try_at"], condition=Q(state__in=OPEN_INTENTS), name="open_intents_by_time"),
            models.Index(fields=["organisation", "-created_at"], name="intents_of_an_organisation"),
        ]


class PaymentReceiver(GatewayCall):
    """A place of an organisation where money arrives by itself: a UPI QR code, or a bank account number."""

    class Kind(models.TextChoices):
        QR = "qr", _("UPI QR code")
        VIRTUAL_ACCOUNT = "virtual_account", _("Bank account for NEFT, RTGS, IMPS")

    class State(models.TextChoices):
        CREATED = "created", _("Not sent yet")
        SENT = "sent", _("Being opened")
        UNKNOWN = "unknown", _("Outcome unknown")
        ACTIVE = "active", _("Open")
        CLOSED = "closed", _("Closed")
        FAILED = "failed", _("Refused")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="payment_receivers")
    kind = models.CharField(max_length=16, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.CREATED)
    amount_paise = models.BigIntegerField(null=True, blank=True, help_text=_("None: any amount."))
    gateway_id = models.CharField(max_length=40, null=True, blank=True, unique=True)
    details = models.JSONField(default=dict, blank=True, help_text=_("What a payer needs: account and IFSC, UPI link."))
    allowed_payers = models.JSONField(default=list, blank=True)
    closes_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_paise=None) | Q(amount_paise__gt=0), name="receiver_amount_is_positive"
            ),
            models.UniqueConstraint(
                "organisation",
                condition=Q(kind="virtual_account", state__in=[*OPEN_INTENTS, "active"]),
                name="one_open_virtual_account",
            ),
            models.CheckConstraint(
                condition=~Q(state="active") | Q(gateway_id__isnull=False), name="an_open_receiver_is_known_there"
            ),
        ]


class GatewayPayment(models.Model):
    """A payment as the gateway last said it; its state only moves forward, whatever order the news comes in."""

    class Status(models.TextChoices):
        CREATED = "created", _("Begun")
        AUTHORISED = "authorized", _("Authorised")
        FAILED = "failed", _("Failed")
        CAPTURED = "captured", _("Paid")
        REFUNDED = "refunded", _("Given back")

    payment_id = models.CharField(max_length=40, unique=True)
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, null=True, blank=True, related_name="gateway_payments"
    )
    intent = models.ForeignKey(PaymentIntent, models.PROTECT, null=True, blank=True, related_name="payments")
    receiver = models.ForeignKey(PaymentReceiver, models.PROTECT, null=True, blank=True, related_name="payments")
    order_id = models.CharField(max_length=40, blank=True)
    method = models.CharField(max_length=30, blank=True)
    currency = models.CharField(max_length=3, default="INR")
    amount_paise = models.BigIntegerField()
    fee_paise = models.BigIntegerField(default=0, help_text=_("With its GST."))
    tax_paise = models.BigIntegerField(default=0)
    refunded_paise = models.BigIntegerField(default=0)
    status = models.CharField(max_length=12, choices=Status)
    error_reason = models.CharField(max_length=80, blank=True)
    paid_at = models.DateTimeField(help_text=_("When the gateway says it began."))
    seen_at = models.DateTimeField(default=timezone.now)
    credited_at = models.DateTimeField(null=True, blank=True)
    next_look_at = models.DateTimeField(null=True, blank=True, help_text=_("Nobody knows yet whose it is."))
    looks = models.PositiveSmallIntegerField(default=0)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount_paise__gt=0), name="payment_amount_is_positive"),
            models.CheckConstraint(
                condition=Q(refunded_paise__gte=0, refunded_paise__lte=F("amount_paise")),
                name="no_more_is_given_back_than_was_paid",
            ),
            models.CheckConstraint(
                condition=Q(credited_at=None) | Q(organisation__isnull=False), name="credited_money_has_an_owner"
            ),
        ]
        indexes = [
            models.Index(fields=["next_look_at"], condition=Q(next_look_at__isnull=False), name="payments_to_look_at"),
            models.Index(fields=["order_id"], name="payments_of_an_order"),
        ]

    def __str__(self) -> str:
        return self.payment_id


class GatewayEvent(models.Model):
    """The inbox of webhooks: raw, once per event id, acknowledged when it is committed, handled when there is time."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Handled")
        PARKED = "parked", _("Not of interest")
        DEAD = "dead", _("Given up, a person must look")

    event_id = models.CharField(max_length=80, unique=True)
    name = models.CharField(max_length=60, blank=True)
    raw = models.BinaryField()
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    received_at = models.DateTimeField()
    next_try_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["next_try_at", "id"], condition=Q(state="waiting"), name="waiting_events")]

    def __str__(self) -> str:
        return f"{self.name} {self.event_id}"


class Refund(GatewayCall):
    """Unspent money back to where it came from. One asks, another approves; then it is sent like any payment."""

    class State(models.TextChoices):
        ASKED = "asked", _("Waits for a second person")
        DECLINED = "declined", _("Declined")
        CREATED = "created", _("Approved, not sent yet")
        SENT = "sent", _("On its way")
        UNKNOWN = "unknown", _("Outcome unknown")
        CONFIRMED = "confirmed", _("Given back")
        FAILED = "failed", _("Failed")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="refunds")
    payment = models.ForeignKey(GatewayPayment, models.PROTECT, related_name="refunds")
    state = models.CharField(max_length=10, choices=State, default=State.ASKED)
    amount_paise = models.BigIntegerField()
    refund_id = models.CharField(max_length=40, null=True, blank=True, unique=True)
    reason = models.CharField(max_length=200)
    asked_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount_paise__gt=0), name="refund_amount_is_positive"),
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(decided_by=F("asked_by")), name="a_refund_has_four_eyes"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["asked", "declined"]) | Q(decided_by__isnull=False),
                name="a_refund_is_decided_before_it_is_sent",
            ),
        ]


class PaymentDispute(models.Model):
    """A payer's bank wants the money back: it lies in suspense until that is decided."""

    dispute_id = models.CharField(max_length=40, unique=True)
    payment = models.ForeignKey(GatewayPayment, models.PROTECT, related_name="disputes")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="payment_disputes")
    amount_paise = models.BigIntegerField()
    status = models.CharField(max_length=20)
    reason_code = models.CharField(max_length=80, blank=True)
    respond_by = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [models.CheckConstraint(condition=Q(amount_paise__gt=0), name="dispute_amount_is_positive")]

    def __str__(self) -> str:
        return self.dispute_id
