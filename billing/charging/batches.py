"""Finished sessions charged together: what waits is taken along by whoever comes first."""

import logging
from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef
from django.db.models.functions import Cast

from billing.charging.gathering import agreements_of, claim
from billing.charging.posting import Unpayable, payable, post
from billing.charging.pricing import price_all
from billing.jobs import kinds
from billing.models import CDR, Job
from billing.services import rating
from fleetcharge.lib.events import publish_together

BATCH = 100
"""So many are one commit: a wallet that they share is locked for a few hundredths of a second."""

logger = logging.getLogger(__name__)


def charge_together(*, cdr_ids: Collection[int], now: datetime) -> set[int]:
    """Price and charge these records in one transaction; which of them were. May run twice.

    The others are for `rating.rate_and_capture`, which says why: without a price, of a subscription (included energy is
    used in turn), of a wallet that cannot pay, or in no hold that limits could count. Exactly once by the same
    constraints: the record's own lock, one charge for each session, one row for each leg.
    """
    try:
        with transaction.atomic():
            return _charge(cdr_ids, now)
    except Unpayable:
        return set()
    except Exception:  # one odd record must not keep the others waiting: each is tried alone
        logger.exception("%d sessions could not be charged together", len(cdr_ids))
        return set()


def charge_waiting(*, now: datetime, cdr_id: int | None = None, skipping: Collection[int] = ()) -> tuple[int, set[int]]:
    """Charge up to BATCH that wait, among them surely `cdr_id`, alone if need be: how many, and which were left.

    So a burst of ends is charged by the hundred, and a single one at once. What has a job is the job's.
    """
    waiting = _waiting(skipping)
    if cdr_id is not None:
        waiting = list(dict.fromkeys([cdr_id, *waiting]))[:BATCH]
        if len(waiting) == 1:
            return int(rating.rate_and_capture(cdr_id=cdr_id, now=now)), set()
    done = charge_together(cdr_ids=waiting, now=now) if waiting else set()
    alone = cdr_id is not None and cdr_id not in done and rating.rate_and_capture(cdr_id=cdr_id, now=now)
    return len(done) + int(alone), set(waiting) - done


def _charge(cdr_ids: Collection[int], now: datetime) -> set[int]:
    cdrs = claim(cdr_ids)
    if not cdrs:
        return set()
    priced = price_all(cdrs, agreements_of(cdrs), now)
    dues, news = post(payable(priced), now)
    publish_together(news)
    return {due.cdr.pk for due in dues}


def _waiting(skipping: Collection[int]) -> list[int]:
    known = Job.objects.filter(kind=kinds.RATE, key=Cast(OuterRef("pk"), CharField()))
    rows = CDR.objects.uncaptured().exclude(Exists(known)).exclude(pk__in=skipping)
    return list(rows.order_by("ended_at", "pk").values_list("pk", flat=True)[:BATCH])
