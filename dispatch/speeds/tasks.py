"""What is learned at night of how fast fleets get about."""

from celery import shared_task
from django.utils import timezone

from dispatch.speeds import learning


@shared_task
def learn_speeds() -> int:
    return learning.learn_speeds(now=timezone.now())
