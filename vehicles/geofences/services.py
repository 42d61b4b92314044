"""A fleet draws, changes and removes its geofences; every change has its revision."""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from vehicles.geofences import shapes
from vehicles.geofences.models import Geofence, GeofenceEvent, GeofenceSet, GeofenceStanding

MOST_GEOFENCES = 500
KEEP, MOST_FORGOTTEN = timedelta(days=400), 10_000


class NameTaken(Exception):
    """Another geofence of the fleet has this name."""


class TooMany(Exception):
    """The fleet has drawn as many as are taken."""


@transaction.atomic
def draw(*, organisation_id: int, name: str, geometry: Any, radius_m: int | None, depot: str = "") -> Geofence:
    """A new geofence; who is inside already did not enter it. `depot`: public id of the site whose it is.

    Raises BadShape, NameTaken, TooMany.
    """
    shape = shapes.read(geometry, radius_m)
    drawings = _locked(organisation_id)
    if drawings.geofences >= MOST_GEOFENCES:
        raise TooMany
    _advance(drawings, by=1)
    return _saved(
        Geofence(
            organisation_id=organisation_id, name=name, geometry=shape.geometry, radius_m=shape.radius_m,
            depot=depot, revision=drawings.revision,
        )
    )  # fmt: skip


@transaction.atomic
def change(*, geofence_id: int, name: str, geometry: Any, radius_m: int | None) -> Geofence:
    """Another name or shape: with its next positions a vehicle has left what it is outside of now. Raises as `draw`."""
    shape = shapes.read(geometry, radius_m)
    drawings = _locked(Geofence.objects.get(pk=geofence_id).organisation_id)
    geofence = Geofence.objects.get(pk=geofence_id)
    geofence.name, geofence.geometry, geofence.radius_m = name, shape.geometry, shape.radius_m
    _advance(drawings)
    return _saved(geofence)


@transaction.atomic
def remove(*, geofence_id: int, now: datetime) -> bool:
    """Nobody enters or leaves it any more; its events stay. False when it was removed before."""
    drawings = _locked(Geofence.objects.get(pk=geofence_id).organisation_id)
    if Geofence.objects.drawn().filter(pk=geofence_id).update(removed_at=now) != 1:
        return False
    _advance(drawings, by=-1)
    return True


def forget_removed() -> int:
    """Nobody stands in a geofence that was removed; apart, since the rows are locked while vehicles are judged."""
    return GeofenceStanding.objects.filter(geofence__removed_at__isnull=False).delete()[0]


def forget_old(*, now: datetime) -> int:
    """Events older than KEEP, bite by bite; the oldest rows are the first ones, so nothing else is looked at."""
    forgotten = 0
    while bite := _forget_oldest(before=now - KEEP):
        forgotten += bite
    return forgotten


def _forget_oldest(*, before: datetime) -> int:
    oldest = GeofenceEvent.objects.order_by("pk").values("pk")[:MOST_FORGOTTEN]
    return GeofenceEvent.objects.filter(pk__in=oldest, at__lt=before).delete()[0]


def _locked(organisation_id: int) -> GeofenceSet:
    GeofenceSet.objects.get_or_create(organisation_id=organisation_id)
    return GeofenceSet.objects.select_for_update(no_key=True).get(organisation_id=organisation_id)


def _advance(drawings: GeofenceSet, by: int = 0) -> None:
    drawings.revision += 1
    drawings.geofences += by
    drawings.save(update_fields=["revision", "geofences"])


def _saved(geofence: Geofence) -> Geofence:
    try:
        with transaction.atomic():
            geofence.save()
    except IntegrityError as error:
        raise NameTaken from error
    return geofence
