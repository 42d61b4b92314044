"""Hot reads are planned once; the async connection heals: a lost one is replaced, a frozen server is given up on."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from django.db import DataError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from fleetcharge.lib import db
from fleetcharge.lib.db import AsyncDatabase, conninfo, fetch_prepared


@pytest.fixture
async def database(transactional_db: None) -> AsyncIterator[AsyncDatabase]:
    opened = AsyncDatabase(timeout_seconds=60)
    yield opened
    await opened.close()


async def pid_of(database: AsyncDatabase) -> int:
    [(pid,)] = await database.fetch("SELECT pg_backend_pid()")
    return int(pid)


async def test_one_connection_is_kept(database: AsyncDatabase) -> None:
    assert await pid_of(database) == await pid_of(database)


async def test_a_terminated_connection_is_replaced_within_the_same_call(database: AsyncDatabase) -> None:
    old = await pid_of(database)
    killer = AsyncDatabase(timeout_seconds=60)
    await killer.fetch("SELECT pg_terminate_backend(%s, 60000)", [old])
    await killer.close()
    assert await pid_of(database) != old


async def test_bad_sql_is_not_tried_again_and_keeps_the_connection(database: AsyncDatabase) -> None:
    pid = await pid_of(database)
    with pytest.raises(psycopg.DataError):
        await database.fetch("SELECT 'x'::text::int")
    assert await pid_of(database) == pid


async def test_a_server_that_does_not_answer_is_given_up_on(
    database: AsyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await pid_of(database)
    with monkeypatch.context() as impatient:
        impatient.setattr(database, "_timeout_seconds", 0.5)
        with pytest.raises(psycopg.OperationalError, match=r"no answer in 0\.5 s"):
            await database.fetch("SELECT pg_sleep(300)")
    assert await pid_of(database) != pid


async def test_an_absent_server_is_an_operational_error(
    database: AsyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr(db, "conninfo", lambda: "host=127.0.0.1 port=1 dbname=nowhere")
        with pytest.raises(psycopg.OperationalError):
            await database.fetch("SELECT 1")
    assert await pid_of(database) > 0


def test_each_event_loop_opens_its_own(transactional_db: None) -> None:
    database = AsyncDatabase()

    async def once() -> int:
        pid = await pid_of(database)
        await database.close()
        return pid

    assert asyncio.run(once()) != asyncio.run(once())


@pytest.mark.django_db
def test_a_hot_read_is_planned_once_for_all_parameters() -> None:
    query = "SELECT %(number)s::int + 1 AS prepared_once"
    assert [fetch_prepared(query, {"number": number})[0][0] for number in range(8)] == list(range(1, 9))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%prepared_once%'"
        )
        assert cursor.fetchall() == [(8, 0)]


@pytest.mark.django_db
def test_a_hot_read_that_fails_raises_djangos_error() -> None:
    with pytest.raises(DataError):
        fetch_prepared("SELECT 1 / %(zero)s::int", {"zero": 0})


@pytest.mark.django_db(transaction=True)
def test_a_hot_read_stays_planned_once_when_the_transaction_of_its_first_run_is_undone() -> None:
    connection.close()
    with pytest.raises(RuntimeError), transaction.atomic():
        fetch_prepared("SELECT %(number)s::int + 2 AS prepared_twice", {"number": 1})
        raise RuntimeError
    for number in range(8):
        fetch_prepared("SELECT %(number)s::int + 2 AS prepared_twice", {"number": number})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT custom_plans FROM pg_prepared_statements WHERE statement LIKE '%prepared_twice%'"
        )
        assert cursor.fetchall() == [(0,)]


@pytest.mark.django_db
def test_a_hot_read_is_counted_among_the_queries() -> None:
    with CaptureQueriesContext(connection) as captured:
        fetch_prepared("SELECT 1 AS counted", None)
    assert [query["sql"] for query in captured] == ["SELECT 1 AS counted"]


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_died_between_two_requests_is_replaced_before_a_hot_read() -> None:
    [[backend]] = fetch_prepared("SELECT pg_backend_pid()", None)
    with psycopg.connect(conninfo(), autocommit=True) as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend]).fetchone() == (True,)
    connection.close_if_unusable_or_obsolete()  # the next request begins
    [[another]] = fetch_prepared("SELECT pg_backend_pid()", None)
    assert another != backend


@pytest.mark.django_db(transaction=True)
def test_a_connection_plans_once_from_its_opening_on_whatever_is_undone() -> None:
    """Nothing has to be said again in any transaction."""
    connection.close()
    with pytest.raises(RuntimeError), transaction.atomic():
        fetch_prepared("SELECT 1", None)
        raise RuntimeError
    with connection.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        assert cursor.fetchone() == ("force_generic_plan",)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_dies_before_a_hot_read_raises_djangos_error() -> None:
    connection.close()
    with pytest.raises(OperationalError), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [backend] = cursor.fetchone()
        with psycopg.connect(conninfo(), autocommit=True) as other:
            assert other.execute("SELECT pg_terminate_backend(%s, 60000)", [backend]).fetchone() == (True,)
        fetch_prepared("SELECT 1", None)
