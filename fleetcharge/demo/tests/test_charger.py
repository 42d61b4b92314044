"""What a simulated charger says over a session, and what it keeps when nobody listens."""

from datetime import timedelta
from typing import Any

import pytest
from jsonschema_rs import validator_for
from ocpp.messages import MessageType, get_validator

from fleetcharge.demo.bays import CHARGING, ENDED, Bay, Visit
from fleetcharge.demo.charger import SimCharger
from fleetcharge.demo.curves import Pack
from fleetcharge.demo.tests.factories import NOW, System, city_of

VERSION = {"ocpp1.6": "1.6", "ocpp2.0.1": "2.0.1", "ocpp2.1": "2.1"}


@pytest.fixture(params=["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def charger(request: pytest.FixtureRequest) -> SimCharger:
    city = city_of(vehicles=7)
    free = [one for one in city.chargers.values() if all(bay.visit is None for bay in one.bays)]
    return next(one for one in free if one.dialect.subprotocol == request.param and one.bays[0].is_dc)


def visit_of(token: str = "NL0001") -> Visit:
    return Visit("3f0a9a54-0000-4000-a000-000000000001", "KA 01", token, Pack(20_000, 40, 3_300, 15_000), 80, NOW)


def run(charger: SimCharger, system: System | None, seconds: int, start: Any = NOW) -> Any:
    now = start
    for _ in range(seconds):
        now += timedelta(seconds=1)
        for bay in charger.bays:
            bay.deliver(1, 8)
        charger.tick(now)
        if system:
            system.answer_all(charger, now)
    return now


def assert_valid(charger: SimCharger, system: System) -> None:
    """Against the schemas of the OCPP specification."""
    for _, action, payload in system.heard:
        schema = get_validator(MessageType.Call, action, VERSION[charger.dialect.subprotocol]).schema
        validator_for(schema).validate(payload)


def test_a_session_from_plug_to_unplug(charger: SimCharger) -> None:
    system, bay = System(), charger.bays[0]
    now = run(charger, system, 2)
    charger.plug_in(bay, visit_of(), now)
    now = run(charger, system, 30, now)
    assert bay.status == "Charging"
    charger.leave(bay, now)
    run(charger, system, 2, now)
    actions = [action for _, action, _ in system.heard]
    assert actions[0] == "BootNotification"
    assert "Authorize" in actions
    assert bay.status == "Available"
    assert charger.finished[-1]["energy_wh"] > 400
    assert charger.finished[-1]["is_acknowledged"]
    assert_valid(charger, system)


def test_energy_on_the_wire_is_power_times_time(charger: SimCharger) -> None:
    bay = charger.bays[0]
    bay.visit = visit_of()
    bay.visit.state = CHARGING
    before = bay.meter_wh
    for _ in range(60):
        bay.deliver(1, speed=1000)
    assert bay.meter_wh - before <= bay.max_power_w / 60 * 1.0001


def test_unconfirmed_calls_are_said_again_with_the_same_id(charger: SimCharger) -> None:
    system, bay = System(), charger.bays[0]
    now = run(charger, system, 2)
    charger.plug_in(bay, visit_of(), now)
    while (call := charger.next_call()) and call.action == "Authorize":
        charger.on_result(call.id, system.answer("Authorize", {}), now)
    start = charger.next_call() or call
    assert start is not None
    charger.disconnected()
    now = run(charger, None, 30, now)
    charger.leave(bay, now)
    charger.connected(now)
    again = charger.next_call()
    assert again is not None
    assert (again.id, again.payload) == (start.id, start.payload)
    charger.on_result(again.id, system.answer(again.action, again.payload), now)
    system.answer_all(charger, now)
    assert charger.finished[-1]["is_acknowledged"]
    assert charger.finished[-1]["transaction_ref"]
    assert_valid(charger, system)


def test_a_refused_token_does_not_charge(charger: SimCharger) -> None:
    system, bay = System(), charger.bays[0]
    now = run(charger, system, 2)
    system.token_status = "Blocked"
    charger.plug_in(bay, visit_of(), now)
    run(charger, system, 40, now)
    assert bay.visit is not None
    assert not bay.visit.is_running
    assert not system.payloads("StartTransaction")


def test_offline_a_car_charges_after_a_while_and_the_start_is_kept(charger: SimCharger) -> None:
    bay = charger.bays[0]
    charger.plug_in(bay, visit_of(), NOW)
    run(charger, None, 25)
    assert bay.status == "Charging"
    assert any(call.kind == "start" and call.is_durable for call in charger.outbox)


def reserve(charger: SimCharger, bay: Bay, token: str, number: int = 7) -> Any:
    until = (NOW + timedelta(minutes=30)).isoformat()
    if charger.dialect.subprotocol == "ocpp1.6":
        payload = {"connectorId": bay.number, "expiryDate": until, "idTag": token, "reservationId": number}
    else:
        id_token = {"idToken": token, "type": "ISO14443"}
        payload = {"id": number, "expiryDateTime": until, "idToken": id_token, "evseId": bay.number}
    return charger.on_call("ReserveNow", payload, NOW)


def test_a_reservation_keeps_others_out_and_lets_its_vehicle_in(charger: SimCharger) -> None:
    system, bay = System(), charger.bays[0]
    now = run(charger, system, 2)
    assert reserve(charger, bay, "NL0001") == {"status": "Accepted"}
    assert bay.status == "Reserved"
    assert reserve(charger, bay, "NL0002", number=8) == {"status": "Occupied"}
    charger.plug_in(bay, visit_of("NL0002"), now)
    now = run(charger, system, 2, now)
    assert bay.visit is not None and not bay.visit.is_running
    charger.leave(bay, now)
    charger.plug_in(bay, visit_of("NL0001"), now)
    run(charger, system, 2, now)
    assert bay.visit is not None and bay.visit.reservation == "7"
    assert_valid(charger, system)


def test_a_cancelled_reservation_is_gone(charger: SimCharger) -> None:
    reserve(charger, charger.bays[0], "NL0001")
    assert charger.on_call("CancelReservation", {"reservationId": 7}, NOW) == {"status": "Accepted"}
    assert charger.bays[0].booking is None
    assert charger.on_call("CancelReservation", {"reservationId": 7}, NOW) == {"status": "Rejected"}


def test_a_fault_ends_the_session_and_clears(charger: SimCharger) -> None:
    system, bay = System(), charger.bays[0]
    now = run(charger, system, 2)
    charger.plug_in(bay, visit_of(), now)
    now = run(charger, system, 10, now)
    charger.break_down(bay, "GroundFailure", now, now + timedelta(seconds=20))
    now = run(charger, system, 2, now)
    assert bay.status == "Faulted"
    assert bay.visit is not None and bay.visit.state == ENDED
    run(charger, system, 25, now)
    assert bay.fault == ""
    assert_valid(charger, system)


def test_an_unknown_command_is_not_understood(charger: SimCharger) -> None:
    assert charger.on_call("PublishFirmware", {}, NOW) is None
