"""A vendor's list, page by page with flat memory, read by the mapping of its pushes; one bad entry stops nothing."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import orjson
from django.db import transaction
from django.utils import timezone

from fleetcharge.lib import exchanges
from stations.cpo.base import CPOError, CPOUnavailable, PullReport
from stations.cpo.guard import check_url, same_origin
from stations.cpo.ocpi import pacing
from stations.cpo.unreachable import unreachable
from stations.cpo.webhooks import letters, taking
from stations.cpo.webhooks.counting import Tally
from stations.cpo.webhooks.mapping import FeedMapping, Reading
from stations.cpo.webhooks.models import WebhookFeed
from stations.cpo.webhooks.paging import MAX_PAGES, PollPlan
from stations.cpo.webhooks.paths import BadMapping
from stations.cpo.webhooks.sites import BadEntry
from stations.cpo.webhooks.styles import APPLIED, Outcome
from stations.models import Source
from stations.services import tombstones

MAX_SECONDS = 60.0
MAX_PAGE_BYTES = 16 * 1024 * 1024
OVERLAP = timedelta(minutes=5)
TRY_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """`link` is where a Link header says the next one is."""

    body: Any
    link: str = ""


def poll(source: Source) -> Iterator[PullReport]:
    """One walk over the list, a report per page. Raises CPOError, and CPOUnavailable for what may work later."""
    feed = WebhookFeed.objects.select_related("source").filter(source=source).first()
    if feed is None or not feed.poll:
        raise CPOError("no_poll_plan", f"{source.name} has no address to poll; write one into its webhook feed.")
    try:
        plan, reader = PollPlan.parse(feed.poll), feed.poll_reader()
    except BadMapping as error:
        raise CPOError("bad_mapping", f"{source.name}: {error}") from None
    began = timezone.now()
    is_full = not plan.since or tombstones.is_full_due(source, began)
    since = "" if is_full or source.last_polled_at is None else (source.last_polled_at - OVERLAP).isoformat()
    with exchanges.client(seconds=MAX_SECONDS) as http:
        for report in _pages(http, feed, plan, reader, plan.first(since)):
            report.is_full = is_full
            yield report
    if is_full and reader.location:
        tombstones.full_pull_done(source=source, began=began, at=timezone.now())
    letters.replay_known(feed.pk, now=timezone.now())


def _pages(
    http: httpx.Client, feed: WebhookFeed, plan: PollPlan, reader: FeedMapping, first: str
) -> Iterator[PullReport]:
    """A next page at another host, or one we have seen, is not followed."""
    url, seen = first, {first}
    for number in range(1, MAX_PAGES + 1):
        page = _fetch(http, feed, plan, url)
        try:
            reading = reader.read(page.body)
        except BadEntry as error:
            raise CPOError(error.code, f"{feed.source.name}: {error}") from None
        report = _take(feed, reading)
        report.part, report.page, report.read = "list", number, len(reading.entries)
        yield report
        url = plan.after(url, number, page.body, len(reading.entries), page.link)
        if not url or url in seen:
            return
        if not same_origin(url, first):
            raise CPOError("hostile_url", f"{feed.source.name} links its next page at another host.")
        seen.add(url)


def _take(feed: WebhookFeed, reading: Reading) -> PullReport:
    """One page in one transaction."""
    now, tally, report = timezone.now(), Tally(), PullReport()
    with transaction.atomic():
        (taken,) = taking.take([taking.Work(feed.source, reading, now)])
        both = zip(reading.entries, taken.outcomes, strict=True)
        bad = [each.subject for entry, each in both if each.code not in APPLIED and not entry.status and each.subject]
        tombstones.still_named(source=feed.source, external_keys=bad, at=now)
        for outcome in taken.outcomes:
            tally.add(feed.pk, f"polled_{outcome.code}", detail="" if outcome.code in APPLIED else outcome.detail)
        tally.write(now)
    for entry, outcome in zip(reading.entries, taken.outcomes, strict=True):
        report.locations += entry.site is not None and outcome.code == "applied"
        report.connectors += sum(len(evse.connectors) for evse in entry.site.evses) if entry.site else 0
        if outcome.code not in APPLIED:
            report.rejected.append(_refusal(outcome))
    return report


def _refusal(outcome: Outcome) -> dict[str, Any]:
    return {"id": outcome.subject or outcome.index, "why": f"{outcome.code}: {outcome.detail}"}


def _fetch(http: httpx.Client, feed: WebhookFeed, plan: PollPlan, url: str) -> Page:
    target = check_url(url)
    pacing.wait_for_turn(feed.source)
    headers = {"Accept": "application/json", **plan.headers, **target.headers}
    if key := feed.poll_key:
        headers[plan.key_header] = f"{plan.key_prefix}{key}"
    try:
        with http.stream("GET", target.url, headers=headers, extensions=dict(target.extensions)) as answer:
            _check(feed, answer)
            return Page(_json(feed, _read(feed, answer)), answer.links.get("next", {}).get("url", ""))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise unreachable(feed.source.name, error) from None


def _check(feed: WebhookFeed, answer: httpx.Response) -> None:
    text = f"{feed.source.name} answers HTTP {answer.status_code}."
    if answer.status_code in TRY_LATER:
        wait = answer.headers.get("Retry-After", "")
        raise CPOUnavailable(text, retry_after_seconds=int(wait) if wait.isdecimal() and len(wait) < 10 else 0)
    if answer.status_code != 200:
        raise CPOError(f"http_{answer.status_code}", text)


def _read(feed: WebhookFeed, answer: httpx.Response) -> bytes:
    """All of it, unless it is endless."""
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > MAX_PAGE_BYTES:
            raise CPOError("too_large", f"{feed.source.name} sends a page of more than {MAX_PAGE_BYTES} bytes.")
    return bytes(body)


def _json(feed: WebhookFeed, body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CPOError("not_json", f"{feed.source.name} does not answer in JSON.") from None
