"""A few database threads for the services of the apps below; never asgiref's one shared thread."""

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import django.db
from django.conf import settings
from django.db import close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from fleetcharge.lib.announcing import Announcer
from fleetcharge.lib.db import is_lost
from fleetcharge.lib.events import set_aside

P = ParamSpec("P")
R = TypeVar("R")

_pool: ThreadPoolExecutor | None = None
_announcer = Announcer("ocpp-news")
_here = threading.local()
# A process that is frozen or cut off in the middle of a transaction gives its rows free for other nodes.
_LET_GO = "SET idle_in_transaction_session_timeout = '10s'"


async def in_database(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run an idempotent service in one of our threads; once more when its connection turned out to be dead."""
    return await _in_pool(functools.partial(_healed, functools.partial(function, *args, **kwargs)))


async def in_database_once(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """As `in_database`, for what must not be done twice: a connection may also die after the commit."""
    return await _in_pool(functools.partial(_fresh, functools.partial(function, *args, **kwargs)))


async def until_committed(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """As `in_database`; whoever listens to what was committed is told by another thread, and nobody waits for that."""
    return await in_database(_told_later, functools.partial(function, *args, **kwargs))


def _told_later(function: Callable[[], R]) -> R:
    with set_aside() as news:
        try:
            return function()
        finally:
            _announcer.announce(news)


async def _in_pool(job: Callable[[], R]) -> R:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(
            settings.OCPP_DATABASE_THREADS, thread_name_prefix="ocpp-database", initializer=_mark_as_ours
        )
    return await asyncio.get_running_loop().run_in_executor(_pool, job)


def _mark_as_ours() -> None:
    _here.is_ours = True


@receiver(connection_created, dispatch_uid="ocpp-database")
def _let_go_when_frozen(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Once for each connection that one of our threads opens."""
    if getattr(_here, "is_ours", False):
        with connection.cursor() as cursor:
            cursor.execute(_LET_GO)


def _healed(function: Callable[[], R]) -> R:
    try:
        return _fresh(function)
    except django.db.Error as error:
        if not is_lost(error):
            raise
        return _fresh(function)


def _fresh(function: Callable[[], R]) -> R:
    close_old_connections()
    try:
        return function()
    finally:
        close_old_connections()


def tell_the_rest() -> None:
    """What was committed and waits to be told (orderly shutdown)."""
    _announcer.close()


def close_threads() -> None:
    """Close every thread's connection and stop the pool (orderly shutdown, end of a test)."""
    global _pool
    pool, _pool = _pool, None
    if pool is None:
        return
    threads = settings.OCPP_DATABASE_THREADS
    together = threading.Barrier(threads)

    def close() -> None:
        together.wait(60)  # one job per thread, after what it still does
        connections.close_all()

    for future in [pool.submit(close) for _ in range(threads)]:
        future.result()
    pool.shutdown()
    _announcer.close()
