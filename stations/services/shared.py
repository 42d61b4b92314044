"""Units that several sources speak of: where a merged one is by now, and what a source still stands by."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import connection

from stations.belief import AWAY
from stations.models import EVSE, Connector
from stations.registry_models import Duplicate

MOST_STEPS = 20  # of merges upon merges
LOCK_PLUGS = """
SELECT count(*) FROM (SELECT k.id FROM stations_connector k WHERE k.id IN (
    SELECT c.id FROM stations_location l JOIN stations_evse e ON e.location_id = l.id
        JOIN stations_connector c ON c.evse_id = e.id
    WHERE l.source_id = %(source)s AND c.heard_at < %(at)s AND e.charger_id IS NULL AND NOT e.is_shared
        AND (%(these)s::bigint[] IS NULL OR l.id = ANY(%(these)s::bigint[])) AND NOT l.id = ANY(%(but)s::bigint[])
    UNION ALL
    SELECT c.id FROM stations_statusclaim w JOIN stations_evse e ON e.id = w.evse_id
        JOIN stations_connector c ON c.evse_id = e.id
    WHERE w.source_id = %(source)s AND w.heard_at < %(at)s
        AND (%(these)s::bigint[] IS NULL OR e.location_id = ANY(%(these)s::bigint[]))
        AND NOT e.location_id = ANY(%(but)s::bigint[])
) ORDER BY k.id FOR NO KEY UPDATE) locked
"""
CONFIRM_WORDS = """
WITH words AS (
    UPDATE stations_statusclaim w SET heard_at = %(at)s FROM stations_evse e
    WHERE e.id = w.evse_id AND w.source_id = %(source)s AND w.heard_at < %(at)s
        AND (%(these)s::bigint[] IS NULL OR e.location_id = ANY(%(these)s::bigint[]))
        AND NOT e.location_id = ANY(%(but)s::bigint[])
        AND NOT EXISTS (
            SELECT 1 FROM stations_location l JOIN stations_party y ON y.id = l.party_id
            WHERE l.id = e.location_id AND y.source_id = w.source_id AND y.hub_status = ANY(%(away)s::text[]))
    RETURNING w.evse_id, w.is_shown
)
UPDATE stations_connector k SET heard_at = %(at)s FROM words w
WHERE k.evse_id = w.evse_id AND w.is_shown AND k.heard_at < %(at)s
"""


def unit_now(evse_id: int) -> int:
    """The EVSE (primary key) that shows what this one was; itself where it was never merged, or matched no other.

    One query for a unit that was not merged.
    """
    for _ in range(MOST_STEPS):
        site = EVSE.objects.filter(pk=evse_id).values_list("location_id", "location__merged_into_id").first()
        if site is None or site[1] is None:
            return evse_id
        merge = Duplicate.objects.filter(other_id=site[0], state=Duplicate.State.MERGED).order_by("-decided_at").first()
        twins = merge.moved.get("twins", []) if merge else []
        following = next((mine for mine, theirs in twins if theirs == evse_id), None)
        if following is None:
            return evse_id
        evse_id = following
    return evse_id


def stand_by(
    *, source_id: int, at: datetime, location_ids: Collection[int] | None = None, but: Collection[int] = ()
) -> None:
    """Its words of all its sites (or of `location_ids`, without `but`) hold as of now, though it did not say them anew.

    A hub does not stand by the sites of a party that it has lost. Of a unit that others speak of as well, its own word
    is confirmed, and the plug only where that word is shown. Plugs are locked first, as whoever takes a word does.
    """
    these = None if location_ids is None else list(location_ids)
    names: dict[str, Any] = {"at": at, "source": source_id, "these": these, "but": list(but), "away": list(AWAY)}
    with connection.cursor() as cursor:
        cursor.execute(LOCK_PLUGS, names)
    own = Connector.objects.filter(evse__location__source=source_id, evse__charger=None, evse__is_shared=False)
    if location_ids is not None:
        own = own.filter(evse__location__in=location_ids)
    kept = own.exclude(evse__location__in=but).exclude(evse__location__party__hub_status__in=AWAY)
    kept.filter(heard_at__lt=at).exclude(status_at=None).update(heard_at=at)
    with connection.cursor() as cursor:
        cursor.execute(CONFIRM_WORDS, names)
