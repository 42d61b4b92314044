"""Bad frames over a real socket: answered when an id is readable, and the socket lives on."""

import asyncio
import random

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from billing.models import MeterValue
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.db import conninfo
from ocpp_bridge.consumers import MEANINGS
from ocpp_bridge.hub import hub
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Client
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.tests.test_frames import json_values
from stations.models import Charger


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


async def test_an_unfinished_frame_is_answered_by_its_id(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.send('[2,"broken","Heartbeat",{')
    assert (await socket.answer_to("broken"))[2] == "FormationViolation"
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_garbage_is_answered_in_2_0_1_and_only_counted_in_1_6(connect: Connect, station: Charger) -> None:
    newer = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await newer.send("garbage")
    assert (await newer.receive())[:3] == [4, "-1", "RpcFrameworkError"]
    older = await connect("BLR-017")
    await older.send("garbage")
    assert "currentTime" in await older.call("Heartbeat", {})


async def test_an_oversize_frame_is_answered_and_the_socket_kept(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.send([2, "big", "DataTransfer", {"vendorId": "x", "data": "y" * (1024 * 1024)}])
    assert (await socket.answer_to("big"))[2] == "FormationViolation"
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_a_deep_frame_is_answered_and_the_socket_kept(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await socket.send('[2,"deep","DataTransfer",' + "[" * 50_000 + "]" * 50_000 + "]")
    assert (await socket.answer_to("deep"))[2] == "FormatViolation"
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_unsolicited_results_are_ignored(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    for number in range(90):
        await socket.send([3, f"nobody-asked-{number}", {}])
        await socket.send([4, f"nobody-asked-{number}", "GenericError", "", {}])
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_twenty_malformed_frames_in_a_minute_close_the_socket(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    for _ in range(20):
        await socket.send("garbage")
    assert await socket.closed() == 1002


async def test_binary_frames_are_read_like_text(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.socket.send(b'[2,"bin","Heartbeat",{}]')
    assert "currentTime" in await socket.answer_to("bin")


async def test_calls_are_answered_in_order_of_arrival(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
    for number in range(150):  # more than the queue holds: the rest waits in the socket
        action, payload = ("StatusNotification", status) if number % 10 == 0 else ("Heartbeat", {})
        await socket.send([2, str(number), action, payload])
    assert [(await socket.receive())[1] for _ in range(150)] == [str(number) for number in range(150)]


async def test_what_needs_no_write_still_waits_behind_what_does(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    sample = {"value": "10", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
    for number in range(0, 120, 3):
        moment = {"timestamp": f"2026-11-21T10:{number // 60:02d}:{number % 60:02d}Z", "sampledValue": [sample]}
        await socket.send([2, str(number), "MeterValues", {"connectorId": 1, "meterValue": [moment]}])
        await socket.send([2, str(number + 1), "Heartbeat", {}])
        await socket.send([2, str(number + 2), "Nonsense", {}])
    assert [(await socket.receive())[1] for _ in range(120)] == [str(number) for number in range(120)]
    assert await MeterValue.objects.filter(charger=station).acount() == 40


async def test_a_few_long_calls_fill_the_queue(connect: Connect, station: Charger) -> None:
    """Sixty-four of them, parsed, would be a gigabyte; nothing more is read until something has been answered."""
    socket = await connect("BLR-017")
    consumer = await until(lambda: hub.find(station.pk))
    protocol = consumer.base_send.__self__
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
    long = {"vendorId": "x", "data": "[" + "0," * 150_000 + "0]"}
    async with await psycopg.AsyncConnection.connect(conninfo()) as other:
        await other.execute("SELECT 1 FROM stations_charger WHERE id = %s FOR UPDATE", [station.pk])
        await socket.send([2, "0", "StatusNotification", status])
        sender = asyncio.ensure_future(_send_all(socket, [[2, f"{n}", "DataTransfer", long] for n in range(1, 13)]))
        await until(lambda: consumer.calls.is_full and protocol.read_paused)
        assert len(consumer.calls._waiting) == 1
        await other.rollback()
    assert [(await socket.receive())[1] for _ in range(13)] == [f"{n}" for n in range(13)]
    await sender
    await until(lambda: consumer.calls.is_idle)
    assert consumer.calls._waiting_characters == 0


async def _send_all(socket: Client, calls: list[object]) -> None:
    for call in calls:
        await socket.send(call)


@pytest.mark.parametrize("action", ["Heartbeat", "DataTransfer", "Nonsense"])
async def test_a_send_is_never_answered(connect: Connect, station: Charger, action: str) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.1"])
    await socket.send([6, "s-1", action, {"vendorId": "x"} if action == "DataTransfer" else {}])
    await socket.send([2, "after", "Heartbeat", {}])
    assert (await socket.receive())[1] == "after"


@pytest.mark.parametrize("protocol", sorted(MEANINGS))
async def test_no_payload_of_any_action_kills_the_socket_or_goes_unanswered(
    connect: Connect, station: Charger, protocol: str
) -> None:
    socket = await connect("BLR-017", subprotocols=[protocol])
    payloads: list[dict[str, object]] = []

    @seed(20261121)
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(_payloads())
    def collect(payload: dict[str, object]) -> None:
        payloads.append(payload)

    collect()
    actions = sorted(set(MEANINGS[protocol].handlers) - MEANINGS[protocol].dialect.sends)
    pick = random.Random(16)
    for number, payload in enumerate(payloads):
        frame = orjson.dumps([2, f"f{number}", pick.choice(actions), payload]).decode()
        await socket.send(frame)
        answer = await socket.answer_to(f"f{number}")
        assert isinstance(answer, dict) or answer[2] != "InternalError", frame
    assert "currentTime" in await socket.call("Heartbeat", {})


def _payloads() -> st.SearchStrategy[dict[str, object]]:
    """Objects with the field names that matter and values that make no sense."""
    names = [
        "connectorId", "evseId", "idTag", "idToken", "timestamp", "meterStart", "meterStop", "transactionId", "status",
        "connectorStatus", "errorCode", "meterValue", "sampledValue", "eventType", "transactionInfo", "evse", "seqNo",
        "triggerReason", "transactionData", "chargingStation", "reason", "value", "unitOfMeasure",
    ]  # fmt: skip
    small = st.integers(-(2**62), 2**62) | st.sampled_from(["Started", "Ended", "Updated", "Charging", "", "x" * 300])
    inner = st.dictionaries(st.sampled_from(names), json_values | small, max_size=6)
    moments = st.lists(st.fixed_dictionaries({"timestamp": json_values, "sampledValue": st.lists(inner, max_size=3)}))
    return st.dictionaries(st.sampled_from(names), json_values | small | inner | moments, max_size=9).filter(_fits)


def _fits(payload: dict[str, object]) -> bool:
    try:
        return bool(orjson.dumps(payload))
    except TypeError:  # integers beyond 64 bits and lone surrogates cannot be written by this client
        return False
