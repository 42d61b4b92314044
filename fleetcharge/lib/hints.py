"""Hints to workers and browsers, through Valkey but never waiting for it: what nobody was told, a sweep finds."""

import functools
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from celery import current_app, shared_task
from django.conf import settings
from django.db import transaction
from kombu.exceptions import KombuError
from kombu.pools import ProducerPool, producers

ANSWER_SECONDS = 0.5  # a Valkey that is well takes less than a millisecond
QUIET_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Breaker:
    """After a failure nobody tries for a while; then one does, and the others do not wait with it."""

    def __init__(self, quiet_seconds: float = QUIET_SECONDS) -> None:
        self.quiet_seconds = quiet_seconds
        self._lock = threading.Lock()
        self._has_failed = False
        self._silent_until = 0.0

    @contextmanager
    def attempt(self, what: str) -> Iterator[bool]:
        """Yields whether to try at all; errors of Valkey end here."""
        if not self._may_try():
            yield False
            return
        try:
            yield True
        except (redis.RedisError, KombuError, OSError) as error:
            with self._lock:
                self._has_failed, self._silent_until = True, time.monotonic() + self.quiet_seconds
            logger.warning("%s, and all else for %.0f s, waits for its sweep: %s", what, self.quiet_seconds, error)
        else:
            with self._lock:
                self._has_failed, self._silent_until = False, 0.0

    def _may_try(self) -> bool:
        with self._lock:
            if time.monotonic() < self._silent_until:
                return False
            if self._has_failed:
                self._silent_until = time.monotonic() + self.quiet_seconds
            return True


valkey = Breaker()


def start(task: Any, *args: object, countdown: float | None = None) -> None:
    """Have a worker run the task soon after the commit of what is being written, so that it finds the rows it is about.

    Takes half a second at most, and nothing while Valkey is away. Only for work that is also found by a sweep. Where
    somebody waits for the task, as after a click, say `.delay()`.
    """
    send = functools.partial(_start, task, args, countdown)
    if transaction.get_connection().in_atomic_block:
        transaction.on_commit(send)
    else:  # nor does it take a database that may be away
        send()


def start_each(task: Any, each: Sequence[Sequence[object]]) -> None:
    """Have workers run the task once for each of these, as `start` does. Of many, one message leaves: a worker passes
    them on, since each costs some of the time of whoever waits for us."""
    if len(each) > 1:
        start(pass_on, task.name, [list(args) for args in each])
    elif each:
        start(task, *each[0])


@shared_task
def pass_on(name: str, each: Sequence[Sequence[object]]) -> None:
    for args in each:
        start(current_app.tasks[name], *args)


def _start(task: Any, args: tuple[object, ...], countdown: float | None) -> None:
    with valkey.attempt(task.name) as is_well:
        if is_well:
            with _producers(task.app).acquire() as producer:
                task.apply_async(args, countdown=countdown, producer=producer, retry=False)


@functools.cache
def _producers(app: Any) -> ProducerPool:
    """Connections to the broker of their own: a worker's must be patient, these must not (fork-safe: kombu's pools)."""
    impatient = {
        "socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS, "max_retries": 0,
    }  # fmt: skip
    return producers[app.connection_for_write(transport_options=impatient)]


def tell(channel: str, message: bytes) -> int:
    """Publish to whoever listens just now; how many heard it, 0 while Valkey is away."""
    heard: Any = 0  # the client's types allow for an asynchronous one
    with valkey.attempt(f"a message on {channel}") as is_well:
        if is_well:
            heard = _client().publish(channel, message)
    return int(heard)


@functools.cache
def _client() -> "redis.Redis":
    """Thread-safe and fork-safe."""
    client: redis.Redis = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
    )
    return client
