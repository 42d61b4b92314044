"""The lists of a CPO, page by page with flat memory; one bad object never stops a page, one bad module never a poll."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import DataError, IntegrityError
from django.utils import timezone
from pydantic import ValidationError

from stations import services
from stations.cpo.base import CPOError, CPOUnavailable, PullReport
from stations.cpo.ocpi.client import OCPIClient
from stations.cpo.ocpi.models import PeerDocument
from stations.cpo.ocpi.objects.base import key
from stations.cpo.ocpi.objects.bookings import BookingLocationIn, InvoiceRecordIn
from stations.cpo.ocpi.objects.commands import ClientInfoIn
from stations.cpo.ocpi.objects.locations import LocationIn
from stations.cpo.ocpi.objects.sessions import SessionIn
from stations.cpo.ocpi.receivers.cdrs import read_cdr
from stations.cpo.ocpi.taking import take_location, take_tariff
from stations.models import Source
from stations.services import listing, roaming, tombstones

logger = logging.getLogger(__name__)
OVERLAP = timedelta(minutes=5)
FIRST_LOOK = timedelta(days=31)
"""How far back sessions and CDRs are asked for when a network is new."""
ENDLESS = "the pages of its list go in a circle or never end: what was not on them is kept as it was"
UNUSABLE = (ValidationError, ValueError, TypeError, ArithmeticError, DataError, IntegrityError)


class Pull:
    """One poll of one CPO over one connection."""

    def __init__(self, client: OCPIClient, source: Source, now: datetime) -> None:
        self.client, self.source, self.now = client, source, now
        party = source.parties.order_by("pk").first()
        self.owner = (party.country_code, party.party_id) if party else ("", "")
        self.since = source.last_polled_at - OVERLAP if source.last_polled_at else None
        self._read_already: dict[int, LocationIn] = {}
        self._taken = listing.Taken()
        self.is_full = self.since is None or tombstones.is_full_due(source, now)

    def everything(self) -> Iterator[PullReport]:
        """Prices before the plugs that name them, sites before the sessions that happened there."""
        yield from self._optional("tariffs", None, self._tariff)
        yield from self._module("locations", None if self.is_full else self.since, self._location)
        yield from self._whole_list_read()
        lately = self.since or self.now - FIRST_LOOK
        yield from self._optional("sessions", lately, self._session)
        yield from self._optional("cdrs", lately, self._cdr)
        yield from self._optional("hubclientinfo", self.since, self._client)
        yield from self._optional("bookings", self.since, self._booking_location, "booking_locations")
        yield from self._optional("invoicereconciliation", lately, self._invoice)

    def _whole_list_read(self) -> Iterator[PullReport]:
        """What a list that was read to its end does not name is missing; one without an end says nothing of it."""
        if not self.client.is_whole:
            refusal = {"id": "locations", "why": ENDLESS}
            yield PullReport(part="locations", is_full=self.is_full, rejected=[refusal])
            if self.is_full:
                tombstones.endless_pull_done(source=self.source, at=timezone.now())
        elif self.is_full:
            tombstones.full_pull_done(source=self.source, began=self.now, at=timezone.now())

    def one(self, module: str, object_id: str) -> bool:
        """A single site or session by the CPO's id; False when it is not usable."""
        url = f"{self.source.endpoints[module].rstrip('/')}/{object_id}"
        take = {"locations": self._location, "sessions": self._session}[module]
        return not self._take([self.client.call("GET", url)], take).rejected

    def _module(
        self, module: str, since: datetime | None, take: Callable[[Any, PullReport], None], below: str = ""
    ) -> Iterator[PullReport]:
        url, size = self.source.endpoints[module], 0
        pages = self.client.pages(f"{url.rstrip('/')}/{below}" if below else url, since=since)
        for number, page in enumerate(pages, start=1):
            if module == "locations":
                self._take_together(page)
            size = size or len(page)
            report = self._take(page, take)
            report.part, report.page, report.pages = module, number, _pages(self.client.promised, size, number)
            report.is_full = self.is_full
            yield report

    def _optional(
        self, module: str, since: datetime | None, take: Callable[[Any, PullReport], None], below: str = ""
    ) -> Iterator[PullReport]:
        """A CPO with a broken module still shows where one can charge."""
        if module not in self.source.endpoints:
            return
        try:
            yield from self._module(module, since, take, below)
        except CPOUnavailable:
            raise
        except CPOError as error:
            logger.warning("%s: %s: %s", self.source.slug, module, error)
            yield PullReport(part=module, is_full=self.is_full, rejected=[{"id": module, "why": str(error)}])

    def _take(self, page: Iterable[Any], take: Callable[[Any, PullReport], None]) -> PullReport:
        report = PullReport()
        for entry in page:
            report.read += 1
            try:
                take(entry, report)
            except UNUSABLE as error:
                name = entry.get("id") if isinstance(entry, dict) else None
                report.rejected.append({"id": name, "why": str(error)})
                logger.warning("%s: object %s refused: %s", self.source.slug, name, error)
        return report

    def _read(self, kind: str, entry: Any) -> Any:
        return self.client.dialect.read(kind, entry, self.owner)

    def _take_together(self, page: Iterable[Any]) -> None:
        """New and unchanged sites of a page in a few statements; whatever is odd is met again one by one."""
        self._read_already, docs = {}, []
        for entry in page:
            with contextlib.suppress(*UNUSABLE, AttributeError):
                location = LocationIn.model_validate(self._read("location", entry))
                docs += [location.doc()] if location.publish else []
                self._read_already[id(entry)] = location
        self._taken = listing.take_page(source=self.source, docs=docs, at=timezone.now())

    def _location(self, entry: Any, report: PullReport) -> None:
        try:
            location = self._read_already.get(id(entry)) or LocationIn.model_validate(self._read("location", entry))
            key_of_it = key(location.country_code, location.party_id, location.id).lower()
            if key_of_it in self._taken.keys:
                report.locations += key_of_it in self._taken.new
            else:
                report.locations += take_location(self.source, location, timezone.now())
        except UNUSABLE:
            self._named(entry)
            raise
        report.connectors += sum(len(evse.connectors) for evse in location.evses)

    def _named(self, entry: Any) -> None:
        """A site that is listed is there, even when nothing else of it can be used."""
        if isinstance(entry, dict):
            country, party = entry.get("country_code") or self.owner[0], entry.get("party_id") or self.owner[1]
            keys = [key(country, party, str(entry.get("id")))]
            tombstones.still_named(source=self.source, external_keys=keys, at=timezone.now())

    def _tariff(self, entry: Any, report: PullReport) -> None:
        take_tariff(self.source, self._read("tariff", entry), timezone.now())
        report.tariffs += 1

    def _session(self, entry: Any, report: PullReport) -> None:
        raw = self._read("session", entry)
        session = SessionIn.model_validate(raw)
        _, outcome = roaming.put_session(source=self.source, session=session, raw=raw, at=timezone.now())
        report.sessions += outcome != roaming.SAME

    def _cdr(self, entry: Any, report: PullReport) -> None:
        cdr = read_cdr(self._read("cdr", entry))
        _, outcome = roaming.take_cdr(source=self.source, cdr=cdr, raw=entry, at=timezone.now())
        report.cdrs += outcome == roaming.NEW
        if outcome == roaming.CONFLICT:
            raise ValueError(f"we hold another CDR {cdr.id}")

    def _client(self, entry: Any, report: PullReport) -> None:
        info = ClientInfoIn.model_validate(entry)
        services.note_client(
            source=self.source, country_code=info.country_code, party_id=info.party_id, role=info.role,
            status=info.status, at=info.last_updated,
        )  # fmt: skip

    def _booking_location(self, entry: Any, report: PullReport) -> None:
        raw = self._read("booking_location", entry)
        site = BookingLocationIn.model_validate(raw)
        roaming.keep_document(
            source=self.source, kind=PeerDocument.Kind.BOOKING_LOCATION, document_key=site.key, raw=raw,
            updated_at=site.last_updated, at=timezone.now(), reference=site.location_id,
        )  # fmt: skip

    def _invoice(self, entry: Any, report: PullReport) -> None:
        record = InvoiceRecordIn.model_validate(entry)
        roaming.keep_document(
            source=self.source, kind=PeerDocument.Kind.INVOICE, document_key=record.key, raw=entry,
            updated_at=record.last_updated, at=timezone.now(), reference=record.invoice_id, cdr_ids=record.cdrs,
        )  # fmt: skip


def _pages(promised: int, size: int, number: int) -> int | None:
    """How many pages a list has that promised so many objects; one that is walked again has no fewer than we read."""
    return max(-(-promised // size), number) if promised and size else None
