"""Work that at most so many may do at once, over all processes; a process that dies gives its turn back."""

import contextlib
from collections.abc import Iterator

from django.db import connection


@contextlib.contextmanager
def turn(space: int, *numbers: int) -> Iterator[bool]:
    """Take the first of these numbers that nobody holds, without waiting; False where all are taken.

    Kept by PostgreSQL for this connection, so not to be used through a pool that hands connections on.
    """
    taken = next((number for number in numbers if _ask("pg_try_advisory_lock", space, number)), None)
    try:
        yield taken is not None
    finally:
        if taken is not None:
            with contextlib.suppress(Exception):  # a connection that was lost has let go already
                _ask("pg_advisory_unlock", space, taken)


def _ask(function: str, space: int, number: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s, %s)", [space, number])
        return bool(cursor.fetchone()[0])
