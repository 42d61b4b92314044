"""Sweeps: what is due is sent, what is old is forgotten. And the letter when a webhook was given up."""

from smtplib import SMTPException

from celery import shared_task
from django.core.cache import cache
from django.utils import timezone

from fleetcharge.lib import hints
from fleetcharge.webhooks import deliveries, letters, sending

WOKEN = "webhooks:woken"
WOKEN_SECONDS = 30


def wake() -> None:
    """Ask for a round now, unless one is asked for already; the sweep comes anyway."""
    with hints.valkey.attempt("a round of webhooks") as is_well:
        if is_well and cache.add(WOKEN, 1, timeout=WOKEN_SECONDS):
            hints.start(send_due)


@shared_task
def send_due() -> int:
    """One round; returns how many attempts were made."""
    cache.delete(WOKEN)  # before we look, so that whoever commits from now on asks again
    return sending.send_round(clock=timezone.now)


@shared_task
def forget_old() -> int:
    """Messages past FLEETCHARGE_WEBHOOK_RETENTION_DAYS; returns how many."""
    return deliveries.forget_old(now=timezone.now())


@shared_task(autoretry_for=(OSError, SMTPException), retry_backoff=True, max_retries=5)
def write_to_keepers(endpoint_id: int) -> int:
    """A mail to those who look after it; returns to how many. The alert is what is sure."""
    return letters.write_to_keepers(endpoint_id=endpoint_id)
