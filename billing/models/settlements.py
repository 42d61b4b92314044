"""What the gateway paid out to our bank account, row by row, and the bank's own lines it is found in."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class BankLine(models.Model):
    """A credit on our bank statement."""

    reference = models.CharField(max_length=60, unique=True, help_text=_("UTR."))
    amount_paise = models.BigIntegerField()
    booked_on = models.DateField()
    text = models.CharField(max_length=200, blank=True)
    imported_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-booked_on", "-pk"]

    def __str__(self) -> str:
        return self.reference


class Settlement(models.Model):
    """One payout of the gateway: the sum of its rows, named by a UTR."""

    class State(models.TextChoices):
        IMPORTED = "imported", _("Waits for the bank")
        MATCHED = "matched", _("In the bank")
        DIFFERS = "differs", _("The bank has another amount")
        MISSING = "missing", _("Not in the bank")

    settlement_id = models.CharField(max_length=40, unique=True)
    utr = models.CharField(max_length=60, blank=True)
    amount_paise = models.BigIntegerField(default=0, help_text=_("Sum of its rows."))
    fee_paise = models.BigIntegerField(default=0, help_text=_("Without GST."))
    tax_paise = models.BigIntegerField(default=0)
    settled_at = models.DateTimeField()
    posted_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.IMPORTED)
    bank_line = models.OneToOneField(BankLine, models.PROTECT, null=True, blank=True, related_name="settlement")

    class Meta:
        ordering = ["-settled_at"]

    def __str__(self) -> str:
        return self.settlement_id


class SettlementRow(models.Model):
    """One payment, refund or adjustment in a settlement, and what we make of it."""

    class Outcome(models.TextChoices):
        MATCHED = "matched", _("Agrees")
        UNKNOWN = "unknown_to_us", _("Not known to us")
        DIFFERS = "amount_differs", _("Another amount")
        ON_HOLD = "on_hold", _("Held back by the gateway")
        MISSING = "missing", _("Paid, but in no settlement yet")

    settlement = models.ForeignKey(Settlement, models.PROTECT, null=True, blank=True, related_name="rows")
    kind = models.CharField(max_length=12)
    entity_id = models.CharField(max_length=40)
    payment_id = models.CharField(max_length=40, blank=True)
    dispute_id = models.CharField(max_length=40, blank=True)
    amount_paise = models.BigIntegerField()
    credit_paise = models.BigIntegerField(default=0)
    debit_paise = models.BigIntegerField(default=0)
    fee_paise = models.BigIntegerField(default=0, help_text=_("As reported."))
    tax_paise = models.BigIntegerField(default=0)
    is_on_hold = models.BooleanField(default=False)
    outcome = models.CharField(max_length=16, choices=Outcome, blank=True)
    difference_paise = models.BigIntegerField(default=0)
    suspense_paise = models.BigIntegerField(
        default=0, db_default=0, help_text=_("Of this row in suspense, because it was not known when it was booked.")
    )
    looked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint("kind", "entity_id", name="one_row_per_settled_thing"),
            models.CheckConstraint(
                condition=Q(credit_paise__gte=0) & Q(debit_paise__gte=0), name="settled_sides_are_not_negative"
            ),
        ]
        indexes = [
            models.Index(fields=["outcome"], name="rows_by_outcome"),
            models.Index(fields=["id"], condition=~Q(suspense_paise=0), name="rows_in_suspense"),
        ]

    def __str__(self) -> str:
        return f"{self.kind.capitalize()} {self.entity_id}"
