"""Sites, EVSEs and connectors as a source describes them become rows with stable ids of ours."""

import hashlib
from datetime import datetime
from typing import Any

from django.db import models, transaction

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.events import LocationChanged
from stations.models import EVSE, Connector, ExternalRef, Location, Party, Source, Tariff
from stations.ordering import is_older
from stations.services import claims
from stations.services.shared import stand_by
from stations.services.statuses import report_from_source

Kind = ExternalRef.Kind


@transaction.atomic
def upsert_location(
    *, source: Source, doc: LocationDoc, at: datetime, organisation: Organisation | None = None
) -> tuple[Location, bool]:
    """Create or update one site with all its EVSEs; what the document no longer names is marked removed.

    Documents that are older than the one we hold, or say the same word for word, change nothing but `heard_at`.
    Returns the row and whether anything was written.
    """
    Source.objects.select_for_update().get(pk=source.pk)  # one writer per source: no two rows for one key
    location = _find(source, Kind.LOCATION, doc.external_key, Location)
    if location and location.source_id != source.pk:
        return location, claims.take_second_opinion(location=location, source=source, doc=doc, at=at)
    if location and is_older(doc.updated_at, location.source_updated_at, at):
        _still_named(source, location, at)
        return location, False
    digest = hashlib.sha256(repr(doc).encode()).hexdigest()
    if location and _is_known(source, location, digest):
        _confirm(source, location, doc, at)
        return location, False
    location = _write_location(location, source, doc, organisation, at)
    _remember(source, Kind.LOCATION, doc.external_key, location.pk, at, digest)
    kept = {
        _upsert_evse(source=source, location=location, doc=evse, key=doc.external_key, at=at).pk for evse in doc.evses
    }
    location.evses.exclude(pk__in=kept).filter(charger=None).update(is_removed=True)
    publish(LocationChanged(location.pk))
    return location, True


@transaction.atomic
def update_location(*, source: Source, doc: LocationDoc, at: datetime) -> bool:
    """New facts about a site itself, its EVSEs left as they are; False when they are old or the site is unknown."""
    Source.objects.select_for_update().get(pk=source.pk)
    location = _find(source, Kind.LOCATION, doc.external_key, Location)
    if location and location.source_id != source.pk:
        return claims.take_second_opinion(location=location, source=source, doc=doc, at=at, names_units=False)
    if location is None or is_older(doc.updated_at, location.source_updated_at, at):
        return False
    _write_location(location, source, doc, None, at)
    _remember(source, Kind.LOCATION, doc.external_key, location.pk, at)
    publish(LocationChanged(location.pk))
    return True


@transaction.atomic
def upsert_evse(*, source: Source, location: Location, doc: EvseDoc, key: str, at: datetime) -> EVSE:
    """One EVSE under a site; `key` is the site's external key. Its status goes through the ordinary status path.

    Of a document older than the one we hold only the status is looked at, which has an order of its own.
    """
    Source.objects.select_for_update().get(pk=source.pk)
    location = _find(source, Kind.LOCATION, key, Location) or location  # merged while we waited
    return _upsert_evse(source=source, location=location, doc=doc, key=key, at=at)


def _upsert_evse(*, source: Source, location: Location, doc: EvseDoc, key: str, at: datetime) -> EVSE:
    """The same for who holds the source."""
    evse_key = f"{key}*{doc.uid}"
    evse = _find(source, Kind.EVSE, evse_key, EVSE) or EVSE(location=location)
    if location.source_id != source.pk:  # whose site it is says which units there are
        if evse.pk is not None:
            claims.take_second_opinion_of_evse(evse=evse, source=source, doc=doc, key=evse_key, at=at)
        return evse
    if evse.pk is None or not is_older(doc.updated_at, evse.source_updated_at, at):
        _write_evse(source, location, evse, doc, evse_key, at)
        Location.objects.filter(pk=location.pk).update(updated_at=at)
    if doc.raw_status:
        report_from_source(
            evse_id=evse.pk, raw_status=doc.raw_status, status=doc.status, at=doc.updated_at or at, received_at=at,
            source_id=source.pk,
        )  # fmt: skip
    return evse


@transaction.atomic
def upsert_connector(
    *, source: Source, evse: EVSE, doc: ConnectorDoc, key: str, updated_at: datetime, at: datetime
) -> bool:
    """One connector of a known EVSE; `key` is the EVSE's external key. False when we hold something newer."""
    Source.objects.select_for_update().get(pk=source.pk)
    evse = _find(source, Kind.EVSE, key, EVSE) or evse  # merged while we waited
    if evse.location.source_id != source.pk:
        return claims.take_second_opinion_of_plug(
            source=source, doc=doc, key=f"{key}*{doc.external_id}", updated_at=updated_at, at=at
        )
    if is_older(updated_at, EVSE.objects.get(pk=evse.pk).source_updated_at, at):
        return False
    _upsert_connector(source, evse, doc, f"{key}*{doc.external_id}", 1, at)
    EVSE.objects.filter(pk=evse.pk).update(source_updated_at=updated_at)
    Location.objects.filter(pk=evse.location_id).update(updated_at=at)
    publish(LocationChanged(evse.location_id))
    return True


def _write_evse(source: Source, location: Location, evse: EVSE, doc: EvseDoc, evse_key: str, at: datetime) -> None:
    evse.location, evse.uid, evse.capabilities = location, doc.uid[:48], list(doc.capabilities)
    evse.physical_reference, evse.source_updated_at = doc.physical_reference[:16], doc.updated_at
    evse.is_removed = doc.raw_status == "REMOVED"
    evse.save()
    _remember(source, Kind.EVSE, evse_key, evse.pk, at)
    kept = [
        _upsert_connector(source, evse, connector, f"{evse_key}*{connector.external_id}", number, at)
        for number, connector in enumerate(doc.connectors, start=1)
    ]
    if kept and evse.charger_id is None:  # a charger of ours knows its plugs itself
        evse.connectors.exclude(pk__in=kept).update(is_removed=True)


def remove_location(*, source: Source, external_key: str, at: datetime, updated_at: datetime | None = None) -> bool:
    """A site is gone; the row stays as a tombstone so that history and links do not break.

    `updated_at`: when its source said so. False when we hold something newer.
    """
    location = _find(source, Kind.LOCATION, external_key, Location)
    if location is None:
        return False
    if location.source_id != source.pk:
        return claims.withdraw(location=location, source=source, at=at)
    if is_older(updated_at, location.source_updated_at, at):
        return False
    Location.objects.filter(pk=location.pk).update(
        is_removed=True, removed_because=Location.Removal.WITHDRAWN, updated_at=at,
        source_updated_at=updated_at or location.source_updated_at,
    )  # fmt: skip
    publish(LocationChanged(location.pk))
    return True


def find_location(source: Source, external_key: str) -> Location | None:
    found: Location | None = _find(source, Kind.LOCATION, external_key, Location)
    return found


def find_evse(source: Source, external_key: str) -> EVSE | None:
    found: EVSE | None = _find(source, Kind.EVSE, external_key, EVSE)
    return found


def external_key_of(row: Location | EVSE | Connector, source: Source) -> str:
    """What the source calls this row; '' when it does not know it."""
    kind = {Location: Kind.LOCATION, EVSE: Kind.EVSE, Connector: Kind.CONNECTOR}[type(row)]
    ref = ExternalRef.objects.filter(source=source, kind=kind, object_id=row.pk).first()
    return ref.external_key if ref else ""


def _write_location(
    location: Location | None, source: Source, doc: LocationDoc, organisation: Organisation | None, at: datetime
) -> Location:
    location = location or Location(source=source, organisation=organisation or source.organisation)
    said = {name: getattr(doc, name) for name in claims.SITE_FIELDS}
    if location.is_shared:
        said = claims.settle_site(location=location, source=source, said=said, source_at=doc.updated_at, at=at)
    for name, value in said.items():
        setattr(location, name, value)
    location.time_zone = doc.time_zone
    location.party, location.source_updated_at = party_of(source, doc), doc.updated_at
    location.is_removed, location.removed_because = False, ""
    location.save()
    return location


def party_of(source: Source, doc: LocationDoc) -> Party | None:
    if doc.party is None:
        return None
    country_code, party_id, name = doc.party
    party, _ = Party.objects.update_or_create(
        source=source, country_code=country_code, party_id=party_id,
        defaults={"name": name[:120]} if name else {}, create_defaults={"name": name[:120] or party_id},
    )  # fmt: skip
    return party


def _upsert_connector(source: Source, evse: EVSE, doc: ConnectorDoc, key: str, number: int, at: datetime) -> int:
    connector = _find(source, Kind.CONNECTOR, key, Connector)
    if connector is None:
        taken = set(evse.connectors.values_list("connector_id", flat=True))
        free = next(n for n in range(number, number + len(taken) + 1) if n not in taken)
        connector = Connector(evse=evse, connector_id=free, external_id=doc.external_id)
    said = {name: getattr(doc, name) for name in claims.PLUG_FIELDS}
    if evse.is_shared and connector.pk is not None:
        said_at = evse.source_updated_at
        said = claims.settle_plug(connector=connector, source=source, said=said, source_at=said_at, at=at)
    for name, value in said.items():
        setattr(connector, name, value)
    connector.tariff_ids = [tariff_id[:36] for tariff_id in doc.tariff_ids]
    connector.tariff = _current_tariff(source, doc.tariff_ids)
    connector.is_removed = False
    connector.save()
    _remember(source, Kind.CONNECTOR, key, connector.pk, at)
    return int(connector.pk)


def _current_tariff(source: Source, tariff_ids: tuple[str, ...]) -> Tariff | None:
    """A connector may name a tariff that has not been sent yet; it finds its connectors when it comes."""
    for tariff_id in tariff_ids:
        if tariff := Tariff.objects.filter(source=source, external_id__lower=tariff_id.lower(), valid_to=None).first():
            return tariff
    return None


def _find(source: Source, kind: str, key: str, model: type[models.Model]) -> Any:
    ref = ExternalRef.objects.filter(source=source, kind=kind, external_key__lower=key.lower()).first()
    return model._default_manager.filter(pk=ref.object_id).first() if ref else None


def _is_known(source: Source, location: Location, digest: str) -> bool:
    refs = ExternalRef.objects.filter(source=source, kind=Kind.LOCATION, object_id=location.pk, raw_hash=digest)
    return not location.is_removed and refs.exists()


def _still_named(source: Source, location: Location, at: datetime) -> None:
    refs = ExternalRef.objects.filter(source=source, kind=Kind.LOCATION, object_id=location.pk)
    refs.update(last_seen_at=at, missed_syncs=0)


def _confirm(source: Source, location: Location, doc: LocationDoc, at: datetime) -> None:
    """The same again is news too: the source still stands by it."""
    _still_named(source, location, at)
    if any(evse.raw_status for evse in doc.evses):
        stand_by(source_id=source.pk, at=at, location_ids=[location.pk])


def _remember(source: Source, kind: str, key: str, object_id: int, at: datetime, digest: str = "") -> None:
    seen = ExternalRef.objects.filter(source=source, kind=kind, external_key__lower=key.lower()).update(
        object_id=object_id, last_seen_at=at, raw_hash=digest, missed_syncs=0
    )
    if not seen:
        ExternalRef.objects.create(
            source=source, kind=kind, external_key=key, object_id=object_id, last_seen_at=at, raw_hash=digest
        )
