"""The sweep over fleets with demo data."""

from celery import shared_task
from django.utils import timezone

from dispatch.models import SampleRow
from dispatch.onboarding import samples, telling
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.sweeps import survived


@shared_task
def tell_samples() -> int:
    """Demo vehicles report what they have to say this minute, and make way for real ones; how many pings."""
    fleets, told = Organisation.objects.filter(pk__in=SampleRow.objects.values("organisation")), 0
    for organisation in fleets.order_by("pk"):
        with survived("demo data of fleet", organisation.pk):
            samples.make_way(organisation)
            told += telling.tell(organisation, now=timezone.now())
    return told
