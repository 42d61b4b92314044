"""Jobs: added with the fact that makes them necessary, claimed by any worker, tried again, given up in the open."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from billing.jobs.models import Job
from billing.models import BillingException
from billing.services.exceptions import open_exception, withdraw_one
from fleetcharge.accounts.models import User

logger = logging.getLogger(__name__)
Work = Callable[[str, datetime], object]
LongWork = Callable[[str, "Lease"], Iterable[None]]
GaveUp = Callable[[str, str, datetime], object]
Revived = Callable[[str, User | None, datetime], object]
LEASE = timedelta(minutes=5)
LONG_LEASE = timedelta(minutes=15)  # above the time limit of the tasks that do long jobs
MOST_ATTEMPTS = 10
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=15), timedelta(hours=1)
RETRIED = "Tried again."
KILLED = "It was begun this often and never came to an end: its worker died each time."

_kinds: dict[str, Work] = {}
_long: dict[str, LongWork] = {}
_gave_up: dict[str, GaveUp] = {}
_revived: dict[str, Revived] = {}

_ADD = """
INSERT INTO billing_job (kind, key, organisation_id, state, attempts, next_try_at, error, created_at)
SELECT %(kind)s, key, organisation_id, 'waiting', 0, %(now)s, '', %(now)s
FROM unnest(%(keys)s::text[], %(organisations)s::bigint[]) AS wanted (key, organisation_id)
ON CONFLICT (kind, key) DO NOTHING
"""
_CLAIM = """
UPDATE billing_job SET next_try_at = %(until)s
WHERE id IN (SELECT id FROM billing_job WHERE state = 'waiting' AND next_try_at <= %(now)s AND kind = ANY(%(kinds)s)
             ORDER BY next_try_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING attempts, id, kind, key
"""
# Counted when it begins, and committed before: who only waited behind a job that killed their worker loses nothing.
_BEGIN = """
UPDATE billing_job SET attempts = attempts + 1, next_try_at = %(until)s
WHERE id = %(id)s AND state = 'waiting' AND next_try_at = %(mine)s AND attempts < %(most)s
"""


def does(kind: str) -> Callable[[Work], Work]:
    """Register what does jobs of a kind: called with the key and the clock, may run twice, raises when it fails."""

    def register(work: Work) -> Work:
        _kinds[kind] = work
        return work

    return register


class LeaseLost(Exception):
    """Another worker has it."""


@dataclass
class Lease:
    """A worker's claim on a long job: the attempt's number and, as a slice gives that back, when the lease ends.

    Of the ends the last two count: a portion that was undone leaves the one before.
    """

    job_id: int
    attempts: int
    now: datetime
    ends: tuple[datetime, ...]
    began: float = field(default_factory=time.monotonic)

    def at(self) -> datetime:
        return self.now + timedelta(seconds=time.monotonic() - self.began)

    def keep(self, goes_on: bool = True) -> None:
        """In the transaction of each portion: raises LeaseLost where the portion is not ours to write any more.

        The job goes with the last one: who asks for more right after that adds it anew.
        """
        until = self.at() + LONG_LEASE
        if not (self.job().update(next_try_at=until) if goes_on else self.job().delete()[0]):
            raise LeaseLost
        self.ends = (self.ends[-1], until)

    def job(self) -> QuerySet[Job]:
        mine = Job.objects.filter(pk=self.job_id, attempts=self.attempts, state=Job.State.WAITING)
        return mine.filter(next_try_at__in=self.ends)


def does_long(kind: str, *, gave_up: GaveUp, revived: Revived) -> Callable[[LongWork], LongWork]:
    """Register what does jobs of a kind in portions, yielding after each that it committed; it begins where it was.

    `gave_up` hears the key and why, in the transaction that calls the job dead; `revived` the key and who tries it
    again, in that one.
    """

    def register(work: LongWork) -> LongWork:
        _long[kind], _gave_up[kind], _revived[kind] = work, gave_up, revived
        return work

    return register


def add(*, kind: str, keys: Iterable[tuple[str, int | None]], now: datetime) -> int:
    """Make jobs of (key, organisation) in the caller's transaction; those that are there stay. How many are new."""
    wanted = list(keys)
    with connection.cursor() as cursor:
        values: dict[str, Any] = {
            "kind": kind,
            "now": now,
            "keys": [key for key, _ in wanted],
            "organisations": [o for _, o in wanted],
        }
        cursor.execute(_ADD, values)
        return int(cursor.rowcount)


def work(*, now: datetime, limit: int = 200, kinds: Sequence[str] = ()) -> int:
    """Do what is due, of these kinds or of all; how many.

    Any number of workers share it, and one that dies leaves its part after the lease. Those that were tried least come
    first: one that kills its worker holds the others up once.
    """
    mine, began = now + LEASE, time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"now": now, "until": mine, "limit": limit, "kinds": list(kinds or _kinds)})
        claimed = sorted(cursor.fetchall())
    for attempts, job_id, kind, key in claimed:
        at = now + timedelta(seconds=time.monotonic() - began)
        if _begin(job_id, mine, at + LEASE):
            _do(job_id, kind, key, attempts + 1, now)
        elif attempts >= MOST_ATTEMPTS:
            _give_up(Job.objects.filter(pk=job_id, state=Job.State.WAITING).first(), KILLED, now)
    return len(claimed)


def work_long(*, kind: str, now: datetime, slice_s: float) -> bool:
    """Go on with one long job, for about `slice_s` seconds; False when none is due.

    Who is not through then leaves it to the next, and has not lost an attempt.
    """
    mine = now + LONG_LEASE
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"now": now, "until": mine, "limit": 1, "kinds": [kind]})
        claimed = cursor.fetchall()
    for attempts, job_id, _, key in claimed:
        if _begin(job_id, mine, mine):
            _go_on(kind, key, Lease(job_id, attempts + 1, now, (mine,)), slice_s)
        elif attempts >= MOST_ATTEMPTS:
            _give_up(Job.objects.filter(pk=job_id, state=Job.State.WAITING).first(), KILLED, now)
    return bool(claimed)


def _go_on(kind: str, key: str, lease: Lease, slice_s: float) -> None:
    try:
        for _ in _long[kind](key, lease):
            if time.monotonic() - lease.began >= slice_s:
                lease.job().update(attempts=lease.attempts - 1, next_try_at=lease.at())
                return
        lease.job().delete()
    except LeaseLost:
        logger.warning("job %s %s is another worker's now", kind, key)
    except Exception as error:
        _failed(lease.job(), kind, key, lease.attempts, lease.at(), error)


def _begin(job_id: int, mine: datetime, until: datetime) -> bool:
    """False when it was tried too often, or our lease ran out and another worker has it."""
    values: dict[str, Any] = {"id": job_id, "mine": mine, "until": until, "most": MOST_ATTEMPTS}
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, values)
        return int(cursor.rowcount) == 1


@transaction.atomic
def try_again(*, job_ids: Sequence[int], now: datetime, actor: User | None = None) -> int:
    """A person has mended what kept them from being done; how many wait again."""
    dead = Job.objects.filter(pk__in=list(job_ids), state=Job.State.DEAD)
    references = [_reference(job.kind, job.key) for job in dead]
    asked = BillingException.objects.open().filter(kind=BillingException.Kind.JOB_DEAD, reference__in=references)
    for exception in asked:
        withdraw_one(exception, resolution=RETRIED, at=now)
    for job in dead:
        if job.kind in _revived:
            _revived[job.kind](job.key, actor, now)
    return dead.update(state=Job.State.WAITING, attempts=0, next_try_at=now, died_at=None)


def _do(job_id: int, kind: str, key: str, attempts: int, now: datetime) -> None:
    """The attempt's number is the claim: who took so long that another has it settles nothing any more."""
    mine = Job.objects.filter(pk=job_id, attempts=attempts, state=Job.State.WAITING)
    try:
        with transaction.atomic():
            _kinds[kind](key, now)
            mine.delete()
    except Exception as error:
        _failed(mine, kind, key, attempts, now, error)


def _failed(mine: QuerySet[Job], kind: str, key: str, attempts: int, now: datetime, error: Exception) -> None:
    logger.error("job %s %s failed", kind, key, exc_info=error)
    problem = f"{type(error).__name__}: {error}".replace("\0", " ")[:500]
    if attempts < MOST_ATTEMPTS:
        mine.update(error=problem, next_try_at=now + min(LONGEST_WAIT, FIRST_WAIT * 2**attempts))
    else:
        _give_up(mine.first(), problem, now)


@transaction.atomic
def _give_up(job: Job | None, problem: str, now: datetime) -> None:
    if job is None:
        return
    job.state, job.error, job.died_at = Job.State.DEAD, problem, now
    job.save(update_fields=["state", "error", "died_at"])
    open_exception(
        organisation_id=job.organisation_id, kind=BillingException.Kind.JOB_DEAD, title=f"{job.kind} was given up",
        reference=_reference(job.kind, job.key), details={"job": job.pk, "error": problem}, at=now,
    )  # fmt: skip
    if job.kind in _gave_up:
        _gave_up[job.kind](job.key, problem, now)


def _reference(kind: str, key: str) -> str:
    return f"job:{kind}:{key}"[:120]
