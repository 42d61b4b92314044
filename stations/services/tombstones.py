"""Sites that a full list no longer names: first doubted, then hidden, and shown again when their network speaks."""

from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from fleetcharge.lib.events import publish
from stations.events import LocationChanged
from stations.models import ExternalRef, Location, Source

GONE_AFTER = 3  # full lists in a row


def is_full_due(source: Source, now: datetime) -> bool:
    """Everything is asked for when it is time, and at once again while something is missing."""
    synced_at = source.full_synced_at
    return synced_at is None or (now - synced_at).total_seconds() >= source.full_sync_seconds


@transaction.atomic
def full_pull_done(*, source: Source, began: datetime, at: datetime) -> list[int]:
    """A list that names everything was read from its first to its last page; returns the sites that are gone now.

    What it did not name since `began` is missing. While anything is, the next list is a full one too; after three the
    site is a tombstone. A list that names nothing at all is taken for a mistake of the network.
    """
    Source.objects.select_for_update().get(pk=source.pk)
    refs = ExternalRef.objects.filter(source=source, kind=ExternalRef.Kind.LOCATION)
    named = refs.filter(last_seen_at__gte=began)
    if not named.exists():
        return []
    named.exclude(missed_syncs=0).update(missed_syncs=0)
    missing = refs.filter(last_seen_at__lt=began, object_id__in=_shown(source))
    missing.update(missed_syncs=F("missed_syncs") + 1)
    gone = list(missing.filter(missed_syncs__gte=GONE_AFTER).order_by("object_id").values_list("object_id", flat=True))
    for location_id in gone:
        _hide(location_id)
    is_complete = not missing.filter(missed_syncs__lt=GONE_AFTER).exists()
    Source.objects.filter(pk=source.pk).update(full_synced_at=at if is_complete else None)
    return gone


def _shown(source: Source) -> "list[int]":
    return list(Location.objects.filter(source=source, is_removed=False).values_list("pk", flat=True))


def _hide(location_id: int) -> None:
    Location.objects.filter(pk=location_id).update(
        is_removed=True, removed_because=Location.Removal.VANISHED, updated_at=timezone.now()
    )
    publish(LocationChanged(location_id))


def still_named(*, source: Source, external_keys: list[str], at: datetime) -> None:
    """The list names these sites, though what it says of them cannot be used."""
    keys = [key.lower() for key in external_keys]
    refs = ExternalRef.objects.filter(source=source, kind=ExternalRef.Kind.LOCATION, external_key__lower__in=keys)
    refs.update(last_seen_at=at)
