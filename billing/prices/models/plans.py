"""Plans that fleets can subscribe to, and their versions, which never change."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Plan(models.Model):
    """What is offered under one name."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=300, blank=True)
    is_open = models.BooleanField(default=True, help_text=_("Fleets can subscribe to it."))

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class PlanVersion(models.Model):
    """Fee, included energy and price of a plan; never changed (a trigger refuses). Holds at our own chargers."""

    class Pool(models.TextChoices):
        ORGANISATION = "organisation", _("Shared by the whole fleet")
        VEHICLE = "vehicle", _("For each vehicle")

    plan = models.ForeignKey(Plan, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(editable=False)
    fee_paise = models.PositiveBigIntegerField(help_text=_("For one month, without tax."))
    included_wh = models.PositiveBigIntegerField(default=0, help_text=_("In one month, at no further price."))
    pool = models.CharField(max_length=12, choices=Pool, default=Pool.ORGANISATION)
    discount_percent = models.DecimalField(
        max_digits=5, decimal_places=2, default=0, validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text=_("Off the public tariff, for what is not included."),
    )  # fmt: skip
    elements = models.JSONField(
        default=list, blank=True,
        help_text=_("OCPI TariffElement list: its own price, not the discounted public tariff."),
    )  # fmt: skip
    terms = models.JSONField(default=dict, blank=True)
    currency = models.CharField(max_length=3, default="INR")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["plan", "-number"]
        constraints = [
            models.UniqueConstraint("plan", "number", name="one_row_per_plan_version"),
            models.CheckConstraint(
                condition=Q(discount_percent__gte=0, discount_percent__lte=100), name="a_discount_is_a_percentage"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan} v{self.number}"
