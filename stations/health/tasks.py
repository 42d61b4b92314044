"""Health in the background."""

from celery import shared_task
from django.utils import timezone

from stations.health import sweep, tickets


@shared_task
def judge_chargers() -> int:
    """How well every unit works; then tickets by what was found."""
    now = timezone.now()
    sweep.judge_units(now=now)
    return tickets.follow_health(now=now)
