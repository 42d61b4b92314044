"""The one door to the live map: each committed batch becomes one small JSON message on Valkey."""

import functools
import logging
from collections.abc import Iterable

import orjson
import redis
from django.conf import settings

from dispatch import live_reads
from vehicles.events import VehicleMove

CHANNEL = "fc:live"
logger = logging.getLogger(__name__)


@functools.cache
def _valkey() -> "redis.Redis":
    """Thread-safe and fork-safe; short timeouts, because a map may be late but work may not."""
    client: redis.Redis = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1)
    return client


def send_to_map(kind: str, **payload: object) -> None:
    """Publish one message to every realtime process. Hubs read the database again after a gap, so a loss heals."""
    try:
        _valkey().publish(CHANNEL, orjson.dumps({"k": kind, **payload}))
    except redis.RedisError as error:
        logger.warning("live map: %s was not published: %s", kind, error)


def send_moves(moves: Iterable[VehicleMove]) -> None:
    """Positions ride in the message itself: they are many, and the newest wins."""
    rows = [[move.organisation_id, move.at.timestamp(), *live_reads.vehicle_row(move)] for move in moves]
    if rows:
        send_to_map("vehicles", rows=rows)


def send_stations(location_ids: Iterable[int]) -> None:
    """Only a hint: the hub counts the plugs again, so the order of messages cannot matter."""
    send_to_map("stations", ids=sorted(set(location_ids)))


def send_marks(organisation_id: int, vehicle_ids: Iterable[int]) -> None:
    """Only a hint: the plan or alert of these vehicles changed."""
    send_to_map("marks", o=organisation_id, ids=sorted(set(vehicle_ids)))
