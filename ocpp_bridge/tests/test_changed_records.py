"""A new key, a higher profile, another registration: an open socket heeds them as a new one would."""

import pytest

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import changes, commands
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
