"""A few database threads for services called from async code; never asgiref's one shared thread."""

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import django.db
from django.db import close_old_connections, connections

from fleetcharge.lib.db import is_lost

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseThreads:
    """A bounded pool whose threads keep their own Django connection and heal it after a failure."""

    def __init__(self, name: str, threads: int = 4) -> None:
        self._name, self._threads = name, threads
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an idempotent service in one of our threads; once more when its connection turned out to be dead."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
        job = functools.partial(_healed, functools.partial(function, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._pool, job)

    def close(self) -> None:
        """Close every thread's connection and stop the pool (orderly shutdown, end of a test)."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        together = threading.Barrier(self._threads)

        def close() -> None:
            together.wait(60)  # one job per thread, after what it still does
            connections.close_all()

        for future in [pool.submit(close) for _ in range(self._threads)]:
            future.result()
        pool.shutdown()


def _healed(function: Callable[[], R]) -> R:
    close_old_connections()
    for connection in connections.all(initialized_only=True):
        connection.health_check_done = True  # type: ignore[attr-defined]  # a dead one is found by using it
    try:
        return function()
    except django.db.Error as error:
        if not is_lost(error):
            raise
        close_old_connections()
        return function()
    finally:
        close_old_connections()
