"""Is a push believed, and what does it say? Read before anything is written; refusals are named and counted."""

import functools
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from fleetcharge.lib.db import fetch_prepared, in_one_line
from fleetcharge.lib.remembered import Remembered, version
from stations.cpo.ocpi import pacing
from stations.cpo.webhooks import signatures, styles
from stations.cpo.webhooks.counting import Tally
from stations.cpo.webhooks.mapping import FeedMapping, Reading
from stations.cpo.webhooks.models import WebhookFeed
from stations.cpo.webhooks.paths import BadMapping
from stations.cpo.webhooks.signatures import BadSignature, Proof, Scheme, Signed
from stations.cpo.webhooks.sites import BadEntry
from stations.cpo.webhooks.styles import Outcome

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


class Reader:
    """A feed, and what is made of its row once: the scheme, the secrets in the clear, the mapping understood."""

    def __init__(self, feed: WebhookFeed, mapping: FeedMapping | None = None) -> None:
        self.feed, self._mapping = feed, mapping

    @functools.cached_property
    def scheme(self) -> Scheme:
        return self.feed.scheme

    @functools.cached_property
    def secrets(self) -> list[str]:
        return self.feed.secrets

    @property
    def mapping(self) -> FeedMapping:
        """Raises BadMapping."""
        self._mapping = self._mapping or self.feed.reader()
        return self._mapping


@dataclass
class Job:
    """One push on its way. `answer` is there as soon as nothing more can change it."""

    push: Push
    reader: Reader | None
    dedupe_key: str = ""
    proof: Proof | None = None
    reading: Reading = field(default_factory=lambda: Reading([]))
    broken: Outcome | None = None  # believed, kept, and unreadable as a whole
    is_news: bool = False  # kept for the first time, and read: the vendor is alive
    answer: Answer | None = None

    @property
    def its_reader(self) -> Reader:
        assert self.reader is not None  # noqa: S101 (a job without one is answered at once)
        return self.reader

    @property
    def its_feed(self) -> WebhookFeed:
        return self.its_reader.feed

    @property
    def sites(self) -> int:
        return sum(entry.site is not None for entry in self.reading.entries)

    @property
    def sent_at(self) -> datetime | None:
        return self.reading.sent_at or (self.proof.sent_at if self.proof else None)


def judged(pushes: Sequence[Push], tally: Tally) -> list[Job]:
    readers = _readers({push.slug for push in pushes})
    jobs = [Job(push, readers.get(push.slug)) for push in pushes]
    for job in jobs:
        job.answer = _judge(job, tally)
    _pace(jobs, tally)
    return jobs


_BY_SLUG = in_one_line(f"""
SELECT s.slug, f.id, {version("f")} || {version("s")}
FROM stations_webhookfeed f JOIN stations_source s ON s.id = f.source_id
WHERE s.slug = ANY(%s) AND s.state <> 'disabled'
""")  # noqa: S608 (constants)


def _load(feed_ids: Sequence[int]) -> Mapping[int, Reader]:
    return {feed.pk: Reader(feed) for feed in WebhookFeed.objects.select_related("source").filter(pk__in=feed_ids)}


_remembered: Remembered[Reader] = Remembered(_load, max_entries=2_000)


def _readers(slugs: set[str]) -> dict[str, Reader]:
    """Of the feeds that are on; one query, unless a feed or its network changed. For reading."""
    rows = fetch_prepared(_BY_SLUG, [list(slugs)])
    readers = _remembered.get({pk: row_version for _, pk, row_version in rows})
    return {slug: readers[pk] for slug, pk, _ in rows if pk in readers}


def _judge(job: Job, tally: Tally) -> Answer | None:
    """Believed and read, or refused by name; a believed push that cannot be read is kept all the same."""
    push, reader = job.push, job.reader
    if reader is None:
        return Answer(404, {"detail": "There is no such feed here.", "code": "unknown_feed"}, is_guess=True)
    if push.method not in METHODS:
        return _refuse(job, 405, "method_not_allowed", "Pushes are POST, PUT or PATCH.", tally)
    if not signatures.is_from(push.address, reader.feed.allowed_addresses):
        return _refuse(job, 403, "wrong_address", f"{push.address} is not where this feed comes from.", tally)
    try:
        signed = Signed(push.method, push.target, push.headers, push.raw)
        job.proof = signatures.verify(reader.scheme, reader.secrets, signed, push.at)
    except BadSignature as refused:
        return _refuse(job, 401, refused.code, str(refused), tally)
    try:
        job.reading = read(reader, push.raw, push.path)
        if late := _outside_window(job):
            return _refuse(job, 401, "expired", late, tally)
    except BadEntry as error:
        job.broken = Outcome(0, error.code, str(error))
    job.dedupe_key = _dedupe_key(job)
    return None


def read(reader: Reader, raw: bytes, path: tuple[str, ...]) -> Reading:
    """Raises BadEntry when there is nothing to look at."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadEntry("not_json", f"The body is not JSON: {error}") from None
    if reader.feed.style == WebhookFeed.Style.OCPI:
        return styles.read_ocpi(body, path)
    try:
        mapping = reader.mapping
    except BadMapping as error:
        raise BadEntry("bad_mapping", str(error)) from None
    return mapping.read(body, path)


def _outside_window(job: Job) -> str:
    """A time in a signed body guards against replays as one in a header does."""
    sent_at, window = job.reading.sent_at, job.its_reader.scheme.window
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
    """Count the believed pushes of each network (OCPI_PUSH_RATE); those past the rate are told to wait."""
    believed: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.answer is None:
            believed[job.its_feed.source_id].append(job)
    for source_id, pushed in believed.items():
        granted, seconds = pacing.may_call_us(source_id, calls=len(pushed))
        for job in pushed[granted:]:
            refusal = _refuse(job, 429, "throttled", "Too many pushes of this network.", tally)
            job.answer = replace(refusal, wait_seconds=seconds)
