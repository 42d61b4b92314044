"""Who gets a socket, who gets which refusal, and that the newest socket is the charger."""

from typing import Any

import pytest
import websockets

from fleetcharge.accounts.models import Organisation
from ocpp_bridge.hub import hub
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from stations.models import Charger


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


async def status_of(attempt: Any) -> int:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await attempt
    return refused.value.response.status_code


async def test_a_wrong_key_is_401_and_changes_nothing(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-017", key="wrong")) == 401
    station.refresh_from_db()
    assert (station.connection_epoch, station.is_online) == (0, False)


async def test_another_user_name_is_401(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-017", user="BLR-018")) == 401


async def test_an_unknown_identity_is_404(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-404")) == 404


async def test_no_common_protocol_is_400(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-017", subprotocols=["ocpp1.5"])) == 400


async def test_guessing_is_throttled_and_the_address_keeps_its_other_chargers(
    connect: Connect, station: Charger, organisation: Organisation
) -> None:
    factories.charger(organisation, "BLR-018")
    statuses = [await status_of(connect("BLR-017", key=f"guess-{number}")) for number in range(11)]
    assert statuses == [401] * 10 + [429]
    assert await status_of(connect("BLR-017")) == 429
    assert "currentTime" in await (await connect("BLR-018")).call("Heartbeat", {})


async def test_the_raw_bytes_of_a_hexadecimal_key_open_the_door(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", key=bytes.fromhex(factories.KEY))
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_a_charger_without_a_stored_key_needs_none(connect: Connect, organisation: Organisation) -> None:
    factories.charger(organisation, "OPEN-1", key="")
    assert "currentTime" in await (await connect("OPEN-1", key="")).call("Heartbeat", {})


async def test_the_clients_first_supported_protocol_is_chosen(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.2", "ocpp2.1", "ocpp1.6"])
    assert socket.socket.subprotocol == "ocpp2.1"


async def test_the_newest_socket_wins_and_the_old_one_is_told(connect: Connect, station: Charger) -> None:
    old = await connect("BLR-017")
    await old.call("Heartbeat", {})
    new = await connect("BLR-017")
    assert await old.closed() == 4000
    assert "currentTime" in await new.call("Heartbeat", {})
    station.refresh_from_db()
    assert (station.is_online, station.connection_epoch) == (True, 2)


async def test_a_socket_that_another_node_took_over_is_closed_by_message(connect: Connect, station: Charger) -> None:
    old = await connect("BLR-017")
    await old.call("Heartbeat", {})
    await hub._hear(f"taken some-other-node {station.pk}:2")
    assert await old.closed() == 4000


async def test_a_lost_takeover_message_is_made_up_by_the_poll(connect: Connect, station: Charger) -> None:
    old = await connect("BLR-017")
    await old.call("Heartbeat", {})
    Charger.objects.filter(pk=station.pk).update(connection_epoch=7)
    await hub._check_epochs()
    assert await old.closed() == 4000


async def test_an_older_takeover_message_closes_nobody(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.call("Heartbeat", {})
    await hub._hear(f"taken some-other-node {station.pk}:1")
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_a_closed_socket_puts_the_charger_offline(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.call("Heartbeat", {})
    await socket.socket.close()
    await until(lambda: not Charger.objects.get(pk=station.pk).is_online)
    assert len(hub) == 0
