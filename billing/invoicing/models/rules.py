"""Rates, codes, limits and thresholds of tax law as dated rows: never constants in the code."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class TaxRule(models.Model):
    """What holds from one day to another (empty: until further notice), and who says so."""

    class Name(models.TextChoices):
        RATE = "rate", _("Rate of a SAC, percent")
        SAC = "sac", _("SAC of a service")
        ADVANCE_TAX = "advance_tax", _("Advances are taxed and get a receipt voucher (1 or 0)")
        MAX_ITEMS = "max_items", _("Most items on an e-invoice")
        IRN_DAYS = "irn_days", _("Days until an e-invoice must be reported")
        IRN_CANCEL_HOURS = "irn_cancel_hours", _("Hours in which an IRN can be cancelled")
        NOTE_UNTIL = "note_until", _("Last day for a credit note, MM-DD after the year of the invoice")
        B2C_LARGE = "b2c_large", _("Rupees above which a consumer's invoice from another state is returned by itself")

    name = models.CharField(max_length=20, choices=Name)
    subject = models.CharField(max_length=20, blank=True, help_text=_("For which SAC or service; empty: for all."))
    value = models.CharField(max_length=20)
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True, help_text=_("The last day it holds."))
    source = models.CharField(max_length=200, blank=True, help_text=_("Notification, section or ruling."))

    class Meta:
        ordering = ["name", "subject", "-valid_from"]
        constraints = [
            models.UniqueConstraint("name", "subject", "valid_from", name="one_rule_per_first_day"),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gte=F("valid_from")), name="rule_ends_after_it_begins"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_name_display()} {self.subject}: {self.value}".replace("  ", " ")
