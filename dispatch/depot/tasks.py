"""Nights of depots in the background."""

from celery import shared_task
from django.utils import timezone

from dispatch.depot import nights


@shared_task
def plan_nights() -> int:
    return nights.sweep(now=timezone.now())
