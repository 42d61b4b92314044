"""What integrators are told of stations."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from fleetcharge.lib.events import record_many
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.outbox import Fact, tell_many
from stations.events import ConnectorStatusChanged
from stations.models import Connector, Location, NetworkAccess


@record_many(ConnectorStatusChanged)
def tell_of_statuses(events: tuple[ConnectorStatusChanged, ...]) -> None:
    if asked := listeners.of(catalogue.CONNECTOR_STATUS_CHANGED):
        tell_many(catalogue.CONNECTOR_STATUS_CHANGED, facts=lambda: _facts(events, asked))


def _facts(events: Sequence[ConnectorStatusChanged], asked: frozenset[int]) -> Iterator[Fact]:
    """Three queries, however many plugs changed."""
    related = Connector.objects.select_related("evse__location__source", "evse__charger")
    connectors = related.in_bulk({event.connector_id for event in events})
    audience = _audience(connector.evse.location for connector in connectors.values())
    for event in events:
        connector = connectors[event.connector_id]
        listening = asked & audience[connector.evse.location_id]
        key = event.change_id or f"{event.connector_id}:{event.at}:{event.new}"
        data = _data(event, connector) if listening else {}
        yield from (Fact(organisation_id, key, event.at, data) for organisation_id in sorted(listening))


def _data(event: ConnectorStatusChanged, connector: Connector) -> dict[str, object]:
    evse, location = connector.evse, connector.evse.location
    return {
        "connector": connector.public_id,
        "connector_id": connector.connector_id,
        "evse": evse.public_id,
        "location": location.public_id,
        "location_name": location.name,
        "charger": evse.charger.ocpp_identity if evse.charger else None,
        "old": event.old,
        "new": event.new,
        "reason": event.reason,
        "at": event.at,
    }


def _audience(locations: Iterable[Location]) -> dict[int, frozenset[int]]:
    """The fleets that may charge at each of these sites, as `Connector.objects.usable_by` has it."""
    sites = {location.pk: location for location in locations}
    fleets: dict[int, set[int]] = defaultdict(set)
    sources = {location.source_id for location in sites.values() if location.organisation_id is None}
    access = NetworkAccess.objects.filter(source_id__in=sources).values_list("source_id", "organisation_id")
    for source_id, organisation_id in access:
        fleets[source_id].add(organisation_id)
    return {pk: _fleets(location, fleets[location.source_id]) for pk, location in sites.items()}


def _fleets(location: Location, with_access: set[int]) -> frozenset[int]:
    if location.organisation_id is not None:
        return frozenset({location.organisation_id})
    owner = location.source.organisation_id
    return frozenset(with_access) if owner is None else frozenset({*with_access, owner})
