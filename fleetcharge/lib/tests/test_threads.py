"""Database threads keep their connection, and heal it without asking it first."""

import threading
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from django.db.backends.postgresql.base import DatabaseWrapper

from fleetcharge.lib.db import conninfo
from fleetcharge.lib.threads import DatabaseThreads

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def threads() -> AsyncIterator[DatabaseThreads]:
    threads = DatabaseThreads("test-threads", threads=1)
    yield threads
    threads.close()


def backend(runs: list[int]) -> int:
    runs.append(threading.get_ident())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def end(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10_000)", [pid])
        assert cursor.fetchone() == (True,)


async def test_a_connection_is_kept_and_not_asked_whether_it_lives(
    threads: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(DatabaseWrapper, "is_usable", lambda self: bool(asked.append(self)) or True)
    assert len({await threads.run(backend, []) for _ in range(3)}) == 1
    assert asked == []


async def test_a_connection_that_died_meanwhile_is_replaced_and_the_work_done_once_more(
    threads: DatabaseThreads,
) -> None:
    other = DatabaseThreads("test-other", threads=1)
    runs: list[int] = []
    first = await threads.run(backend, runs)
    await other.run(end, first)
    other.close()
    assert await threads.run(backend, runs) != first
    assert len(runs) == 3


async def test_what_fails_twice_is_told(threads: DatabaseThreads) -> None:
    runs: list[int] = []

    def fail() -> None:
        runs.append(1)
        raise OperationalError("gone for good")

    with pytest.raises(OperationalError, match="for good"):
        await threads.run(fail)
    assert len(runs) == 2


def wait_until_gone(pid: int) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as other:
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
            other.execute("SELECT pg_sleep(0.01)")


async def test_work_whose_transaction_was_let_go_for_its_idleness_is_done_once_more(threads: DatabaseThreads) -> None:
    """The server says so with an error of its own kind, not with that of a lost connection."""
    backends: list[int] = []

    def idle_at_first() -> int:
        limit = "60s" if backends else "50ms"  # what is done once more may be as slow as it likes
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_backend_pid(), set_config('idle_in_transaction_session_timeout', %s, true)", [limit]
            )
            [pid, _] = cursor.fetchone()
            backends.append(pid)
            if len(backends) == 1:
                wait_until_gone(pid)
            cursor.execute("SELECT 1")
        return pid

    assert await threads.run(idle_at_first) == backends[-1]
    assert len(set(backends)) == 2
