"""What the flight recorder keeps of every frame."""

from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import packs
from stations.models import Charger


class Direction(models.IntegerChoices):
    IN = packs.IN, _("From the charger")
    OUT = packs.OUT, _("To the charger")


class Kind(models.IntegerChoices):
    MALFORMED = 0, _("Malformed")
    CALL = 2, "CALL"
    RESULT = 3, "CALLRESULT"
    ERROR = 4, "CALLERROR"
    RESULT_ERROR = 5, "CALLRESULTERROR"
    SEND = 6, "SEND"


class FramePackQuerySet(models.QuerySet["FramePack"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(charger__organisation=organisation)

    def with_frame(self, frame_id: int) -> Self:
        return self.filter(pk__lte=frame_id, pk__gt=frame_id - packs.IDS_OF_A_PACK)


class FramePack(models.Model):
    """Some frames of one charger, redacted, as `ocpp_bridge.packs` writes them; tables of a UTC day each.

    `id` is that of the first frame. Only the recorder writes here, and recordings.py reads.
    """

    id = models.BigIntegerField(primary_key=True)
    charger = models.ForeignKey(Charger, models.DO_NOTHING, db_constraint=False, related_name="+")
    at = models.DateTimeField(help_text=_("When the first passed our socket."))
    until = models.DateTimeField(help_text=_("When the last did."))
    frames = models.BinaryField()

    objects = FramePackQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "ocpp_bridge_frame_pack"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} frames of charger {self.charger_id}"
