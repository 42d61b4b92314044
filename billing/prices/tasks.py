"""Background work of subscriptions. May run twice."""

from celery import shared_task
from django.utils import timezone

from billing.prices.services import fees


@shared_task
def charge_subscriptions() -> int:
    """Every period that is over and not charged yet; returns how many were."""
    return fees.charge_due(now=timezone.now())
