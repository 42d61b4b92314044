"""Sweeps: commands nobody will answer, answers nobody will ask for again."""

from celery import shared_task
from django.utils import timezone

from ocpp_bridge import answers, commands


@shared_task
def sweep_commands() -> int:
    """Close expired and lost commands; returns how many."""
    now = timezone.now()
    answers.forget_old(now)
    return commands.sweep(now=now)
