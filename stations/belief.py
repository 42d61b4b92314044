"""How far the last word about a connector may be believed; one meaning for the API, the admin and every query."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection
from django.db.models import Q

from stations.status import LIVE, NONE, RECENT, STALE, freshness

if TYPE_CHECKING:
    from stations.models import Connector

BELIEVED = frozenset({"live", "recent"})
AWAY = ("OFFLINE", "PLANNED", "SUSPENDED")
"""What a hub says of a party behind it that it cannot reach (OCPI ConnectionStatus, all but CONNECTED)."""


def heard_since(now: datetime) -> datetime:
    """What was heard later than this is believed without any other sign of life."""
    return now - timedelta(seconds=settings.STATUS_RECENT_SECONDS)


def pushed_since(now: datetime) -> datetime:
    """A network that pushed anything later than this would have told us of changes."""
    return now - timedelta(seconds=2 * settings.STATUS_LIVE_SECONDS)


def freshness_of(connector: "Connector", now: datetime) -> str:
    """live | recent | stale | none; an open socket or a pushing CPO keeps the last word live.

    A network that does not answer any more, or whose hub has lost it, vouches for nothing: what it said grows old.
    Reads evse, source and (of a site behind a hub) party.
    """
    charger, location = connector.evse.charger, connector.evse.location
    source, party = location.source, location.party if location.party_id else None
    is_away = party is not None and party.hub_status in AWAY
    return freshness_at(
        connector.heard_at, is_online=charger.is_online if charger else None, last_push_at=source.last_push_at, now=now,
        is_failing=source.state == "failing" or is_away,
    )  # fmt: skip


def freshness_at(
    heard_at: datetime | None, *, is_online: bool | None, last_push_at: datetime | None, now: datetime,
    is_failing: bool = False,
) -> str:  # fmt: skip
    """The same from plain values; `is_online` None for a connector that is on no charger of ours."""
    is_pushed = last_push_at is not None and last_push_at > pushed_since(now) and not is_failing
    return freshness(
        heard_at,
        now,
        is_push_healthy=is_pushed if is_online is None else is_online,
        live_seconds=settings.STATUS_LIVE_SECONDS,
        recent_seconds=settings.STATUS_RECENT_SECONDS,
        stale_seconds=settings.STATUS_STALE_SECONDS,
    )


def is_believed(now: datetime) -> Q:
    """Connectors whose freshness is live or recent, as a condition on Connector."""
    return _is_believed(now, "", "evse__", "evse__location__")


def has_believed_connector(now: datetime) -> Q:
    """The same as a condition on Location, for counting its connectors."""
    return _is_believed(now, "evses__connectors__", "evses__", "")


def has_live_connector(now: datetime) -> Q:
    """Likewise for those that are live, for showing the freshness of a site."""
    live_since = now - timedelta(seconds=settings.STATUS_LIVE_SECONDS)
    return _is_believed(now, "evses__connectors__", "evses__", "", live_since)


def freshness_of_site(*, live: int, believed: int, heard_at: datetime | None, now: datetime) -> str:
    """Of its freshest connector."""
    if live or believed:
        return LIVE if live else RECENT
    stale_since = now - timedelta(seconds=settings.STATUS_STALE_SECONDS)
    return STALE if heard_at is not None and heard_at > stale_since else NONE


def _is_believed(now: datetime, connector: str, evse: str, site: str, since: datetime | None = None) -> Q:
    vouches = ~Q(**{f"{site}source__state": "failing"}) & ~Q(**{f"{site}party__hub_status__in": AWAY})
    pushed = Q(**{f"{evse}charger": None, f"{site}source__last_push_at__gt": pushed_since(now)}) & vouches
    online = Q(**{f"{evse}charger__is_online": True})
    has_spoken = Q(**{f"{connector}heard_at__isnull": False})
    return Q(**{f"{connector}heard_at__gt": since or heard_since(now)}) | has_spoken & (online | pushed)


# A site's party behind a hub that has lost it, over stations_location l: asked for once, however many rows.
IS_AWAY = """coalesce(l.party_id = ANY(ARRAY(
    SELECT y.id FROM stations_party y WHERE y.hub_status IN ('OFFLINE', 'PLANNED', 'SUSPENDED'))), false)"""

# The same condition for hand-written SQL over stations_connector c, stations_evse e and stations_location l.
IS_BELIEVED = f"""(c.heard_at > %(heard_since)s OR c.heard_at IS NOT NULL AND (
        EXISTS (SELECT 1 FROM stations_charger h WHERE h.id = e.charger_id AND h.is_online)
        OR e.charger_id IS NULL AND l.source_id = ANY(ARRAY(
            SELECT s.id FROM stations_source s WHERE s.last_push_at > %(pushed_since)s AND s.state <> 'failing'))
        AND NOT {IS_AWAY}))"""  # noqa: S608 (our own words)

# freshness_of() in SQL over the same tables and stations_source s, stations_charger h (left joined): an expression.
FRESHNESS = f"""CASE WHEN c.heard_at IS NULL THEN 'none'
    WHEN c.heard_at > %(live_since)s OR h.is_online OR h.id IS NULL AND s.last_push_at > %(pushed_since)s
        AND s.state <> 'failing' AND NOT {IS_AWAY} THEN 'live'
    WHEN c.heard_at > %(heard_since)s THEN 'recent'
    WHEN c.heard_at > %(stale_since)s THEN 'stale' ELSE 'none' END"""


FRESHNESS_OF_NETWORKS = f"""
SELECT s.id, {FRESHNESS} AS word, count(*) FROM stations_connector c JOIN stations_evse e ON e.id = c.evse_id
JOIN stations_location l ON l.id = e.location_id JOIN stations_source s ON s.id = l.source_id
LEFT JOIN stations_charger h ON h.id = e.charger_id
WHERE s.id = ANY(%(source_ids)s) AND NOT c.is_removed AND NOT e.is_removed AND NOT l.is_removed GROUP BY s.id, word
"""  # noqa: S608 (our own words)


def freshness_of_network(source_id: int, now: datetime) -> dict[str, int]:
    """How many of a network's connectors are live, recent, stale and unheard of, in this order. One query."""
    return freshness_of_networks([source_id], now)[source_id]


def freshness_of_networks(source_ids: Sequence[int], now: datetime) -> dict[int, dict[str, int]]:
    """The same of each of these networks. One query for all."""
    with connection.cursor() as cursor:
        cursor.execute(FRESHNESS_OF_NETWORKS, {"source_ids": list(source_ids), **times_of(now)})
        counts = {(source_id, word): count for source_id, word, count in cursor.fetchall()}
    return {
        pk: {word: counts[pk, word] for word in (LIVE, RECENT, STALE, NONE) if (pk, word) in counts}
        for pk in source_ids
    }


def times_of(now: datetime) -> dict[str, datetime]:
    """The parameters of IS_BELIEVED and FRESHNESS."""
    return {
        "heard_since": heard_since(now),
        "pushed_since": pushed_since(now),
        "live_since": now - timedelta(seconds=settings.STATUS_LIVE_SECONDS),
        "stale_since": now - timedelta(seconds=settings.STATUS_STALE_SECONDS),
    }
