"""What a vehicle's sender said last, beside what we made of it; kept only while somebody looks at it."""

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

WATCHED_FOR = timedelta(minutes=15)
KEPT_FOR = timedelta(days=1)


class RawPacket(models.Model):
    """One message of a watched vehicle. `outcome`: per ping what was stored of it, or the code and why it was not."""

    vehicle = models.ForeignKey("vehicles.Vehicle", models.CASCADE, related_name="packets")
    received_at = models.DateTimeField(default=timezone.now)
    raw = models.TextField()
    outcome = models.JSONField(default=list)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["vehicle", "-id"], name="packets_of_a_vehicle")]

    def __str__(self) -> str:
        return f"{self.vehicle_id} {self.received_at:%d %b %H:%M:%S}"


def watch(*, vehicle_id: int, now: datetime) -> None:
    """Keep its packets for the next quarter of an hour; ingest begins within 15 s. Written once in five minutes."""
    from vehicles.models import Vehicle

    soon = now + WATCHED_FOR - timedelta(minutes=5)
    is_due = models.Q(watched_until=None) | models.Q(watched_until__lt=soon)
    Vehicle.objects.filter(is_due, pk=vehicle_id).update(watched_until=now + WATCHED_FOR)


def drop_old_packets(*, now: datetime) -> int:
    return RawPacket.objects.filter(received_at__lt=now - KEPT_FOR).delete()[0]
