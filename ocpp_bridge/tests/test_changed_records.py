"""A new key, a higher profile, another registration: an open socket heeds them as a new one would."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import changes, commands
from ocpp_bridge import hub as hub_module
from ocpp_bridge.hub import hub
from ocpp_bridge.models import Command
from ocpp_bridge.station import Station
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.threads import in_database
from stations import services as stations
from stations.models import Charger

BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One"}
STANDING = Charger.Registration


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


async def test_a_replaced_key_closes_the_socket_that_used_it(
    connect: Connect, station: Charger, caplog: pytest.LogCaptureFixture
) -> None:
    old = await connect("BLR-017")
    await old.call("Heartbeat", {})
    new = await in_database(stations.new_charger_key, charger_id=station.pk, actor=None)
    await hub._check_epochs()
    assert await old.closed() == 1008
    assert changes.KEY_REPLACED in caplog.text
    fresh = await connect("BLR-017", key=new)
    await hub._check_epochs()
    assert "currentTime" in await fresh.call("Heartbeat", {})


async def test_a_staged_key_and_its_first_use_close_nothing(connect: Connect, station: Charger) -> None:
    staged = await in_database(stations.stage_charger_key, charger_id=station.pk, actor=None)
    socket = await connect("BLR-017")
    await hub._check_epochs()
    assert "currentTime" in await socket.call("Heartbeat", {})
    socket = await connect("BLR-017", key=staged)
    await hub._check_epochs()
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_a_key_confirmed_during_the_look_closes_nothing(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old socket is asked about; by the time of the answer the charger has come back with its next key."""
    staged = await in_database(stations.stage_charger_key, charger_id=station.pk, actor=None)
    old = await connect("BLR-017")
    await old.call("Heartbeat", {})
    made: list[Any] = []

    async def comes_back() -> None:
        made.append(await connect("BLR-017", key=staged))
        await made[0].call("Heartbeat", {})

    monkeypatch.setattr(hub_module, "in_database", _before_the_look(comes_back))
    await hub._check_epochs()
    assert "currentTime" in await made[0].call("Heartbeat", {})
    await hub._check_epochs()
    assert "currentTime" in await made[0].call("Heartbeat", {})


async def test_what_was_too_low_about_an_old_socket_is_not_held_against_its_successor(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one was let in below a profile that has been raised; the new one is on a higher one."""
    old = await connect("BLR-017")
    await old.call("Heartbeat", {})
    made: list[Any] = []

    async def comes_back_higher() -> None:
        made.append(await connect("BLR-017"))
        await made[0].call("Heartbeat", {})
        successor = hub.find(station.pk)
        assert successor is not None
        successor.admission = replace(successor.admission, security_profile=2)
        await in_database(stations.raise_security_profile, charger_id=station.pk, profile=2, actor=None)

    monkeypatch.setattr(hub_module, "in_database", _before_the_look(comes_back_higher))
    await hub._check_epochs()
    assert "currentTime" in await made[0].call("Heartbeat", {})


def _before_the_look(happen: Callable[[], Awaitable[None]]) -> Callable[..., Awaitable[Any]]:
    """Between what the hub holds and the query, once."""
    has_happened: list[bool] = []

    async def ask(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if function is changes.look_up and not has_happened:
            has_happened.append(True)
            await happen()
        return await in_database(function, *args, **kwargs)

    return ask


@pytest.mark.parametrize("at_once", [500, 2])
async def test_a_look_in_slices_finds_every_change(
    connect: Connect, organisation: Organisation, transactional_db: None, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Whichever slice a socket is in; no query asks about more than one."""
    monkeypatch.setattr(hub_module, "ASKED_AT_ONCE", at_once)
    names = [f"SLICE-{number}" for number in range(5)]
    chargers = [await in_database(factories.charger, organisation, name) for name in names]
    sockets = [await connect(name) for name in names]
    for socket in sockets:
        await socket.call("Heartbeat", {})
    for place in (0, 4):
        await in_database(stations.new_charger_key, charger_id=chargers[place].pk, actor=None)
    sizes: list[int] = []

    async def counting(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if function is changes.look_up:
            sizes.append(len(args[0]))
        return await in_database(function, *args, **kwargs)

    monkeypatch.setattr(hub_module, "in_database", counting)
    await hub._check_epochs()
    assert sum(sizes) == 5
    assert max(sizes) <= at_once
    assert [await sockets[place].closed() for place in (0, 4)] == [1008, 1008]
    for place in (1, 2, 3):
        assert "currentTime" in await sockets[place].call("Heartbeat", {})


async def test_a_raised_profile_closes_a_socket_below_it(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.call("Heartbeat", {})
    await in_database(stations.raise_security_profile, charger_id=station.pk, profile=2, actor=None)
    await hub._check_epochs()
    assert await socket.closed() == 1008


async def test_a_rejected_charger_is_told_nothing_from_the_moment_of_the_change(
    connect: Connect, station: Charger
) -> None:
    """The command is queued before the socket can know."""
    socket = await connect("BLR-017")
    await socket.call("BootNotification", BOOT)
    consumer = hub.find(station.pk)
    assert consumer is not None
    assert consumer.station is not None
    await Charger.objects.filter(pk=station.pk).aupdate(registration=STANDING.REJECTED)
    command = await in_database(
        commands.enqueue, charger_id=station.pk, action="TriggerMessage", parameters={"message": "Heartbeat"},
        idempotency_key="once", actor="test",
    )  # fmt: skip
    claim = {"node": hub.node, "epoch": consumer.epoch, "protocol": "ocpp1.6", "now": command.created_at}
    assert not await in_database(commands.claim_next, charger_id=station.pk, registration=STANDING.ACCEPTED, **claim)
    await hub._check_epochs()
    assert consumer.station.registration == STANDING.REJECTED
    answer = await socket.call("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"})
    assert answer[2] == "SecurityError"
    assert [action for action, _ in socket.asked] == []
    await Charger.objects.filter(pk=station.pk).aupdate(registration=STANDING.ACCEPTED)
    await hub._check_epochs()
    await socket.call("Heartbeat", {})
    hub._deliver_to(station.pk)
    await socket.receive()
    assert socket.asked == [("TriggerMessage", {"requestedMessage": "Heartbeat"})]
    await until(lambda: Command.objects.get(pk=command.pk).state == "accepted")


def test_more_holds_only_once_a_boot_has_told_it() -> None:
    station = Station(1, 1, "BLR-017", STANDING.PENDING)
    station.heed(STANDING.ACCEPTED)
    assert station.registration == STANDING.PENDING
    station.tell(STANDING.ACCEPTED)
    station.heed(STANDING.PENDING)
    assert station.registration == STANDING.PENDING
    station.heed(STANDING.ACCEPTED)
    assert station.is_accepted
