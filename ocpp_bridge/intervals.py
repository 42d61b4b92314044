"""How often a charger shall knock."""

import random

from django.conf import settings

from stations.models import Charger

RETRY_SECONDS = 60


def boot_interval(registration: str) -> int:
    """Heartbeat interval when accepted, retry delay otherwise; +-10 % so that a fleet never knocks at once."""
    accepted = registration == Charger.Registration.ACCEPTED
    seconds = settings.OCPP_HEARTBEAT_SECONDS if accepted else RETRY_SECONDS
    return max(1, round(seconds * random.uniform(0.9, 1.1)))  # noqa: S311 (jitter)
