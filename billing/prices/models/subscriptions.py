"""Who subscribes to which plan from which day, what was used of it, and what was charged for it."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from billing.prices.models.plans import PlanVersion
from fleetcharge.accounts.models import Organisation
from vehicles.models import Vehicle


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class Subscription(models.Model):
    """From `starts_on` until before `ends_before`, both days in India; its terms say by which plan."""

    class Cycle(models.TextChoices):
        CALENDAR = "calendar", _("Calendar month")
        ANNIVERSARY = "anniversary", _("From the day it began")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="subscriptions")
    cycle = models.CharField(max_length=12, choices=Cycle, default=Cycle.CALENDAR)
    starts_on = models.DateField()
    ends_before = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                "organisation", condition=Q(ends_before=None), name="one_open_subscription_per_organisation"
            ),
            models.CheckConstraint(
                condition=Q(ends_before=None) | Q(ends_before__gte=F("starts_on")),
                name="subscription_ends_after_it_begins",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organisation} · {self.starts_on}"


class SubscriptionTerm(models.Model):
    """From this day on by this version, until the next term. A change on the same day replaces `plan_version`'s row:
    the one with the highest `number` of a day counts, so that no day is ever charged twice."""

    subscription = models.ForeignKey(Subscription, models.PROTECT, related_name="terms")
    number = models.PositiveIntegerField()
    plan_version = models.ForeignKey(PlanVersion, models.PROTECT, related_name="+")
    starts_on = models.DateField()
    request_key = models.CharField(max_length=80, unique=True)
    actor = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["subscription", "number"]
        constraints = [models.UniqueConstraint("subscription", "number", name="one_row_per_subscription_term")]

    def __str__(self) -> str:
        return f"{self.plan_version} · {self.starts_on}"


class AllowanceUse(models.Model):
    """Included energy that a session used up; `vehicle` only where the plan counts by vehicle."""

    subscription = models.ForeignKey(Subscription, models.PROTECT, related_name="uses")
    period_start = models.DateField()
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, null=True, blank=True, related_name="+")
    cdr = models.OneToOneField("billing.CDR", models.PROTECT, related_name="allowance_use")
    started_at = models.DateTimeField(help_text=_("Of the session: included energy is used in this order."))
    wh = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["started_at", "pk"]
        indexes = [models.Index(fields=["subscription", "period_start", "started_at"], name="uses_of_an_allowance")]

    def __str__(self) -> str:
        return f"{self.vehicle or self.subscription}: {self.wh / 1000:.2f} kWh"


class SubscriptionFee(models.Model):
    """What one period of a subscription cost, charged once when it was over; on an invoice later (`document`)."""

    subscription = models.ForeignKey(Subscription, models.PROTECT, related_name="fees")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="subscription_fees")
    period_start = models.DateField()
    period_end = models.DateField(help_text=_("The day after its last one."))
    shares = models.JSONField(help_text=_("[{plan_version, name, days, of_days, fee_paise}]"))
    taxable_paise = models.BigIntegerField()
    cgst_paise = models.BigIntegerField(default=0)
    sgst_paise = models.BigIntegerField(default=0)
    igst_paise = models.BigIntegerField(default=0)
    total_paise = models.BigIntegerField()
    charged_at = models.DateTimeField()
    document = models.ForeignKey(
        "billing.TaxDocument", models.PROTECT, null=True, blank=True, related_name="subscription_fees"
    )

    class Meta:
        ordering = ["-period_start", "-pk"]
        constraints = [
            models.UniqueConstraint("subscription", "period_start", name="one_fee_per_period"),
            models.CheckConstraint(
                condition=Q(
                    total_paise=F("taxable_paise") + F("cgst_paise") + F("sgst_paise") + F("igst_paise"),
                    taxable_paise__gte=0,
                ),
                name="fee_adds_up",
            ),
        ]
        indexes = [models.Index(fields=["period_end"], condition=Q(document=None), name="fees_to_invoice")]

    def __str__(self) -> str:
        return f"{self.subscription} · {self.period_start}"
