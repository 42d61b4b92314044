"""Health in the background."""

from celery import shared_task
from django.utils import timezone

from stations.health import sweep, tickets


@shared_task
def forget_days() -> None:
    """Scores of the days that are too long ago, and what was counted for them."""
    sweep.forget_days(now=timezone.now())


@shared_task(time_limit=600)
def judge_chargers() -> int:
    """How well every unit works; then tickets by what was found."""
    now = timezone.now()
    sweep.judge_units(now=now)
    return tickets.follow_health(now=now)
