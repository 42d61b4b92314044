"""What is done as jobs."""

from datetime import datetime

from django.db.models import CharField, Exists, OuterRef
from django.db.models.functions import Cast

from billing.jobs import engine
from billing.jobs.models import Job
from billing.models import CDR
from billing.services import rating

RATE = "rate_cdr"


@engine.does(RATE)
def rate(key: str, now: datetime) -> None:
    rating.rate_and_capture(cdr_id=int(key), now=now)


def find_unrated(*, now: datetime, limit: int) -> int:
    """A job for every record without its charge in the ledger, oldest first; how many are new.

    Those that have a job, also one that was given up, never stand in the way of the others.
    """
    known = Job.objects.filter(kind=RATE, key=Cast(OuterRef("pk"), CharField()))
    waiting = CDR.objects.uncaptured().exclude(Exists(known)).order_by("ended_at")
    rows = [(str(pk), organisation) for pk, organisation in waiting.values_list("pk", "organisation_id")[:limit]]
    return engine.add(kind=RATE, keys=rows, now=now) if rows else 0
