"""Brings database, demo data and static files up to date; one process, because Django takes a second to load."""

import hashlib
import importlib.metadata
import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from fleetcharge.embedded import first_migrations
from fleetcharge.embedded.supervisor import say


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetcharge.settings")
    django.setup()
    migrate()
    seed()
    collect_static()
    return 0


def migrate() -> None:
    executor = MigrationExecutor(connection)
    if count := len(executor.migration_plan(executor.loader.graph.leaf_nodes())):
        say(f"  database      {count} migrations")
        first_migrations.replay(connection)
        call_command("migrate", interactive=False, verbosity=0)


def seed() -> None:
    """The seed is idempotent, so it also mends demo data that somebody played with."""
    if not settings.DEMO:
        say("  demo data     skipped (FLEETCHARGE_DEMO=0)")
    else:
        say("  demo data     checking")
        call_command("seed_demo", verbosity=0)


def collect_static() -> None:
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    digest = _static_digest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    say("  static files  collecting and compressing")
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(digest)


def _static_digest() -> str:
    """Changes when any source file does, or the tool that names and compresses them."""
    digest = hashlib.sha256(importlib.metadata.version("whitenoise").encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            found = Path(storage.path(name)).stat()
            digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
