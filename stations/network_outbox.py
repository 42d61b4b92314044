"""What integrators are told of networks, their sites and their prices."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC

from fleetcharge.lib.events import record, record_many
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.outbox import Fact, tell_many
from stations.events import LocationChanged, SourceStateChanged, TariffChanged
from stations.models import Location, NetworkAccess, Source, Tariff


@record(TariffChanged)
def tell_of_a_tariff(event: TariffChanged) -> None:
    if asked := listeners.of(catalogue.TARIFF_CHANGED):
        tell_many(catalogue.TARIFF_CHANGED, facts=lambda: _priced(event, asked))


@record_many(LocationChanged)
def tell_of_sites(events: tuple[LocationChanged, ...]) -> None:
    if asked := listeners.of(catalogue.STATION_CHANGED):
        tell_many(catalogue.STATION_CHANGED, facts=lambda: _sites(events, asked))


@record(SourceStateChanged)
def tell_of_a_network(event: SourceStateChanged) -> None:
    if asked := listeners.of(catalogue.NETWORK_CHANGED):
        tell_many(catalogue.NETWORK_CHANGED, facts=lambda: _network(event, asked))


def _priced(event: TariffChanged, asked: frozenset[int]) -> Iterator[Fact]:
    row = Tariff.objects.select_related("source").get(pk=event.tariff_id)
    data = {
        "id": row.pk,
        "network": row.source.slug,
        "external_id": row.external_id,
        "name": row.name,
        "version": row.version,
        "currency": row.currency,
        "elements": row.elements,
        "valid_from": row.valid_from,
        "valid_to": row.valid_to,
    }
    key = f"{row.pk}:withdrawn" if row.valid_to else row.pk
    for organisation_id in sorted(asked & _fleets([row.source])[row.source_id]):
        yield Fact(organisation_id, key, row.valid_to or row.valid_from, data)


def _sites(events: Sequence[LocationChanged], asked: frozenset[int]) -> Iterator[Fact]:
    """Three queries, however many sites changed."""
    sites = Location.objects.select_related("source").in_bulk({event.location_id for event in events})
    fleets = _fleets({row.source_id: row.source for row in sites.values()}.values())
    for row in sites.values():
        data = {
            "location": row.public_id,
            "name": row.name,
            "network": row.source.slug,
            "latitude": row.latitude,
            "longitude": row.longitude,
            "is_removed": row.is_removed,
            "updated_at": row.updated_at,
        }
        wanted = frozenset({row.organisation_id}) if row.organisation_id is not None else fleets[row.source_id]
        key = f"{row.pk}:{row.updated_at:%Y%m%d%H%M%S%f}:{row.is_removed:d}"
        yield from (Fact(organisation_id, key, row.updated_at, data) for organisation_id in sorted(asked & wanted))


def _network(event: SourceStateChanged, asked: frozenset[int]) -> Iterator[Fact]:
    row = Source.objects.get(pk=event.source_id)
    data = {
        "network": row.slug,
        "name": row.name,
        "old": event.old,
        "state": event.new,
        "reason": trouble_of(row) if event.new == Source.State.FAILING else "",
        "at": event.at,
    }
    key = f"{row.pk}:{event.new}:{event.at.astimezone(UTC):%Y%m%d%H%M%S%f}"
    yield from (Fact(pk, key, event.at, data) for pk in sorted(asked & _fleets([row])[row.pk]))


OUR_WORDS = frozenset(
    {
        "cpo_unavailable",
        "silent",
        "not_ocpi",
        "not_json",
        "no_entries",
        "too_large",
        "no_version",
        "no_endpoint",
        "no_ack",
    }
)
"""What these errors say we have written ourselves; all others may quote the network or an address of its."""


def trouble_of(row: Source) -> str:
    """For fleets: what is wrong, never what a peer wrote."""
    code, (kind, _, number) = row.last_error_code, row.last_error_code.partition("_")
    if code in OUR_WORDS:
        return row.last_error[:400]
    if kind in {"http", "ocpi"} and number.isdecimal():
        return f"{row.name} answers {kind.upper()} {number}."
    return f"What {row.name} answers cannot be used."


def _fleets(sources: Iterable[Source]) -> dict[int, frozenset[int]]:
    """Who may charge at each of these networks, and whose own it is."""
    rows = list(sources)
    fleets: dict[int, set[int]] = defaultdict(set)
    access = NetworkAccess.objects.filter(source__in=rows).values_list("source_id", "organisation_id")
    for source_id, organisation_id in access:
        fleets[source_id].add(organisation_id)
    own = {row.pk: {row.organisation_id} if row.organisation_id is not None else set() for row in rows}
    return {row.pk: frozenset(fleets[row.pk] | own[row.pk]) for row in rows}
