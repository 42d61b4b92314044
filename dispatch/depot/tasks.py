"""Nights of depots in the background."""

from celery import shared_task
from django.utils import timezone

from dispatch.depot import fences, nights


@shared_task
def plan_nights() -> int:
    fences.draw_missing()
    return nights.sweep(now=timezone.now())
