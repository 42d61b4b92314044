"""The whole database as it was at one moment, put back in milliseconds: a test finds its network as it was set up."""

from collections.abc import Iterator

from django.db import connection

from tests.emptying import tidy, tidying_function
from tests.running import wait_for

TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'django_migrations'
ORDER BY c.relname
"""
BUSY = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'
"""


class Rows:
    """`name` is a schema that holds the copies."""

    def __init__(self, name: str) -> None:
        self.name = name
        with connection.cursor() as cursor:
            cursor.execute(TABLES)
            self.tables = [table for (table,) in cursor.fetchall()]
            cursor.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")
            self.filled = [table for table in self.tables if self._is_filled(cursor, table)]
            for table in self.filled:
                cursor.execute(f'CREATE TABLE {name}."{table}" AS TABLE public."{table}"')
            cursor.execute(tidying_function(f"{name}.put_back", self._statements()))

    def put_back(self) -> None:
        """No trigger fires and no key is checked meanwhile: the copies were whole."""
        wait_for("nobody else to be at the database", self._is_quiet, every=0.01)
        tidy(f"{self.name}.put_back()")

    def _statements(self) -> Iterator[str]:
        yield from (f'DELETE FROM public."{table}"' for table in self.tables)
        for table in self.filled:
            yield f'INSERT INTO public."{table}" SELECT * FROM {self.name}."{table}"'

    def forget(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {self.name} CASCADE")

    @staticmethod
    def _is_quiet() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(BUSY)
            row: tuple[int] = cursor.fetchone()
            return row[0] == 0

    @staticmethod
    def _is_filled(cursor: object, table: str) -> bool:
        cursor.execute(f'SELECT EXISTS (SELECT 1 FROM public."{table}")')  # type: ignore[attr-defined]
        return bool(cursor.fetchone()[0])  # type: ignore[attr-defined]
