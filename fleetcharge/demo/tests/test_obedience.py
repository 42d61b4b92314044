"""What a simulated charger does when it is asked, in every version; answers and reports fit the official schemas."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from jsonschema_rs import validator_for
from ocpp.messages import MessageType, get_validator

from fleetcharge.demo.bays import PLUGGED
from fleetcharge.demo.charger import SimCharger
from fleetcharge.demo.quirks import Quirk
from fleetcharge.demo.tests.factories import NOW, System, city_of
from fleetcharge.demo.tests.test_charger import VERSION, assert_valid, run, visit_of
from fleetcharge.demo.wording import instant


@pytest.fixture(params=["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def charger(request: pytest.FixtureRequest) -> SimCharger:
    city = city_of(vehicles=1)
    return next(
        one for one in city.chargers.values()
        if one.dialect.subprotocol == request.param and one.bays[0].is_dc and not one.quirks
    )  # fmt: skip


def is_16(charger: SimCharger) -> bool:
    return charger.dialect.subprotocol == "ocpp1.6"


def ask(charger: SimCharger, action: str, payload: dict[str, Any], now: datetime = NOW) -> dict[str, Any]:
    """Our request and its answer, both checked against the specification."""
    version = VERSION[charger.dialect.subprotocol]
    validator_for(get_validator(MessageType.Call, action, version).schema).validate(payload)
    answer = charger.on_call(action, payload, now)
    assert answer is not None, action
    validator_for(get_validator(MessageType.CallResult, action, version).schema).validate(answer)
    return answer


def charging(charger: SimCharger) -> tuple[System, datetime]:
    system = System()
    now = run(charger, system, 2)
    charger.plug_in(charger.bays[0], visit_of(), now)
    return system, run(charger, system, 5, now)


def set_limit(charger: SimCharger, purpose: str, evse: int, watts: float, *, level: int = 0, number: int = 1) -> Any:
    schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": watts}]}
    profile: dict[str, Any] = {"stackLevel": level, "chargingProfilePurpose": purpose}
    visit = charger.bays[0].visit
    if is_16(charger):
        profile |= {"chargingProfileId": number, "chargingProfileKind": "Absolute", "chargingSchedule": schedule}
        schedule["startSchedule"] = instant(NOW)
        if purpose == "TxProfile" and visit:
            profile["transactionId"] = int(visit.transaction_ref)
        return ask(charger, "SetChargingProfile", {"connectorId": evse, "csChargingProfiles": profile})
    profile |= {"id": number, "chargingProfileKind": "Absolute", "chargingSchedule": [{**schedule, "id": number}]}
    profile["chargingSchedule"][0]["startSchedule"] = instant(NOW)
    if purpose == "TxProfile" and visit:
        profile["transactionId"] = visit.transaction_ref
    return ask(charger, "SetChargingProfile", {"evseId": evse, "chargingProfile": profile})


def station_max(charger: SimCharger) -> str:
    return "ChargePointMaxProfile" if is_16(charger) else "ChargingStationMaxProfile"


def test_power_follows_the_lowest_purpose_and_the_highest_level(charger: SimCharger) -> None:
    system, now = charging(charger)
    bay = charger.bays[0]
    free_w = bay.visit.power_w if bay.visit else 0
    assert free_w > 20_000
    assert set_limit(charger, "TxDefaultProfile", 0, 20_000, number=1)["status"] == "Accepted"
    assert set_limit(charger, "TxProfile", 1, 11_000, number=2)["status"] == "Accepted"
    assert set_limit(charger, "TxProfile", 1, 9_000, level=3, number=3)["status"] == "Accepted"
    run(charger, system, 3, now)
    assert bay.visit is not None and bay.visit.power_w == 9_000
    assert set_limit(charger, station_max(charger), 0, 7_000, number=4)["status"] == "Accepted"
    run(charger, system, 3, now)
    assert bay.visit.power_w == 7_000
    clear = {"id": 4} if is_16(charger) else {"chargingProfileId": 4}
    assert ask(charger, "ClearChargingProfile", clear) == {"status": "Accepted"}
    assert ask(charger, "ClearChargingProfile", clear) == {"status": "Unknown"}
    run(charger, system, 3, now)
    assert bay.visit.power_w == 9_000


def test_a_tx_profile_needs_a_session_and_goes_with_it(charger: SimCharger) -> None:
    assert set_limit(charger, "TxProfile", 1, 11_000)["status"] == "Rejected"
    assert set_limit(charger, station_max(charger), 1, 11_000)["status"] == "Rejected"
    _, now = charging(charger)
    assert set_limit(charger, "TxProfile", 1, 11_000)["status"] == "Accepted"
    charger.leave(charger.bays[0], now)
    assert charger.profiles == []


def test_a_limit_of_zero_suspends_and_does_not_fill(charger: SimCharger) -> None:
    system, now = charging(charger)
    set_limit(charger, "TxProfile", 1, 0)
    run(charger, system, 10, now)
    bay = charger.bays[0]
    assert bay.visit is not None and bay.visit.is_running and bay.visit.power_w == 0
    assert bay.status == "SuspendedEVSE"


def test_the_composite_schedule_is_what_is_delivered(charger: SimCharger) -> None:
    charging(charger)
    set_limit(charger, "TxDefaultProfile", 0, 20_000)
    key = "connectorId" if is_16(charger) else "evseId"
    answer = ask(charger, "GetCompositeSchedule", {key: 1, "duration": 600})
    schedule = answer["chargingSchedule"] if is_16(charger) else answer["schedule"]
    assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 20_000}]
    charger.quirks = {Quirk.ABSURD_COMPOSITE_SCHEDULE}
    answer = charger.on_call("GetCompositeSchedule", {key: 1, "duration": 600}, NOW) or {}
    schedule = answer["chargingSchedule"] if is_16(charger) else answer["schedule"]
    assert schedule["chargingSchedulePeriod"][0]["limit"] == -1
    charger.quirks = {Quirk.REJECTS_PROFILES}
    assert set_limit(charger, "TxDefaultProfile", 0, 20_000)["status"] == "Rejected"


def send_list(charger: SimCharger, version: int, kind: str, **tokens: str | None) -> str:
    if is_16(charger):
        rows = [{"idTag": uid, **({"idTagInfo": {"status": one}} if one else {})} for uid, one in tokens.items()]
        payload: dict[str, Any] = {"listVersion": version}
    else:
        rows = [
            {"idToken": {"idToken": uid, "type": "ISO14443"}, **({"idTokenInfo": {"status": one}} if one else {})}
            for uid, one in tokens.items()
        ]
        payload = {"versionNumber": version}
    payload |= {"updateType": kind, **({"localAuthorizationList": rows} if rows else {})}
    return str(ask(charger, "SendLocalList", payload)["status"])


def test_the_local_list_decides_while_nobody_answers(charger: SimCharger) -> None:
    assert send_list(charger, 3, "Full", NL0001="Accepted", NL0002="Blocked") == "Accepted"
    assert send_list(charger, 3, "Differential", NL0003="Accepted") == "VersionMismatch"
    assert send_list(charger, 4, "Differential", NL0003="Accepted") == "Accepted"
    assert list(ask(charger, "GetLocalListVersion", {}).values()) == [4]
    charger.plug_in(charger.bays[0], visit_of("NL0001"), NOW)
    run(charger, None, 1)
    assert charger.bays[0].visit is not None and charger.bays[0].visit.is_running
    charger.leave(charger.bays[0], NOW)
    charger.plug_in(charger.bays[0], visit_of("NL0002"), NOW)
    run(charger, None, 40)
    assert charger.bays[0].visit is not None and not charger.bays[0].visit.is_running


def test_switched_off_after_the_session_that_runs(charger: SimCharger) -> None:
    system, now = charging(charger)
    if is_16(charger):
        off: dict[str, Any] = {"connectorId": 1, "type": "Inoperative"}
        on = {**off, "type": "Operative"}
    else:
        off = {"evse": {"id": 1}, "operationalStatus": "Inoperative"}
        on = {**off, "operationalStatus": "Operative"}
    assert ask(charger, "ChangeAvailability", off) == {"status": "Scheduled"}
    assert charger.bays[0].status == "Charging"
    charger.leave(charger.bays[0], now)
    assert charger.bays[0].status == "Unavailable"
    charger.plug_in(charger.bays[0], visit_of(), now)
    run(charger, system, 30, now)
    assert charger.bays[0].visit is not None and not charger.bays[0].visit.is_running
    charger.leave(charger.bays[0], now)
    assert ask(charger, "ChangeAvailability", on) == {"status": "Accepted"}
    assert charger.bays[0].status == "Available"
    assert_valid(charger, system)


def test_a_reset_ends_sessions_and_boots_again(charger: SimCharger) -> None:
    system, now = charging(charger)
    kind = "Hard" if is_16(charger) else "Immediate"
    assert ask(charger, "Reset", {"type": kind}, now)["status"] == "Accepted"
    assert charger.restart_at == now + timedelta(seconds=3)
    charger.disconnected()
    run(charger, system, 3, now)
    assert [action for _, action, _ in system.heard].count("BootNotification") == 2
    assert charger.finished[-1]["is_acknowledged"]
    assert_valid(charger, system)


def test_settings_are_read_changed_and_used(charger: SimCharger) -> None:
    if is_16(charger):
        assert ask(charger, "ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "60"}) == {
            "status": "Accepted"
        }
        assert ask(charger, "ChangeConfiguration", {"key": "NumberOfConnectors", "value": "9"})["status"] == "Rejected"
        assert ask(charger, "ChangeConfiguration", {"key": "Nonsense", "value": "9"})["status"] == "NotSupported"
        answer = ask(charger, "GetConfiguration", {"key": ["MeterValueSampleInterval", "Nonsense"]})
        assert answer["configurationKey"] == [{"key": "MeterValueSampleInterval", "readonly": False, "value": "60"}]
        assert answer["unknownKey"] == ["Nonsense"]
    else:
        named = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "TxUpdatedInterval"}}
        nonsense = {"component": {"name": "Nonsense"}, "variable": {"name": "Nonsense"}}
        answer = ask(charger, "SetVariables", {"setVariableData": [{**named, "attributeValue": "60"}]})
        assert answer["setVariableResult"][0]["attributeStatus"] == "Accepted"
        answer = ask(charger, "GetVariables", {"getVariableData": [named, nonsense]})
        assert [row["attributeStatus"] for row in answer["getVariableResult"]] == ["Accepted", "UnknownVariable"]
        assert answer["getVariableResult"][0]["attributeValue"] == "60"
    assert charger.meter_every == timedelta(seconds=60)


def test_a_base_report_comes_in_parts(charger: SimCharger) -> None:
    if is_16(charger):
        pytest.skip("OCPP 1.6 has no reports")
    system = System()
    run(charger, system, 2)
    assert ask(charger, "GetBaseReport", {"requestId": 7, "reportBase": "FullInventory"}) == {"status": "Accepted"}
    run(charger, system, 1)
    parts = system.payloads("NotifyReport")
    assert [part["seqNo"] for part in parts] == list(range(len(parts)))
    assert [part["tbc"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert len(parts) > 1
    assert_valid(charger, system)


def test_firmware_is_loaded_installed_and_told(charger: SimCharger) -> None:
    system = System()
    now = run(charger, system, 2)
    at, url = instant(NOW), "https://fw.example/nc-5.0.1.bin"
    if is_16(charger):
        ask(charger, "UpdateFirmware", {"location": url, "retrieveDate": at}, now)
    else:
        firmware = {"location": url, "retrieveDateTime": at}
        ask(charger, "UpdateFirmware", {"requestId": 9, "firmware": firmware}, now)
    now = run(charger, system, 6, now)
    assert charger.restart_at is not None
    charger.disconnected()
    run(charger, system, 4, now)
    told = [payload["status"] for payload in system.payloads("FirmwareStatusNotification")]
    assert told == ["Downloading", "Downloaded", "Installing", "Installed"]
    boot = system.payloads("BootNotification")[-1]
    assert "5.0.1" in str(boot)
    assert_valid(charger, system)


def test_a_log_is_uploaded_and_told(charger: SimCharger) -> None:
    system = System()
    now = run(charger, system, 2)
    target = "https://logs.example/put"
    log = {"log": {"remoteLocation": target}, "logType": "DiagnosticsLog", "requestId": 4}
    assert ask(charger, "GetLog", log, now)["status"] == "Accepted"
    run(charger, system, 4, now)
    assert [one["status"] for one in system.payloads("LogStatusNotification")] == ["Uploading", "Uploaded"]
    assert charger.uploads[0][0] == target
    if is_16(charger):
        assert ask(charger, "GetDiagnostics", {"location": target}, now)["fileName"].endswith(".zip")
    assert_valid(charger, system)


def test_a_remote_start_needs_a_car(charger: SimCharger) -> None:
    if is_16(charger):
        action, payload = "RemoteStartTransaction", {"idTag": "NL0009", "connectorId": 1}
    else:
        token = {"idToken": "NL0009", "type": "Central"}
        action, payload = "RequestStartTransaction", {"idToken": token, "remoteStartId": 3, "evseId": 1}
    assert ask(charger, action, payload)["status"] == "Rejected"
    charger.plug_in(charger.bays[0], visit_of(), NOW)
    assert charger.bays[0].visit is not None and charger.bays[0].visit.state == PLUGGED
    assert ask(charger, action, payload)["status"] == "Accepted"
    assert charger.bays[0].visit.is_running
    charger.bays[0].visit = None
    charger.quirks = {Quirk.ACCEPTS_BUT_NEVER_STARTS}
    assert ask(charger, action, payload)["status"] == "Accepted"
