"""Double entry as transfer rows: each row is one debit and one credit, so it balances by its shape.

Triggers (migration 0002) refuse UPDATE, DELETE and TRUNCATE, a second currency, and a leg added to an older entry.
"""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.ids import short


class LedgerAccount(models.Model):
    """An account of the chart: `wallet:<org>`, `receivable:<org>`, `bank`, `revenue:charging`, `output_cgst`, ..."""

    class Kind(models.TextChoices):
        ASSET = "asset", _("Asset")
        LIABILITY = "liability", _("Liability")
        INCOME = "income", _("Income")
        EXPENSE = "expense", _("Expense")
        EQUITY = "equity", _("Equity")

    code = models.CharField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=Kind)
    currency = models.CharField(max_length=3, default="INR")
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="accounts")
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


class LedgerTransfer(models.Model):
    """One side out, one side in, one positive amount. Corrections are new rows with `reverses`."""

    entry_key = models.CharField(max_length=120, help_text=_("One business fact; posting it twice is a no-op."))
    leg = models.PositiveSmallIntegerField(default=1)
    debit = models.ForeignKey(LedgerAccount, models.PROTECT, related_name="debits")
    credit = models.ForeignKey(LedgerAccount, models.PROTECT, related_name="credits")
    amount_paise = models.BigIntegerField()
    currency = models.CharField(max_length=3, default="INR")
    kind = models.CharField(max_length=30)
    memo = models.CharField(max_length=200, blank=True)
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="transfers")
    session = models.ForeignKey(
        "billing.ChargingSession", models.PROTECT, null=True, blank=True, related_name="transfers"
    )
    vehicle = models.ForeignKey("vehicles.Vehicle", models.PROTECT, null=True, blank=True, related_name="+")
    driver_ref = models.UUIDField(null=True, blank=True)
    location = models.ForeignKey("stations.Location", models.PROTECT, null=True, blank=True, related_name="+")
    cost_centre = models.CharField(max_length=40, blank=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="reversed_by")
    request_hash = models.CharField(max_length=64, blank=True)
    actor = models.CharField(max_length=120, default="system")
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint("entry_key", "leg", name="one_leg_per_entry"),
            models.CheckConstraint(condition=Q(amount_paise__gt=0), name="transfer_amount_is_positive"),
            models.CheckConstraint(condition=~Q(debit=F("credit")), name="transfer_has_two_sides"),
            models.UniqueConstraint("session", condition=Q(kind="charge", leg=1), name="one_charge_per_session"),
        ]
        indexes = [
            models.Index(fields=["debit", "id"], name="debits_of_an_account"),
            models.Index(fields=["credit", "id"], name="credits_of_an_account"),
            models.Index(fields=["organisation", "-occurred_at"], name="transfers_of_an_organisation"),
            models.Index(fields=["organisation", "id"], name="newest_of_an_organisation"),  # the desk's list
            models.Index(fields=["kind", "id"], name="transfers_of_a_kind"),  # its filter, and which kinds there are
            BrinIndex(fields=["occurred_at"], name="transfers_of_a_month", autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{short(self.entry_key)} ({self.leg})"


class JournalCheckpoint(models.Model):
    """One day of the journal, sealed: the hash covers its rows and the day before. Triggers refuse any change."""

    day = models.DateField(unique=True, help_text=_("By the moment of recording, UTC."))
    last_id = models.BigIntegerField(help_text=_("The newest transfer of the day; of an empty day, of those before."))
    transfers = models.BigIntegerField()
    total_paise = models.BigIntegerField()
    previous_sha256 = models.CharField(max_length=64, blank=True)
    sha256 = models.CharField(max_length=64)
    sealed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-day"]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"
