"""What is no longer needed is forgotten."""

from celery import shared_task
from django.utils import timezone

from fleetcharge.accounts import idempotency


@shared_task
def forget_idempotency_keys() -> int:
    """Keys of yesterday; returns how many."""
    return idempotency.forget_old(timezone.now())
