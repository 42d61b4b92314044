"""Pushes of vendors: believed by their signature, had once, read by their mapping, committed before they are answered.

Those that came while the last commit ran are written by the next one together: one look at the inbox, one conditional
update, one history, one count, however many they are.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from stations import services
from stations.cpo.webhooks import inbox, letters, styles, taking
from stations.cpo.webhooks.counting import Tally
from stations.cpo.webhooks.inbox import NewPush
from stations.cpo.webhooks.judging import Answer, Job, Push, Reader, judged, read
from stations.cpo.webhooks.mapping import Reading
from stations.cpo.webhooks.models import WebhookFeed, WebhookPush
from stations.cpo.webhooks.sites import BadEntry
from stations.cpo.webhooks.styles import APPLIED, Outcome
from stations.cpo.webhooks.taking import Taken, Work

INLINE_SITES = 25  # more are kept, acknowledged, and written by a task
OLD_SECRET_NOTED_EVERY = timedelta(minutes=1)
logger = logging.getLogger(__name__)


def receive(pushes: Sequence[Push]) -> list[Answer]:
    """One answer per push, once everything about it is committed; may be run again after a failure."""
    tally = Tally()
    jobs = judged(pushes, tally)
    open_jobs = [job for job in jobs if job.answer is None]
    plain = [job for job in open_jobs if not job.sites]
    for batch in (plain, *([job] for job in open_jobs if job.sites)):  # sites lock more, so each push is by itself
        if batch:
            _commit(batch)
    tally.write(timezone.now())
    _note(open_jobs)
    return [job.answer or Answer(500, {}) for job in jobs]


def _commit(jobs: list[Job]) -> None:
    """All of them in one transaction; once more when another process was quicker with the very same push.

    One that the database cannot take is kept as it came; with others beside it, they are tried one by one.
    """
    try:
        _write(jobs)
    except (IntegrityError, DataError) as error:
        for job in jobs:
            job.answer, job.is_news = None, False
        if isinstance(error, DataError):
            if len(jobs) > 1:
                raise
            jobs[0].reading, jobs[0].broken = Reading([]), Outcome(0, "unusable", str(error)[:255])
        _write(jobs)


@transaction.atomic
def _write(jobs: list[Job]) -> None:
    tally = Tally()
    fresh = _without_duplicates(jobs, tally)
    now = timezone.now()
    queued = [job for job in fresh if job.sites > INLINE_SITES]
    ready = [job for job in fresh if job not in queued]
    works = [Work(job.its_feed.source, job.reading, job.push.at, job.sent_at) for job in ready]
    taken = dict(zip(map(id, ready), taking.take(works), strict=True))
    rows = {id(job): _row(job, taken.get(id(job)), now) for job in fresh}
    inbox.keep(list(rows.values()))
    for job in fresh:
        row, job.is_news = rows[id(job)], job.broken is None
        if job in queued:
            job.answer = Answer(202, {"received": len(job.reading.entries), "code": "queued"}, push_id=row.pk)
            tally.add(job.its_feed.pk, "queued")
        else:
            _settle(job, row, taken[id(job)], tally, now)
    letters.write([(rows[id(job)], taken[id(job)].outcomes) for job in ready])
    _answer_copies(jobs)
    tally.write(now)


def _without_duplicates(jobs: list[Job], tally: Tally) -> list[Job]:
    """Those we have not had; a copy of one that is in the inbox is answered as that one was."""
    held = inbox.held({(job.its_feed.pk, job.dedupe_key) for job in jobs})
    fresh: dict[tuple[int, str], Job] = {}
    for job in jobs:
        name = (job.its_feed.pk, job.dedupe_key)
        if name in held or name in fresh:
            tally.add(job.its_feed.pk, "duplicate")
            if name in held:
                job.answer = _answer_again(job, held[name])
        else:
            fresh[name] = job
    return list(fresh.values())


def _answer_again(job: Job, row: WebhookPush) -> Answer:
    if row.applied_at is None:
        return Answer(202, {"received": row.entries, "code": "queued", "duplicate": True})
    problems = {index: Outcome(index, code, detail) for index, code, detail in row.problems}
    outcomes = [problems.get(index, Outcome(index, "applied")) for index in range(row.entries)]
    body = styles.answered(job.its_feed.style, outcomes, job.push.at, is_duplicate=True)
    return Answer(200 if row.entries or not problems else 400, body)


def _answer_copies(jobs: list[Job]) -> None:
    """Twice in one batch: the second is answered as the first."""
    answers = {(job.its_feed.pk, job.dedupe_key): job.answer for job in jobs if job.answer}
    for job in jobs:
        job.answer = job.answer or answers[job.its_feed.pk, job.dedupe_key]


def _row(job: Job, taken: Taken | None, now: datetime) -> NewPush:
    outcomes = _outcomes(job, taken) if taken else []
    return NewPush(
        feed_id=job.its_feed.pk, dedupe_key=job.dedupe_key, method=job.push.method, path="/".join(job.push.path)[:300],
        raw=job.push.raw, sent_at=job.sent_at, received_at=job.push.at, applied_at=now if taken else None,
        entries=len(job.reading.entries), outcomes=dict(Counter(each.code for each in outcomes)),
        problems=[[each.index, each.code, each.detail] for each in outcomes if each.code != "applied"],
    )  # fmt: skip


def _outcomes(job: Job, taken: Taken) -> list[Outcome]:
    if job.broken:
        taken.outcomes = [replace(job.broken, subject=job.dedupe_key)]
    return taken.outcomes


def _settle(job: Job, row: NewPush | WebhookPush, taken: Taken, tally: Tally, now: datetime) -> None:
    """The answer, and what is counted of it."""
    feed = job.its_feed
    tally.add(feed.pk, "pushes")
    tally.add(feed.pk, "clock_ahead", by=taken.skewed)
    for outcome in taken.outcomes:
        tally.add(feed.pk, outcome.code, detail="" if outcome.code in APPLIED else outcome.detail)
        if outcome.code == "applied" and outcome.at:
            tally.lag(feed.pk, max(0.0, (now - outcome.at).total_seconds() * 1000))
    if job.broken:
        http = 413 if job.broken.code == "too_many_entries" else 400
        job.answer = Answer(http, styles.refused(feed.style, job.broken.code, job.broken.detail, now))
    else:
        job.answer = Answer(200, styles.answered(feed.style, taken.outcomes, now))


def _note(jobs: list[Job]) -> None:
    """After the commit, so that no row of a network is locked while its plugs are: it spoke, and with which secret."""
    news = [job for job in jobs if job.is_news]  # rubbish and copies keep no status alive
    for source_id in sorted({job.its_feed.source_id for job in news}):
        last = max((job for job in news if job.its_feed.source_id == source_id), key=lambda job: job.push.at)
        source = last.its_feed.source
        taking.believe(source, last.push.at)
        if not services.is_push_noted(source.last_push_at, last.push.at):
            services.push_received(source_id=source_id, at=last.push.at)
    for job in jobs:
        if job.proof and job.proof.secret_number > 0:
            _note_old_secret(job.its_feed, job.push.at)


def _note_old_secret(feed: WebhookFeed, at: datetime) -> None:
    """So that people see when a vendor has changed over, and the old one can go."""
    if feed.old_secret_used_at is None or at - feed.old_secret_used_at >= OLD_SECRET_NOTED_EVERY:
        feed.old_secret_used_at = at
        WebhookFeed.objects.filter(pk=feed.pk).update(old_secret_used_at=at)


@transaction.atomic
def apply_push(push_id: int, *, now: datetime) -> bool:
    """A push that was only kept, applied now; False when it was done already."""
    rows = WebhookPush.objects.select_for_update(of=("self",)).select_related("feed__source")
    row = rows.filter(pk=push_id, applied_at=None).first()
    if row is None:
        return False
    feed, tally = row.feed, Tally()
    job = Job(_push_of(row), Reader(feed), row.dedupe_key)
    try:
        job.reading = read(job.its_reader, job.push.raw, job.push.path)
    except BadEntry as error:  # the mapping was changed meanwhile
        job.broken = Outcome(0, error.code, str(error))
    (taken,) = taking.take([Work(feed.source, job.reading, row.received_at, row.sent_at)])
    kept = _row(job, taken, now)
    for name in ("applied_at", "outcomes", "problems", "entries"):
        setattr(row, name, getattr(kept, name))
    row.save(update_fields=["applied_at", "outcomes", "problems", "entries"])
    _settle(job, row, taken, tally, now)
    letters.write([(row, taken.outcomes)])
    tally.write(now)
    return True


def _push_of(row: WebhookPush) -> Push:
    path = tuple(part for part in row.path.split("/") if part)
    return Push(row.feed.source.slug, path, row.method, "", {}, bytes(row.raw), "", row.received_at)


def again(row: WebhookPush, indexes: Sequence[int]) -> list[str]:
    """These entries of a push, read and applied anew; one code each. Call it in a transaction."""
    try:
        reading = read(Reader(row.feed), bytes(row.raw), _push_of(row).path)
    except BadEntry as error:
        return [error.code] * len(indexes)
    wanted = [entry for entry in reading.entries if entry.index in set(indexes)]
    part = replace(reading, entries=wanted, is_complete=False)
    (taken,) = taking.take([Work(row.feed.source, part, row.received_at, row.sent_at)])
    codes = {outcome.index: outcome.code for outcome in taken.outcomes}
    return [codes.get(index, "gone") for index in indexes]
