"""An empty database gets in two seconds what the migrations would do in a minute: their SQL, recorded.

Django spends that minute on drawing every model anew after every operation, never on the database. What it would send
stands in `first_migrations.jsonl`, a migration a line, each bound by its digest to its own text and to that of all it
depends on. What is not recorded, or is another by now, is applied by Django, and so is whatever runs Python, since only
that knows what day it is. A database with tables is nobody's business here. `make record-migrations` records, and a
test does so again and finds the same.
"""

import hashlib
import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import django
from django.db import transaction
from django.db.migrations import Migration, RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

RECORD = Path(__file__).with_suffix(".jsonl")
NOT_RECORDED = ("SELECT", "SAVEPOINT", "RELEASE SAVEPOINT")


@dataclass(frozen=True)
class Entry:
    """One migration: its SQL in the order in which it was sent, None where it has to run itself."""

    migration: str
    digest: str
    postgres: int
    sql: tuple[str, ...] | None


def replay(connection: Any, path: Path = RECORD) -> int:
    """Apply every migration to a database without any table, by its record where it has one; how many had."""
    if not path.exists() or connection.introspection.table_names():
        return 0
    executor = MigrationExecutor(connection)
    executor.recorder.ensure_schema()
    state, major = _empty_state(executor), _major(connection)
    recorded = {entry.migration: entry for entry in read(path) if entry.postgres == major}
    count = 0
    for migration, digest in digested(executor):
        entry = recorded.get(_name(migration))
        is_recorded = entry is not None and entry.digest == digest
        _apply(executor, migration, entry.sql if entry and is_recorded else None, state)
        count += is_recorded
    return count


def record(connection: Any) -> Iterator[Entry]:
    """Run every migration on a database without any table, and say what each one sent."""
    executor = MigrationExecutor(connection)
    executor.recorder.ensure_schema()
    state, major = _empty_state(executor), _major(connection)
    for migration, digest in digested(executor):
        with _listening(connection) as heard:
            state = executor.apply_migration(state, migration)
        sql = None if _runs_python(migration) else tuple(heard)
        yield Entry(_name(migration), digest, major, sql)


def read(path: Path = RECORD) -> Iterator[Entry]:
    for line in path.read_text().splitlines():
        raw = json.loads(line)
        yield Entry(**{**raw, "sql": None if raw["sql"] is None else tuple(raw["sql"])})


def write(entries: Sequence[Entry], path: Path = RECORD) -> None:
    path.write_text("".join(json.dumps(asdict(entry)) + "\n" for entry in entries))


def digested(executor: MigrationExecutor) -> Iterator[tuple[Migration, str]]:
    """All migrations in their order, each with a digest of its text and of all that it depends on."""
    graph, digests = executor.loader.graph, dict[tuple[str, str], str]()
    for migration, _ in executor.migration_plan(graph.leaf_nodes(), clean_start=True):
        key = migration.app_label, migration.name
        before = sorted(digests[parent.key] for parent in graph.node_map[key].parents)
        text = Path(inspect.getfile(type(migration))).read_bytes()
        digests[key] = hashlib.sha256("\n".join([django.__version__, *before]).encode() + text).hexdigest()[:32]
        yield migration, digests[key]


def _name(migration: Migration) -> str:
    return f"{migration.app_label}.{migration.name}"


def _apply(executor: MigrationExecutor, migration: Migration, sql: tuple[str, ...] | None, state: ProjectState) -> None:
    """Leaves the state without drawn models: drawn anew with every operation, they are what takes a minute."""
    if sql is None:
        executor.apply_migration(state.clone(), migration)
        migration.mutate_state(state, preserve=False)
        return
    migration.mutate_state(state, preserve=False)
    key = migration.app_label, migration.name
    if migration.atomic:
        with transaction.atomic(using=executor.connection.alias):
            _send(executor, (";\n".join(sql),) if sql else ())
            executor.recorder.record_applied(*key)
    else:
        _send(executor, sql)
        executor.recorder.record_applied(*key)


def _send(executor: MigrationExecutor, statements: Sequence[str]) -> None:
    with executor.connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def _listening(connection: Any) -> Iterator[list[str]]:
    heard: list[str] = []

    def note(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        text = str(sql) if not params else context["cursor"].mogrify(sql, params)
        if not text.lstrip().startswith(NOT_RECORDED) and '"django_migrations"' not in text:
            heard.append(text.strip().rstrip(";"))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield heard


def _runs_python(migration: Migration) -> bool:
    return any(isinstance(operation, RunPython) for operation in migration.operations)


def _empty_state(executor: MigrationExecutor) -> ProjectState:
    return ProjectState(real_apps=executor.loader.unmigrated_apps)


def _major(connection: Any) -> int:
    return int(connection.pg_version) // 10_000


def main() -> int:
    """Record on engines of our own, which are thrown away."""
    from fleetcharge.embedded import pytest_plugin  # noqa: F401 (a throw-away cluster, gone afterwards)
    from fleetcharge.embedded.supervisor import say

    django.setup()
    from django.db import connection

    entries = list(record(connection))
    write(entries)
    say(f"{len(entries)} migrations recorded in {RECORD.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
