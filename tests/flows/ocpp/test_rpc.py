"""Rules 9-14: frames, their ids, their order, and what is answered to what cannot be meant."""

import contextlib
import uuid
from typing import Any

import pytest

from billing.models import ChargingSession
from ocpp_bridge.dialects import DIALECTS
from ocpp_bridge.models import OddMessage
from tests.flows.ocpp.station import ALL_VERSIONS, NEWER, SILENCE, V16, Refusal, Station, now, until
from tests.flows.ocpp.world import World


async def test_rule_09_ids_are_texts_and_unknown_results_are_nothing(world: World) -> None:
    charger, station = await world.ready()
    for message_id in ("1", "x" * 36, "a b/ç€"):
        assert "currentTime" in await station.call("Heartbeat", {}, message_id)
    assert await station.refusal_of([2, "y" * 37, "Heartbeat", {}], "y" * 37) == "FormationViolation"
    for nonsense in ([3, "nobody", {}], [4, "nobody", "InternalError", "", {}], [3, "nobody"], [4, "nobody"]):
        await station.send(nonsense)
    assert "currentTime" in await station.call("Heartbeat", {})
    command = await world.command(charger, "TriggerMessage", message="StatusNotification")
    await station.next("TriggerMessage")
    assert uuid.UUID(station.asked_ids["TriggerMessage"][0])
    assert (await world.outcome(command))["state"] == "accepted"


async def test_rule_10_one_call_of_ours_and_both_directions_cross(world: World) -> None:
    charger, station = await world.ready()
    station.replies["TriggerMessage"] = SILENCE
    first = await world.command(charger, "TriggerMessage", message="StatusNotification")
    await station.next("TriggerMessage")
    second = await world.command(charger, "TriggerMessage", message="Heartbeat")
    for _ in range(20):  # theirs are answered while ours is open
        assert "currentTime" in await station.call("Heartbeat", {})
    await station.status("Preparing")
    assert station.asked["TriggerMessage"].empty()
    station.replies["TriggerMessage"] = {"status": "Accepted"}
    await station.send([3, station.asked_ids["TriggerMessage"][0], {"status": "Rejected"}])
    assert (await world.outcome(first))["state"] == "rejected"
    assert (await station.next("TriggerMessage"))["requestedMessage"] == "Heartbeat"
    assert (await world.outcome(second))["state"] == "accepted"


async def test_rule_11_in_order_and_a_timeout_frees_the_lane(world: World) -> None:
    charger, station = await world.ready()
    tag, at = world.tag(), now()
    station.replies["TriggerMessage"] = SILENCE
    unanswered = await world.command(charger, "TriggerMessage", message="StatusNotification")
    await station.next("TriggerMessage")
    for number in range(1, 6):  # one after the other on the wire, none awaited
        await station.send([2, f"{number}a", *station.started(f"{tag}", number, at, plug=1)])
        await station.send([2, f"{number}b", "Heartbeat", {}])
        await station.send([2, f"{number}c", "StatusNotification", status_of("Charging")])
    await until(lambda: len(station.frames) >= 15, "fifteen answers")
    assert [frame[1] for frame in station.frames] == [f"{n}{part}" for n in range(1, 6) for part in "abc"]
    station.replies["TriggerMessage"] = {"status": "Accepted"}
    later = await world.command(charger, "TriggerMessage", message="Heartbeat")
    assert (await world.outcome(unanswered))["state"] == "timed_out"
    assert (await world.outcome(later))["state"] == "accepted"


def status_of(status: str) -> dict[str, Any]:
    return {"connectorId": 1, "errorCode": "NoError", "status": status}


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_12_the_same_call_gets_the_same_answer_on_any_socket(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    tag, at = world.tag(), now()
    reference = "" if version == V16 else "tx-12"
    start = station.started(tag, 1000, at, reference=reference)
    first = await station.call(*start, "1")
    assert await station.call(*start, "1") == first
    station.cut()
    station = await world.connect(charger, version)  # replays come on a new socket
    assert await station.call(*start, "1") == first
    assert ChargingSession.objects.filter(charger=charger).count() == 1
    other = station.started(tag, 5000, at, plug=2, reference="tx-13" if reference else "")
    again = await station.call(*other, "1")  # a counter that began again: another message
    assert ChargingSession.objects.filter(charger=charger).count() == 2
    if version == V16:
        assert again["transactionId"] != first["transactionId"]
    stop = station.stopped(str(first["transactionId"]) if version == V16 else "tx-12", 1800, now())
    answers = [await station.call(*stop, "2") for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    ended = ChargingSession.objects.get(charger=charger, state="ended")
    assert ended.energy_wh == 800


FAULTS_16: tuple[tuple[str, object, str, str], ...] = (
    ("not JSON", '[2,"id","Heartbeat",{', "id", "FormationViolation"),
    ("five elements", [2, "id", "Heartbeat", {}, 1], "id", "FormationViolation"),
    ("no payload", [2, "id", "Heartbeat"], "id", "FormationViolation"),
    ("payload a list", [2, "id", "Heartbeat", []], "id", "FormationViolation"),
    ("payload null", [2, "id", "Heartbeat", None], "id", "FormationViolation"),
    ("action a number", [2, "id", 7, {}], "id", "FormationViolation"),
    ("unknown action", [2, "id", "MakeCoffee", {}], "id", "NotImplemented"),
    ("an action of ours", [2, "id", "Reset", {"type": "Hard"}], "id", "NotSupported"),
    ("field missing", [2, "id", "Authorize", {}], "id", "OccurenceConstraintViolation"),
    ("wrong type", [2, "id", "Authorize", {"idTag": 5}], "id", "TypeConstraintViolation"),
    ("too long", [2, "id", "Authorize", {"idTag": "x" * 21}], "id", "PropertyConstraintViolation"),
    (
        "no such value",
        [2, "id", "FirmwareStatusNotification", {"status": "Sleeping"}],
        "id",
        "PropertyConstraintViolation",
    ),
)
FAULTS_2: tuple[tuple[str, object, str, str], ...] = (
    ("not JSON", '[2,"id","Heartbeat",{', "id", "RpcFrameworkError"),
    ("no JSON at all", "hello", "-1", "RpcFrameworkError"),
    ("an object", {"a": 1}, "-1", "RpcFrameworkError"),
    ("empty", [], "-1", "RpcFrameworkError"),
    ("payload a list", [2, "id", "Heartbeat", []], "id", "FormatViolation"),
    ("unknown type", [9, "id", "Heartbeat", {}], "id", "MessageTypeNotSupported"),
    ("unknown action", [2, "id", "MakeCoffee", {}], "id", "NotImplemented"),
    ("an action of ours", [2, "id", "Reset", {"type": "Immediate"}], "id", "NotSupported"),
    ("field missing", [2, "id", "Authorize", {}], "id", "OccurrenceConstraintViolation"),
    ("wrong type", [2, "id", "Authorize", {"idToken": 5}], "id", "TypeConstraintViolation"),
    (
        "too long",
        [2, "id", "Authorize", {"idToken": {"idToken": "x" * 300, "type": "ISO14443"}}],
        "id",
        "PropertyConstraintViolation",
    ),
)


async def expect(station: Station, name: str, frame: object, message_id: str, code: str) -> None:
    await station.send(frame)
    with pytest.raises(Refusal) as refusal:
        await station.answer_to(message_id)
    assert refusal.value.code == code, name
    assert len(refusal.value.description) <= 255
    assert isinstance(refusal.value.details, dict)


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_13_every_fault_has_its_code(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    for fault in FAULTS_16 if version == V16 else FAULTS_2:
        await expect(station, *fault)
    if version == V16:
        for unanswerable in ("hello", "{}", "[]", [9, "id", "Heartbeat", {}], "[2"):
            await station.send(unanswerable)
    assert "currentTime" in await station.call("Heartbeat", {})
    assert station.frames == []
    if version != V16:
        pending = world.charger(subprotocols=[version], registration="Pending")
        early = await world.connect(pending, version)
        assert await early.refusal_of([2, "e", "Authorize", token()], "e") == "SecurityError"
    noisy = await world.connect(charger, version)
    for _ in range(20):
        await noisy.send("nonsense")
    assert await noisy.closed() == 1002


def token() -> dict[str, Any]:
    return {"idToken": {"idToken": "X", "type": "ISO14443"}}


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_14_what_decides_about_a_session_is_taken_and_flagged(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    tag, began_at = world.tag(), now()
    boot: dict[str, Any]
    if version == V16:
        boot = {"chargePointVendor": "Test", "chargePointModel": "a name of more than twenty characters"}
        await station.status("Preparing", timestamp=f"{now():%Y-%m-%dT%H:%M:%S}", info="x" * 51)
        action, payload = station.started(tag, 1000, began_at)
        answer = await station.call(action, {**payload, "meterStart": "1000", "vendorField": 1})
        action, payload = station.stopped(str(answer["transactionId"]), 1600, now())
        assert await station.call(action, {**payload, "meterStop": 1600.0, "reason": "Bored"}) == {}
    else:
        boot = {"reason": "Bored", "chargingStation": {"vendorName": "Test", "model": "T1"}}
        await station.status("Occupied", vendorField=1)
        action, payload = station.started(tag, 1000, began_at, reference="odd")
        await station.call(action, {**payload, "triggerReason": "Bored"})
        action, payload = station.stopped("odd", 1600, now())
        assert isinstance(await station.call(action, {**payload, "vendorField": 1}), dict)
    session = await world.session(charger)
    assert (session["state"], session["energy_wh"]) == ("ended", 600)
    kept = OddMessage.objects.filter(charger=charger)
    assert (await station.call("BootNotification", boot))["status"] == "Accepted"
    assert {row.is_taken for row in kept} == {True}
    assert kept.count() == 4
    assert all(row.flaw for row in kept)


@pytest.mark.parametrize("version", NEWER)
async def test_nothing_of_2x_stays_without_an_answer(world: World, version: str) -> None:
    """Every action a station may send, with a payload that says nothing: a result or a CALLERROR, never silence."""
    _, station = await world.ready(version)
    actions = sorted(DIALECTS[version].actions - DIALECTS[version].sends)
    for action in actions:
        await station.send([2, action, action, {}])
    for action in actions:
        with contextlib.suppress(Refusal):
            await station.answer_to(action)
    assert len(actions) > 60
