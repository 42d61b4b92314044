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


async def test_a_hole_in_the_numbers_is_asked_about_once(socket: Socket) -> None:
    """Rule 28: what is still in the station's queue fills the hole, and the session is computed again."""
    told = {"triggerReason": "Trigger", "transactionInfo": {"transactionId": "tx-1"}, "evse": {"id": 1}}
    token = {"idToken": "TAG1", "type": "ISO14443"}
    events = [
        {"eventType": kind, "timestamp": instant(number - 60), "seqNo": number, **told,
         "meterValue": [{"timestamp": instant(number - 60), "sampledValue": [{"value": 1_000 + 100 * number}]}]}
        for number, kind in enumerate(("Started", "Updated", "Updated", "Ended"))
    ]  # fmt: skip
    await socket.call("TransactionEvent", events[0] | {"idToken": token})
    await socket.call("TransactionEvent", events[3])
    assert ChargingSession.objects.get().gaps == [{"kind": "messages", "from": 1, "to": 2}]
    await answer_once(socket, {"ongoingIndicator": False, "messagesInQueue": True})
    assert ("GetTransactionStatus", {"transactionId": "tx-1"}) in socket.asked
    for late in events[1:3]:
        await socket.call("TransactionEvent", late)
    await socket.call("TransactionEvent", events[3], "again")
    assert await sync_to_async(overdue.revise_ended)(now=datetime.now(UTC)) == 1
    session = ChargingSession.objects.get()
    assert (session.gaps, session.energy_wh) == ([], 300)
    assert Command.objects.filter(action="GetTransactionStatus").count() == 1


async def test_numbers_that_all_stay_the_same_are_no_hole(socket: Socket) -> None:
    for kind, minutes in (("Started", -60), ("Updated", -50), ("Ended", -40)):
        told = {
            "eventType": kind, "timestamp": instant(minutes), "triggerReason": "Trigger", "seqNo": 0,
            "transactionInfo": {"transactionId": "tx-1"}, "evse": {"id": 1},
        }  # fmt: skip
        await socket.call("TransactionEvent", told)
    assert ChargingSession.objects.get().state == "ended"
    assert not Command.objects.filter(action="GetTransactionStatus").exists()
