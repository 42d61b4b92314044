"""A command is `sent` when it is on the wire, whatever else of ours the charger has not answered yet."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import commands, courier
from ocpp_bridge.hub import hub
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.threads import in_database
from stations.models import Charger

State = Command.State


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


async def test_a_command_behind_our_question_stays_queued_until_it_goes_out(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "ASK_STATUS_SECONDS", 3600.0)
    socket = await connect("BLR-017")
    await socket.call("Heartbeat", {})
    consumer = hub.find(station.pk)
    assert consumer is not None
    asking = asyncio.create_task(courier.ask_for_status(consumer))
    await until(lambda: not consumer.lane.is_idle)  # and nobody reads it
    command = await in_database(
        commands.enqueue, charger_id=station.pk, action="RemoteStart", parameters={"id_token": "TAG1"},
        idempotency_key="once", actor="test",
    )  # fmt: skip
    late = await in_database(
        commands.enqueue, charger_id=station.pk, action="ClearCache", parameters={}, idempotency_key="late",
        actor="test", deadline_at=datetime.now(UTC) + timedelta(microseconds=1),
    )  # fmt: skip
    hub._deliver_to(station.pk)
    await until(lambda: consumer.has_courier)
    await command.arefresh_from_db()
    assert (command.state, command.sent_at, command.answer_due_at) == (State.QUEUED, None, None)
    await socket.receive()  # the question is answered: the lane is free
    await socket.receive()
    assert [action for action, _ in socket.asked] == ["TriggerMessage", "RemoteStartTransaction"]
    await until(lambda: Command.objects.get(pk=command.pk).state == State.ACCEPTED)
    await until(lambda: Command.objects.get(pk=late.pk).state == State.EXPIRED)
    await asking


async def test_no_status_is_asked_for_while_a_command_is_under_way(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.call("Heartbeat", {})
    consumer = hub.find(station.pk)
    assert consumer is not None
    assert consumer.station is not None
    consumer.has_courier = True
    await courier.ask_for_status(consumer)
    assert not consumer.station.has_reported  # the next round asks
    consumer.has_courier = False
    asking = asyncio.create_task(courier.ask_for_status(consumer))
    await socket.receive()
    await asking
    assert [action for action, _ in socket.asked] == ["TriggerMessage"]
