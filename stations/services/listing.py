"""A page of a network's list at once: what is new is written in a few statements, the known confirmed in three."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import DataError, IntegrityError, transaction

from fleetcharge.lib.events import publish_together
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.deciding import hear
from stations.events import LocationChanged
from stations.models import EVSE, Connector, ExternalRef, Location, Party, Source, StatusChange, Tariff
from stations.services import claims, sites
from stations.services.shared import stand_by
from stations.services.statuses import StatusReport, decided

Kind = ExternalRef.Kind


@dataclass(frozen=True)
class Taken:
    """Keys (lower case) that need nothing more; what is not among them is taken one by one."""

    new: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()

    @property
    def keys(self) -> frozenset[str]:
        return self.new | self.known


def take_page(*, source: Source, docs: Sequence[LocationDoc], at: datetime) -> Taken:
    """New sites of `source` and those it repeats word for word; everything else is left to `upsert_location`.

    When the database refuses one of the new sites none is written here, so that one by one the bad one is found.
    """
    try:
        return _take(source, docs, at)
    except (DataError, IntegrityError, ValueError, TypeError, OverflowError):
        return Taken()


@transaction.atomic
def _take(source: Source, docs: Sequence[LocationDoc], at: datetime) -> Taken:
    Source.objects.select_for_update().get(pk=source.pk)  # as upsert_location does
    by_key = {doc.external_key.lower(): doc for doc in docs}
    refs = ExternalRef.objects.filter(source=source, kind=Kind.LOCATION, external_key__lower__in=list(by_key))
    held = {ref.external_key.lower(): ref for ref in refs}
    shown = Location.objects.filter(source=source, is_removed=False, pk__in=[ref.object_id for ref in held.values()])
    updated_at = dict(shown.values_list("pk", "source_updated_at"))
    known = {
        key: ref.object_id
        for key, ref in held.items()
        if ref.object_id in updated_at and ref.raw_hash == digest_of(by_key[key])
    }
    _confirm(source, [by_key[key] for key in known], list(known.values()), at)
    new = {key: doc for key, doc in by_key.items() if key not in held}
    if new:
        _create(source, list(new.values()), at)
    return Taken(frozenset(new), frozenset(known))


def digest_of(doc: LocationDoc) -> str:
    """As `upsert_location` remembers it."""
    return hashlib.sha256(repr(doc).encode()).hexdigest()


def _confirm(source: Source, docs: Sequence[LocationDoc], location_ids: list[int], at: datetime) -> None:
    refs = ExternalRef.objects.filter(source=source, kind=Kind.LOCATION, object_id__in=location_ids)
    refs.update(last_seen_at=at, missed_syncs=0)
    if any(evse.raw_status for doc in docs for evse in doc.evses):
        stand_by(source_id=source.pk, at=at, location_ids=location_ids)


def _create(source: Source, docs: Sequence[LocationDoc], at: datetime) -> None:
    """Sites, units, plugs, their keys and their first status. A new plug is news of its site, not of itself."""
    parties = {doc.party: sites.party_of(source, doc) for doc in {doc.party: doc for doc in docs}.values()}
    rows = Location.objects.bulk_create([_location(source, doc, parties[doc.party]) for doc in docs])
    units = [(row, doc, unit) for row, doc in zip(rows, docs, strict=True) for unit in doc.evses]
    evses = EVSE.objects.bulk_create([_evse(row, unit) for row, _, unit in units])
    tariffs = _tariffs(source, docs)
    plugs = [
        (_connector(evse, plug, number, tariffs), f"{doc.external_key}*{unit.uid}*{plug.external_id}")
        for evse, (_, doc, unit) in zip(evses, units, strict=True)
        for number, plug in enumerate(unit.connectors, start=1)
    ]
    changes = _first_words(evses, [unit for _, _, unit in units], [row for row, _ in plugs], at)
    connectors = Connector.objects.bulk_create([row for row, _ in plugs])
    for change in changes:
        change.connector = change.connector  # its key is known now
    StatusChange.objects.bulk_create(changes)
    keys = [
        *((Kind.LOCATION, d.external_key, r.pk, digest_of(d)) for r, d in zip(rows, docs, strict=True)),
        *(
            (Kind.EVSE, f"{doc.external_key}*{unit.uid}", evse.pk, "")
            for evse, (_, doc, unit) in zip(evses, units, strict=True)
        ),
        *((Kind.CONNECTOR, key, row.pk, "") for row, (_, key) in zip(connectors, plugs, strict=True)),
    ]
    ExternalRef.objects.bulk_create(
        ExternalRef(source=source, kind=kind, external_key=key, object_id=pk, last_seen_at=at, raw_hash=digest)
        for kind, key, pk, digest in keys
    )
    publish_together(LocationChanged(row.pk) for row in rows)


def _location(source: Source, doc: LocationDoc, party: Party | None) -> Location:
    said = {name: getattr(doc, name) for name in claims.SITE_FIELDS}
    return Location(
        source=source, organisation=source.organisation, party=party, time_zone=doc.time_zone,
        source_updated_at=doc.updated_at, **said,
    )  # fmt: skip


def _evse(location: Location, unit: EvseDoc) -> EVSE:
    return EVSE(
        location=location, uid=unit.uid[:48], capabilities=list(unit.capabilities),
        physical_reference=unit.physical_reference[:16], source_updated_at=unit.updated_at,
        is_removed=unit.raw_status == "REMOVED",
    )  # fmt: skip


def _connector(evse: EVSE, doc: ConnectorDoc, number: int, tariffs: dict[str, Tariff]) -> Connector:
    said = {name: getattr(doc, name) for name in claims.PLUG_FIELDS}
    return Connector(
        evse=evse, connector_id=number, external_id=doc.external_id, tariff_ids=[each[:36] for each in doc.tariff_ids],
        tariff=next((tariffs[each.lower()] for each in doc.tariff_ids if each.lower() in tariffs), None), **said,
    )  # fmt: skip


def _tariffs(source: Source, docs: Iterable[LocationDoc]) -> dict[str, Tariff]:
    named = {each.lower() for doc in docs for unit in doc.evses for plug in unit.connectors for each in plug.tariff_ids}
    found = Tariff.objects.filter(source=source, external_id__lower__in=list(named), valid_to=None)
    return {tariff.external_id.lower(): tariff for tariff in found}


def _first_words(
    evses: Sequence[EVSE], units: Sequence[EvseDoc], connectors: Sequence[Connector], at: datetime
) -> list[StatusChange]:
    said = {id(evse): unit for evse, unit in zip(evses, units, strict=True)}
    changes = []
    for connector in connectors:
        unit = said[id(connector.evse)]
        if unit.raw_status:
            hear(connector, StatusReport(0, None, 1, unit.raw_status, unit.status, unit.updated_at or at, at))
            if change := decided(connector, connector.status_at or at):
                changes.append(change)
    return changes
