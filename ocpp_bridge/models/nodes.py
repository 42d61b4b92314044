"""Which realtime processes are alive: the lease behind every socket they own."""

from django.db import models
from django.utils import timezone


class Node(models.Model):
    """One realtime process; a charger's owner lease is (Charger.node, Charger.connection_epoch) while this is fresh.

    One row per process is refreshed every few seconds, instead of one per socket. `seen_at` is the database's clock,
    so nodes need not agree on the time.
    """

    name = models.CharField(primary_key=True, max_length=80)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    sockets = models.PositiveIntegerField(default=0)
    is_draining = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
