"""Nights of depots in the background."""

from celery import shared_task
from django.utils import timezone

from dispatch.core.depot import NoSchedule
from dispatch.depot import fences, nights
from fleetcharge.lib.sweeps import survived


@shared_task
def plan_nights() -> int:
    with survived("the areas of", "depots"):
        fences.draw_missing()
    return nights.sweep(now=timezone.now())


@shared_task
def plan_again(location_id: int) -> int | None:
    """Somebody has asked for it: the version that was made; None: none was found in time, or it is day."""
    try:
        plan = nights.plan(location_id=location_id, now=timezone.now(), reason=nights.ASKED_FOR)
    except NoSchedule:
        return None
    return plan.version if plan else None
