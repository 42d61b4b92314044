"""Months of our books: open, then closed for good."""

from datetime import date, datetime, time, timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.gst.numbering import INDIA


class AccountingMonth(models.Model):
    """One calendar month in India. Once closed it never opens; what comes later is booked in the next open one."""

    starts_on = models.DateField(unique=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=120, blank=True)
    accepted_because = models.TextField(blank=True, help_text=_("Why it was closed although something was open."))
    checklist = models.JSONField(default=list, blank=True, help_text=_("As it was when the month was closed."))
    figures = models.JSONField(default=dict, blank=True, help_text=_("Sums of the month when it was closed, in paise."))
    last_transfer_id = models.BigIntegerField(
        null=True, blank=True, help_text=_("The ledger's last row then: later rows belong to later months.")
    )

    class Meta:
        ordering = ["-starts_on"]
        constraints = [
            models.CheckConstraint(condition=Q(starts_on__day=1), name="a_month_starts_on_its_first_day"),
        ]

    def __str__(self) -> str:
        return f"{self.starts_on:%B %Y}"

    @property
    def is_closed(self) -> bool:
        return self.closed_at is not None

    @property
    def ends_before(self) -> date:
        """The first day of the next month."""
        years, month = divmod(self.starts_on.month, 12)
        return date(self.starts_on.year + years, month + 1, 1)

    @property
    def started_at(self) -> datetime:
        return datetime.combine(self.starts_on, time(), INDIA)

    @property
    def ended_at(self) -> datetime:
        """The first instant after it."""
        return datetime.combine(self.ends_before, time(), INDIA)

    @property
    def ended_before(self) -> datetime:
        """Its last instant: what its close posts is of the month."""
        return self.ended_at - timedelta(microseconds=1)
