"""Policies in the background: outcomes of closed plans, and new vehicles drawn into running experiments."""

from celery import shared_task
from django.utils import timezone

from dispatch.policies import assignment, outcomes


@shared_task
def record_outcomes() -> int:
    return outcomes.record(now=timezone.now())


@shared_task
def draw_new_vehicles() -> int:
    return assignment.draw_new_vehicles(now=timezone.now())
