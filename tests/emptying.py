"""An empty database after a transactional test, without truncating every table and sending every migrate signal."""

import functools
import importlib
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction

KEPT = frozenset({"django_content_type", "auth_permission"})  # of the code, the same for every test


def empty_database() -> None:
    """Delete every row but those that the migrations put there; waits for whoever still writes, as TRUNCATE would."""
    if not _may_silence_triggers():
        call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=False)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_statements())
        bring_back_the_catalogue()


def bring_back_the_catalogue() -> None:
    """The vehicle models, the rules of tax law and the benchmarks of prices that migrations add."""
    if not apps.get_model("vehicles", "VehicleModel").objects.exists():
        importlib.import_module("vehicles.migrations.0003_catalogue").add(apps, None)
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
def _statements() -> str:
    names: list[Any] = connection.introspection.django_table_names(only_existing=True, include_views=False)
    tables = [connection.ops.quote_name(name) for name in sorted(names) if name not in KEPT]
    deletes = "; ".join(f"DELETE FROM {table}" for table in tables)
    return f"SET LOCAL session_replication_role = replica; LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE; {deletes}"
