"""Triggers of the letters; the rows say what is to be sent."""

from celery import shared_task
from django.utils import timezone

from billing.notices import sending


@shared_task
def send_letters() -> int:
    """Returns how many were sent."""
    return sending.work(now=timezone.now())


@shared_task
def forget_letters() -> int:
    return sending.forget_old(now=timezone.now())
