"""The sweep over drives."""

from celery import shared_task
from django.utils import timezone

from dispatch.driving import drives


@shared_task
def sweep_drives() -> int:
    """Arrivals, places kept for who waits, vehicles that did not come or stay too long; how many rows moved."""
    return drives.sweep(now=timezone.now())
