"""Pings against the real database: the committed rows, one event recorder, and nothing left open afterwards."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connections

from fleetcharge.accounts.models import APIKey, Organisation, Scope
from fleetcharge.accounts.services import create_api_key
from fleetcharge.lib.events import _handlers
from vehicles import ingest, intake
from vehicles.doors import smartcar
from vehicles.events import SocLow, SocRecovered, VehiclesMoved


async def _routes(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The raw routes as the realtime process mounts them."""
    route = next(app for prefix, app in ingest.http_routes if scope["path"].startswith(prefix))
    await route(scope, receive, send)


@pytest.fixture
def telemetry_key(organisation: Organisation) -> tuple[APIKey, str]:
    return create_api_key(organisation=organisation, name="tracker", scopes=[Scope.TELEMETRY_WRITE])


@pytest_asyncio.fixture
async def door() -> AsyncIterator[httpx.AsyncClient]:
    """The ingest routes without a key; the process forgets everything afterwards."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=_routes), base_url="http://fleet.test") as client:
        yield client
    await intake.close()
    intake.telemetry.registry.forget()
    ingest.keys.close()
    smartcar.forget()
    await in_thread(empty_positions)


@pytest_asyncio.fixture
async def tracker(door: httpx.AsyncClient, telemetry_key: tuple[APIKey, str]) -> httpx.AsyncClient:
    """The same door with the fleet's telemetry key."""
    door.headers["Authorization"] = f"Bearer {telemetry_key[1]}"
    return door


def empty_positions() -> None:
    """The ping table is not managed by Django, so its flush between tests passes it by."""
    with connections["default"].cursor() as cursor:
        cursor.execute("TRUNCATE vehicles_position")
    connections.close_all()


class Heard:
    """Events in the order they were published."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def all_of(self, kind: type) -> list[Any]:
        """Every event of this kind, once all that was committed has been announced."""
        await intake.telemetry.announcements.close()
        return self.of(kind)


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Only this recorder listens, so a test of vehicles needs no other app."""
    recorder = Heard()
    kinds = (VehiclesMoved, SocLow, SocRecovered)
    before = {kind: _handlers.get(kind, []) for kind in kinds}
    for kind in kinds:
        _handlers[kind] = [recorder.events.append]
    yield recorder
    for kind in kinds:
        _handlers[kind] = before[kind]


def in_thread(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Run ORM code of an async test where Django allows it."""
    return sync_to_async(function)(*args, **kwargs)
