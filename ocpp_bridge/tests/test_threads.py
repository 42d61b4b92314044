"""The threads of the OCPP side: what is frozen lets its rows go, and what was let go is done once more."""

from collections.abc import Iterator

import psycopg
import pytest
from django.db import DataError, connection, transaction

from fleetcharge.lib.db import conninfo, fetch_prepared
from ocpp_bridge import threads
from ocpp_bridge.threads import in_database

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    yield
    threads.close_threads()


def idle_limit() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        return str(cursor.fetchone()[0])


def wait_until_gone(pid: int) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as other:
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
            other.execute("SELECT pg_sleep(0.01)")


async def test_every_connection_of_ours_lets_go_of_what_it_holds_when_it_is_idle() -> None:
    def opened_in_a_transaction_that_is_undone() -> str:
        connection.close()
        with transaction.atomic():
            transaction.set_rollback(True)
            connection.ensure_connection()
        return idle_limit()

    assert await in_database(opened_in_a_transaction_that_is_undone) == "10s"
    connection.close()
    assert idle_limit() == "0"  # those of others do not
    connection.close()


async def test_work_whose_transaction_was_let_go_for_its_idleness_is_done_once_more() -> None:
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

    assert await in_database(idle_at_first) == backends[-1]
    assert len(set(backends)) == 2


async def test_work_whose_connection_dies_before_a_hot_statement_is_done_once_more() -> None:
    backends: list[int] = []

    def die_at_first() -> int:
        connection.ensure_connection()
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                backends.append(cursor.fetchone()[0])
            if len(backends) == 1:
                with psycopg.connect(conninfo(), autocommit=True) as other:
                    other.execute("SELECT pg_terminate_backend(%s, 60000)", backends)
            return int(fetch_prepared("SELECT pg_backend_pid()", None)[0][0])

    assert await in_database(die_at_first) == backends[-1]
    assert len(set(backends)) == 2


async def test_what_is_wrong_with_the_work_itself_is_not_done_again() -> None:
    runs: list[int] = []

    def fail() -> None:
        runs.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    with pytest.raises(DataError):
        await in_database(fail)
    assert len(runs) == 1
