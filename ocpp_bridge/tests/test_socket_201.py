"""OCPP 2.0.1 over a real socket: TransactionEvents in any order make one session."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.models import ChargingSession, MeterValue
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect
from stations.models import Charger, Connector

NOW = datetime.now(UTC).replace(microsecond=0)
TOKEN = {"idToken": "TAG1", "type": "ISO14443"}


def instant(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def meter(seconds: float, energy_kwh: float, context: str = "Sample.Periodic") -> list[dict[str, Any]]:
    sample = {"value": energy_kwh, "context": context, "unitOfMeasure": {"unit": "kWh"}}
    soc = {"value": 50 + energy_kwh, "measurand": "SoC", "location": "EV"}
    return [{"timestamp": instant(seconds), "sampledValue": [sample, soc]}]


def event(kind: str, seconds: float, transaction: str = "tx-1", **fields: Any) -> dict[str, Any]:
    """As solidstudio's VCP sends it: seqNo 0 in every event."""
    info = {"transactionId": transaction, **fields.pop("info", {})}
    reasons = {"Started": "CablePluggedIn", "Updated": "MeterValuePeriodic", "Ended": "EVCommunicationLost"}
    return {
        "eventType": kind, "timestamp": instant(seconds), "triggerReason": reasons[kind], "seqNo": 0,
        "transactionInfo": info, **fields,
    }  # fmt: skip


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "HYD-1", subprotocols=["ocpp2.0.1"])


@pytest.fixture
async def socket(connect: Connect, station: Charger) -> Socket:
    opened: Socket = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    return opened


async def test_boot_and_heartbeat(socket: Socket, station: Charger) -> None:
    boot = {"reason": "PowerUp", "chargingStation": {"model": "M2", "vendorName": "Volt", "firmwareVersion": "7"}}
    answer = await socket.call("BootNotification", boot)
    assert answer["status"] == "Accepted"
    assert "currentTime" in await socket.call("Heartbeat", {})
    station.refresh_from_db()
    assert (station.vendor, station.model, station.firmware_version) == ("Volt", "M2", "7")


async def test_a_status_is_kept_per_evse(socket: Socket, station: Charger) -> None:
    report = {"evseId": 2, "connectorId": 1, "connectorStatus": "Faulted", "timestamp": instant(-1)}
    assert await socket.call("StatusNotification", report) == {}
    connector = Connector.objects.get(evse__charger=station, evse__evse_number=2, connector_id=1)
    assert (connector.raw_status, connector.status) == ("Faulted", "faulted")


async def test_authorize_speaks_2_0_1(socket: Socket) -> None:
    unknown = {"idToken": {"idToken": "NOBODY", "type": "Central"}}
    assert (await socket.call("Authorize", unknown))["idTokenInfo"]["status"] == "Unknown"


async def test_a_whole_session(socket: Socket, station: Charger) -> None:
    place = {"evse": {"id": 1, "connectorId": 1}}
    started = event("Started", -600, idToken=TOKEN, meterValue=meter(-600, 10.0, "Transaction.Begin"), **place)
    assert "idTokenInfo" in await socket.call("TransactionEvent", started)
    charging = event("Updated", -500, info={"chargingState": "Charging"})
    assert await socket.call("TransactionEvent", charging) == {}
    connector = Connector.objects.get(evse__charger=station, evse__evse_number=1)
    assert (connector.status, connector.is_delivering) == ("charging", True)
    assert await socket.call("TransactionEvent", event("Updated", -300, meterValue=meter(-300, 12.5))) == {}
    session = ChargingSession.objects.get()
    assert (session.transaction_ref, session.meter_start_wh, session.energy_wh) == ("tx-1", 10_000, 2_500)
    assert (session.soc_start_percent, session.soc_percent) == (60.0, 62.5)
    ended = event(
        "Ended", -60, meterValue=meter(-60, 15.0, "Transaction.End"), info={"stoppedReason": "EVDisconnected"}
    )
    await socket.call("TransactionEvent", ended)
    session.refresh_from_db()
    assert (session.state, session.energy_wh, session.stop_reason) == ("ended", 5_000, "EVDisconnected")
    assert MeterValue.objects.count() == 3
    connector.refresh_from_db()
    assert not connector.has_session


async def test_an_update_before_the_start_makes_the_session(socket: Socket) -> None:
    place = {"evse": {"id": 2}}
    await socket.call("TransactionEvent", event("Updated", -100, meterValue=meter(-100, 3.0), **place))
    session = ChargingSession.objects.get()
    assert (session.state, session.connector.evse.evse_number) == ("active", 2)
    await socket.call("TransactionEvent", event("Started", -200, idToken=TOKEN, **place))
    assert ChargingSession.objects.count() == 1


async def test_an_end_alone_still_yields_a_session(socket: Socket) -> None:
    await socket.call("TransactionEvent", event("Ended", -100, evse={"id": 1}, meterValue=meter(-100, 3.0)))
    assert ChargingSession.objects.get().state == "ended"


async def test_a_late_update_does_not_reopen_a_session(socket: Socket, connect: Connect, station: Charger) -> None:
    await socket.call("TransactionEvent", event("Started", -600, idToken=TOKEN, evse={"id": 1}))
    await socket.call("TransactionEvent", event("Ended", -60))
    late = event("Updated", -90, info={"chargingState": "Charging"}, meterValue=meter(-90, 3.0))
    assert await socket.call("TransactionEvent", late) == {}
    other = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    assert await other.call("TransactionEvent", late) == {}
    assert ChargingSession.objects.get().state == "ended"
    assert not Connector.objects.get(evse__charger=station, evse__evse_number=1).has_session


async def test_a_repeated_event_is_answered_alike_and_applied_once(socket: Socket, connect: Connect) -> None:
    started = event("Started", -600, idToken=TOKEN, evse={"id": 1}, meterValue=meter(-600, 1.0))
    first = await socket.call("TransactionEvent", started, "e1")
    other = await connect("HYD-1", subprotocols=["ocpp2.0.1"])
    assert await other.call("TransactionEvent", started, "e1") == first
    assert (ChargingSession.objects.count(), MeterValue.objects.count()) == (1, 1)


async def test_events_of_two_transactions_stay_apart(socket: Socket) -> None:
    await socket.call("TransactionEvent", event("Started", -60, "tx-a", idToken=TOKEN, evse={"id": 1}))
    await socket.call("TransactionEvent", event("Started", -50, "tx-b", idToken=TOKEN, evse={"id": 2}))
    await socket.call("TransactionEvent", event("Ended", -40, "tx-a"))
    states = dict(ChargingSession.objects.values_list("transaction_ref", "state"))
    assert states == {"tx-a": "ended", "tx-b": "active"}


async def test_an_event_without_a_transaction_id_is_refused(socket: Socket) -> None:
    broken = event("Started", -60) | {"transactionInfo": {}}
    assert (await socket.call("TransactionEvent", broken))[2] == "OccurrenceConstraintViolation"
    assert ChargingSession.objects.count() == 0


async def test_an_event_that_breaks_the_schema_but_is_usable_is_answered(socket: Socket) -> None:
    crooked = event("Started", -60, idToken=TOKEN, evse={"id": 1}) | {"triggerReason": "Because", "seqNo": "0"}
    assert "idTokenInfo" in await socket.call("TransactionEvent", crooked)
    assert ChargingSession.objects.count() == 1


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Reset", {"type": "Immediate"}, "NotSupported"),
        ("CertificateSigned", {}, "NotSupported"),
        ("StartTransaction", {}, "NotImplemented"),
    ],
)
async def test_refusals_by_code(socket: Socket, action: str, payload: dict[str, Any], code: str) -> None:
    assert (await socket.call(action, payload))[2] == code


async def test_reports_and_notices_are_acknowledged(socket: Socket) -> None:
    report = {"requestId": 1, "generatedAt": instant(0), "seqNo": 0}
    assert await socket.call("NotifyReport", report) == {}
    assert await socket.call("LogStatusNotification", {"status": "Idle"}) == {}
