"""OCPP 1.6J over a real socket: what is answered is stored, and nothing is stored twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.models import ChargingSession, MeterValue
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.models import AnsweredCall
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from stations.models import Charger, Connector

NOW = datetime.now(UTC).replace(microsecond=0)


def instant(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def moment(seconds: float, energy_wh: int, **more: Any) -> dict[str, Any]:
    samples = [{"value": str(energy_wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}]
    for measurand, value in more.items():
        samples.append({"value": str(value), "measurand": {"power": "Power.Active.Import", "soc": "SoC"}[measurand]})
    return {"timestamp": instant(seconds), "sampledValue": samples}


START = {"connectorId": 1, "idTag": "TAG1", "meterStart": 1000, "timestamp": instant(-600)}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "BLR-017")


async def test_boot_answers_from_the_record(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    answer = await socket.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "X1"})
    assert answer["status"] == "Accepted"
    assert 270 <= answer["interval"] <= 330
    assert answer["currentTime"].endswith("Z")
    station.refresh_from_db()
    assert (station.vendor, station.model, station.is_online, station.protocol) == ("Acme", "X1", True, "ocpp1.6")


async def test_heartbeat_tells_the_time(connect: Connect, station: Charger) -> None:
    answer = await (await connect("BLR-017")).call("Heartbeat", {})
    told = datetime.fromisoformat(answer["currentTime"])
    assert abs((told - datetime.now(UTC)).total_seconds()) < 60


async def test_a_status_is_stored_before_it_is_answered(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    report = {"connectorId": 2, "errorCode": "NoError", "status": "Charging", "timestamp": instant(-1)}
    assert await socket.call("StatusNotification", report) == {}
    connector = Connector.objects.get(evse__charger=station, connector_id=2)
    assert (connector.raw_status, connector.reported_status) == ("Charging", "charging")


async def test_authorize_speaks_1_6(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    assert (await socket.call("Authorize", {"idTag": "NOBODY"}))["idTagInfo"]["status"] == "Invalid"


async def test_a_session_from_start_to_stop(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    number = (await socket.call("StartTransaction", START))["transactionId"]
    assert number > 0
    values = {"connectorId": 1, "transactionId": number, "meterValue": [moment(-300, 3500, power=30_000, soc=41)]}
    assert await socket.call("MeterValues", values) == {}
    session = ChargingSession.objects.get(transaction_ref=str(number))
    assert (session.energy_wh, session.power_w, session.soc_percent) == (2500, 30_000, 41.0)
    stop = {"transactionId": number, "meterStop": 6000, "timestamp": instant(-10), "idTag": "TAG1"}
    assert await socket.call("StopTransaction", stop) == {"idTagInfo": {"status": "Accepted"}}
    session.refresh_from_db()
    assert (session.state, session.energy_wh) == ("ended", 5000)


async def test_a_vehicle_that_has_gone_takes_its_state_of_charge_along(connect: Connect, station: Charger) -> None:
    """Stations read 0 of it, with the last sample or with the stop."""
    socket = await connect("BLR-017")
    number = (await socket.call("StartTransaction", START))["transactionId"]
    for seconds, register_wh, soc in ((-300, 3500, 41), (-200, 4500, 43), (-100, 5500, 0)):
        values = [moment(seconds, register_wh, power=30_000, soc=soc)]
        await socket.call("MeterValues", {"connectorId": 1, "transactionId": number, "meterValue": values})
    session = ChargingSession.objects.get(transaction_ref=str(number))
    assert (session.soc_start_percent, session.soc_percent) == (41, 43)
    data = [moment(-10, 6000, soc=0)]
    stop = {"transactionId": number, "meterStop": 6000, "timestamp": instant(-10), "transactionData": data}
    await socket.call("StopTransaction", stop)
    session.refresh_from_db()
    assert (session.state, session.soc_start_percent, session.soc_percent) == ("ended", 41, 43)


async def test_a_start_for_an_unknown_tag_still_gets_an_id(connect: Connect, station: Charger) -> None:
    answer = await (await connect("BLR-017")).call("StartTransaction", START | {"idTag": "NOBODY"})
    assert answer["transactionId"] > 0
    assert answer["idTagInfo"]["status"] == "Invalid"


async def test_the_same_start_on_another_socket_is_the_same_session(connect: Connect, station: Charger) -> None:
    first = await (await connect("BLR-017")).call("StartTransaction", START, "id-1")
    again = await (await connect("BLR-017")).call("StartTransaction", START, "id-1")
    renamed = await (await connect("BLR-017")).call("StartTransaction", START, "id-2")
    assert first == again
    assert renamed["transactionId"] == first["transactionId"]
    assert ChargingSession.objects.count() == 1


async def test_a_counter_that_restarts_its_ids_is_not_a_replay(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    first = await socket.call("StartTransaction", START, "1")
    other = await socket.call("StartTransaction", START | {"connectorId": 2}, "1")
    assert first["transactionId"] != other["transactionId"]
    assert AnsweredCall.objects.count() == 2


async def test_a_stop_that_comes_48_seconds_late_on_a_new_socket(connect: Connect, station: Charger) -> None:
    """Seen with a real simulator: MeterValues after the stop's own time arrive before it, on a socket without Boot."""
    number = (await (await connect("BLR-017")).call("StartTransaction", START))["transactionId"]
    socket = await connect("BLR-017")
    late = {"connectorId": 1, "transactionId": number, "meterValue": [moment(-40, 5900)]}
    assert await socket.call("MeterValues", late) == {}
    stop = {"transactionId": number, "meterStop": 5500, "timestamp": instant(-51)}
    assert await socket.call("StopTransaction", stop, "stop-1") == {}
    assert await socket.call("StopTransaction", stop, "stop-1") == {}
    assert await socket.call("StopTransaction", stop, "stop-2") == {}
    session = ChargingSession.objects.get(transaction_ref=str(number))
    assert (session.state, session.meter_stop_wh) == ("ended", 5500)


async def test_an_unknown_stop_is_confirmed(connect: Connect, station: Charger) -> None:
    stop = {"transactionId": -1, "meterStop": 5, "timestamp": instant(-5), "reason": "PowerLoss"}
    assert await (await connect("BLR-017")).call("StopTransaction", stop) == {}
    assert ChargingSession.objects.count() == 0


async def test_replayed_meter_values_are_one_row_and_never_turn_time_back(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    number = (await socket.call("StartTransaction", START))["transactionId"]
    base = {"connectorId": 1, "transactionId": number}
    newer, older = base | {"meterValue": [moment(-60, 4000)]}, base | {"meterValue": [moment(-120, 3000)]}
    for values in (newer, older, newer):
        assert await socket.call("MeterValues", values) == {}
    session = ChargingSession.objects.get()
    assert (session.energy_wh, session.metered_at) == (3000, NOW - timedelta(seconds=60))
    assert MeterValue.objects.count() == 2


async def test_meter_values_without_a_transaction_belong_to_the_session_there(
    connect: Connect, station: Charger
) -> None:
    socket = await connect("BLR-017")
    number = (await socket.call("StartTransaction", START))["transactionId"]
    for field in ({}, {"transactionId": 0}, {"transactionId": -1}):
        values = {"connectorId": 1, "meterValue": [moment(-60 + len(str(field)), 2000)], **field}
        assert await socket.call("MeterValues", values) == {}
    assert set(MeterValue.objects.values_list("transaction_ref", flat=True)) == {str(number)}


async def test_a_start_that_breaks_the_schema_but_is_usable_is_answered(connect: Connect, station: Charger) -> None:
    crooked = START | {"timestamp": "2026-11-21T07:00:00", "meterStart": "1000", "vendorField": 1}
    answer = await (await connect("BLR-017")).call("StartTransaction", crooked)
    assert answer["transactionId"] > 0
    assert ChargingSession.objects.get().meter_start_wh == 1000


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Reset", {"type": "Soft"}, "NotSupported"),
        ("Frobnicate", {}, "NotImplemented"),
        ("StatusNotification", {"connectorId": 1, "errorCode": "NoError"}, "OccurenceConstraintViolation"),
        ("Authorize", {"idTag": 7}, "TypeConstraintViolation"),
        ("FirmwareStatusNotification", {"status": "Asleep"}, "PropertyConstraintViolation"),
        ("StatusNotification", {"connectorId": 10**9, "errorCode": "NoError", "status": "Available"},
         "PropertyConstraintViolation"),
        ("MeterValues", {"connectorId": 10**9, "meterValue": [moment(-9, 1)]}, "PropertyConstraintViolation"),
    ],
)  # fmt: skip
async def test_refusals_by_code(
    connect: Connect, station: Charger, action: str, payload: dict[str, Any], code: str
) -> None:
    socket = await connect("BLR-017")
    assert (await socket.call(action, payload))[2] == code
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_a_vendor_we_do_not_know(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    assert await socket.call("DataTransfer", {"vendorId": "x"}) == {"status": "UnknownVendorId"}
    assert await socket.call("FirmwareStatusNotification", {"status": "Installed"}) == {}
    assert await socket.call("DiagnosticsStatusNotification", {"status": "Idle"}) == {}
    event = {"type": "SettingSystemTime", "timestamp": instant(0)}
    assert await socket.call("SecurityEventNotification", event) == {}


async def test_a_rejected_charger_may_only_boot(
    connect: Connect, organisation: Organisation, transactional_db: None
) -> None:
    factories.charger(organisation, "NEW-1", registration=Charger.Registration.REJECTED)
    socket = await connect("NEW-1")
    assert (await socket.call("Heartbeat", {}))[2] == "SecurityError"
    boot = await socket.call("BootNotification", {"chargePointVendor": "A", "chargePointModel": "B"})
    assert boot["status"] == "Rejected"
