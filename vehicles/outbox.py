"""What integrators are told of vehicles."""

from collections.abc import Iterator, Sequence
from typing import Any

from fleetcharge.lib.events import record_many
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.outbox import Fact, tell_many
from vehicles.events import GeofenceCrossed
from vehicles.geofences.models import GeofenceEvent

KINDS = {
    GeofenceEvent.Kind.ENTERED.value: catalogue.GEOFENCE_ENTERED,
    GeofenceEvent.Kind.LEFT.value: catalogue.GEOFENCE_LEFT,
}


@record_many(GeofenceCrossed)
def tell_of_crossings(events: tuple[GeofenceCrossed, ...]) -> None:
    for kind, event_type in KINDS.items():
        asked = listeners.of(event_type)
        if wanted := [event.event_id for event in events if event.kind == kind and event.organisation_id in asked]:
            tell_many(event_type, facts=lambda wanted=wanted: _facts(wanted))  # type: ignore[misc]


def _facts(event_ids: Sequence[int]) -> Iterator[Fact]:
    """One query, however many crossed."""
    rows = GeofenceEvent.objects.filter(pk__in=event_ids).select_related("geofence", "vehicle").order_by("pk")
    return (Fact(row.organisation_id, row.pk, row.at, _told(row)) for row in rows)


def _told(event: GeofenceEvent) -> dict[str, Any]:
    return {
        "id": event.pk,
        "geofence": {"id": event.geofence_id, "name": event.geofence.name},
        "vehicle": {"id": event.vehicle_id, "registration": event.vehicle.registration},
        "at": event.at,
        "latitude": event.latitude,
        "longitude": event.longitude,
    }
