"""What a network bills for a month, line by line, beside its own records and our own meters."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.sessions import ChargingSession
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.ids import short
from stations.cpo.ocpi.models import RoamingCDR
from stations.models import Source


class BillFormat(models.Model):
    """Which column of a network's bill means what."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    source = models.ForeignKey(Source, models.CASCADE, related_name="+")
    columns = models.JSONField(default=dict, help_text=_("{our name: heading of their column}"))
    date_format = models.CharField(max_length=40, default="%Y-%m-%d %H:%M:%S")
    time_zone = models.CharField(max_length=40, default="Asia/Kolkata")
    is_energy_in_wh = models.BooleanField(default=False, help_text=_("Otherwise kWh."))
    separator = models.CharField(max_length=1, default=",")

    class Meta:
        constraints = [models.UniqueConstraint("organisation", "source", name="one_format_per_network")]

    def __str__(self) -> str:
        return str(self.source)


class NetworkBillQuerySet(models.QuerySet["NetworkBill"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def taken(self) -> Self:
        """Those that count: a draft is what an upload holds until it is taken."""
        return self.filter(is_draft=False)


class NetworkBill(models.Model):
    """One bill of a network over a span of days, as imported; the same file is taken once."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="network_bills")
    source = models.ForeignKey(Source, models.PROTECT, related_name="+")
    number = models.CharField(max_length=60, help_text=_("The network's own number of the bill."))
    starts_on = models.DateField()
    ends_on = models.DateField(help_text=_("The last day."))
    file_sha256 = models.CharField(max_length=64)
    total_paise = models.BigIntegerField(default=0, help_text=_("Sum of its lines."))
    lines = models.PositiveIntegerField(default=0)
    outcomes = models.JSONField(default=dict, blank=True, help_text=_("{outcome: how many}"))
    asked_paise = models.BigIntegerField(default=0, help_text=_("What it asks more than our records."))
    owner = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    is_draft = models.BooleanField(default=False)
    imported_at = models.DateTimeField(default=timezone.now)
    compared_at = models.DateTimeField(null=True, blank=True)

    objects = NetworkBillQuerySet.as_manager()

    class Meta:
        ordering = ["-ends_on", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "source", "number"],
                condition=Q(is_draft=False),
                name="one_row_per_network_bill",
            ),
            models.UniqueConstraint(
                fields=["organisation", "source", "file_sha256"],
                condition=Q(is_draft=False),
                name="one_import_per_bill_file",
            ),
            models.CheckConstraint(condition=Q(ends_on__gte=models.F("starts_on")), name="bill_ends_after_it_starts"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.number}"


class BillUploadQuerySet(models.QuerySet["BillUpload"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class BillUpload(models.Model):
    """A network's bill as finance uploaded it: tried first, then taken; the file is kept until then, or for a time.

    While it waits, `stage` and `reached` say how far a worker has come: what they name is committed.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waits")
        TRIED = "tried", _("Tried, nothing kept")
        TAKEN = "taken", _("Taken")
        REFUSED = "refused", _("Refused")

    class Stage(models.TextChoices):
        READ = "read", _("Reading its lines")
        FIND = "find", _("Looking for records by their ids")
        GUESS = "guess", _("Looking for records by start and energy")
        FILL = "fill", _("Reading the meters")
        JUDGE = "judge", _("Comparing bill, record and meter")
        MISSING = "missing", _("Listing records that it does not name")
        FINISH = "finish", _("Making the report")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="bill_uploads")
    source = models.ForeignKey(Source, models.PROTECT, related_name="+")
    number = models.CharField(max_length=60, help_text=_("The network's own number of the bill."))
    starts_on = models.DateField()
    ends_on = models.DateField(help_text=_("The last day."))
    file_name = models.CharField(max_length=120)
    content = models.BinaryField(default=bytes)
    layout = models.JSONField(default=dict, help_text=_("Which column means what."))
    is_trial = models.BooleanField(default=True)
    skips_problems = models.BooleanField(default=False)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    stage = models.CharField(max_length=8, choices=Stage, default=Stage.READ)
    reached = models.PositiveIntegerField(default=0, help_text=_("Line of the file, or part of its days."))
    last_line = models.PositiveIntegerField(default=0)
    beside = models.PositiveIntegerField(default=0, help_text=_("Bills of the network that it was compared beside."))
    lines = models.PositiveIntegerField(default=0)
    unusable = models.PositiveIntegerField(default=0, help_text=_("Lines that cannot be used."))
    total_paise = models.BigIntegerField(default=0)
    outcomes = models.JSONField(default=dict, blank=True, help_text=_("{outcome: how many}"))
    problems = models.JSONField(default=list, blank=True, help_text=_("[line, why] of the first that cannot be used"))
    report = models.JSONField(default=list, blank=True, help_text=_("The first rows, what differs before what agrees."))
    error = models.CharField(max_length=500, blank=True)
    bill = models.ForeignKey(NetworkBill, models.SET_NULL, null=True, blank=True, related_name="+")
    uploaded_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    uploaded_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    forgotten_at = models.DateTimeField(null=True, blank=True, help_text=_("The file was deleted then."))

    objects = BillUploadQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.source} {self.number}"


class NetworkBillRow(models.Model):
    """A line of the bill and what we make of it; `missing` ones are ours, the bill does not name them."""

    class Outcome(models.TextChoices):
        AGREES = "agrees", _("Agrees")
        AMOUNT = "amount_differs", _("Another amount")
        ENERGY = "energy_differs", _("Another energy than the record")
        METER = "meter_differs", _("Another energy than our meter")
        UNKNOWN = "unknown_to_us", _("Not known to us")
        TWICE = "billed_twice", _("Billed twice")
        MISSING = "missing", _("Not on the bill")

    bill = models.ForeignKey(NetworkBill, models.CASCADE, related_name="rows")
    line = models.PositiveIntegerField(help_text=_("Of the file; 0 for what it does not name."))
    reference = models.CharField(max_length=60, blank=True, help_text=_("The network's id of the record or session."))
    started_at = models.DateTimeField(null=True, blank=True)
    energy_wh = models.BigIntegerField(null=True, blank=True)
    total_paise = models.BigIntegerField(default=0, help_text=_("As billed, with tax where the column has it."))
    roaming_cdr = models.ForeignKey(RoamingCDR, models.PROTECT, null=True, blank=True, related_name="+")
    is_guessed = models.BooleanField(default=False, help_text=_("Found by start and energy, not by an id."))
    session = models.ForeignKey(ChargingSession, models.PROTECT, null=True, blank=True, related_name="+")
    record_wh = models.BigIntegerField(null=True, blank=True)
    meter_wh = models.BigIntegerField(null=True, blank=True, help_text=_("Of our own meter or vehicle."))
    record_paise = models.BigIntegerField(null=True, blank=True)
    outcome = models.CharField(max_length=16, choices=Outcome, blank=True)
    difference_paise = models.BigIntegerField(default=0, help_text=_("What the bill asks more."))

    class Meta:
        ordering = ["line", "pk"]
        constraints = [models.UniqueConstraint("bill", "line", condition=Q(line__gt=0), name="one_row_per_bill_line")]
        indexes = [models.Index(fields=["bill", "outcome"], name="bill_rows_by_outcome")]

    def __str__(self) -> str:
        return f"{short(self.reference) or '—'} ({self.line})"
