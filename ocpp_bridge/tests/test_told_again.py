"""Starts that come again: the same one in other words, another one under an old name; and what is said beside them."""

from datetime import timedelta
from typing import Any

import pytest

from billing.models import ChargingSession, MeterValue
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.models import OddMessage
from ocpp_bridge.station import digest
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from ocpp_bridge.tests.test_socket_16 import NOW, START, instant
from ocpp_bridge.v16.core import _error_code
from stations.models import Charger, Connector

BOOT = {"reason": "PowerUp", "chargingStation": {"vendorName": "Volt", "model": "One"}}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "BLR-017")


# --- OCPP 1.6 -----------------------------------------------------------------------------------------------------
async def test_a_start_written_another_way_is_the_same_one(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    first = await socket.call("StartTransaction", START)
    said = START["timestamp"].removesuffix("Z")
    for other in (f"{said}.000Z", f"{said}+00:00"):
        assert (await socket.call("StartTransaction", START | {"timestamp": other})) == first
    assert (await socket.call("StartTransaction", START | {"meterStart": "1000"})) == first
    later = await socket.call("StartTransaction", START | {"timestamp": instant(-599)})
    assert later["transactionId"] != first["transactionId"]
    assert ChargingSession.objects.count() == 2


async def test_a_start_stored_under_the_key_of_before_is_found(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    first = await socket.call("StartTransaction", START)
    as_written = digest(station.pk, 1, "TAG1", START["timestamp"], START["meterStart"])
    changed = await ChargingSession.objects.exclude(start_key=as_written).aupdate(start_key=as_written)
    assert changed == 1
    assert await socket.call("StartTransaction", START) == first


async def test_a_start_without_a_connector_gets_an_id_and_is_flagged(connect: Connect, station: Charger) -> None:
    """OCPP 1.6 section 5.11: the station would say it again for ever, and forget it."""
    socket = await connect("BLR-017")
    broken = {key: value for key, value in START.items() if key != "connectorId"}
    first = await socket.call("StartTransaction", broken)
    assert first["transactionId"] > 0
    assert await socket.call("StartTransaction", broken) == first
    session = ChargingSession.objects.get()
    assert (session.charger_id, session.quality) == (station.pk, "review")
    plugs = Connector.objects.filter(evse__charger=station, evse__evse_number__in=(1, 2))
    assert session.connector_id not in plugs.values_list("pk", flat=True)
    assert await OddMessage.objects.filter(charger=station, action="StartTransaction", is_taken=True).aexists()


async def test_a_fault_keeps_the_word_of_ocpp_beside_the_vendors(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    fault = {"connectorId": 1, "status": "Faulted", "errorCode": "GroundFailure", "vendorErrorCode": "0"}
    await socket.call("StatusNotification", fault)
    assert Connector.objects.get(evse__charger=station, connector_id=1).error_code == "GroundFailure (0)"


@pytest.mark.parametrize(
    ("code", "vendor", "kept"),
    [
        ("NoError", "0", "NoError"),
        ("NoError", "E-17", "NoError (E-17)"),
        ("OtherError", "", "OtherError"),
        ("", "E-17", "E-17"),
        ("EVCommunicationError", "x" * 60, f"EVCommunicationError ({'x' * 27})"),
    ],
)
def test_error_codes(code: str, vendor: str, kept: str) -> None:
    assert _error_code({"errorCode": code, "vendorErrorCode": vendor}) == kept
    assert len(kept) <= 50


async def test_what_came_by_interval_is_not_added_to_a_register(connect: Connect, station: Charger) -> None:
    """In messages of their own; and what the meter says by the clock is nobody's."""
    socket = await connect("BLR-017")
    number = (await socket.call("StartTransaction", START))["transactionId"]
    for seconds, wh, measurand, context in (
        (-500, 1_500, "Register", "Sample.Periodic"),
        (-499, 500, "Interval", "Sample.Periodic"),
        (-400, 2_000, "Register", "Sample.Periodic"),
        (-399, 500, "Interval", "Sample.Periodic"),
    ):
        await socket.call("MeterValues", metered(number, seconds, wh, measurand, context))
    assert ChargingSession.objects.get().energy_wh == 1_000


async def test_intervals_alone_are_the_running_energy_but_not_those_by_the_clock(
    connect: Connect, station: Charger
) -> None:
    socket = await connect("BLR-017")
    number = (await socket.call("StartTransaction", START))["transactionId"]
    await socket.call("MeterValues", metered(number, -500, 700, "Interval", "Sample.Periodic"))
    await socket.call("MeterValues", metered(number, -450, 900, "Interval", "Sample.Clock"))
    await socket.call("MeterValues", metered(number, -400, 300, "Interval", "Sample.Periodic"))
    assert ChargingSession.objects.get().energy_wh == 1_000


async def test_zeros_at_start_and_stop_do_not_hide_what_came_by_interval(connect: Connect, station: Charger) -> None:
    """OCPP 1.6 has no start and stop without a register, also where the meter has none."""
    socket = await connect("BLR-017")
    number = (await socket.call("StartTransaction", START | {"meterStart": 0}))["transactionId"]
    for seconds in (-500, -400, -300):
        await socket.call("MeterValues", metered(number, seconds, 700, "Interval", "Sample.Periodic"))
    await socket.call("StopTransaction", {"transactionId": number, "meterStop": 0, "timestamp": instant(-200)})
    session = ChargingSession.objects.get()
    assert (session.state, session.energy_wh) == ("ended", 2_100)


def metered(number: int, seconds: float, wh: int, measurand: str, context: str) -> dict[str, Any]:
    sampled = {"value": str(wh), "measurand": f"Energy.Active.Import.{measurand}", "context": context}
    return {
        "connectorId": 1, "transactionId": number,
        "meterValue": [{"timestamp": instant(seconds), "sampledValue": [sampled]}],
    }  # fmt: skip


# --- OCPP 2.x -----------------------------------------------------------------------------------------------------
def event(kind: str, sequence: int, seconds: float, wh: int, **more: Any) -> dict[str, Any]:
    return {
        "eventType": kind, "timestamp": instant(seconds), "triggerReason": "Authorized", "seqNo": sequence,
        "transactionInfo": {"transactionId": "1"}, "evse": {"id": 1, "connectorId": 1},
        "meterValue": [{"timestamp": instant(seconds), "sampledValue": [{"value": wh}]}], **more,
    }  # fmt: skip


TAG = {"idToken": {"idToken": "TAG1", "type": "ISO14443"}}


@pytest.mark.parametrize("proof", ["boot", "seqNo"])
async def test_a_station_that_counts_anew_after_a_power_loss_begins_another_session(
    connect: Connect, station: Charger, proof: str
) -> None:
    """The first one's end never comes; an hour later the same card, the same number, another register."""
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", 0, -7_200, 1_000, **TAG))
    await socket.call("TransactionEvent", event("Updated", 1 if proof == "seqNo" else 0, -7_000, 3_000))
    if proof == "boot":
        await socket.call("BootNotification", BOOT)
    for _ in range(2):  # once more, as nobody knows whether it was heard
        await socket.call("TransactionEvent", event("Started", 0, -3_600, 3_000, **TAG))
    await socket.call("TransactionEvent", event("Ended", 1, -1_800, 8_000))
    first, second = ChargingSession.objects.order_by("started_at")
    assert (first.state, first.energy_wh) == ("active", 2_000)  # the sweep ends it, as every one whose stop never comes
    assert (second.state, second.energy_wh, second.transaction_ref) == ("ended", 5_000, "1")


async def test_a_start_said_again_with_another_time_alone_is_no_other_session(
    connect: Connect, station: Charger
) -> None:
    """A clock that was set, no boot, every seqNo 0: nothing says that the station counts anew."""
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", 0, -7_200, 1_000, **TAG))
    await socket.call("TransactionEvent", event("Started", 0, -7_000, 1_000, **TAG))
    assert ChargingSession.objects.count() == 1


@pytest.mark.parametrize("has_ended", [True, False])
async def test_a_start_at_the_register_of_the_first_is_the_first(
    connect: Connect, station: Charger, has_ended: bool
) -> None:
    """The station has booted and set its clock before it says it once more; energy has been drawn since."""
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", 0, -7_200, 1_000, **TAG))
    await socket.call("TransactionEvent", event("Updated", 1, -7_000, 3_000))
    if has_ended:
        await socket.call("TransactionEvent", event("Ended", 2, -6_000, 5_000))
    await socket.call("BootNotification", BOOT)
    await socket.call("TransactionEvent", event("Started", 0, -3_600, 1_000, **TAG))
    session = ChargingSession.objects.get()
    assert (session.state, session.energy_wh) == (("ended", 4_000) if has_ended else ("active", 2_000))


@pytest.mark.parametrize(("days", "sessions"), [(6, 1), (30, 2)])
async def test_a_register_that_begins_anew_too_is_no_repeat_of_a_session_of_long_ago(
    connect: Connect, station: Charger, days: int, sessions: int
) -> None:
    """The meter was replaced: number, card and register are those of a session that is over."""
    ago = days * 86_400
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", 0, -ago, 1_000, **TAG))
    await socket.call("TransactionEvent", event("Ended", 1, 1_800 - ago, 5_000))
    await ChargingSession.objects.aupdate(created_at=NOW - timedelta(days=days))
    await socket.call("TransactionEvent", event("Started", 0, -3_600, 1_000, **TAG))
    assert ChargingSession.objects.count() == sessions


async def test_numbers_that_begin_again_without_a_start_are_one_session_that_says_so(
    connect: Connect, station: Charger
) -> None:
    """No boot, no Started: the register goes on, and nobody can say whether it was one vehicle."""
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", 0, -7_200, 1_000, **TAG))
    for sequence, seconds, wh in ((1, -6_900, 2_000), (2, -6_600, 3_000), (1, -6_300, 4_000)):
        await socket.call("TransactionEvent", event("Updated", sequence, seconds, wh))
    again = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await again.call("TransactionEvent", event("Updated", 1, -6_300, 4_000))  # a repeat is no second time
    await again.call("TransactionEvent", event("Ended", 2, -6_000, 5_000))
    session = ChargingSession.objects.get()
    assert (session.state, session.energy_wh) == ("ended", 4_000)
    assert "counted_anew" in session.quality_reasons


async def test_samples_of_a_new_socket_are_of_the_plug_that_was_named_on_the_old_one(
    connect: Connect, station: Charger
) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await socket.call("TransactionEvent", event("Started", 0, -600, 1_000, **TAG, evse={"id": 2, "connectorId": 1}))
    again = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    for kind, sequence, seconds, wh in (("Updated", 1, -500, 2_000), ("Ended", 2, -400, 3_000)):
        told = event(kind, sequence, seconds, wh)
        del told["evse"]
        await again.call("TransactionEvent", told)
    assert list(MeterValue.objects.order_by("at").values_list("evse_number", "energy_wh")) == [
        (2, 1_000), (2, 2_000), (2, 3_000),
    ]  # fmt: skip
