"""The realtime processes and their leases: who is alive, and what becomes of the work of one that is not."""

import logging
from datetime import datetime, timedelta

from django.db import connection, transaction

from ocpp_bridge import commands
from ocpp_bridge.models import Node
from stations import services as stations

LEASE = timedelta(seconds=20)  # four missed refreshes

logger = logging.getLogger(__name__)

_REFRESH = """
INSERT INTO ocpp_bridge_node (name, started_at, seen_at, sockets, is_draining) VALUES (%s, now(), now(), %s, %s)
ON CONFLICT (name) DO UPDATE SET seen_at = now(), sockets = EXCLUDED.sockets, is_draining = EXCLUDED.is_draining
RETURNING xmax = 0
"""
_LOST = """
SELECT name, seen_at FROM ocpp_bridge_node WHERE seen_at < now() - make_interval(secs => %s)
ORDER BY name FOR UPDATE SKIP LOCKED
"""
_OTHERS = """
SELECT EXISTS (
    SELECT 1 FROM ocpp_bridge_node
    WHERE name <> %s AND NOT is_draining AND seen_at > now() - make_interval(secs => %s)
)
"""


def refresh(*, node: str, sockets: int, is_draining: bool) -> bool:
    """Keep this process's lease; True when it is new: the first time, or after others gave the process up."""
    with connection.cursor() as cursor:
        cursor.execute(_REFRESH, [node, sockets, is_draining])
        return bool(cursor.fetchone()[0])


def has_others(*, node: str) -> bool:
    """Is there another process that would take this one's chargers?"""
    with connection.cursor() as cursor:
        cursor.execute(_OTHERS, [node, LEASE.total_seconds()])
        return bool(cursor.fetchone()[0])


@transaction.atomic
def forget(*, node: str, now: datetime) -> None:
    """An orderly end: nothing of this process is waited for any more."""
    _release(node, now)


@transaction.atomic
def bury_the_lost(*, now: datetime) -> int:
    """Give up processes whose lease has run out: killed, or cut off from the database. Each is given up once.

    One that lives after all makes its chargers present again with its next refresh.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOST, [LEASE.total_seconds()])
        lost = [name for name, _ in cursor.fetchall()]
    for name in lost:
        logger.warning("node %s is gone: %d chargers lost", name, _release(name, now))
    return len(lost)


def _release(node: str, now: datetime) -> int:
    commands.lose_all_of(node=node, now=now)
    count = stations.node_lost(node=node, at=now)
    Node.objects.filter(name=node).delete()
    return count
