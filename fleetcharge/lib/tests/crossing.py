"""Waiting for others in PostgreSQL, and losing a deadlock, on purpose and in a known order."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from fleetcharge.lib.db import conninfo

PATIENCE = 60.0  # seconds, before a test fails


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def waiters() -> int:
    """How many sessions wait for a lock in this database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        found: int = cursor.fetchone()[0]
    return found


@contextmanager
def crossed(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, first: str, then: str) -> Iterator[list[str]]:
    """Another session holds what `first` locks and asks for what `then` locks before our `module.name` runs first.

    Ours is then the last to wait, so PostgreSQL ends ours. Yields the calls of `name`.
    """
    calls: list[str] = []
    ours = getattr(module, name)
    begun, has_first = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def other() -> None:
        try:
            with psycopg.connect(conninfo()) as session:
                session.execute("SET deadlock_timeout = '10min'")
                session.execute(first)
                has_first.set()
                assert begun.wait(PATIENCE)
                session.execute(then)
        except BaseException as error:  # told below, in the thread that is the test
            errors.append(error)

    def slower(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) == 1:
            begun.set()
            until(lambda: waiters() == 1)
        return ours(*args, **kwargs)

    monkeypatch.setattr(module, name, slower)
    with connection.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '20ms'")
    thread = threading.Thread(target=other)
    thread.start()
    assert has_first.wait(PATIENCE)
    try:
        yield calls
    finally:
        begun.set()
        thread.join(PATIENCE)
        with connection.cursor() as cursor:
            cursor.execute("RESET deadlock_timeout")
    assert errors == []
