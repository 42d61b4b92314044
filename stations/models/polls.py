"""How far the poll of a network is, and how its last one went."""

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from stations.models.networks import Source

LOST_AFTER = timedelta(minutes=10)
"""A page takes a minute at most, and what is on it a few more: after this nobody polls there any more."""


class PollRun(models.Model):
    """One row per network, written once per page: beside the network's own, which every push locks."""

    class Result(models.TextChoices):
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    source = models.OneToOneField(Source, models.CASCADE, primary_key=True, related_name="poll_run")
    began_at = models.DateTimeField(null=True, help_text=_("Of the poll that runs; empty between two."))
    heard_at = models.DateTimeField(null=True, help_text=_("When its last page was done."))
    is_full = models.BooleanField(default=False, help_text=_("The whole list is read, not only what changed."))
    part = models.CharField(max_length=30, blank=True, help_text=_("Which list is being read, as the network says it."))
    page = models.PositiveIntegerField(default=0, help_text=_("Of this list, from 1."))
    pages = models.PositiveIntegerField(null=True, help_text=_("Of this list; empty where the network does not say."))
    read = models.PositiveIntegerField(default=0, help_text=_("Objects so far, of all lists."))
    refused = models.PositiveIntegerField(default=0)

    last_began_at = models.DateTimeField(null=True)
    last_ended_at = models.DateTimeField(null=True)
    last_result = models.CharField(max_length=6, choices=Result, blank=True)
    last_was_full = models.BooleanField(default=False)
    last_read = models.PositiveIntegerField(default=0)
    last_written = models.PositiveIntegerField(default=0, help_text=_("Sites that were new or had changed."))
    last_refused = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.source_id}: {self.part} {self.page}"

    def is_running(self, now: datetime) -> bool:
        """False as well when whoever polled is gone without a word."""
        return self.began_at is not None and (self.heard_at or self.began_at) > now - LOST_AFTER

    @property
    def last_seconds(self) -> float | None:
        """How long the last one took; None before there was one."""
        if self.last_began_at is None or self.last_ended_at is None:
            return None
        return round((self.last_ended_at - self.last_began_at).total_seconds(), 1)
