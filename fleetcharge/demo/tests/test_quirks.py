"""Every switch changes what is said in the way it promises."""

from datetime import timedelta
from typing import Any

import pytest

from fleetcharge.demo.charger import SimCharger
from fleetcharge.demo.connection import credentials
from fleetcharge.demo.quirks import HARMLESS, LATE_STOP, Quirk, parse
from fleetcharge.demo.tests.factories import NOW, System, city_of
from fleetcharge.demo.tests.test_charger import run, visit_of


def charger_of(version: str, *quirks: Quirk) -> SimCharger:
    city = city_of(vehicles=1)
    found = next(
        one for one in city.chargers.values() if one.dialect.subprotocol == version and one.bays[0].is_dc
    )  # fmt: skip
    found.quirks = set(quirks)
    return found


def session(charger: SimCharger, seconds: int = 20) -> System:
    system = System()
    now = run(charger, system, 2)
    charger.plug_in(charger.bays[0], visit_of(), now)
    now = run(charger, system, seconds, now)
    charger.leave(charger.bays[0], now)
    run(charger, system, 1, now)
    return system


def samples(payload: dict[str, Any]) -> list[dict[str, Any]]:
    return [sample for moment in payload["meterValue"] for sample in moment["sampledValue"]]


def registers(payload: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in samples(payload) if one.get("measurand") == "Energy.Active.Import.Register"]


@pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])
def test_seq_no_is_always_zero(version: str) -> None:
    events = session(charger_of(version, Quirk.SEQ_NO_ZERO)).payloads("TransactionEvent")
    assert len(events) > 3
    assert {event["seqNo"] for event in events} == {0}


def test_kilowatt_hours_as_text_and_watt_hours_without_a_unit() -> None:
    system = session(charger_of("ocpp1.6", Quirk.MIXED_UNITS))
    register = registers(system.payloads("MeterValues")[0])[0]
    assert register["unit"] == "kWh" and len(register["value"].partition(".")[2]) > 10
    assert system.payloads("StopTransaction")[0]["meterStop"] > 1000
    ended = session(charger_of("ocpp2.0.1", Quirk.MIXED_UNITS)).payloads("TransactionEvent")
    assert registers(ended[1])[0]["unitOfMeasure"] == {"unit": "kWh"}
    assert "unitOfMeasure" not in registers(ended[-1])[0]


def test_total_and_three_phases() -> None:
    first = session(charger_of("ocpp1.6", Quirk.TOTAL_AND_PHASES)).payloads("MeterValues")[0]
    assert [one.get("phase") for one in registers(first)] == [None, "L1", "L2", "L3"]


def test_signed_values_stand_beside_the_plain_ones() -> None:
    first = session(charger_of("ocpp1.6", Quirk.SIGNED_VALUES)).payloads("MeterValues")[0]
    assert [one.get("format") for one in registers(first)] == [None, "SignedData"]
    event = session(charger_of("ocpp2.0.1", Quirk.SIGNED_VALUES)).payloads("TransactionEvent")[0]
    assert registers(event)[0]["signedMeterValue"]["encodingMethod"] == "OCMF"


@pytest.mark.parametrize(
    ("quirk", "stop"),
    [
        (Quirk.TRANSACTION_ID_ZERO, 0),
        (Quirk.TRANSACTION_ID_MINUS_ONE, -1),
        (Quirk.TRANSACTION_ID_FOREIGN, 2_000_000_001),
    ],
)
def test_the_stop_names_a_wrong_transaction(quirk: Quirk, stop: int) -> None:
    system = session(charger_of("ocpp1.6", quirk))
    assert system.payloads("StopTransaction")[0]["transactionId"] == stop
    assert {one["transactionId"] for one in system.payloads("MeterValues")} == ({0} if stop == 0 else {101})


def test_registers_that_begin_at_zero_and_starts_that_only_say_so() -> None:
    resets = session(charger_of("ocpp1.6", Quirk.REGISTER_RESETS))
    assert resets.payloads("StartTransaction")[0]["meterStart"] == 0
    assert resets.payloads("StopTransaction")[0]["meterStop"] < 5_000
    relative = session(charger_of("ocpp1.6", Quirk.RELATIVE_METER_START))
    assert relative.payloads("StartTransaction")[0]["meterStart"] == 0
    assert relative.payloads("StopTransaction")[0]["meterStop"] > 30_000


@pytest.mark.parametrize(
    ("quirk", "year"), [(Quirk.CLOCK_1970, "1970"), (Quirk.CLOCK_AHEAD, "2026"), (Quirk.CLOCK_FAR_AHEAD, "2026")]
)
def test_clocks(quirk: Quirk, year: str) -> None:
    said = session(charger_of("ocpp1.6", quirk)).payloads("StartTransaction")[0]["timestamp"]
    right = session(charger_of("ocpp1.6")).payloads("StartTransaction")[0]["timestamp"]
    assert said[:4] == year
    assert said != right


def test_numeric_ids_begin_again_with_each_socket() -> None:
    charger = charger_of("ocpp1.6", Quirk.NUMERIC_IDS)
    charger.connected(NOW)
    first = charger.next_call()
    charger.disconnected()
    charger.connected(NOW)
    again = charger.next_call()
    assert first is not None and again is not None
    assert (first.id, again.id) == ("1", "1")


def test_a_late_stop_comes_after_what_followed_it() -> None:
    charger, system = charger_of("ocpp1.6", Quirk.STOP_LATE), System()
    now = run(charger, system, 2)
    charger.plug_in(charger.bays[0], visit_of(), now)
    now = run(charger, system, 10, now)
    charger.disconnected()
    charger.leave(charger.bays[0], now)
    now = run(charger, system, 40, now)
    assert system.payloads("StopTransaction") == []
    run(charger, system, int(LATE_STOP.total_seconds()), now)
    assert len(system.payloads("StopTransaction")) == 1


def test_what_was_answered_is_said_again_on_a_new_socket() -> None:
    charger = charger_of("ocpp1.6", Quirk.REPEATS_ON_NEW_SOCKET)
    system = session(charger)
    before = len(system.heard)
    charger.disconnected()
    run(charger, system, 1)
    repeated = [action for _, action, _ in system.heard[before:]]
    assert "StopTransaction" in repeated
    assert len(charger.finished) == 1


@pytest.mark.parametrize(("quirk", "boots"), [(Quirk.BOOT_MID_SESSION, 3), (Quirk.NEVER_BOOTS, 0)])
def test_boots(quirk: Quirk, boots: int) -> None:
    charger, system = charger_of("ocpp2.0.1", quirk), System()
    for _ in range(3):
        run(charger, system, 1)
        charger.disconnected()
    assert len(system.payloads("BootNotification")) == boots


def test_a_power_loss_nobody_hears_of() -> None:
    for quirks, stops in (((), 1), ((Quirk.NO_STOP_AFTER_POWER_LOSS,), 0)):
        charger, system = charger_of("ocpp1.6", *quirks), System()
        now = run(charger, system, 2)
        charger.plug_in(charger.bays[0], visit_of(), now)
        now = run(charger, system, 10, now)
        charger.restart(now, 5, "PowerLoss")
        charger.disconnected()
        run(charger, system, 5, now)
        assert len(system.payloads("StopTransaction")) == stops
        assert charger.finished[-1]["is_told"] == bool(stops)


def test_statuses_that_lie_and_flap() -> None:
    charger = charger_of("ocpp1.6", Quirk.AVAILABLE_WHILE_CHARGING)
    said = [one["status"] for one in session(charger).payloads("StatusNotification") if one["connectorId"] == 1]
    assert "Charging" not in said
    flapping, system = charger_of("ocpp1.6", Quirk.STATUS_FLAPPING), System()
    run(flapping, system, 10)
    assert len(system.payloads("StatusNotification")) >= 10


def test_what_stands_behind_basic() -> None:
    charger = charger_of("ocpp1.6")
    charger.password = "00ff" * 8
    name = charger.identity.encode()
    assert credentials(charger) == name + b":" + b"00ff" * 8
    charger.quirks = {Quirk.RAW_BYTE_PASSWORD}
    assert credentials(charger) == name + b":" + b"\x00\xff" * 8
    charger.quirks = {Quirk.HEX_PASSWORD}
    assert credentials(charger) == name + b":" + b"00FF" * 8
    charger.quirks = {Quirk.WRONG_USER}
    assert credentials(charger).startswith(b"admin:")


def test_noise_is_rare() -> None:
    charger = charger_of("ocpp1.6", Quirk.MALFORMED_FRAMES, Quirk.RESULT_FOR_UNKNOWN_ID)
    assert len(charger.noise(NOW)) == 2
    assert charger.noise(NOW + timedelta(seconds=5)) == []
    assert len(charger.noise(NOW + timedelta(seconds=31))) == 2


def test_the_default_city_is_odd_where_it_does_no_harm() -> None:
    odd = {identity: one.quirks for identity, one in city_of().chargers.items() if one.quirks}
    assert set().union(*odd.values()) == set(HARMLESS)
    assert len(odd) == len(HARMLESS)


def test_a_switch_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        parse(["nonsense"])
