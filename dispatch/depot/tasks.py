"""Nights of depots in the background."""

from celery import shared_task
from django.utils import timezone

from dispatch.depot import fences, nights
from fleetcharge.lib.sweeps import survived


@shared_task
def plan_nights() -> int:
    with survived("the areas of", "depots"):
        fences.draw_missing()
    return nights.sweep(now=timezone.now())
