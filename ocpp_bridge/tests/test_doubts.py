"""A 2.x station is asked about a transaction that seems to be over, and its word counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from billing.models import ChargingSession
from billing.services import overdue
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect, until
from stations.models import Charger

NOW = datetime.now(UTC).replace(microsecond=0)


def instant(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


@pytest.fixture
async def socket(connect: Connect, transactional_db: None, organisation: Organisation) -> Socket:
    factories.token(organisation, "TAG1")
    factories.charger(organisation, "HYD-1", subprotocols=["ocpp2.0.1"])
    opened: Socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    boot = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}
    await opened.call("BootNotification", boot)
    return opened


async def leave_without_a_stop(socket: Socket) -> None:
    started = {
        "eventType": "Started", "timestamp": instant(-60), "triggerReason": "Authorized", "seqNo": 0,
        "transactionInfo": {"transactionId": "tx-1"}, "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": "TAG1", "type": "ISO14443"},
    }  # fmt: skip
    await socket.call("TransactionEvent", started)
    free = {"evseId": 1, "connectorId": 1, "connectorStatus": "Available", "timestamp": instant(-30)}
    await socket.call("StatusNotification", free)


async def sweep(minutes: float) -> int:
    return await sync_to_async(overdue.sweep)(now=datetime.now(UTC) + timedelta(minutes=minutes))


async def answer_once(socket: Socket, answer: dict[str, Any]) -> None:
    socket.replies["GetTransactionStatus"] = answer
    while not any(action == "GetTransactionStatus" for action, _ in socket.asked):
        await socket.receive()
    await until(lambda: Command.objects.get(action="GetTransactionStatus").state not in Command.OPEN_STATES)


async def test_what_the_station_calls_over_ends_within_minutes(socket: Socket) -> None:
    await leave_without_a_stop(socket)
    assert (await sweep(0), await sweep(1)) == (0, 0)
    await answer_once(socket, {"ongoingIndicator": False, "messagesInQueue": False})
    assert ("GetTransactionStatus", {"transactionId": "tx-1"}) in socket.asked
    session = await until(lambda: ChargingSession.objects.filter(suspect_reason="not_ongoing").first())
    assert await sweep(5) == 1
    await sync_to_async(session.refresh_from_db)()
    assert (session.state, session.is_stop_estimated) == ("ended", True)


@pytest.mark.parametrize("answer", [{"ongoingIndicator": True, "messagesInQueue": False}, {"messagesInQueue": True}])
async def test_what_the_station_still_holds_is_waited_for(socket: Socket, answer: dict[str, Any]) -> None:
    await leave_without_a_stop(socket)
    assert (await sweep(0), await sweep(1)) == (0, 0)
    await answer_once(socket, answer)
    await until(lambda: ChargingSession.objects.get().suspect_since > NOW + timedelta(minutes=30))
    assert await sweep(15) == 0
    assert ChargingSession.objects.get().state == "active"
    assert Charger.objects.get().is_online
    assert await sweep(80) == 1
