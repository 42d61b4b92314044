"""One running system for all files here (tests/units.py), on uvicorn as production starts it, and a node on Daphne."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker

from tests.flows.ocpp.authority import certificate_authority
from tests.flows.ocpp.world import World, inside
from tests.running import RealtimeNode, RunningSystem

SETTINGS = {
    "FLEETCHARGE_OCPP_PING_SECONDS": "8",  # on a busy machine a test's own process stands still for three
    "FLEETCHARGE_OCPP_CALL_TIMEOUT_SECONDS": "8",
    "FLEETCHARGE_API_RATE": "100000/min",
    "FLEETCHARGE_LOG_LEVEL": "INFO",
}


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    secrets = {"FLEETCHARGE_SECRET_KEY": settings.SECRET_KEY}  # keys hashed by a test are known to the system
    authority = certificate_authority(tmp_path_factory.mktemp("authority"))
    system = RunningSystem(tmp_path_factory.mktemp("ocpp"), **secrets, **authority, **SETTINGS)
    try:
        system.wait_until_ready(300)
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="package")
def database_url(running: RunningSystem) -> str:
    return running.database_url()


@pytest.fixture(scope="package")
def seeded(running: RunningSystem, database_url: str, django_db_blocker: DjangoDbBlocker) -> World:
    with django_db_blocker.unblock(), inside(database_url):
        world = World(running)
        world.seed()
    return world


@pytest.fixture
async def world(seeded: World, database_url: str, django_db_blocker: DjangoDbBlocker) -> AsyncIterator[World]:
    """The system, with this process' models looking into its database."""
    with django_db_blocker.unblock(), inside(database_url):
        yield seeded
        await seeded.close()


@pytest.fixture(scope="package")
def daphne(running: RunningSystem, seeded: World) -> Iterator[RealtimeNode]:
    node = RealtimeNode(running, server="daphne")
    try:
        node.wait_until_ready(180)
        yield node
    finally:
        node.stop()


@pytest.fixture
async def on_daphne(world: World, daphne: RealtimeNode, database_url: str) -> AsyncIterator[World]:
    other = World(world.system, daphne)
    other.__dict__.update({key: value for key, value in world.__dict__.items() if key not in ("node", "sockets")})
    yield other
    await other.close()


@pytest.fixture(scope="package")
def second(running: RunningSystem, seeded: World) -> Iterator[RealtimeNode]:
    """Another node of the same system; this one takes in chargers nobody knows."""
    newcomers: dict[str, Any] = {
        "FLEETCHARGE_OCPP_UNKNOWN_CHARGERS": "onboard",
        "FLEETCHARGE_OCPP_ONBOARD_ORGANISATION": "namma",
    }
    node = RealtimeNode(running, **newcomers)
    try:
        node.wait_until_ready(180)
        yield node
    finally:
        node.stop()
