"""Indexes that are built while others write: what an interrupted build left behind is never taken for an index."""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently

INVALID = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relname = %s AND pg_table_is_visible(c.oid)
"""


def drop_invalid(connection: Any, name: str) -> bool:
    """Drop the index of this name if its build was interrupted; False when there is none, or a sound one.

    PostgreSQL keeps such a one, writes it and never reads it, and `IF NOT EXISTS` finds it. Not in a transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(INVALID, [name])
        found = cursor.fetchone()
        if found is not None:
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {found[0]}")
    return found is not None


class AddIndexResumably(AddIndexConcurrently):
    """As its parent, in a migration that may be run again after it was interrupted: what is built stays, what was left
    half-built is built anew."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        drop_invalid(schema_editor.connection, self.index.name)
        if not _is_there(schema_editor.connection, self.index.name):
            super().database_forwards(app_label, schema_editor, from_state, to_state)


def _is_there(connection: Any, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_class WHERE relname = %s AND pg_table_is_visible(oid)", [name])
        return cursor.fetchone() is not None
