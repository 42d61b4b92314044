"""The cast every test knows: one fleet with a dispatcher, a driver and a finance manager, and a stranger."""

import functools
import gc
import os
import socket
import time
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright keeps a loop in the main thread

from django.conf import settings as django_settings
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import connection
from django.db.models.signals import post_migrate
from django.dispatch import receiver
from django.test import TransactionTestCase
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from dispatch import candidates
from fleetcharge.accounts import throttling
from fleetcharge.accounts.models import Membership, Organisation, User
from fleetcharge.embedded import first_migrations
from fleetcharge.lib import hints
from fleetcharge.webhooks.listeners import listeners
from tests.emptying import (
    bring_back_the_catalogue,
    close_janitor,
    empty_database,
    remember_what_migrations_brought,
)

# The same examples on every run, and as long as a busy machine takes.
hypothesis_settings.register_profile(
    "fleetcharge", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("fleetcharge")

PATIENCE_SECONDS = 30.0
for _part in ("connect", "read", "write", "pool"):  # of a test that asks a server beside it and names no time
    setattr(DEFAULT_TIMEOUT_CONFIG, _part, PATIENCE_SECONDS)
django_settings.CACHES["default"]["OPTIONS"].update(
    socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS
)


@functools.cache
def _patient_valkey(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings) -> None:
    """The test database begins as `make run`'s does: with the recorded migrations, then those that are newer."""

    def handle(command: Any, *args: Any, **options: Any) -> Any:
        first_migrations.replay(connection)
        return migrate(command, *args, **options)

    migrate, MigrateCommand.handle = MigrateCommand.handle, handle


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Without a superuser tests clean up with TRUNCATE, which the ledger refuses; its own test switches that on."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_ledgertransfer DISABLE TRIGGER ledger_is_never_emptied")
        cursor.execute("ALTER TABLE billing_taxdocument DISABLE TRIGGER documents_are_never_emptied")
        cursor.execute("ALTER TABLE billing_journalcheckpoint DISABLE TRIGGER checkpoints_are_never_emptied")
        remember_what_migrations_brought()
    yield
    close_janitor()


@receiver(post_migrate)
def _bring_back_the_catalogue(sender: Any, **signal: Any) -> None:
    """Also where a test flushes by itself."""
    if sender.label == "vehicles":
        bring_back_the_catalogue()


TransactionTestCase._fixture_teardown = lambda self: empty_database()  # type: ignore[method-assign]


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Rerunning keeps its tally over a socket: two short messages in a row, and the second would wait 40 ms for the
    acknowledgement of the first, test by test."""
    tally = getattr(getattr(config, "failures_db", None), "sock", None)
    if isinstance(tally, socket.socket):
        tally.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported and collected by now stays to the end: nobody looks through it again for garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: Playwright keeps an event loop in the main thread, where asyncio tests want their own.

    Whole systems first: they mostly wait, and whoever had them left at the end would wait alone.
    """
    items.sort(key=lambda item: (item.nodeid.startswith("tests/e2e"), not item.nodeid.startswith("tests/flows")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.units import UnitScheduling

    return UnitScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _attempts_are_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test tried must not keep the next one out."""
    monkeypatch.setattr(throttling, "NAMESPACE", f"test-{uuid.uuid4().hex}")


@pytest.fixture
def one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that tries until it is told to wait: no minute, hour or day ends while it does."""
    midnight = 19_676 * 86_400.0
    monkeypatch.setattr(throttling, "time", SimpleNamespace(time=lambda: midnight + 20, monotonic=time.monotonic))


@pytest.fixture(autouse=True)
def _valkey_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine too busy to answer within half a second is no absent Valkey, or one test would silence the next."""
    monkeypatch.setattr(hints, "ANSWER_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(throttling, "_client", _patient_valkey)


@pytest.fixture(autouse=True)
def _nobody_listens_to_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test's endpoints asked for is forgotten, and no query of ours appears among those a test counts."""
    monkeypatch.setattr(listeners, "_by_type", {})
    monkeypatch.setattr(listeners, "_until", float("inf"))  # until a service makes or changes an endpoint


@pytest.fixture(autouse=True)
def _new_sites_are_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of the test before are not."""
    monkeypatch.setattr("dispatch.site_index.SETTLE_SECONDS", 0.0)
    candidates.sites.forget()


@pytest.fixture(autouse=True)
def _tax_rules_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test's rows said the next one must not price by."""
    monkeypatch.setattr("billing.services.gst_rates._rules", None)


@pytest.fixture(autouse=True)
def _no_road_engine_of_this_machine(settings) -> None:
    """Whoever loaded a map or has a routing server gets the same plans in tests as everybody else."""
    settings.ROAD_ENGINES = []


@pytest.fixture(autouse=True)
def _plain_static_files(settings) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def _member(organisation: Organisation, role: str, email: str, name: str) -> User:
    user = User.objects.create_user(email, "correct horse", full_name=name, is_staff=role in {"finance", "owner"})
    Membership.objects.create(user=user, organisation=organisation, role=role)
    return user


@pytest.fixture
def organisation(db: None) -> Organisation:
    return Organisation.objects.create(name="Namma Logistics", slug="namma")


@pytest.fixture
def other_organisation(db: None) -> Organisation:
    return Organisation.objects.create(name="Stranger Movers", slug="stranger")


@pytest.fixture
def dispatcher(organisation: Organisation) -> User:
    return _member(organisation, Membership.Role.DISPATCHER, "asha@namma.example", "Asha R")


@pytest.fixture
def finance(organisation: Organisation) -> User:
    return _member(organisation, Membership.Role.FINANCE, "farid@namma.example", "Farid K")


@pytest.fixture
def owner(organisation: Organisation) -> User:
    return _member(organisation, Membership.Role.OWNER, "omana@namma.example", "Omana P")


@pytest.fixture
def stranger(other_organisation: Organisation) -> User:
    return _member(other_organisation, Membership.Role.OWNER, "eve@stranger.example", "Eve S")
