"""An empty database after a transactional test, without truncating every table and sending every migrate signal.

A janitor with a connection of its own does it by a function in the database: that connection knows every table and
has its plans, while each test begins with one that knows nothing.
"""

import functools
import importlib
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections

from fleetcharge.lib.deadlocks import again_after_deadlock

KEPT = frozenset({"django_content_type", "auth_permission"})  # of the code, the same for every test
COPIES = "brought_by_migrations"  # a schema: vehicle models, rules of tax law, benchmarks of prices


def empty_database() -> None:
    """Delete every row but those that the migrations put there; waits for whoever still writes, as TRUNCATE would."""
    if not _may_silence_triggers():
        call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=False)
        return
    connections.close_all()  # the test is over: what it left open must not keep the janitor waiting
    tidy(f"{COPIES}.empty_database()")


@again_after_deadlock  # with a task that still holds rows of the test that has just ended
def tidy(call: str) -> None:
    """A function of the database, called by the janitor."""
    janitor = _janitor()
    if not janitor.is_usable():  # some tests end every connection
        janitor.close()
    with janitor.cursor() as cursor:
        cursor.execute(f"SELECT {call}")


def tidying_function(name: str, statements: Iterable[str]) -> str:
    """SQL that makes one: it runs with no trigger and no foreign key in its way."""
    body = "; ".join(statements)
    return f"""CREATE FUNCTION {name}() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica
               AS $tidy$ BEGIN {body}; END $tidy$"""


def close_janitor() -> None:
    """Before the database is dropped."""
    _janitor().close()
    _janitor.cache_clear()


@functools.cache
def _janitor() -> Any:
    own = connection.copy()
    own.inc_thread_sharing()
    return own


def remember_what_migrations_brought() -> None:
    """Before the first test: a copy of every table that is not empty."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {COPIES} CASCADE; CREATE SCHEMA {COPIES}")
        for table in _tables():
            cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")
            if cursor.fetchone()[0]:
                cursor.execute(f"CREATE TABLE {COPIES}.{table} AS TABLE {table}")
        if _may_silence_triggers():
            cursor.execute(tidying_function(f"{COPIES}.empty_database", _statements()))


def bring_back_the_catalogue() -> None:
    """The vehicle models, the rules of tax law and the benchmarks of prices that migrations add."""
    if not apps.get_model("vehicles", "VehicleModel").objects.exists():
        importlib.import_module("vehicles.migrations.0003_catalogue").add(apps, None)
        importlib.import_module("vehicles.migrations.0028_what_was_read").tell(apps, None)
    importlib.import_module("billing.migrations.0031_defend_tax_documents").seed(apps, None)
    importlib.import_module("billing.migrations.0033_defend_payments").add(apps, None)
    importlib.import_module("billing.migrations.0041_defend_prices_and_plans").seed(apps, None)


@functools.cache
def _may_silence_triggers() -> bool:
    """Those that keep the ledger from being changed, and the foreign keys': for superusers only."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        return bool(cursor.fetchone()[0])


@functools.cache
def _tables() -> tuple[str, ...]:
    names: list[Any] = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return tuple(connection.ops.quote_name(name) for name in sorted(names) if name not in KEPT)


def _statements() -> Iterator[str]:
    yield f"LOCK TABLE {', '.join(_tables())} IN EXCLUSIVE MODE"
    yield from (f"DELETE FROM {table}" for table in _tables())
    yield from _restorations()


def _restorations() -> list[str]:
    """As they were; columns that PostgreSQL computes are left to it."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT copies.table_name, string_agg(quote_ident(copies.column_name), ', ')
               FROM information_schema.columns copies JOIN information_schema.columns own
                 ON (own.table_schema, own.table_name, own.column_name)
                  = (current_schema(), copies.table_name, copies.column_name)
               WHERE copies.table_schema = %s AND own.is_generated = 'NEVER' GROUP BY 1""",
            [COPIES],
        )
        return [f'INSERT INTO "{table}" ({names}) SELECT {names} FROM {COPIES}."{table}"' for table, names in cursor]
