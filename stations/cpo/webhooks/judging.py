"""Is a push believed, and what does it say? Read before anything is written; refusals are named and counted."""

import hashlib
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings

from fleetcharge.accounts.throttling import Rate
from fleetcharge.accounts.throttling import counter as throttle
from stations.cpo.webhooks import signatures, styles
from stations.cpo.webhooks.counting import Tally
from stations.cpo.webhooks.mapping import FeedMapping, Reading
from stations.cpo.webhooks.models import WebhookFeed
from stations.cpo.webhooks.paths import BadMapping
from stations.cpo.webhooks.signatures import BadSignature, Proof, Signed
from stations.cpo.webhooks.sites import BadEntry
from stations.cpo.webhooks.styles import Outcome
from stations.models import Source

METHODS = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True)
class Push:
    """What came over the wire. `path` is what follows the feed's own address, `target` the whole address as sent."""

    slug: str
    path: tuple[str, ...]
    method: str
    target: str
    headers: dict[str, str]
    raw: bytes
    address: str
    at: datetime


@dataclass(frozen=True)
class Answer:
    """`push_id` is a push to be applied by a task; `is_guess`: the caller may be trying its luck."""

    http: int
    body: Any
    wait_seconds: int = 0
    is_guess: bool = False
    push_id: int | None = None


@dataclass
class Job:
    """One push on its way. `answer` is there as soon as nothing more can change it."""

    push: Push
    feed: WebhookFeed | None
    dedupe_key: str = ""
    proof: Proof | None = None
    reading: Reading = field(default_factory=lambda: Reading([]))
    broken: Outcome | None = None  # believed, kept, and unreadable as a whole
    is_news: bool = False  # kept for the first time, and read: the vendor is alive
    answer: Answer | None = None

    @property
    def its_feed(self) -> WebhookFeed:
        assert self.feed is not None  # noqa: S101 (a job without one is answered at once)
        return self.feed

    @property
    def sites(self) -> int:
        return sum(entry.site is not None for entry in self.reading.entries)

    @property
    def sent_at(self) -> datetime | None:
        return self.reading.sent_at or (self.proof.sent_at if self.proof else None)


def judged(pushes: Sequence[Push], tally: Tally) -> list[Job]:
    feeds = _feeds({push.slug for push in pushes})
    jobs = [Job(push, feeds.get(push.slug)) for push in pushes]
    readers: dict[int, FeedMapping] = {}
    for job in jobs:
        job.answer = _judge(job, readers, tally)
    _pace(jobs, tally)
    return jobs


def _feeds(slugs: set[str]) -> dict[str, WebhookFeed]:
    rows = WebhookFeed.objects.select_related("source").filter(source__slug__in=slugs)
    return {feed.source.slug: feed for feed in rows.exclude(source__state=Source.State.DISABLED)}


def _judge(job: Job, readers: dict[int, FeedMapping], tally: Tally) -> Answer | None:
    """Believed and read, or refused by name; a believed push that cannot be read is kept all the same."""
    push, feed = job.push, job.feed
    if feed is None:
        return Answer(404, {"detail": "There is no such feed here.", "code": "unknown_feed"}, is_guess=True)
    if push.method not in METHODS:
        return _refuse(job, 405, "method_not_allowed", "Pushes are POST, PUT or PATCH.", tally)
    if not signatures.is_from(push.address, feed.allowed_addresses):
        return _refuse(job, 403, "wrong_address", f"{push.address} is not where this feed comes from.", tally)
    try:
        signed = Signed(push.method, push.target, push.headers, push.raw)
        job.proof = signatures.verify(feed.scheme, feed.secrets, signed, push.at)
    except BadSignature as refused:
        return _refuse(job, 401, refused.code, str(refused), tally)
    try:
        job.reading = read(feed, push.raw, push.path, readers)
        if late := _outside_window(job):
            return _refuse(job, 401, "expired", late, tally)
    except BadEntry as error:
        job.broken = Outcome(0, error.code, str(error))
    job.dedupe_key = _dedupe_key(job)
    return None


def read(
    feed: WebhookFeed, raw: bytes, path: tuple[str, ...], readers: dict[int, FeedMapping] | None = None
) -> Reading:
    """Raises BadEntry when there is nothing to look at. `readers` keeps mappings that were understood already."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadEntry("not_json", f"The body is not JSON: {error}") from None
    if feed.style == WebhookFeed.Style.OCPI:
        return styles.read_ocpi(body, path)
    readers = {} if readers is None else readers
    try:
        reader = readers[feed.pk] = readers.get(feed.pk) or feed.reader()
    except BadMapping as error:
        raise BadEntry("bad_mapping", str(error)) from None
    return reader.read(body, path)


def _outside_window(job: Job) -> str:
    """A time in a signed body guards against replays as one in a header does."""
    sent_at, window = job.reading.sent_at, job.its_feed.scheme.window
    if sent_at is None or abs(job.push.at - sent_at) <= window:
        return ""
    return f"Sent at {sent_at.isoformat()}, more than {window} from our clock."


def _dedupe_key(job: Job) -> str:
    """By the signed id, else by the bytes and their signed time. Without any time two equal pushes may be two facts."""
    proof, push = job.proof, job.push
    if proof and proof.event_id:
        return hashlib.sha256(f"id:{proof.event_id}".encode()).hexdigest()
    if job.reading.event_id:
        return hashlib.sha256(f"body:{job.reading.event_id}".encode()).hexdigest()
    stamp = proof.sent_at.isoformat() if proof and proof.sent_at else ""
    if not (stamp or job.broken or job.reading.has_times):
        return secrets.token_hex(32)
    where = f"{push.method} {'/'.join(push.path)}\n{stamp}\n"
    return hashlib.sha256(where.encode() + push.raw).hexdigest()


def _refuse(job: Job, http: int, code: str, detail: str, tally: Tally) -> Answer:
    tally.add(job.its_feed.pk, code, detail=f"{job.push.address}: {detail}")
    body = styles.refused(job.its_feed.style, code, detail, job.push.at)
    return Answer(http, body, is_guess=http in {401, 403})


def _pace(jobs: list[Job], tally: Tally) -> None:
    """Count the believed pushes of each network (OCPI_PUSH_RATE); past the rate they are told to wait."""
    rate = Rate.parse(settings.OCPI_PUSH_RATE)
    counts = Counter(job.its_feed.source_id for job in jobs if job.answer is None)
    waits = {pk: throttle.add("ocpi-in", str(pk), rate, by=count) for pk, count in counts.items()} if rate else {}
    for job in jobs:
        if job.answer is None and (seconds := waits.get(job.its_feed.source_id, 0)):
            refusal = _refuse(job, 429, "throttled", "Too many pushes of this network.", tally)
            job.answer = replace(refusal, wait_seconds=seconds)
