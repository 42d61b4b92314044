"""A depot's supply, the utility's readings and bills for it, and each version of who bears what."""

from typing import Any, Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation, User


class OwnedQuerySet(models.QuerySet[Any]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class UtilitySupply(models.Model):
    """One connection of a depot to the grid, and how its bills are divided among the sessions of the site."""

    class Demand(models.TextChoices):
        PEAK = "peak", _("By the share in the peak block")
        KWH = "kwh", _("By energy")
        EQUAL = "equal", _("Equally")

    class Losses(models.TextChoices):
        KWH = "kwh", _("By energy")
        DEPOT = "depot", _("The depot bears them")

    class Fixed(models.TextChoices):
        VEHICLE_DAY = "vehicle_day", _("By days on which a vehicle charged")
        KWH = "kwh", _("By energy")
        EQUAL = "equal", _("Equally")

    class Block(models.IntegerChoices):
        QUARTER = 15, _("15 minutes")
        HALF = 30, _("30 minutes")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="utility_supplies")
    location = models.OneToOneField("stations.Location", models.PROTECT, related_name="utility_supply")
    utility = models.CharField(max_length=80, help_text=_("Who sends the bill, e.g. BESCOM."))
    consumer_number = models.CharField(max_length=40)
    sanctioned_va = models.PositiveIntegerField(default=0, help_text=_("Sanctioned load in VA; 0: not known."))
    contract_va = models.PositiveIntegerField(default=0, help_text=_("Contract demand in VA; 0: not known."))
    slots = models.JSONField(
        default=list, blank=True, help_text=_('[{"name": "Peak", "from": "18:00", "to": "22:00"}, …]; empty: one.')
    )
    block_minutes = models.PositiveSmallIntegerField(choices=Block, default=Block.QUARTER)
    demand_rule = models.CharField(max_length=12, choices=Demand, default=Demand.PEAK)
    losses_rule = models.CharField(max_length=12, choices=Losses, default=Losses.KWH)
    fixed_rule = models.CharField(max_length=12, choices=Fixed, default=Fixed.VEHICLE_DAY)
    loss_alarm_percent = models.PositiveSmallIntegerField(default=8)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["location__name"]
        verbose_name_plural = "utility supplies"
        constraints = [
            models.UniqueConstraint("organisation", "utility", "consumer_number", name="one_supply_per_consumer_number")
        ]

    def __str__(self) -> str:
        return f"{self.location} · {self.consumer_number}"


class UtilityReading(models.Model):
    """Energy over an interval, as the utility's meter recorded it (ESPI IntervalReading)."""

    supply = models.ForeignKey(UtilitySupply, models.PROTECT, related_name="readings")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    energy_wh = models.BigIntegerField()
    quality = models.PositiveSmallIntegerField(default=0, help_text=_("ESPI QualityOfReading; 0: valid."))

    class Meta:
        ordering = ["supply", "starts_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")) & Q(energy_wh__gte=0), name="utility_reading_is_possible"
            ),
            ExclusionConstraint(
                name="utility_readings_do_not_overlap",
                expressions=[
                    (Func("starts_at", "ends_at", function="TSTZRANGE", output_field=DateTimeRangeField()),
                     RangeOperators.OVERLAPS),
                    ("supply", RangeOperators.EQUAL),
                ],
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.starts_at:%d %b %H:%M}: {self.energy_wh} Wh"


class UtilityBill(models.Model):
    """A bill as it came. Never edited: a wrong one is withdrawn with a reason and entered again."""

    class Origin(models.TextChoices):
        FORM = "form", _("Entered by hand")
        CSV = "csv", _("Imported from CSV")
        GREEN_BUTTON = "green_button", _("Imported from Green Button")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="utility_bills")
    supply = models.ForeignKey(UtilitySupply, models.PROTECT, related_name="bills")
    number = models.CharField(max_length=40)
    starts_on = models.DateField()
    ends_on = models.DateField(help_text=_("The last day that it covers."))
    due_on = models.DateField(null=True, blank=True)
    recorded_va = models.PositiveIntegerField(default=0, help_text=_("Recorded maximum demand in VA."))
    billing_va = models.PositiveIntegerField(default=0, help_text=_("Billing demand in VA."))
    charges_paise = models.BigIntegerField(help_text=_("Of this period: what is divided."))
    arrears_paise = models.BigIntegerField(default=0, help_text=_("Of earlier bills: paid with it, not divided again."))
    slots = models.JSONField(default=list, help_text=_("As the supply had them when the bill came."))
    origin = models.CharField(max_length=12, choices=Origin)
    created_by = models.CharField(max_length=120)
    created_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_because = models.CharField(max_length=500, blank=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["-starts_on"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_on__gte=F("starts_on")), name="utility_bill_covers_a_day"),
            models.UniqueConstraint(
                "supply", "number", condition=Q(withdrawn_at=None), name="one_utility_bill_per_number"
            ),
            ExclusionConstraint(
                name="utility_bills_do_not_overlap",
                expressions=[
                    (Func("starts_on", "ends_on", models.Value("[]"), function="DATERANGE",
                          output_field=DateRangeField()), RangeOperators.OVERLAPS),
                    ("supply", RangeOperators.EQUAL),
                ],
                condition=Q(withdrawn_at=None),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.number} ({self.starts_on:%d %b %Y} – {self.ends_on:%d %b %Y})"

    @property
    def payable_paise(self) -> int:
        return self.charges_paise + self.arrears_paise


class UtilityCharge(models.Model):
    """One line of a bill. Kinds are those of billing/utility/allocation.py."""

    class Kind(models.TextChoices):
        ENERGY = "energy", _("Energy")
        FIXED = "fixed", _("Fixed charge")
        DEMAND = "demand", _("Demand charge")
        DEMAND_PENALTY = "demand_penalty", _("Demand beyond the contract")
        FUEL = "fuel", _("Fuel surcharge")
        POWER_FACTOR = "power_factor", _("Power factor incentive or penalty")
        DUTY = "duty", _("Electricity duty")
        LATE_FEE = "late_fee", _("Late fee")
        OTHER = "other", _("Other charges")
        ARREARS = "arrears", _("Arrears")

    bill = models.ForeignKey(UtilityBill, models.PROTECT, related_name="charges")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=14, choices=Kind)
    slot = models.CharField(max_length=20, blank=True)
    energy_wh = models.BigIntegerField(null=True, blank=True)
    apparent_vah = models.BigIntegerField(null=True, blank=True)
    amount_paise = models.BigIntegerField()

    class Meta:
        ordering = ["bill", "position"]
        constraints = [models.UniqueConstraint("bill", "position", name="one_utility_charge_per_position")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.slot}".strip()


class UtilityAllocation(models.Model):
    """One version of a bill's division. The parts never change; what they rest on is in `input_hash`."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="utility_allocations")
    bill = models.ForeignKey(UtilityBill, models.PROTECT, related_name="allocations")
    version = models.PositiveSmallIntegerField()
    rules = models.JSONField()
    figures = models.JSONField(help_text=_("Metered and charged energy, loss, the peak and its blocks."))
    input_hash = models.CharField(max_length=64)
    total_paise = models.BigIntegerField()
    made_by = models.CharField(max_length=120)
    made_at = models.DateTimeField()
    posted_at = models.DateTimeField(null=True, blank=True)
    posted_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    reversed_at = models.DateTimeField(null=True, blank=True, help_text=_("Another version took its place."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["bill", "-version"]
        constraints = [
            models.UniqueConstraint("bill", "version", name="one_utility_allocation_per_version"),
            models.UniqueConstraint(
                "bill", condition=Q(posted_at__isnull=False, reversed_at=None), name="one_posted_utility_allocation"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.bill} · {self.version}"

    @property
    def is_in_ledger(self) -> bool:
        return self.posted_at is not None and self.reversed_at is None


class UtilityShare(models.Model):
    """What one session bears of a bill; without a session: the depot itself. Appended only (a trigger refuses)."""

    allocation = models.ForeignKey(UtilityAllocation, models.PROTECT, related_name="shares")
    session = models.ForeignKey("billing.ChargingSession", models.PROTECT, null=True, blank=True, related_name="+")
    vehicle = models.ForeignKey("vehicles.Vehicle", models.PROTECT, null=True, blank=True, related_name="+")
    is_guest = models.BooleanField(default=False, help_text=_("A vehicle of another fleet, which stays unnamed."))
    cost_centre = models.CharField(max_length=40, blank=True)
    energy_wh = models.BigIntegerField()
    peak_wh = models.BigIntegerField()
    energy_paise = models.BigIntegerField()
    losses_paise = models.BigIntegerField()
    demand_paise = models.BigIntegerField()
    fixed_paise = models.BigIntegerField()
    other_paise = models.BigIntegerField()
    total_paise = models.BigIntegerField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint("allocation", "session", nulls_distinct=False, name="one_utility_share_each"),
            models.CheckConstraint(
                condition=Q(total_paise=F("energy_paise") + F("losses_paise") + F("demand_paise") + F("fixed_paise")
                            + F("other_paise")),
                name="utility_share_adds_up",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.vehicle or self.session_id or 'depot'}: {self.total_paise}"
