"""An own psycopg connection for the async batch writers; Django's ORM is synchronous and one thread wide there."""

import asyncio
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow


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
        **options,
    )


class AsyncDatabase:
    """One lazily opened autocommit connection per event loop, reopened after a failure."""

    def __init__(self) -> None:
        self._connection: AsyncConnection[TupleRow] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: asyncio.Lock | None = None

    async def connection(self) -> AsyncConnection[TupleRow]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._connection, self._loop, self._lock = None, loop, asyncio.Lock()
        assert self._lock is not None  # noqa: S101
        async with self._lock:
            if self._connection is None or self._connection.closed or self._connection.broken:
                self._connection = await AsyncConnection.connect(conninfo(), autocommit=True)
        return self._connection

    async def fetch(self, query: str, params: Any = None) -> list[TupleRow]:
        """Run one statement (one implicit transaction) and return its rows; retried once on a dead connection."""
        try:
            return await self._fetch(query, params)
        except psycopg.OperationalError:
            await self.close()
            return await self._fetch(query, params)

    async def _fetch(self, query: str, params: Any) -> list[TupleRow]:
        connection = await self.connection()
        cursor = await connection.execute(query, params)  # type: ignore[arg-type]
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
