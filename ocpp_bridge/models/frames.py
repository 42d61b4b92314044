"""What the flight recorder keeps of every frame."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from stations.models import Charger

LONGEST_WAIT = timedelta(minutes=5)  # of an answer on the row of its CALL


class FrameQuerySet(models.QuerySet["Frame"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(charger__organisation=organisation)

    def older_than(self, frame_id: int) -> Self:
        return self.filter(pk__lt=frame_id, row_id__lt=frame_id)

    def newer_than(self, frame_id: int) -> Self:
        return self.filter(pk__gt=frame_id, row_id__gte=frame_id)

    def with_id(self, frame_id: int) -> Self:
        return self.filter(pk=frame_id, row_id__in=(frame_id, frame_id - 1))

    def since(self, at: datetime) -> Self:
        return self.filter(at__gte=at, row_at__gte=at - LONGEST_WAIT)

    def until(self, at: datetime) -> Self:
        return self.filter(at__lt=at, row_at__lt=at)


class Frame(models.Model):
    """One frame of the wire, redacted: a view over tables of a UTC day each (made by migrations).

    The recorder keeps an empty answer on the row of its CALL (`row_id`, `row_at`); the view makes a frame of its own of
    it, with the next id. Only the row's columns have indexes and partitions: query by the methods above.
    """

    class Direction(models.IntegerChoices):
        IN = 0, _("From the charger")
        OUT = 1, _("To the charger")

    class Kind(models.IntegerChoices):
        MALFORMED = 0, _("Malformed")
        CALL = 2, "CALL"
        RESULT = 3, "CALLRESULT"
        ERROR = 4, "CALLERROR"
        RESULT_ERROR = 5, "CALLRESULTERROR"
        SEND = 6, "SEND"

    id = models.BigIntegerField(primary_key=True)
    charger = models.ForeignKey(Charger, models.DO_NOTHING, db_constraint=False, related_name="+")
    at = models.DateTimeField(help_text=_("When it passed our socket."))
    direction = models.SmallIntegerField(choices=Direction)
    kind = models.SmallIntegerField(choices=Kind)
    action = models.CharField(max_length=60, help_text=_("Of the CALL, also on its answer."))
    message_id = models.CharField(max_length=64)
    error_code = models.CharField(max_length=40)
    size_bytes = models.IntegerField()
    latency_ms = models.FloatField(null=True, help_text=_("On an answer: since its CALL."))
    is_cut = models.BooleanField(default=False, help_text=_("Longer than we keep."))
    payload = models.TextField(help_text=_("The frame as it went, without secrets."))
    row_id = models.BigIntegerField()
    row_at = models.DateTimeField()

    objects = FrameQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "ocpp_bridge_wire"
        ordering = ["-row_id", "-id"]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.get_direction_display()} {self.action} {self.message_id}"
