"""A build of an index that was interrupted leaves one that PostgreSQL never reads: the next run builds it anew."""

import importlib
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.state import ProjectState

pytestmark = pytest.mark.django_db(transaction=True)
BUILT = [
    ("0044_quick_ledger", "newest_of_an_organisation"),
    ("0044_quick_ledger", "transfers_of_a_month"),
    ("0045_sessions_of_a_vehicle", "sessions_of_a_vehicle"),
    ("0050_transfers_by_recording", "transfers_by_recording"),
]


def run(name: str) -> None:
    """As `migrate` does, with whatever an earlier run left behind."""
    migration: Any = importlib.import_module(f"billing.migrations.{name}").Migration
    state = ProjectState.from_apps(apps)
    with connection.schema_editor(atomic=migration.atomic) as editor:
        for operation in migration.operations:
            operation.database_forwards("billing", editor, state, state)


def index(name: str) -> Any:
    """(oid, is it sound)"""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexrelid, indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
        return cursor.fetchone()


def interrupt(name: str) -> None:
    """What is left when the server stops while it builds."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", [name])


@pytest.mark.parametrize(("migration", "name"), BUILT)
def test_half_an_index_is_built_anew_and_a_sound_one_stays(migration: str, name: str) -> None:
    before = index(name)
    assert before[1]
    interrupt(name)
    assert not index(name)[1]
    run(migration)
    again = index(name)
    assert again[1] and again[0] != before[0]
    run(migration)
    assert index(name) == again
