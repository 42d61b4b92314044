"""What a pasted payload would do: the real road through reader, registry and database, and nothing of it is kept."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from stations.cpo.webhooks import judging, taking
from stations.cpo.webhooks.codes import words
from stations.cpo.webhooks.mapping import Entry
from stations.cpo.webhooks.models import WebhookFeed
from stations.cpo.webhooks.styles import Outcome
from stations.cpo.webhooks.taking import Work
from stations.models import Connector
from stations.services.bulk import find_evses


@dataclass(frozen=True)
class Line:
    """One entry: what it says, what would become of it, and what would be shown before and after."""

    index: int
    code: str
    detail: str
    what: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        change = f" · {_label(self.before)} → {_label(self.after)}" if self.before or self.after else ""
        return f"{self.index}: {words(self.code)} · {self.what}{change}{f' · {self.detail}' if self.detail else ''}"


def try_out(feed: WebhookFeed, raw: bytes, path: str = "", *, is_page: bool = False) -> list[Line]:
    """Every entry of a payload by the feed as it stands, saved or not; `is_page`: a polled page. Writes nothing.

    Raises BadEntry when there is nothing to look at.
    """
    parts = tuple(part for part in path.split("/") if part)
    reader = judging.Reader(feed, feed.poll_reader() if is_page else None)
    reading = judging.read(reader, raw, parts)
    with transaction.atomic():
        keys = [(feed.source_id, entry.status.key) for entry in reading.entries if entry.status]
        before = _shown(keys)
        (taken,) = taking.take([Work(feed.source, reading, timezone.now())])
        after = _shown(keys)
        transaction.set_rollback(True)
    return [
        _line(entry, outcome, before, after) for entry, outcome in zip(reading.entries, taken.outcomes, strict=True)
    ]


def _shown(keys: Iterable[tuple[int, str]]) -> dict[str, str]:
    """What is shown of each EVSE, by the vendor's key."""
    pairs = list(keys)
    found = find_evses(pairs)
    rows = Connector.objects.filter(evse_id__in=[pk for pk in found if pk]).order_by("pk")
    statuses = dict(rows.values_list("evse_id", "status"))
    return {key: statuses.get(pk or 0, "") for (_, key), pk in zip(pairs, found, strict=True)}


def _label(status: str) -> str:
    """As people read it; a word that is none of ours as it is."""
    return str(dict(Connector.Status.choices).get(status, status))


def _line(entry: Entry, outcome: Outcome, before: dict[str, str], after: dict[str, str]) -> Line:
    if entry.site:
        plugs = sum(len(evse.connectors) for evse in entry.site.evses)
        what = f"{entry.site.name}, {entry.site.latitude}, {entry.site.longitude}: {plugs} plugs"
        return Line(entry.index, outcome.code, outcome.detail, what)
    if entry.status:
        word = entry.status
        at = f", {word.at.isoformat()}" if word.at else ""
        what = f"EVSE {word.key}: {word.raw_status}, {_label(word.status)}{at}"
        return Line(entry.index, outcome.code, outcome.detail, what, before[word.key], after[word.key])
    return Line(entry.index, outcome.code, outcome.detail, "–")
