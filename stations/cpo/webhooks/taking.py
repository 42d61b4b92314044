"""What pushes and polled pages say, into the registry: sites one by one, all statuses in one go."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DataError, IntegrityError, transaction

from fleetcharge.lib.events import publish
from stations import services
from stations.cpo.documents import LocationDoc
from stations.cpo.webhooks.mapping import Entry, Reading, StatusWord
from stations.cpo.webhooks.sites import TARIFF_PREFIX
from stations.cpo.webhooks.styles import Outcome
from stations.events import SourceStateChanged
from stations.models import ExternalRef, Source
from stations.services.bulk import EvseReport, find_evses, report_evses

logger = logging.getLogger(__name__)
SKEW = timedelta(minutes=2)
UNUSABLE = (ValueError, TypeError, ArithmeticError, DataError, IntegrityError)
UNNAMED = "not named"


@dataclass(frozen=True)
class Work:
    """One push or page. `sent_at` stands in where an entry has no time of its own; None: the time we got it."""

    source: Source
    reading: Reading
    received_at: datetime
    sent_at: datetime | None = None

    def time_of(self, word: StatusWord) -> tuple[datetime, bool]:
        """(when it was so, whether the vendor's clock is ahead): what lies in the future happened when we heard it."""
        at = word.at or self.reading.sent_at or self.sent_at or self.received_at
        return (self.received_at, True) if at > self.received_at + SKEW else (at, False)


@dataclass
class Taken:
    """What became of one work, entry by entry; `skewed` entries came from the future."""

    outcomes: list[Outcome]
    skewed: int = 0


def take(works: Sequence[Work]) -> list[Taken]:
    """Sites first, then every status of all works in one conditional update. Call it in one transaction."""
    taken = [Taken([_unread(entry) for entry in work.reading.entries]) for work in works]
    reports: list[EvseReport] = []
    places: list[tuple[int, int] | None] = []  # which outcome a report answers; None: nobody's
    for number, work in enumerate(works):
        for position, entry in enumerate(work.reading.entries):
            if entry.site:
                taken[number].outcomes[position] = _take_site(work, entry, entry.site)
            elif entry.status:
                at, is_skewed = work.time_of(entry.status)
                taken[number].skewed += is_skewed
                reports.append(_report(work, entry.status, at))
                places.append((number, position))
        if work.reading.is_complete:
            unnamed = _unnamed(work)
            reports += unnamed
            places += [None] * len(unnamed)
    for place, report, code in zip(places, reports, report_evses(reports), strict=True):
        if place:
            number, position = place
            taken[number].outcomes[position] = _outcome(works[number].reading.entries[position], report, code)
    return taken


def _unread(entry: Entry) -> Outcome:
    return Outcome(entry.index, entry.code or "bad_entry", entry.detail, entry.subject)


def _report(work: Work, word: StatusWord, at: datetime) -> EvseReport:
    return EvseReport(work.source.pk, word.key, word.raw_status, word.status, at, work.received_at)


def _outcome(entry: Entry, report: EvseReport, code: str) -> Outcome:
    word = entry.status
    detail = ""
    if word and not word.is_understood and code == "applied":
        code, detail = "unknown_word", f"{word.raw_status!r} is no status we know; shown as unknown."
    if code == "unknown_evse":
        detail = f"We hold no EVSE {report.external_key}."
    return Outcome(entry.index, code, detail, report.external_key, word.at if word else None)


def _unnamed(work: Work) -> list[EvseReport]:
    """A full load leaves out what the vendor does not vouch for any more."""
    words = (entry.status for entry in work.reading.entries)
    named = {pk for pk in find_evses([(work.source.pk, word.key) for word in words if word]) if pk}
    refs = ExternalRef.objects.filter(source=work.source, kind=ExternalRef.Kind.EVSE).exclude(object_id__in=named)
    keys = dict(refs.values_list("object_id", "external_key"))
    at = work.reading.sent_at or work.received_at
    return [EvseReport(work.source.pk, key, UNNAMED, "unknown", at, work.received_at) for key in keys.values()]


def _take_site(work: Work, entry: Entry, doc: LocationDoc) -> Outcome:
    """One that its owner does not want published is hidden (OCPI `publish`), as it is for CPOs."""
    index, step = entry.index, _hide_site if entry.is_deleted else _keep_site
    try:
        with transaction.atomic():
            return Outcome(index, step(work.source, doc, work.received_at), "", doc.external_key, doc.updated_at)
    except UNUSABLE as error:
        logger.warning("%s: site %s refused: %s", work.source.slug, doc.external_key, error)
        return Outcome(index, "bad_site", str(error)[:255], doc.external_key)


def _hide_site(source: Source, doc: LocationDoc, at: datetime) -> str:
    is_hidden = services.remove_location(
        source=source, external_key=doc.external_key, at=at, updated_at=doc.updated_at
    )  # fmt: skip
    return "applied" if is_hidden else "unchanged"


def _keep_site(source: Source, doc: LocationDoc, at: datetime) -> str:
    for tariff_id in sorted(_tariff_ids(doc)):
        price = tariff_id.removeprefix(TARIFF_PREFIX)
        services.cache_tariff(
            source=source, external_id=tariff_id, currency="INR", at=at, name=f"₹{price} per kWh",
            elements=[{"price_components": [{"type": "ENERGY", "price": price, "step_size": 1}]}],
        )  # fmt: skip
    _, is_written = services.upsert_location(source=source, doc=doc, at=at)
    if is_written:
        name_evses(source, doc, at)
    return "applied" if is_written else "unchanged"


def _tariff_ids(doc: LocationDoc) -> Iterator[str]:
    for evse in doc.evses:
        for connector in evse.connectors:
            yield from (each for each in set(connector.tariff_ids) if each.startswith(TARIFF_PREFIX))


def name_evses(source: Source, doc: LocationDoc, at: datetime) -> None:
    """Vendors name an EVSE without its site, so it is known by its own id too, unless another site has the same."""
    uids = list({evse.uid.lower(): evse.uid for evse in doc.evses}.values())
    evses = find_evses([(source.pk, f"{doc.external_key}*{uid}") for uid in uids])
    held = find_evses([(source.pk, uid) for uid in uids])
    kind = ExternalRef.Kind.EVSE
    ExternalRef.objects.bulk_create(
        ExternalRef(source=source, kind=kind, external_key=uid, object_id=evse, last_seen_at=at)
        for uid, evse, other in zip(uids, evses, held, strict=True)
        if evse and not other
    )
    for uid, evse, other in zip(uids, evses, held, strict=True):
        if evse and other and evse != other:
            logger.warning("%s: EVSE %s is at two sites; name the site with its status", source.slug, uid)


def believe(source: Source, at: datetime) -> None:
    """The first push that is believed shows that the network is connected."""
    if source.state != Source.State.NEW:
        return
    if Source.objects.filter(pk=source.pk, state=Source.State.NEW).update(state=Source.State.CONNECTED):
        publish(SourceStateChanged(source.pk, Source.State.NEW, Source.State.CONNECTED, at))
