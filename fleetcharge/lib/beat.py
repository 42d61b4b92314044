"""The clock of the background work: any number may run, one fires. Who fires holds a lock in PostgreSQL."""

import logging
from typing import Any

import psycopg
from celery.beat import PersistentScheduler

from fleetcharge.lib.db import conninfo

LOCK = 7305
LOOK_EVERY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class SingleScheduler(PersistentScheduler):  # type: ignore[misc]  # celery is not followed by mypy
    """Fires while its own connection holds the advisory lock, which ends with the connection, however that ends.

    Until then it does not even open the schedule's file. The connection must reach PostgreSQL itself, or a pooler that
    keeps sessions.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock: psycopg.Connection[Any] | None = None
        self._is_set_up = False
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Once we fire."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if not self._leads():
            return LOOK_EVERY_SECONDS
        if not self._is_set_up:
            super().setup_schedule()
            self._is_set_up = True
        return float(super().tick(*args, **kwargs))

    def sync(self) -> None:
        if self._is_set_up:
            super().sync()

    def close(self) -> None:
        if self._is_set_up:
            super().close()
            self._is_set_up = False
        self._let_go()

    def _leads(self) -> bool:
        """The first question takes the lock, every later one shows that its connection is there."""
        try:
            if self._lock is None:
                self._lock = psycopg.connect(conninfo(), autocommit=True, connect_timeout=5)
            question = "SELECT true" if self._is_set_up else f"SELECT pg_try_advisory_lock({LOCK})"
            row = self._lock.execute(question).fetchone()
        except psycopg.Error as error:
            logger.warning("this beat does not fire: %s", error)
            self._forget()
            return False
        return bool(row and row[0])

    def _forget(self) -> None:
        """Somebody else may fire by now: what we wrote down is closed, and read again when we lead again."""
        self._let_go()
        if self._is_set_up:
            self._is_set_up, self._heap = False, None
            super().close()

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
