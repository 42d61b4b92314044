"""Chargers that say nothing: asked first, let go only when nothing comes back; and those that never booted with us."""

import orjson
import pytest

from fleetcharge.accounts.models import Organisation
from ocpp_bridge.consumers import ChargerConsumer
from ocpp_bridge.hub import hub
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from stations.models import Charger

HEARTBEAT = ("TriggerMessage", {"requestedMessage": "Heartbeat"})
BOOT = ("TriggerMessage", {"requestedMessage": "BootNotification"})
BOOTED = {"reason": "PowerUp", "chargingStation": {"model": "M2", "vendorName": "Volt"}}
HOURS = 4 * 3600.0


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


def side_of(station: Charger) -> ChargerConsumer:
    consumer = hub.find(station.pk)
    assert consumer is not None
    return consumer


async def grown_quiet(station: Charger) -> ChargerConsumer:
    """Its last word was hours ago, and it has no news to tell."""
    consumer = side_of(station)
    assert consumer.station is not None
    await until(lambda: consumer.is_idle)
    consumer.station.has_reported = True
    consumer.connected_at -= HOURS + 1
    consumer.heard_at -= HOURS
    return consumer


@pytest.mark.parametrize("answer", ["Accepted", "refused"])
async def test_a_charger_that_relies_on_pings_keeps_its_socket(connect: Connect, station: Charger, answer: str) -> None:
    socket = await connect("BLR-017")
    await socket.call("Heartbeat", {})
    consumer = await grown_quiet(station)
    await hub._look_for_silence()
    _, message_id, *asked = orjson.loads(await socket.socket.recv())
    assert tuple(asked) == HEARTBEAT
    asked_at = consumer.asked_for_a_sign_at
    refusal = [4, message_id, "NotSupported", "", {}]
    await socket.send(refusal if answer == "refused" else [3, message_id, {"status": "Accepted"}])
    await until(lambda: consumer.heard_at > asked_at and consumer.lane.is_idle)
    await hub._look_for_silence()
    assert "currentTime" in await socket.call("Heartbeat", {})
    assert consumer.asked_for_a_sign_at == asked_at  # once is enough


async def test_one_that_gives_no_sign_is_let_go(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.call("Heartbeat", {})
    consumer = await grown_quiet(station)
    await hub._look_for_silence()
    await until(lambda: not consumer.lane.is_idle)
    await hub._look_for_silence()  # it still has time
    assert not consumer.is_closed
    consumer.asked_for_a_sign_at -= 3600
    await hub._look_for_silence()
    assert await socket.closed() == 1001


async def test_a_charger_that_never_booted_with_us_is_asked_to(connect: Connect, organisation: Organisation) -> None:
    """It came from another system, or our record of it is new: without a boot it may say nothing."""
    stranger = factories.charger(organisation, "HYD-1", subprotocols=["ocpp2.0.1"], last_boot_at=None)
    socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    consumer = side_of(stranger)
    await until(lambda: consumer.is_idle)
    consumer.connected_at -= 60
    await hub._look_for_silence()
    await socket.receive()
    await until(lambda: consumer.lane.is_idle)
    await hub._look_for_silence()
    consumer.asked_to_boot_at -= 600  # it has not followed
    await hub._look_for_silence()
    await socket.receive()
    assert socket.asked == [BOOT, BOOT]
    assert (await socket.call("BootNotification", BOOTED))["status"] == "Accepted"
    await until(lambda: consumer.is_idle and consumer.lane.is_idle)
    await hub._look_for_silence()
    await socket.receive()
    assert socket.asked[2][1]["requestedMessage"] == "StatusNotification"


async def test_a_rejected_charger_is_asked_for_nothing(connect: Connect, organisation: Organisation) -> None:
    rejected = Charger.Registration.REJECTED
    stranger = factories.charger(
        organisation, "HYD-2", subprotocols=["ocpp2.0.1"], last_boot_at=None, registration=rejected
    )
    await connect("HYD-2", subprotocols=["ocpp2.0.1"])
    consumer = await grown_quiet(stranger)
    assert consumer.station is not None
    consumer.station.has_reported = False
    for _ in range(2):
        await hub._look_for_silence()
        assert consumer.lane.is_idle
    assert not consumer.is_closed
