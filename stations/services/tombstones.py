"""Sites that a full list no longer names: first doubted, then hidden, and shown again when their network speaks."""

import contextlib
from datetime import datetime

from django.db import transaction
from django.db.models import F, ProtectedError
from django.utils import timezone

from fleetcharge.lib.deadlocks import again_after_deadlock
from fleetcharge.lib.events import publish
from stations.events import LocationChanged
from stations.models import ExternalRef, Location, Source
from stations.services import claims

GONE_AFTER = 3  # full lists in a row


def is_full_due(source: Source, now: datetime) -> bool:
    """Everything is asked for when it is time, and at once again while something is missing."""
    synced_at = source.full_synced_at
    return synced_at is None or (now - synced_at).total_seconds() >= source.full_sync_seconds


@again_after_deadlock
@transaction.atomic
def full_pull_done(*, source: Source, began: datetime, at: datetime) -> list[int]:
    """A list that names everything was read from its first to its last page; returns the sites that are gone now.

    What it did not name since `began` is missing. While anything is, the next list is a full one too; after three the
    site is a tombstone, or, where it belongs to another source, without the words of this one. A list that names
    nothing at all is taken for a mistake of the network.
    """
    Source.objects.select_for_update().get(pk=source.pk)
    refs = ExternalRef.objects.filter(source=source, kind=ExternalRef.Kind.LOCATION)
    named = refs.filter(last_seen_at__gte=began)
    if not named.exists():
        return []
    named.exclude(missed_syncs=0).update(missed_syncs=0)
    unseen = list(refs.filter(last_seen_at__lt=began).exclude(object_id__in=named.values("object_id")))
    owners = _owners(unseen)
    missing = refs.filter(pk__in=[ref.pk for ref in unseen if _may_miss(ref, owners.get(ref.object_id))])
    missing.update(missed_syncs=F("missed_syncs") + 1)
    lost = missing.filter(missed_syncs__gte=GONE_AFTER).order_by("object_id").values_list("object_id", flat=True)
    gone = []
    for location_id in dict.fromkeys(lost):
        if owners[location_id] == source.pk:
            _hide(location_id)
            gone.append(location_id)
        else:
            claims.withdraw(location=Location.objects.get(pk=location_id), source=source, at=at)
    is_complete = not missing.filter(missed_syncs__lt=GONE_AFTER).exists()
    Source.objects.filter(pk=source.pk).update(full_synced_at=at if is_complete else None)
    return gone


def endless_pull_done(*, source: Source, at: datetime) -> None:
    """A list without an end says nothing of what is missing; it is asked for again in its time, not at every poll."""
    Source.objects.filter(pk=source.pk).update(full_synced_at=at)


def _owners(refs: list[ExternalRef]) -> dict[int, int]:
    """Of the sites that are shown."""
    sites = Location.objects.filter(pk__in=[ref.object_id for ref in refs], is_removed=False)
    return dict(sites.values_list("pk", "source_id"))


def _may_miss(ref: ExternalRef, owner_id: int | None) -> bool:
    """Of a site of somebody else, three times: then nothing of it is left to doubt."""
    return owner_id is not None and (owner_id == ref.source_id or ref.missed_syncs < GONE_AFTER)


@transaction.atomic
def remove_network(*, source_id: int) -> int:
    """A network that nobody wants any more goes with its sites; how many were shown. What books name stays, hidden."""
    source = Source.objects.select_for_update().get(pk=source_id)
    shown = 0
    for site in source.locations.order_by("pk"):
        shown += not site.is_removed
        _hide(site.pk)
        _delete(site)
    if not _delete_source(source):
        Source.objects.filter(pk=source_id).update(state=Source.State.DISABLED)
    return shown


def _delete_source(source: Source) -> bool:
    """False where a site, a bill or a rate that was agreed still names it."""
    try:
        with transaction.atomic():
            source.tariffs.all().delete()
            source.delete()
    except ProtectedError:
        return False
    return True


def _delete(site: Location) -> None:
    with contextlib.suppress(ProtectedError), transaction.atomic():
        site.delete()


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
