"""Many rows as columns of numpy, without a Python object for each value: arrays in PostgreSQL's binary form."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
from django.db import connection
from numpy.typing import NDArray

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL counts the microseconds of its instants from here
_HEADER_BYTES = 20  # dimensions, whether there are nulls, type, length, first index
_NULLS = slice(4, 8)


def read_columns(query: str, types: Sequence[str], params: Mapping[str, Any]) -> list[NDArray[Any]]:
    """The answer of a query by column, in its order; none of its values may be null.

    `types` are numpy's of the very width that PostgreSQL sends: i2, i4, i8 (also of instants), f8, ?.
    """
    names = [f"c{number}" for number in range(len(types))]
    sent = ", ".join(f"array_send(array_agg({name}))" for name in names)
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(f"SELECT {sent} FROM ({query}) AS q({', '.join(names)})", params, prepare=False, binary=True)  # noqa: S608
        row = cursor.fetchone() or ()
    return [_column(value, kind) for value, kind in zip(row, types, strict=True)]


def _column(sent: bytes | None, kind: str) -> NDArray[Any]:
    if sent is None:
        return np.zeros(0, dtype=kind)
    if any(sent[_NULLS]):
        raise ValueError("A value is null.")
    layout = np.dtype([("length", ">i4"), ("value", kind if kind == "?" else f">{kind}")])
    return np.frombuffer(sent, dtype=layout, offset=_HEADER_BYTES)["value"].astype(kind)
