"""What is done as jobs."""

from datetime import datetime, timedelta

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Concat, Lower

from billing.jobs import engine
from billing.jobs.models import Job
from billing.models import CDR, BillingException, ChargingSession
from billing.services import rating, roaming
from stations.cpo.ocpi.models import RoamingCDR
from vehicles.models import IdToken

RATE, TAKE = "rate_cdr", "take_cdr"
REGISTERED_LATE = timedelta(days=3)


@engine.does(RATE)
def rate(key: str, now: datetime) -> None:
    rating.rate_and_capture(cdr_id=int(key), now=now)


@engine.does(TAKE)
def take(key: str, now: datetime) -> None:
    roaming.take_cdr(roaming_cdr_id=int(key), now=now)


def find_unrated(*, now: datetime, limit: int) -> int:
    """A job for every record without its charge in the ledger, oldest first; how many are new.

    Those that have a job, also one that was given up, never stand in the way of the others.
    """
    known = Job.objects.filter(kind=RATE, key=Cast(OuterRef("pk"), CharField()))
    waiting = CDR.objects.uncaptured().exclude(Exists(known)).order_by("ended_at")
    rows = [(str(pk), organisation) for pk, organisation in waiting.values_list("pk", "organisation_id")[:limit]]
    return engine.add(kind=RATE, keys=rows, now=now) if rows else 0


def find_untaken(*, now: datetime, limit: int, since: datetime | None = None) -> int:
    """A job for every record of a network about a token of ours that is not in the books; how many are new.

    `since`: only what was received from then on. What a person was asked about is left to the person, but for a plug
    that we do not know: it may be imported meanwhile. Those come last, and keep no other waiting. Who registers a token
    after its record came may not have charged with it: our operators are asked within days, and later nobody is. A
    token that only changed since (a vehicle, a driver, its validity) has charged for its fleet before.
    """
    token = IdToken.objects.filter(uid__lower=Lower(OuterRef("token_uid")))
    owner, as_it_is_since, pk = (token.values(name)[:1] for name in ("organisation_id", "updated_at", "pk"))
    job = Job.objects.filter(kind=TAKE, key=Cast(OuterRef("pk"), CharField()))
    asked = BillingException.objects.filter(kind=roaming.Kind.CPO_CORRECTION, reference=_reference_of("pk"))
    about_place = asked.filter(resolved_at=None, details__session_id=None, organisation_id=OuterRef("owner"))
    rows: QuerySet[RoamingCDR] = RoamingCDR.objects.filter(billed=None, adjusted=None)
    if since is not None:
        rows = rows.filter(received_at__gte=since)
    rows = rows.annotate(owner=Subquery(owner), is_asked=Exists(asked)).exclude(owner=None).exclude(Exists(job))
    rows = rows.annotate(token=Subquery(pk))
    charged_before = ChargingSession.objects.filter(
        id_token=OuterRef("token"), organisation=OuterRef("owner"), started_at__lte=OuterRef("received_at")
    )
    had_owner = Q(is_asked=True) | Q(received_at__gte=Subquery(as_it_is_since)) | Exists(charged_before)
    roaming.ask_whose(rows.filter(~had_owner, received_at__gte=now - REGISTERED_LATE).order_by("pk")[:limit], now=now)
    rows = rows.filter(had_owner).exclude(Exists(asked) & ~Exists(about_place)).order_by("is_asked", "pk")
    keys = [(str(pk), organisation) for pk, organisation in rows.values_list("pk", "owner")[:limit]]
    return engine.add(kind=TAKE, keys=keys, now=now) if keys else 0


def _reference_of(name: str) -> Concat:
    return Concat(Value("cdr:"), Cast(OuterRef(name), CharField()))
