"""What an empty database gets is what the migrations say, however they are sent."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from fleetcharge.embedded.first_migrations import RECORD, Entry, read, record, replay


@pytest.fixture
def empty(transactional_db: None) -> Iterator[Any]:
    """For this test, the default connection is one to a database of its own without any table."""
    usual = connections[DEFAULT_DB_ALIAS]
    name = f"{usual.settings_dict['NAME']}_empty"
    with usual.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    other = type(usual)({**usual.settings_dict, "NAME": name}, DEFAULT_DB_ALIAS)
    connections[DEFAULT_DB_ALIAS] = other
    yield other
    other.close()
    connections[DEFAULT_DB_ALIAS] = usual
    with usual.cursor() as cursor:
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def applied(of: Any) -> set[tuple[str, str]]:
    return set(MigrationExecutor(of).loader.applied_migrations)


def timeless(entry: Entry) -> Entry:
    """A column that begins with the present moment begins with another one each time, in no row at all."""
    sql = entry.sql and tuple(re.sub(r"DEFAULT '[\d :.+-]+'::timestamptz", "DEFAULT now", text) for text in entry.sql)
    return replace(entry, sql=sql)


def test_the_record_is_what_the_migrations_send(empty: Any) -> None:
    recorded, now = list(map(timeless, read())), list(map(timeless, record(empty)))
    stale = next((new.migration for old, new in zip(recorded, now, strict=False) if old != new), None)
    assert stale is None and len(recorded) == len(now), f"stale from {stale} on: make record-migrations"


def test_an_empty_database_gets_all_of_it(empty: Any) -> None:
    assert replay(empty) == len(list(read())) == len(applied(empty))
    assert replay(empty) == 0  # it is not empty any more
    with empty.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM vehicles_vehiclemodel")  # one that runs Python ran
        assert cursor.fetchone()[0] > 10


def test_what_is_not_recorded_is_applied_all_the_same(empty: Any, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in RECORD.read_text().splitlines()]
    wrong = {**lines[3], "digest": "another text", "sql": ["SELECT 1 / 0"]}
    changed = tmp_path / "record.jsonl"
    changed.write_text("\n".join(map(json.dumps, [*lines[:3], wrong, *lines[5:]])))
    assert replay(empty, changed) == len(lines) - 2
    assert len(applied(empty)) == len(lines)


def test_a_record_for_another_postgresql_is_none(empty: Any, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in RECORD.read_text().splitlines()]
    others = [{**line, "postgres": 9} if line["migration"].startswith("auth.") else line for line in lines]
    changed = tmp_path / "record.jsonl"
    changed.write_text("\n".join(map(json.dumps, others)))
    assert replay(empty, changed) == sum(line["postgres"] != 9 for line in others) < len(lines)


def test_without_a_record_nothing_is_sent(empty: Any, tmp_path: Path) -> None:
    assert replay(empty, tmp_path / "none.jsonl") == 0
    assert not empty.introspection.table_names()
