"""Triggers of the approvals; the rows say what is due."""

from celery import shared_task
from django.utils import timezone

from billing.approvals import services


@shared_task
def expire_approvals() -> int:
    """Returns how many waited too long."""
    return services.expire(now=timezone.now())
