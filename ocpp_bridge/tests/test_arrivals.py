"""Chargers that come back at the same moment: one commit for many, and every one is told as if it came alone."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from django.db import DataError
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from fleetcharge.lib.db import conninfo
from ocpp_bridge import arrivals, commands, consumers, courier, frames
from ocpp_bridge.hub import hub
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from stations import services
from stations.events import ChargerBooted
from stations.models import Charger
from stations.services import Boot

BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One"}
MANY = 12


@pytest.fixture
def chargers(transactional_db: None, organisation: Organisation) -> list[Charger]:
    return [factories.charger(organisation, f"BLR-{number:03d}") for number in range(MANY)]


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """How many of each kind were written together, batch by batch."""
    seen: dict[str, list[int]] = {}
    for name in ("chargers_connected", "register_boots", "chargers_disconnected"):
        monkeypatch.setattr(services, name, _counted(getattr(services, name), seen, name))
    return seen


def _counted(write: Any, seen: dict[str, list[int]], name: str) -> Any:
    def counted(items: Sequence[Any]) -> Any:
        seen.setdefault(name, []).append(len(items))
        return write(items)

    return counted


@contextlib.contextmanager
def held(charger: Charger) -> Iterator[None]:
    """Somebody else's transaction has the charger's row."""
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT 1 FROM stations_charger WHERE id = %s FOR UPDATE", [charger.pk])
        yield
        other.rollback()


async def queue_up(tasks: list[asyncio.Task[Any]], work: Any, batcher: Any, waiting: int) -> None:
    """Begin one more, and wait until it waits in line."""
    tasks.append(asyncio.create_task(work))
    await until(lambda: batcher.waiting == waiting)


async def test_those_that_knock_during_a_commit_share_the_next_one(
    connect: Connect, chargers: list[Charger], batches: dict[str, list[int]]
) -> None:
    tasks: list[asyncio.Task[Any]] = []
    with held(chargers[0]):
        tasks.append(asyncio.create_task(connect(chargers[0].ocpp_identity)))
        await until(lambda: batches.get("chargers_connected"))
        for number, charger in enumerate(chargers[1:], start=1):
            await queue_up(tasks, connect(charger.ocpp_identity), arrivals._arrivals, number)
        assert len(hub) == 0  # nobody is let in before the commit
    sockets = await asyncio.gather(*tasks)
    assert batches["chargers_connected"] == [1, MANY - 1]
    assert {charger.pk for charger in Charger.objects.online().filter(node=hub.node)} == {one.pk for one in chargers}
    assert "currentTime" in await sockets[-1].call("Heartbeat", {})


async def test_of_two_sockets_of_one_charger_in_one_commit_the_later_one_is_it(
    connect: Connect, chargers: list[Charger], batches: dict[str, list[int]]
) -> None:
    first, charger = chargers[:2]
    tasks: list[asyncio.Task[Any]] = []
    with held(first):
        tasks.append(asyncio.create_task(connect(first.ocpp_identity)))
        await until(lambda: batches.get("chargers_connected"))
        for number in (1, 2):
            await queue_up(tasks, connect(charger.ocpp_identity), arrivals._arrivals, number)
    _, older, newer = await asyncio.gather(*tasks)
    assert await older.closed() == consumers.REPLACED
    assert "currentTime" in await newer.call("Heartbeat", {})
    consumer = hub.find(charger.pk)
    assert consumer is not None
    assert (consumer.epoch, Charger.objects.get(pk=charger.pk).connection_epoch) == (2, 2)


async def test_a_boot_that_cannot_be_stored_is_nobody_elses_matter(
    connect: Connect, chargers: list[Charger], batches: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = services.register_boots

    def picky(boots: Sequence[Boot]) -> list[str | None]:
        if any(boot.vendor == "Unstorable" for boot in boots):
            raise DataError("no such text")
        return store(boots)

    monkeypatch.setattr(services, "register_boots", picky)
    first, bad, *good = [await connect(charger.ocpp_identity) for charger in chargers[:4]]
    tasks: list[asyncio.Task[Any]] = []
    with held(chargers[0]):
        tasks.append(asyncio.create_task(first.call("BootNotification", BOOT)))
        await until(lambda: batches.get("register_boots"))
        words = BOOT | {"chargePointVendor": "Unstorable"}
        await queue_up(tasks, bad.call("BootNotification", words), arrivals._boots, 1)
        for number, socket in enumerate(good, start=2):
            await queue_up(tasks, socket.call("BootNotification", BOOT), arrivals._boots, number)
        assert not Charger.objects.exclude(vendor="").exists()
    answers = await asyncio.gather(*tasks)
    assert [answer["status"] if isinstance(answer, dict) else answer[2] for answer in answers] == [
        "Accepted", "InternalError", "Accepted", "Accepted",
    ]  # fmt: skip
    stored = Charger.objects.filter(vendor="Acme").order_by("pk")
    assert list(stored) == [chargers[0], chargers[2], chargers[3]]
    assert (await bad.call("BootNotification", BOOT))["status"] == "Accepted"


async def test_nobody_waits_for_what_follows_from_its_boot(connect: Connect, chargers: list[Charger]) -> None:
    """However long those take who listen to boots; here they begin once the charger has its answer."""
    is_answered, told = threading.Event(), []

    def listen(boots: tuple[ChargerBooted, ...]) -> None:
        is_answered.wait(60)
        told.extend(boot.charger_id for boot in boots)

    events.subscribe_many(ChargerBooted)(listen)
    try:
        socket = await connect(chargers[0].ocpp_identity)
        assert (await socket.call("BootNotification", BOOT))["status"] == "Accepted"
        assert told == []
        is_answered.set()
        await until(lambda: told == [chargers[0].pk])
    finally:
        is_answered.set()
        events._gatherers[ChargerBooted].remove(listen)


async def test_sockets_that_close_together_are_noted_together(
    connect: Connect, chargers: list[Charger], batches: dict[str, list[int]]
) -> None:
    sockets = [await connect(charger.ocpp_identity) for charger in chargers]
    with held(chargers[0]):
        await sockets[0].socket.close()
        await until(lambda: batches.get("chargers_disconnected"))
        await asyncio.gather(*(socket.socket.close() for socket in sockets[1:]))
        await until(lambda: arrivals._departures.waiting == MANY - 1)
    await until(lambda: not Charger.objects.online().exists())
    assert batches["chargers_disconnected"] == [1, MANY - 1]


async def test_a_charger_whose_boot_has_only_just_come_in_is_not_spoken_to(
    connect: Connect, chargers: list[Charger]
) -> None:
    """It is spoken to once its boot is answered, also when the frame has been read and not been put in line yet."""
    charger = chargers[0]
    socket = await connect(charger.ocpp_identity)
    consumer = hub.find(charger.pk)
    assert consumer is not None
    await until(lambda: not consumer.is_busy)
    consumer.heard_at = consumer.connected_at + 0.001
    consumer.read_ahead = frames.Call("m", "BootNotification", BOOT)
    assert not courier.is_ready(consumer)
    consumer.read_ahead = None
    consumer.heard_at = consumer.connected_at
    commands.enqueue(
        charger_id=charger.pk, action=Command.Action.TRIGGER_MESSAGE, parameters={"message": "Heartbeat"},
        idempotency_key="k1", actor="test", now=timezone.now(),
    )  # fmt: skip
    assert (await socket.call("BootNotification", BOOT))["status"] == "Accepted"
    assert socket.asked == []
    await hub._poll_commands()
    await socket.receive()
    assert socket.asked == [("TriggerMessage", {"requestedMessage": "Heartbeat"})]
