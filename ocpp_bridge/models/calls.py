"""The answers we gave, for the repeats that come."""

from django.db import models
from django.utils import timezone

from stations.models import Charger


class AnsweredCall(models.Model):
    """The answer we gave to a stateful CALL: the same id and payload again gets it again, on any socket or node."""

    charger = models.ForeignKey(Charger, models.CASCADE, related_name="+", db_index=False)
    message_id = models.CharField(max_length=36)
    payload_hash = models.BinaryField(max_length=16)
    action = models.CharField(max_length=40)
    answer = models.JSONField()
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint("charger", "message_id", "payload_hash", name="one_answer_per_call")]
        indexes = [models.Index(fields=["received_at"], name="answers_by_age")]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.action} {self.message_id}"
