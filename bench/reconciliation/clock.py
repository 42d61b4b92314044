"""Wall and CPU time of a piece of work: this process and its database backend."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

TICKS = os.sysconf("SC_CLK_TCK")


class Spent:
    """Seconds."""

    wall = cpu = 0.0

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s CPU)"


def backend_seconds() -> float:
    """CPU time of our connection's backend so far; 0 where the system does not tell."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def spent() -> Iterator[Spent]:
    result = Spent()
    wall, cpu, backend = time.perf_counter(), time.process_time(), backend_seconds()
    yield result
    result.cpu = time.process_time() - cpu + backend_seconds() - backend
    result.wall = time.perf_counter() - wall
