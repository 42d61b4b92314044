"""Chargers that come back at the same moment: one commit for many, and every one is told as if it came alone."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DataError
from django.utils import timezone
from psycopg.sql import SQL, Identifier
from websockets.exceptions import InvalidStatus

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from fleetcharge.lib.db import conninfo
from ocpp_bridge import arrivals, commands, consumers, courier, frames, threads
from ocpp_bridge.hub import hub
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from stations import services
from stations.events import ChargerBooted
from stations.models import Charger, Connector
from stations.services import Boot

BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One"}
MANY = 12


@pytest.fixture
def chargers(transactional_db: None, organisation: Organisation) -> list[Charger]:
    return [factories.charger(organisation, f"BLR-{number:03d}") for number in range(MANY)]


class Door:
    """The batches that were written, and a gate before them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: dict[str, list[int]] = {}
        self._gate = threading.Event()
        self._gate.set()
        for name in ("chargers_connected", "register_boots", "chargers_disconnected"):
            monkeypatch.setattr(services, name, self._watched(name, getattr(services, name)))

    def _watched(self, name: str, write: Any) -> Any:
        def watched(items: Sequence[Any]) -> Any:
            self.sizes.setdefault(name, []).append(len(items))
            assert self._gate.wait(60)
            return write(items)

        return watched

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """What is written now takes until the end of this."""
        self.sizes.clear()
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(monkeypatch)


@contextlib.contextmanager
def held(table: str, *rows: int) -> Iterator[None]:
    """Somebody else's transaction has the rows, and does not end."""
    with psycopg.connect(conninfo()) as other:
        other.execute(SQL("SELECT 1 FROM {} WHERE id = ANY(%s) FOR UPDATE").format(Identifier(table)), [list(rows)])
        yield
        other.rollback()


async def queue_up(tasks: list[asyncio.Task[Any]], work: Any, batcher: Any, waiting: int) -> None:
    """Begin one more, and wait until it waits in line."""
    tasks.append(asyncio.create_task(work))
    await until(lambda: batcher.waiting == waiting)


async def test_those_that_knock_during_a_commit_share_the_next_one(
    connect: Connect, chargers: list[Charger], door: Door
) -> None:
    tasks: list[asyncio.Task[Any]] = []
    with door.closed():
        tasks.append(asyncio.create_task(connect(chargers[0].ocpp_identity)))
        await until(lambda: door.sizes.get("chargers_connected"))
        for number, charger in enumerate(chargers[1:], start=1):
            await queue_up(tasks, connect(charger.ocpp_identity), arrivals._arrivals, number)
        assert len(hub) == 0  # nobody is let in before the commit
    sockets = await asyncio.gather(*tasks)
    assert door.sizes["chargers_connected"] == [1, MANY - 1]
    assert {charger.pk for charger in Charger.objects.online().filter(node=hub.node)} == {one.pk for one in chargers}
    assert "currentTime" in await sockets[-1].call("Heartbeat", {})


async def test_of_two_sockets_of_one_charger_in_one_commit_the_later_one_is_it(
    connect: Connect, chargers: list[Charger], door: Door
) -> None:
    first, charger = chargers[:2]
    tasks: list[asyncio.Task[Any]] = []
    with door.closed():
        tasks.append(asyncio.create_task(connect(first.ocpp_identity)))
        await until(lambda: door.sizes.get("chargers_connected"))
        for number in (1, 2):
            await queue_up(tasks, connect(charger.ocpp_identity), arrivals._arrivals, number)
    _, older, newer = await asyncio.gather(*tasks)
    assert await older.closed() == consumers.REPLACED
    assert "currentTime" in await newer.call("Heartbeat", {})
    consumer = hub.find(charger.pk)
    assert consumer is not None
    assert (consumer.epoch, Charger.objects.get(pk=charger.pk).connection_epoch) == (2, 2)


async def test_a_boot_that_cannot_be_stored_is_nobody_elses_matter(
    connect: Connect, chargers: list[Charger], door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = services.register_boots

    def picky(boots: Sequence[Boot]) -> list[str | None]:
        if any(boot.vendor == "Unstorable" for boot in boots):
            raise DataError("no such text")
        return store(boots)

    monkeypatch.setattr(services, "register_boots", picky)
    first, bad, *good = [await connect(charger.ocpp_identity) for charger in chargers[:4]]
    tasks: list[asyncio.Task[Any]] = []
    with door.closed():
        tasks.append(asyncio.create_task(first.call("BootNotification", BOOT)))
        await until(lambda: door.sizes.get("register_boots"))
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
    is_answered = threading.Event()
    told: list[int] = []

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


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "PATIENCE_SECONDS", 600.0)


@pytest.mark.parametrize("table", ["stations_charger", "stations_connector"])
async def test_a_row_that_somebody_holds_keeps_only_its_own_charger_waiting(
    connect: Connect, chargers: list[Charger], door: Door, table: str, patient: None
) -> None:
    stuck, *others = chargers
    row = stuck.pk if table == "stations_charger" else Connector.objects.filter(evse__charger=stuck)[0].pk
    tasks: list[asyncio.Task[Any]] = []
    with held(table, row):
        with door.closed():
            tasks.append(asyncio.create_task(connect(others[0].ocpp_identity)))
            await until(lambda: door.sizes.get("chargers_connected"))
            for number, charger in enumerate(chargers[:1] + others[1:], start=1):
                await queue_up(tasks, connect(charger.ocpp_identity), arrivals._arrivals, number)
        waiting = tasks.pop(1)
        sockets = await asyncio.gather(*tasks)
        answers = await asyncio.gather(*(socket.call("BootNotification", BOOT) for socket in sockets))
        assert {answer["status"] for answer in answers} == {"Accepted"}
        assert not waiting.done()
        assert door.sizes["chargers_connected"] == [1, MANY - 2]  # all of them in one commit
    assert (await (await waiting).call("BootNotification", BOOT))["status"] == "Accepted"
    assert len(hub) == MANY


async def test_more_held_rows_than_there_are_threads_keep_nobody_else_waiting(
    connect: Connect, chargers: list[Charger], patient: None
) -> None:
    stuck, others = chargers[: settings.OCPP_DATABASE_THREADS + 2], chargers[settings.OCPP_DATABASE_THREADS + 2 :]
    with held("stations_charger", *(charger.pk for charger in stuck)):
        waiting = [asyncio.create_task(connect(charger.ocpp_identity)) for charger in stuck]
        await until(lambda: {charger.pk for charger in stuck} == set(arrivals._arrivals._last))
        for charger in others:
            assert (await (await connect(charger.ocpp_identity)).call("BootNotification", BOOT))["status"] == "Accepted"
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert len(hub) == MANY
    assert arrivals._arrivals._last == {}


async def test_of_two_sockets_that_wait_for_the_row_of_their_charger_the_later_one_is_it(
    connect: Connect, chargers: list[Charger], patient: None
) -> None:
    charger = chargers[0]
    line = arrivals._arrivals
    with held("stations_charger", charger.pk):
        older = asyncio.create_task(connect(charger.ocpp_identity))
        first = await until(lambda: line._last.get(charger.pk))
        newer = asyncio.create_task(connect(charger.ocpp_identity))
        await until(lambda: line._last.get(charger.pk) is not first)
        assert not first.done()
    assert await (await older).closed() == consumers.REPLACED
    assert "currentTime" in await (await newer).call("Heartbeat", {})
    consumer = hub.find(charger.pk)
    assert consumer is not None
    assert (consumer.epoch, Charger.objects.get(pk=charger.pk).connection_epoch) == (2, 2)


async def test_what_comes_once_the_row_is_free_stays_behind_what_waits_for_it(chargers: list[Charger]) -> None:
    """Also where nothing but its turn keeps it back."""
    arrival = services.Arrival(chargers[0].pk, "a", "ocpp1.6", timezone.now())
    line = arrivals._arrivals
    with held("stations_charger", arrival.charger_id):
        older = asyncio.create_task(arrivals.take_over(arrival))
        await until(lambda: arrival.charger_id in line._last)
    newer = asyncio.create_task(arrivals.take_over(arrival))
    try:
        assert await asyncio.gather(older, newer) == [1, 2]
    finally:
        threads.close_threads()


async def test_a_charger_is_refused_when_its_row_stays_held(
    connect: Connect, chargers: list[Charger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "PATIENCE_SECONDS", 0.0)
    inside, outside = chargers[:2]
    socket = await connect(inside.ocpp_identity)
    with held("stations_charger", inside.pk, outside.pk):
        assert (await socket.call("BootNotification", BOOT))[2] == "InternalError"
        with pytest.raises(InvalidStatus) as refused:
            await connect(outside.ocpp_identity)
        assert refused.value.response.status_code == 503
    assert (await socket.call("BootNotification", BOOT))["status"] == "Accepted"
    assert (await (await connect(outside.ocpp_identity)).call("BootNotification", BOOT))["status"] == "Accepted"


async def test_sockets_that_close_together_are_noted_together(
    connect: Connect, chargers: list[Charger], door: Door
) -> None:
    sockets = [await connect(charger.ocpp_identity) for charger in chargers]
    with door.closed():
        await sockets[0].socket.close()
        await until(lambda: door.sizes.get("chargers_disconnected"))
        await asyncio.gather(*(socket.socket.close() for socket in sockets[1:]))
        await until(lambda: arrivals._departures.waiting == MANY - 1)
    await until(lambda: not Charger.objects.online().exists())
    assert door.sizes["chargers_disconnected"] == [1, MANY - 1]


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
