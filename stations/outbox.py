"""What integrators are told of stations."""

from collections.abc import Iterator

from fleetcharge.lib.events import record
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.outbox import Fact, tell_many
from stations.events import ConnectorStatusChanged
from stations.models import Connector, Location, NetworkAccess


@record(ConnectorStatusChanged)
def tell_of_a_status(event: ConnectorStatusChanged) -> None:
    if asked := listeners.of(catalogue.CONNECTOR_STATUS_CHANGED):
        tell_many(catalogue.CONNECTOR_STATUS_CHANGED, facts=lambda: _facts(event, asked))


def _facts(event: ConnectorStatusChanged, asked: frozenset[int]) -> Iterator[Fact]:
    related = Connector.objects.select_related("evse__location__source", "evse__charger")
    connector = related.get(pk=event.connector_id)
    evse, location = connector.evse, connector.evse.location
    data = {
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
    for organisation_id in sorted(asked & _audience(location)):
        yield Fact(organisation_id, event.change_id or f"{event.connector_id}:{event.at}:{event.new}", event.at, data)


def _audience(location: Location) -> frozenset[int]:
    """The fleets that may charge there, as `Connector.objects.usable_by` has it."""
    if location.organisation_id is not None:
        return frozenset({location.organisation_id})
    access = NetworkAccess.objects.filter(source_id=location.source_id).values_list("organisation_id", flat=True)
    owner = location.source.organisation_id
    return frozenset(access) if owner is None else frozenset({*access, owner})
