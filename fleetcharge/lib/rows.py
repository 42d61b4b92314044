"""Many rows of one table written in one statement, each with values of its own."""

from collections.abc import Sequence
from typing import Any

from django.db import connection, models


def update_each(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Write these fields of each row; rows of one model, each once. Django's `bulk_update` weighs a CASE per value.

    Fields that note the time of a change do so when they are named. No arrays.
    """
    if not rows:
        return
    meta = type(rows[0])._meta
    fields: list[Any] = [meta.get_field(name) for name in names]
    quote = connection.ops.quote_name
    columns = [quote(field.column) for field in fields]
    kinds = [str(field.db_type(connection)).partition("(")[0] for field in fields]  # no length: too long stays an error
    values = ", ".join(f"%s::{kind}[]" for kind in kinds)
    statement = f"""
        UPDATE {quote(meta.db_table)} AS t SET {", ".join(f"{each} = v.{each}" for each in columns)}
        FROM unnest(%s::bigint[], {values}) AS v(wanted, {", ".join(columns)})
        WHERE t.{quote(str(meta.pk.column))} = v.wanted
    """  # noqa: S608 (names of our own columns)
    with connection.cursor() as cursor:
        cursor.execute(statement, [[row.pk for row in rows], *([_value(f, row) for row in rows] for f in fields)])


def _value(field: Any, row: models.Model) -> Any:
    """As the driver takes it in a list, where a choice and its text are not the same."""
    value = field.get_db_prep_save(field.pre_save(row, False), connection)
    return str(value) if isinstance(value, str) else value
