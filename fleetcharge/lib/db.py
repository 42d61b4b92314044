"""An own psycopg connection for the async batch writers; Django's ORM is synchronous and one thread wide there."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import django.db
import psycopg
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from psycopg import AsyncConnection
from psycopg.errors import DeadlockDetected, IdleInTransactionSessionTimeout, SerializationFailure
from psycopg.rows import TupleRow

CONNECT_TIMEOUT_SECONDS = 5
_PREPARE_AT = 1


def conninfo() -> str:
    """The connection string of Django's default database (the test database, in tests)."""
    from django.db import connections

    config = connections["default"].settings_dict
    options = {k: v for k, v in config.get("OPTIONS", {}).items() if isinstance(v, str | int)}
    return psycopg.conninfo.make_conninfo(
        dbname=config["NAME"],
        user=config["USER"] or None,
        password=config["PASSWORD"] or None,
        host=config["HOST"] or None,
        port=config["PORT"] or None,
        **options,  # type: ignore[arg-type]
    )


def in_one_line(query: str) -> str:
    """The query without its layout: psycopg remembers what it made of one of up to 4,096 characters. No texts with
    more than one space in a row, or one behind a comma, may be in it."""
    return " ".join(query.split()).replace(", ", ",")


def fetch_prepared(query: str, params: Any) -> list[TupleRow]:
    """Run one hot statement on Django's connection, server-prepared and with one plan for all parameters; its rows.

    In the transaction that Django has open, and among the queries it logs. For queries whose planning costs as much as
    their running and whose best plan never changes. `query` must be one of few texts (each is kept by the server), so
    parameters that the plan hangs on, as a LIMIT, are written into it.
    """
    from django.db import connection

    _opened(connection)
    return _fetch(connection, query, params, prepare=True)


def fetch_planned(query: str, params: Any) -> list[TupleRow]:
    """As `fetch_prepared`, planned anew each time: for tables that may grow from nothing to millions, where the plan of
    the first day would walk through them for as long as a connection lives."""
    from django.db import connection

    _opened(connection)
    return _fetch(connection, query, params, prepare=False)


def _opened(connection: Any) -> None:
    connection.close_if_health_check_failed()  # as its cursors do: it may be the first statement of a request
    connection.ensure_connection()


def _fetch(connection: Any, query: str, params: Any, *, prepare: bool) -> list[TupleRow]:
    began = time.monotonic()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(query, params, prepare=prepare)
        rows = cursor.fetchall() if cursor.description else []
    if connection.queries_logged:
        connection.queries_log.append({"sql": query, "time": f"{time.monotonic() - began:.3f}"})
    return rows


@receiver(connection_created, dispatch_uid="plan-once")
def _plan_once(connection: Any, **_: object) -> None:
    """Once for each connection, before any transaction of it: nothing undoes that. Django's own cursors never prepare.

    This module is imported with the apps, so before the first connection is opened.
    """
    if connection.vendor == "postgresql":
        connection.connection.prepare_threshold = _PREPARE_AT  # Django switches it off
        with connection.wrap_database_errors:
            connection.connection.execute(b"SET plan_cache_mode = force_generic_plan")


def is_lost(error: django.db.Error) -> bool:
    """What came of it may be different on a new connection: this one died, or was let go for its idleness."""
    return isinstance(error, django.db.OperationalError | django.db.InterfaceError) or isinstance(
        error.__cause__, IdleInTransactionSessionTimeout
    )


class AsyncDatabase:
    """One lazily opened autocommit connection per event loop, reopened after a failure.

    A statement may run twice when the connection dies under it, so it must be idempotent (ON CONFLICT). `settings` are
    PostgreSQL's, for each of its connections.
    """

    def __init__(self, *, timeout_seconds: float = 20.0, settings: Mapping[str, str] | None = None) -> None:
        self._timeout_seconds = timeout_seconds
        self._set_up = "; ".join(f"SET {name} = {value}" for name, value in (settings or {}).items())
        self._connection: AsyncConnection[TupleRow] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: asyncio.Lock | None = None

    async def connection(self) -> AsyncConnection[TupleRow]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._lock is None:
            self._connection, self._loop, self._lock = None, loop, asyncio.Lock()
        async with self._lock:
            if self._connection is None or self._connection.closed or self._connection.broken:
                self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> AsyncConnection[TupleRow]:
        connection = await AsyncConnection.connect(conninfo(), autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)
        if self._set_up:
            await connection.execute(self._set_up.encode())
        return connection

    async def fetch(self, query: str, params: Any = None) -> list[TupleRow]:
        """Run one statement (one implicit transaction) and return its rows; retried once after a failure that may pass.

        Raises psycopg.OperationalError when the database stays away or does not answer in time.
        """
        try:
            return await self._fetch(query, params)
        except (DeadlockDetected, SerializationFailure):  # the connection is fine, the other side has committed
            return await self._fetch(query, params)
        except _Unanswered:
            raise
        except (psycopg.OperationalError, psycopg.InterfaceError):
            await self.close()
            return await self._fetch(query, params)

    async def _fetch(self, query: str, params: Any) -> list[TupleRow]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                connection = await self.connection()
                cursor = await connection.execute(query, params)
                return await cursor.fetchall() if cursor.description else []
        except TimeoutError as error:  # a frozen server or a lost route: never use this connection again
            await self.close()
            raise _Unanswered(f"no answer in {self._timeout_seconds} s") from error

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and self._loop is asyncio.get_running_loop():
            await connection.close()


class _Unanswered(psycopg.OperationalError):
    """The server took too long; asking again at once would only double the wait."""
