"""Sites, EVSEs and connectors as a source describes them become rows with stable ids of ours."""

from datetime import datetime
from typing import Any

from django.db import models, transaction

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.events import LocationChanged
from stations.models import EVSE, Connector, ExternalRef, Location, Party, Source, Tariff
from stations.services.statuses import report_from_source

Kind = ExternalRef.Kind


@transaction.atomic
def upsert_location(
    *, source: Source, doc: LocationDoc, at: datetime, organisation: Organisation | None = None
) -> tuple[Location, bool]:
    """Create or update one site with all its EVSEs; what the document no longer names is marked removed.

    Older documents than the one we hold change nothing. Returns the row and whether anything was written.
    """
    Source.objects.select_for_update().get(pk=source.pk)  # one writer per source: no two rows for one key
    location = _find(source, Kind.LOCATION, doc.external_key, Location)
    if location and _is_older(doc.updated_at, location.source_updated_at):
        return location, False
    location = _write_location(location, source, doc, organisation)
    _remember(source, Kind.LOCATION, doc.external_key, location.pk, at)
    kept = {
        upsert_evse(source=source, location=location, doc=evse, key=doc.external_key, at=at).pk for evse in doc.evses
    }
    location.evses.exclude(pk__in=kept).filter(charger=None).update(is_removed=True)
    publish(LocationChanged(location.pk))
    return location, True


@transaction.atomic
def upsert_evse(*, source: Source, location: Location, doc: EvseDoc, key: str, at: datetime) -> EVSE:
    """One EVSE under a site; `key` is the site's external key. Its status goes through the ordinary status path."""
    evse_key = f"{key}*{doc.uid}"
    evse = _find(source, Kind.EVSE, evse_key, EVSE) or EVSE(location=location)
    evse.location, evse.uid, evse.capabilities = location, doc.uid[:48], list(doc.capabilities)
    evse.physical_reference, evse.source_updated_at = doc.physical_reference[:16], doc.updated_at
    evse.is_removed = doc.raw_status == "REMOVED"
    evse.save()
    _remember(source, Kind.EVSE, evse_key, evse.pk, at)
    for number, connector in enumerate(doc.connectors, start=1):
        _upsert_connector(source, evse, connector, f"{evse_key}*{connector.external_id}", number, at)
    if doc.raw_status:
        report_from_source(
            evse_id=evse.pk, raw_status=doc.raw_status, status=doc.status, at=doc.updated_at or at, received_at=at
        )
    return evse


def remove_location(*, source: Source, external_key: str, at: datetime) -> bool:
    """A site is gone; the row stays as a tombstone so that history and links do not break."""
    location = _find(source, Kind.LOCATION, external_key, Location)
    if location is None:
        return False
    Location.objects.filter(pk=location.pk).update(is_removed=True, updated_at=at)
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
    location: Location | None, source: Source, doc: LocationDoc, organisation: Organisation | None
) -> Location:
    location = location or Location(source=source, organisation=organisation or source.organisation)
    for name in ("name", "address", "city", "state", "postal_code", "country_code", "latitude", "longitude"):
        setattr(location, name, getattr(doc, name))
    location.time_zone, location.opening_times = doc.time_zone, doc.opening_times
    location.party, location.source_updated_at = _party(source, doc), doc.updated_at
    location.is_removed = False
    location.save()
    return location


def _party(source: Source, doc: LocationDoc) -> Party | None:
    if doc.party is None:
        return None
    country_code, party_id, name = doc.party
    party, _ = Party.objects.update_or_create(
        source=source, country_code=country_code, party_id=party_id, defaults={"name": name or party_id}
    )
    return party


def _upsert_connector(source: Source, evse: EVSE, doc: ConnectorDoc, key: str, number: int, at: datetime) -> None:
    connector = _find(source, Kind.CONNECTOR, key, Connector)
    if connector is None:
        taken = set(evse.connectors.values_list("connector_id", flat=True))
        free = next(n for n in range(number, number + len(taken) + 1) if n not in taken)
        connector = Connector(evse=evse, connector_id=free, external_id=doc.external_id)
    for name in ("plug", "raw_plug", "format", "power_type", "max_power_w", "max_voltage_v", "max_current_a"):
        setattr(connector, name, getattr(doc, name))
    connector.tariff = _current_tariff(source, doc.tariff_ids)
    connector.save()
    _remember(source, Kind.CONNECTOR, key, connector.pk, at)


def _current_tariff(source: Source, tariff_ids: tuple[str, ...]) -> Tariff | None:
    """A connector may name a tariff that has not been sent yet; the pull after it will find it."""
    for tariff_id in tariff_ids:
        if tariff := Tariff.objects.filter(source=source, external_id__lower=tariff_id.lower(), valid_to=None).first():
            return tariff
    return None


def _is_older(new: datetime | None, held: datetime | None) -> bool:
    return new is not None and held is not None and new < held


def _find(source: Source, kind: str, key: str, model: type[models.Model]) -> Any:
    ref = ExternalRef.objects.filter(source=source, kind=kind, external_key__lower=key.lower()).first()
    return model._default_manager.filter(pk=ref.object_id).first() if ref else None


def _remember(source: Source, kind: str, key: str, object_id: int, at: datetime) -> None:
    seen = ExternalRef.objects.filter(source=source, kind=kind, external_key__lower=key.lower()).update(
        object_id=object_id, last_seen_at=at
    )
    if not seen:
        ExternalRef.objects.create(source=source, kind=kind, external_key=key, object_id=object_id, last_seen_at=at)
