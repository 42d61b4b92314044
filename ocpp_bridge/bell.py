"""Wake-ups over Valkey: one client per process, and no waiting for a Valkey that is away (every bell has a poll)."""

import functools
import logging
import time

import redis
from django.conf import settings

EVERYBODY = "fc:ocpp:nodes"
QUIET_SECONDS = 5.0

logger = logging.getLogger(__name__)
_silent_until = 0.0


def channel_of(node: str) -> str:
    """The channel that only this realtime process listens to."""
    return f"fc:ocpp:node:{node}"


@functools.cache
def _client() -> "redis.Redis":
    """Thread-safe and fork-safe; short timeouts, because a wake-up may be lost but work may not wait."""
    client: redis.Redis = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    return client


def ring(charger_id: int, node: str) -> None:
    """Wake the process that owns the charger's socket; every process, when nobody listens under that name."""
    global _silent_until
    if time.monotonic() < _silent_until:
        return
    message = f"wake {charger_id}"
    try:
        if not (node and _client().publish(channel_of(node), message)):
            _client().publish(EVERYBODY, message)
    except redis.RedisError as error:
        _silent_until = time.monotonic() + QUIET_SECONDS
        logger.warning("commands wait for the poll: %s", error)
