"""Background work of billing: each task takes ids, re-reads the row, calls one service, and may run twice."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from billing.charging import batches
from billing.cpo_bills import forgetting, uploads
from billing.jobs import engine, kinds
from billing.limits import standing
from billing.models import CDR
from billing.reconciliation import points
from billing.services import (
    authorisation,
    bounds,
    holds,
    orders,
    overdue,
    rating,
    reconciliation,
    roaming,
    verification,
)
from stations.cpo.ocpi.models import RoamingSession

logger = logging.getLogger(__name__)

CHUNK = 200
ROAMING_CHUNK, RECORDS_A_SWEEP = 2_000, 10_000
SESSIONS_LOOKED_AT_FOR, CDRS_LOOKED_AT_FOR = timedelta(minutes=10), timedelta(days=1)
LATE_NEWS_UNTIL = timedelta(hours=72)
CHUNKS_A_SWEEP = 50


@shared_task
def rate_and_capture(cdr_id: int) -> None:
    rating.rate_and_capture(cdr_id=cdr_id, now=timezone.now())


@shared_task
def rate_session(session_id: int) -> None:
    """Its record, and what else waits: of many that end at once the first tasks charge all, the others find nothing."""
    cdr = CDR.objects.uncaptured().filter(session_id=session_id).only("pk").first()
    if cdr:
        batches.charge_waiting(now=timezone.now(), cdr_id=cdr.pk)


@shared_task
def reconcile(session_id: int) -> None:
    reconciliation.judge(session_id=session_id, now=timezone.now())


@shared_task
def follow_session(roaming_session_id: int) -> None:
    roaming.follow_session(roaming_session_id=roaming_session_id, now=timezone.now())


@shared_task
def take_roaming_cdr(roaming_cdr_id: int) -> None:
    cdr = roaming.take_cdr(roaming_cdr_id=roaming_cdr_id, now=timezone.now())
    if cdr is not None:
        rating.rate_and_capture(cdr_id=cdr.pk, now=timezone.now())


@shared_task
def ask_about_conflict(conflict_id: int) -> None:
    roaming.ask_about_conflict(conflict_id=conflict_id, now=timezone.now())


@shared_task
def compare_price(cdr_id: int) -> None:
    roaming.compare_price(cdr_id=cdr_id, now=timezone.now())


@shared_task
def compare_prices(cdr_ids: list[int]) -> None:
    for cdr_id in cdr_ids:
        _survive(compare_price, cdr_id)


@shared_task
def settle_order(order_id: int) -> None:
    orders.settle(order_id=order_id, now=timezone.now())


@shared_task
def settle_carried(order_id: int) -> None:
    orders.carried(order_id=order_id, now=timezone.now())


@shared_task
def sweep_roaming() -> None:
    """What events about other networks missed: sessions, records, prices nobody compared, orders not in the ledger.

    A record of a network's that nobody took becomes a job; older ones are `find_missed_records`'.
    """
    now = timezone.now()
    told = RoamingSession.objects.filter(updated_at__gte=now - SESSIONS_LOOKED_AT_FOR)
    for pk in list(told.order_by("-updated_at").values_list("pk", flat=True)[:ROAMING_CHUNK]):
        _survive(follow_session, pk)
    kinds.find_untaken(now=now, since=now - CDRS_LOOKED_AT_FOR, limit=RECORDS_A_SWEEP)
    while engine.work(now=now, kinds=[kinds.TAKE]):
        pass
    unchecked = CDR.objects.filter(captured_at__gte=now - CDRS_LOOKED_AT_FOR, roaming_cdr__price_check=None)
    for pk in list(unchecked.exclude(roaming_cdr=None).values_list("pk", flat=True)[:ROAMING_CHUNK]):
        _survive(compare_price, pk)
    for pk in orders.unsettled(limit=ROAMING_CHUNK):
        _survive(settle_carried, pk)


@shared_task
def find_missed_records() -> int:
    """Records of networks that are not in the books, however long ago they came; returns how many became jobs."""
    return kinds.find_untaken(now=timezone.now(), limit=RECORDS_A_SWEEP)


@shared_task
def sweep_unrated() -> None:
    """What an event missed: records without a price, and priced ones whose charge was never posted.

    By the hundred, however many wait; what cannot go that way becomes a job of its own.
    """
    left: set[int] = set()
    for _ in range(CHUNKS_A_SWEEP):
        done, alone = batches.charge_waiting(now=timezone.now(), skipping=left)
        left |= alone
        if not done:
            break
    kinds.find_unrated(now=timezone.now(), limit=CHUNK)
    work_jobs()


@shared_task
def work_jobs() -> int:
    """Until nothing is due; returns how many were tried."""
    tried = 0
    while taken := engine.work(now=timezone.now()):
        tried += taken
    return tried


@shared_task(time_limit=600)
def work_network_bills() -> None:
    """Large bills, each by one worker for about a minute at a time; small ones were read when they came."""
    began = time.monotonic()
    while uploads.work_waiting(now=timezone.now()) and time.monotonic() - began < uploads.SLICE_S:
        pass


@shared_task
def forget_bill_files() -> int:
    """Files of bills that were only tried, or refused, past FLEETCHARGE_BILL_FILE_RETENTION_DAYS; returns how many."""
    gone = forgetting.forget_files(now=timezone.now())
    forgetting.sweep_drafts()
    return gone


@shared_task
def sweep_unreconciled() -> None:
    """Ended sessions without a verdict, then those of which news arrived after it; workers share them by lease."""
    for _ in range(CHUNKS_A_SWEEP):
        if reconciliation.judge_waiting(now=timezone.now()) == 0:
            break
    now = timezone.now()
    if late := reconciliation.overtaken(now=now, since=now - LATE_NEWS_UNTIL, limit=CHUNK):
        reconciliation.judge_these(late, now=now)


@shared_task
def learn_station_points() -> int:
    """Where vehicles of verified sessions stood; returns how many points were written."""
    return points.learn(now=timezone.now())


@shared_task
def sweep_sessions() -> None:
    """End sessions that are over without a stop; compute ended ones again when news of them arrived."""
    overdue.sweep(now=timezone.now())
    overdue.revise_ended(now=timezone.now())


@shared_task
def sweep_holds() -> None:
    """Hold more for sessions that run past their hold; report those that never end, and limits that are reached."""
    holds.extend_running(now=timezone.now())
    holds.release_settled(now=timezone.now())
    holds.report_never_ended(now=timezone.now())
    standing.report_reached(now=timezone.now())


@shared_task
def stop_exhausted_sessions() -> int:
    """End sessions that have used up their limit; returns how many were asked for."""
    return bounds.stop_exhausted(now=timezone.now())


@shared_task
def prune_authorisations() -> int:
    """Forget old decisions; returns how many."""
    return authorisation.prune(now=timezone.now())


@shared_task
def prove_books() -> int:
    """The nightly proof of the books; returns how many differences there are."""
    return verification.prove(now=timezone.now())


def _survive(work: Callable[[int], None], row_id: int) -> None:
    """One bad row must not stop the rows behind it."""
    try:
        work(row_id)
    except Exception:
        logger.exception("sweep: %s(%s) failed", work, row_id)
