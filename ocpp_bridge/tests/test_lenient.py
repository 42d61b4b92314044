"""Usable beats valid: stateful messages that break their schema are taken, kept raw, and shown to people."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from billing.models import BillingException, ChargingSession
from fleetcharge.accounts.models import Organisation, User
from ocpp_bridge import oddities
from ocpp_bridge.models import OddMessage
from ocpp_bridge.recorder import hash_tag
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from stations.models import Charger, Connector
from stations.services.statuses import MAX_PLUGS, NOBODYS_PLUG

NOW = datetime.now(UTC).replace(microsecond=0)
STAMP = NOW.isoformat().replace("+00:00", "Z")
NO_SUCH = "PropertyConstraintViolation"
NEWER = ("ocpp2.0.1", "ocpp2.1")


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "BLR-017")


def status_16(**fields: Any) -> dict[str, Any]:
    return {"connectorId": 1, "errorCode": "NoError", "status": "Charging", "timestamp": STAMP, **fields}


def status_2(**fields: Any) -> dict[str, Any]:
    return {"evseId": 1, "connectorId": 1, "connectorStatus": "Occupied", "timestamp": STAMP, **fields}


# --- status -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "odd",
    [
        {"timestamp": NOW.strftime("%Y-%m-%dT%H:%M:%S")},
        {"timestamp": (NOW + timedelta(minutes=330)).strftime("%Y-%m-%dT%H:%M:%S+0530")},
        {"timestamp": "yesterday"},
        {"errorCode": "E-42"},
        {"errorCode": None},
        {"info": "x" * 51},
        {"vendorId": "v" * 256, "vendorErrorCode": "e" * 51},
        {"connectorId": "1"},
        {"temperature": 41},
    ],
    ids=lambda odd: ",".join(odd),
)
async def test_a_crooked_status_of_1_6_is_shown_and_kept_raw(
    connect: Connect, station: Charger, odd: dict[str, Any]
) -> None:
    payload = status_16(**odd)
    assert await (await connect("BLR-017")).call("StatusNotification", payload) == {}
    plug = await Connector.objects.aget(evse__charger=station, connector_id=1)
    assert (plug.raw_status, plug.reported_status) == ("Charging", "charging")
    assert plug.status_at is not None
    some_minutes = timedelta(minutes=10)
    assert NOW - some_minutes < plug.status_at < datetime.now(UTC) + some_minutes  # what it says, or when it came
    kept = await OddMessage.objects.aget(charger=station)
    assert (kept.action, kept.is_taken, kept.payload) == ("StatusNotification", True, payload)


async def test_a_status_nobody_knows_is_shown_as_unknown(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.call("StatusNotification", status_16())
    assert await socket.call("StatusNotification", status_16(status="Sleeping")) == {}
    plug = await Connector.objects.aget(evse__charger=station, connector_id=1)
    assert (plug.raw_status, plug.reported_status) == ("Sleeping", "unknown")


@pytest.mark.parametrize("version", NEWER)
@pytest.mark.parametrize("odd", [{"timestamp": None}, {"timestamp": STAMP[:-1]}, {"evseId": "1"}, {"vendorField": {}}])
async def test_a_crooked_status_of_2_x_is_shown_and_kept_raw(
    connect: Connect, station: Charger, version: str, odd: dict[str, Any]
) -> None:
    socket = await connect("BLR-017", subprotocols=[version])
    assert await socket.call("StatusNotification", status_2(**odd)) == {}
    plug = await Connector.objects.aget(evse__charger=station, evse__evse_number=1, connector_id=1)
    assert plug.raw_status == "Occupied"
    kept = await OddMessage.objects.aget(charger=station)
    assert (kept.action, kept.is_taken, kept.protocol) == ("StatusNotification", True, version)


@pytest.mark.parametrize("broken", [{"status": None}, {"connectorId": None}, {"connectorId": -1}])
async def test_a_status_without_plug_or_status_is_refused_and_kept_raw(
    connect: Connect, station: Charger, broken: dict[str, Any]
) -> None:
    answer = await (await connect("BLR-017")).call("StatusNotification", status_16(**broken))
    kept = await OddMessage.objects.aget(charger=station)
    assert (answer[0], answer[2], kept.is_taken) == (4, kept.code, False)
    assert not await Connector.objects.filter(evse__charger=station).exclude(raw_status="").aexists()


# --- boot ---------------------------------------------------------------------------------------------------------
BOOT_16 = {"chargePointVendor": "Volt", "chargePointModel": "M1"}


@pytest.mark.parametrize(
    "odd",
    [
        {"chargePointModel": "M" * 21},
        {"chargePointSerialNumber": "S" * 26},
        {"chargePointVendor": ""},
        {"chargePointModel": None},
        {"iccid": 89910000000000000000 % 10**15},
        {"uptime": 7},
    ],
    ids=lambda odd: ",".join(odd),
)
async def test_a_crooked_boot_of_1_6_boots(connect: Connect, station: Charger, odd: dict[str, Any]) -> None:
    payload = BOOT_16 | odd
    answer = await (await connect("BLR-017")).call("BootNotification", payload)
    assert answer["status"] == "Accepted"
    await station.arefresh_from_db()
    names = (payload["chargePointVendor"], payload["chargePointModel"], payload.get("chargePointSerialNumber", ""))
    assert (station.vendor, station.model, station.serial_number) == tuple(name or "" for name in names)
    kept = OddMessage.objects.filter(charger=station, action="BootNotification", is_taken=True)
    assert await kept.acount() == (0 if payload["chargePointVendor"] == "" else 1)  # no text breaks no rule


@pytest.mark.parametrize("version", NEWER)
@pytest.mark.parametrize(
    "odd",
    [
        {"reason": "Bored"},
        {"chargingStation": {"vendorName": "V" * 60, "model": "M" * 30, "serialNumber": "S" * 30}},
        {"chargingStation": {"vendorName": "V", "model": 7}},
        {"uptime": 7},
    ],
)
async def test_a_crooked_first_boot_of_2_x_lets_it_speak(
    connect: Connect, station: Charger, version: str, odd: dict[str, Any]
) -> None:
    await Charger.objects.filter(pk=station.pk).aupdate(last_boot_at=None)
    socket = await connect("BLR-017", subprotocols=[version])
    boot = {"reason": "PowerUp", "chargingStation": {"vendorName": "V", "model": "M"}, **odd}
    assert (await socket.call("BootNotification", boot))["status"] == "Accepted"
    assert "currentTime" in await socket.call("Heartbeat", {})
    assert await OddMessage.objects.filter(charger=station, is_taken=True, payload=boot).aexists()


# --- transactions -------------------------------------------------------------------------------------------------
async def test_a_start_that_breaks_its_schema_is_taken_kept_raw_and_flagged(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    start = {"connectorId": "1", "idTag": "TAG1", "meterStart": 5, "timestamp": STAMP, "extra": {"deep": [1, None]}}
    assert (await socket.call("StartTransaction", start))["transactionId"] > 0
    odd = await OddMessage.objects.aget(charger=station)
    assert (odd.action, odd.is_taken, odd.payload, odd.protocol) == ("StartTransaction", True, start, "ocpp1.6")
    del start["connectorId"]
    assert (await socket.call("StartTransaction", start))["transactionId"] > 0  # not even a plug: nobody's
    assert await OddMessage.objects.filter(charger=station, is_taken=True).acount() == 2
    unusable = await socket.call("StartTransaction", {**start, "idTag": None, "timestamp": STAMP, "connectorId": []})
    assert unusable["transactionId"] > 0


async def test_what_decides_about_nothing_is_refused_and_not_kept(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    assert (await socket.call("FirmwareStatusNotification", {"status": "Cooking"}))[2] == "PropertyConstraintViolation"
    assert not await OddMessage.objects.aexists()


# --- plugs without end --------------------------------------------------------------------------------------------
async def test_plugs_without_end_are_refused_and_kept_raw(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    for number in range(1, MAX_PLUGS + 1):
        assert await socket.call("StatusNotification", status_16(connectorId=number)) == {}
    for number in (MAX_PLUGS + 1, 32_000):
        assert (await socket.call("StatusNotification", status_16(connectorId=number)))[2] == NO_SUCH
    assert await Connector.objects.filter(evse__charger=station).acount() == MAX_PLUGS
    assert await OddMessage.objects.filter(charger=station, is_taken=False).acount() == 2


async def test_a_session_at_one_plug_too_many_is_a_fact(connect: Connect, station: Charger) -> None:
    """Rule 22: the plug is not believed, what was drawn at it is."""
    socket = await connect("BLR-017")
    for number in range(1, MAX_PLUGS + 1):
        await socket.call("StatusNotification", status_16(connectorId=number))
    numbers = {}
    for plug in (999, 1_000):
        start = {"connectorId": plug, "idTag": "TAG1", "meterStart": 5, "timestamp": STAMP}
        answer = await socket.call("StartTransaction", start)
        assert answer["idTagInfo"]["status"] in {"Accepted", "Blocked", "ConcurrentTx"}
        assert await socket.call("StartTransaction", start, "again") == answer
        numbers[plug] = answer["transactionId"]
    value = {"timestamp": STAMP, "sampledValue": [{"value": "805"}]}
    for plug, number in numbers.items():
        values = {"connectorId": plug, "transactionId": number, "meterValue": [value]}
        assert await socket.call("MeterValues", values) == {}
        stop = {"transactionId": number, "meterStop": 905, "timestamp": STAMP, "idTag": "TAG1"}
        assert "idTagInfo" in await socket.call("StopTransaction", stop)
    sessions = [row async for row in ChargingSession.objects.filter(charger=station).select_related("connector__evse")]
    assert {row.transaction_ref for row in sessions} == {str(number) for number in numbers.values()}
    assert [(row.state, row.energy_wh, row.quality) for row in sessions] == [("ended", 900, "review")] * 2
    assert all("no_such_plug" in row.quality_reasons for row in sessions)
    assert {row.connector.evse.evse_number for row in sessions} == {NOBODYS_PLUG}
    assert (await socket.call("StatusNotification", status_16(connectorId=MAX_PLUGS + 1)))[2] == NO_SUCH
    assert await Connector.objects.filter(evse__charger=station).acount() == MAX_PLUGS + 1
    assert await Connector.objects.existing().filter(evse__charger=station).acount() == MAX_PLUGS


@pytest.mark.parametrize("version", NEWER)
async def test_plugs_without_end_in_2_x(connect: Connect, station: Charger, version: str) -> None:
    socket = await connect("BLR-017", subprotocols=[version])
    answers = [await socket.call("StatusNotification", status_2(connectorId=n)) for n in range(1, MAX_PLUGS + 5)]
    assert [answer for answer in answers if answer == {}] == [{}] * (MAX_PLUGS - 1)  # EVSE 2 has one already
    assert await Connector.objects.filter(evse__charger=station).acount() == MAX_PLUGS
    event = {
        "eventType": "Started", "timestamp": STAMP, "triggerReason": "CablePluggedIn", "seqNo": 0,
        "evse": {"id": 70, "connectorId": 1}, "transactionInfo": {"transactionId": "tx-1"},
    }  # fmt: skip
    assert await socket.call("TransactionEvent", event) == {}
    session = await ChargingSession.objects.select_related("connector__evse").aget()
    assert (session.transaction_ref, session.connector.evse.evse_number) == ("tx-1", NOBODYS_PLUG)


# --- people -------------------------------------------------------------------------------------------------------
NAMELESS = {"eventType": "Started", "timestamp": STAMP, "triggerReason": "Authorized", "seqNo": 0}


async def opened() -> list[tuple[str, str]]:
    return [row async for row in BillingException.objects.order_by("pk").values_list("kind", "title")]


async def test_finance_is_asked_about_refused_messages_of_a_transaction(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    for _ in range(2):  # repeats are one question
        assert (await socket.call("TransactionEvent", NAMELESS))[0] == 4
    assert (await socket.call("MeterValues", {"evseId": 1}))[0] == 4
    assert await opened() == [("missing_start", "BLR-017: TransactionEvent Started could not be used")]
    await BillingException.objects.aupdate(resolved_at=NOW, resolution="Looked at.")
    await socket.call("TransactionEvent", NAMELESS)
    assert await BillingException.objects.filter(resolved_at=None).acount() == 0
    assert (await socket.call("TransactionEvent", {**NAMELESS, "seqNo": 6}))[0] == 4
    assert await BillingException.objects.filter(resolved_at=None).acount() == 1


@pytest.mark.parametrize("version", NEWER)
async def test_finance_is_asked_about_refused_transaction_events(
    connect: Connect, station: Charger, version: str
) -> None:
    socket = await connect("BLR-017", subprotocols=[version])
    for kind in ("Started", "Ended"):
        event = {"eventType": kind, "timestamp": STAMP, "triggerReason": "Authorized", "seqNo": 0}
        assert (await socket.call("TransactionEvent", event))[0] == 4
    assert await opened() == [
        ("missing_start", "BLR-017: TransactionEvent Started could not be used"),
        ("orphan_stop", "BLR-017: TransactionEvent Ended could not be used"),
    ]


async def test_a_charger_that_only_talks_nonsense_does_not_bury_finance(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    for number in range(oddities.MAX_OPEN + 5):
        await socket.call("TransactionEvent", {**NAMELESS, "seqNo": number})
    assert await BillingException.objects.acount() == oddities.MAX_OPEN
    assert await OddMessage.objects.acount() == oddities.MAX_OPEN + 5


@pytest.fixture
def odd(station: Charger) -> OddMessage:
    return OddMessage.objects.create(
        charger=station, protocol="ocpp1.6", message_id="m-1", action="StartTransaction", payload_hash=b"x" * 16,
        payload={"idTag": "TAG1", "connectorId": "<b>1</b>"}, code="TypeConstraintViolation", is_taken=False,
        flaw="connectorId: is not of type integer",
    )  # fmt: skip


def test_the_charger_page_lists_them_without_tags(client: Client, dispatcher: User, odd: OddMessage) -> None:
    client.force_login(dispatcher)
    page = client.get("/chargers/BLR-017/", {"tab": "odd"}).content.decode()
    assert "connectorId: is not of type integer" in page
    assert "Refused" in page
    assert "&lt;b&gt;1" in page and "<b>1" not in page
    assert hash_tag("TAG1") in page and "TAG1" not in page


def test_finance_reads_them_in_the_admin_and_strangers_do_not(
    client: Client, finance: User, stranger: User, odd: OddMessage
) -> None:
    listed, address = "/admin/ocpp_bridge/oddmessage/", f"/admin/ocpp_bridge/oddmessage/{odd.pk}/change/"
    client.force_login(finance)
    assert "connectorId: is not of type integer" in client.get(listed).content.decode()
    assert hash_tag("TAG1") in client.get(address).content.decode()
    assert client.post(address, {"flaw": "none"}).status_code == 403
    client.force_login(stranger)
    assert "connectorId: is not" not in client.get(listed).content.decode()
    assert "TAG1" not in client.get(address, follow=True).content.decode()
