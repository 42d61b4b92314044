"""Every action in the words of every version: fits the official schema, or says plainly that it cannot be said."""

import copy
from pathlib import Path
from typing import Any

import pytest

from ocpp_bridge import actions, vocabulary
from ocpp_bridge.dialects import DIALECTS, Dialect
from ocpp_bridge.models import Command
from ocpp_bridge.saying import NotSupported
from ocpp_bridge.station import Unusable
from ocpp_bridge.v2 import words as v2
from ocpp_bridge.v16 import words as v16

A, S = Command.Action, Command.State
AT = "2030-01-01T00:00:00Z"
PROFILE = {
    "profile_id": 7, "stack_level": 1, "purpose": "tx", "kind": "absolute", "unit": "W", "start_at": AT,
    "periods": [{"start_seconds": 0, "limit": "7400.09"}, {"start_seconds": 600, "limit": 0, "phases": 3}],
    "duration_seconds": 3600, "valid_from": AT, "valid_to": "2030-01-02T05:30:00+05:30", "min_charging_rate": 1380,
}  # fmt: skip
HASH = {"hash_algorithm": "SHA256", "issuer_name_hash": "aa", "issuer_key_hash": "bb", "serial_number": "01"}
FIRMWARE = {
    "request_id": 5, "location": "https://files.example/fw.bin", "retrieve_at": AT, "retries": 2,
    "retry_interval_seconds": 60,
}  # fmt: skip
SIGNED = FIRMWARE | {"signing_certificate": "PEM", "signature": "c2ln", "install_at": AT}
VARIABLES = [{"component": "TxCtrlr", "variable": "EVConnectionTimeOut", "value": 90, "evse_number": 1}]
TARIFF = {"tariffId": "t1", "currency": "INR", "energy": {"prices": [{"priceKwh": 18.5}]}}
MONITOR = {
    "component": "EVSE", "evse_number": 1, "variable": "Power", "kind": "upper", "value": "60000.5", "severity": 4,
}  # fmt: skip
NETWORK = {"url": "wss://csms.example/ocpp", "interface": "wireless0", "security_profile": 2, "timeout_seconds": 30}
EXAMPLES: dict[str, dict[str, Any]] = {
    A.REMOTE_START: {"id_token": "TAG1", "evse_number": 1, "remote_start_id": 9, "charging_profile": PROFILE},
    A.REMOTE_STOP: {"transaction_ref": "12"},
    A.RESERVE_NOW: {"evse_number": 1, "id_token": "T", "reservation_number": 77, "expires_at": AT, "group_id": "G"},
    A.CANCEL_RESERVATION: {"reservation_number": 77},
    A.TRIGGER_MESSAGE: {"message": "StatusNotification", "evse_number": 1},
    A.RESET: {"kind": "soft"},
    A.CHANGE_AVAILABILITY: {"is_operative": False, "evse_number": 1},
    A.UNLOCK_CONNECTOR: {"evse_number": 1},
    A.CLEAR_CACHE: {},
    A.GET_CONFIGURATION: {"keys": ["HeartbeatInterval"]},
    A.CHANGE_CONFIGURATION: {"key": "HeartbeatInterval", "value": 300},
    A.GET_VARIABLES: {"variables": VARIABLES},
    A.SET_VARIABLES: {"variables": VARIABLES},
    A.GET_BASE_REPORT: {"request_id": 5},
    A.GET_REPORT: {"request_id": 5, "variables": [{"component": "Connector"}], "criteria": ["problem"]},
    A.SEND_LOCAL_LIST: {
        "version": 3, "update": "differential",
        "entries": [{"id_token": "T", "status": "accepted", "expires_at": AT, "group_id": "G"}, {"id_token": "GONE"}],
    },
    A.GET_LOCAL_LIST_VERSION: {},
    A.SET_CHARGING_PROFILE: {"evse_number": 1, "transaction_ref": "12", "charging_profile": PROFILE},
    A.CLEAR_CHARGING_PROFILE: {"evse_number": 0, "purpose": "station_max"},
    A.GET_COMPOSITE_SCHEDULE: {"evse_number": 0, "duration_seconds": 600, "unit": "A"},
    A.GET_CHARGING_PROFILES: {"request_id": 5, "evse_number": 0, "purpose": "tx", "profile_id": 7},
    A.UPDATE_FIRMWARE: FIRMWARE,
    A.SIGNED_UPDATE_FIRMWARE: SIGNED,
    A.GET_DIAGNOSTICS: {"request_id": 5, "location": "https://files.example/up", "oldest_at": AT, "latest_at": AT},
    A.GET_LOG: {"request_id": 5, "location": "https://files.example/up", "log_type": "security"},
    A.INSTALL_CERTIFICATE: {"certificate_type": "csms_root", "certificate": "PEM"},
    A.DELETE_CERTIFICATE: {"certificate_hash": HASH},
    A.GET_INSTALLED_CERTIFICATE_IDS: {"certificate_types": ["csms_root"]},
    A.CERTIFICATE_SIGNED: {"certificate_chain": "PEM"},
    A.DATA_TRANSFER: {"vendor_id": "org.example", "message_id": "m", "data": {"vendor_key": 1}},
    A.GET_TRANSACTION_STATUS: {"transaction_ref": "12"},
    A.COST_UPDATED: {"transaction_ref": "12", "total_cost": "123.45", "at": AT, "meter_wh": 4000},
    A.SET_DISPLAY_MESSAGE: {"message_number": 1, "text": "Namaste", "display_state": "charging", "starts_at": AT},
    A.CLEAR_DISPLAY_MESSAGE: {"message_number": 1},
    A.GET_DISPLAY_MESSAGES: {"request_id": 5},
    A.GET_MONITORING_REPORT: {"request_id": 5, "criteria": ["delta"]},
    A.SET_MONITORING_BASE: {"base": "all"},
    A.SET_MONITORING_LEVEL: {"severity": 3},
    A.CLEAR_VARIABLE_MONITORING: {"monitor_ids": [4]},
    A.SET_DEFAULT_TARIFF: {"evse_number": 0, "tariff": TARIFF},
    A.GET_TARIFFS: {"evse_number": 0},
    A.CLEAR_TARIFFS: {},
    A.SET_VARIABLE_MONITORING: {"monitors": [MONITOR]},
    A.SET_NETWORK_PROFILE: {"slot": 1, "network_profile": NETWORK},
    A.PUBLISH_FIRMWARE: {"request_id": 5, "location": "https://files.example/fw", "checksum": "0" * 32},
    A.UNPUBLISH_FIRMWARE: {"checksum": "0" * 32},
    A.CUSTOMER_INFORMATION: {"request_id": 5, "id_token": "TAG1", "is_deleted": True},
    A.CHANGE_TRANSACTION_TARIFF: {"transaction_ref": "12", "tariff": TARIFF},
}  # fmt: skip
SPEAKERS = {"ocpp1.6": v16.command, "ocpp2.0.1": v2.command, "ocpp2.1": v2.command_21}
ONLY_21 = {A.SET_DEFAULT_TARIFF, A.GET_TARIFFS, A.CLEAR_TARIFFS, A.CHANGE_TRANSACTION_TARIFF}
ONLY_2 = ONLY_21 | {
    A.GET_VARIABLES, A.SET_VARIABLES, A.GET_BASE_REPORT, A.GET_REPORT, A.GET_CHARGING_PROFILES,
    A.GET_TRANSACTION_STATUS, A.SET_DISPLAY_MESSAGE, A.CLEAR_DISPLAY_MESSAGE, A.GET_DISPLAY_MESSAGES,
    A.GET_MONITORING_REPORT, A.SET_MONITORING_BASE, A.SET_MONITORING_LEVEL, A.CLEAR_VARIABLE_MONITORING,
    A.SET_VARIABLE_MONITORING, A.SET_NETWORK_PROFILE, A.PUBLISH_FIRMWARE, A.UNPUBLISH_FIRMWARE, A.CUSTOMER_INFORMATION,
}  # fmt: skip
UNSAYABLE = {"ocpp1.6": ONLY_2, "ocpp2.0.1": ONLY_21, "ocpp2.1": set[str]()}


def test_every_action_has_terms_and_an_example() -> None:
    assert set(actions.TERMS) == set(A.values) == set(EXAMPLES)
    assert {action for action in A.values if actions.missing(action, EXAMPLES[action])} == set()


@pytest.mark.parametrize("action", A.values)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.subprotocol)
def test_what_is_said_fits_the_official_schema(dialect: Dialect, action: str) -> None:
    parameters = copy.deepcopy(EXAMPLES[action])
    if action in UNSAYABLE[dialect.subprotocol]:
        with pytest.raises(NotSupported, match=f"not_supported by OCPP {dialect.subprotocol.removeprefix('ocpp')}"):
            SPEAKERS[dialect.subprotocol](action, parameters)
        return
    wire_action, payload = SPEAKERS[dialect.subprotocol](action, parameters)
    assert dialect.request_error(wire_action, payload) is None
    assert parameters == EXAMPLES[action]


@pytest.mark.parametrize(
    ("action", "changes", "words"),
    [
        (A.SET_NETWORK_PROFILE, {"network_profile": NETWORK | {"url": "https://csms.example"}}, "wss://"),
        (A.SET_NETWORK_PROFILE, {"network_profile": NETWORK | {"url": "ws://csms.example"}}, "2 and 3 need wss://"),
        (A.CUSTOMER_INFORMATION, {"customer": "C-1"}, "about one"),
        (A.CUSTOMER_INFORMATION, {"id_token": ""}, "about one"),
    ],
)
@pytest.mark.parametrize("speak", [v2.command, v2.command_21])
def test_what_no_charger_of_version_2_should_hear(speak: Any, action: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Unusable, match=words):
        speak(action, EXAMPLES[action] | changes)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"status": "Unpublished"}, "accepted"),
        ({"status": "NoFirmware"}, "accepted"),
        ({"status": "DownloadOngoing"}, "rejected"),
        ({"status": "TxNotFound"}, "rejected"),
        ({"setMonitoringResult": [{"status": "Accepted"}, {"status": "Duplicate"}]}, "rejected"),
    ],
)
def test_the_answers_to_rarer_commands(answer: dict[str, Any], state: str) -> None:
    assert actions.judge(A.UNPUBLISH_FIRMWARE, answer)[0] == state


def test_a_profile_in_both_families() -> None:
    wanted = {"evse_number": 1, "transaction_ref": "12", "charging_profile": PROFILE}
    schedule = {
        "chargingRateUnit": "W",
        "duration": 3600,
        "startSchedule": "2030-01-01T00:00:00.000Z",
        "minChargingRate": 1380.0,
        "chargingSchedulePeriod": [
            {"startPeriod": 0, "limit": 7400.0},
            {"startPeriod": 600, "limit": 0.0, "numberPhases": 3},
        ],
    }
    valid = {"validFrom": "2030-01-01T00:00:00.000Z", "validTo": "2030-01-02T00:00:00.000Z"}
    common = {"stackLevel": 1, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute", **valid}
    assert v16.command(A.SET_CHARGING_PROFILE, wanted)[1] == {
        "connectorId": 1,
        "csChargingProfiles": {"chargingProfileId": 7, "transactionId": 12, "chargingSchedule": schedule, **common},
    }
    assert v2.command(A.SET_CHARGING_PROFILE, wanted)[1] == {
        "evseId": 1,
        "chargingProfile": {"id": 7, "transactionId": "12", "chargingSchedule": [{"id": 7, **schedule}], **common},
    }


@pytest.mark.parametrize(
    ("evse_number", "changes", "words"),
    [
        (1, {"purpose": "station_max"}, "evse_number 0"),
        (0, {"purpose": "tx"}, "running transaction"),
        (1, {"kind": "recurring"}, "daily or weekly"),
        (1, {"kind": "relative"}, "no start_at"),
        (1, {"start_at": None}, "needs start_at"),
        (1, {"periods": []}, "begin at 0"),
        (1, {"periods": [{"start_seconds": 5, "limit": 1}]}, "begin at 0"),
        (1, {"periods": [{"start_seconds": 0, "limit": 1}, {"start_seconds": 0, "limit": 2}]}, "follow each other"),
        (1, {"periods": [{"start_seconds": 0, "limit": -1}]}, "no limit"),
        (1, {"periods": [{"start_seconds": 0, "limit": "NaN"}]}, "no limit"),
        (1, {"unit": None}, "missing parameter unit"),
        (1, {"purpose": "nonsense"}, "missing parameter"),
    ],
)
@pytest.mark.parametrize("speak", [v16.command, v2.command, v2.command_21])
def test_rule_34_a_profile_that_no_charger_may_be_given(
    speak: Any, evse_number: int, changes: dict[str, Any], words: str
) -> None:
    wanted = {"evse_number": evse_number, "transaction_ref": "12", "charging_profile": PROFILE | changes}
    if changes == {"unit": None}:
        del wanted["charging_profile"]["unit"]  # type: ignore[attr-defined]
    with pytest.raises(Unusable, match=words):
        speak(A.SET_CHARGING_PROFILE, wanted)


@pytest.mark.parametrize(
    ("action", "parameters", "words"),
    [
        (A.RESET, {"kind": "hard", "evse_number": 1}, "not_supported by OCPP 1.6: one EVSE alone"),
        (A.TRIGGER_MESSAGE, {"message": "TransactionEvent"}, "not_supported by OCPP 1.6: TransactionEvent"),
        (A.UPDATE_FIRMWARE, FIRMWARE | {"install_at": AT}, "install_at without a signature"),
        (A.INSTALL_CERTIFICATE, {"certificate_type": "v2g_root", "certificate": "x"}, "certificate type v2g_root"),
        (A.GET_INSTALLED_CERTIFICATE_IDS, {"certificate_types": ["csms_root", "v2g_root"]}, "more than one"),
        (A.CERTIFICATE_SIGNED, {"certificate_chain": "x", "certificate_type": "v2g"}, "station's own"),
    ],
)
def test_what_16_has_no_words_for_is_said_so(action: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(NotSupported, match=words):
        v16.command(action, parameters)


def test_triggers_and_firmware_find_the_white_papers_messages() -> None:
    assert v16.command(A.TRIGGER_MESSAGE, {"message": "SignChargingStationCertificate"}) == (
        "ExtendedTriggerMessage",
        {"requestedMessage": "SignChargePointCertificate"},
    )
    assert v16.command(A.UPDATE_FIRMWARE, SIGNED)[0] == "SignedUpdateFirmware"
    assert v2.command(A.TRIGGER_MESSAGE, {"message": "DiagnosticsStatusNotification"})[1] == {
        "requestedMessage": "LogStatusNotification"
    }


def test_any_evse_is_said_as_each_version_wants_it() -> None:
    anywhere = EXAMPLES[A.RESERVE_NOW] | {"evse_number": 0}
    assert v16.command(A.RESERVE_NOW, anywhere)[1]["connectorId"] == 0
    assert "evseId" not in v2.command(A.RESERVE_NOW, anywhere)[1]


def test_configuration_keys_become_variables() -> None:
    wanted = {"keys": ["TransactionMessageAttempts", "Connector[left].Power", "ChargingStation.Model[x]"]}
    named = list(v2.command(A.GET_CONFIGURATION, wanted)[1]["getVariableData"])
    assert named == [
        {
            "component": {"name": "OCPPCommCtrlr"},
            "variable": {"name": "MessageAttempts", "instance": "TransactionEvent"},
        },
        {"component": {"name": "Connector", "instance": "left"}, "variable": {"name": "Power"}},
        {"component": {"name": "ChargingStation"}, "variable": {"name": "Model", "instance": "x"}},
    ]
    for keys in (["GetConfigurationMaxKeys"], []):
        with pytest.raises(NotSupported):
            v2.command(A.GET_CONFIGURATION, {"keys": keys})


def test_an_empty_full_list_clears_the_chargers_list() -> None:
    nothing = {"version": 1, "update": "full", "entries": []}
    assert v16.command(A.SEND_LOCAL_LIST, nothing)[1]["localAuthorizationList"] == []
    assert "localAuthorizationList" not in v2.command(A.SEND_LOCAL_LIST, nothing)[1]


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        ({"status": "Accepted"}, S.ACCEPTED, ""),
        ({"status": "Unlocked"}, S.ACCEPTED, ""),
        ({"status": "RebootRequired"}, S.ACCEPTED, "RebootRequired"),
        ({"status": "Scheduled"}, S.ACCEPTED, "Scheduled"),
        ({"status": "Unknown"}, S.ACCEPTED, "Unknown"),
        ({"status": "Rejected", "statusInfo": {"reasonCode": "TxInProgress"}}, S.REJECTED, "Rejected: TxInProgress"),
        ({"status": "NotImplemented"}, S.REJECTED, "NotImplemented"),
        ({"status": 5}, S.REJECTED, "5"),
        ({}, S.ACCEPTED, ""),
        ({"listVersion": 3}, S.ACCEPTED, ""),
        ({"configurationKey": [{"key": "a", "readonly": True}], "unknownKey": ["b"]}, S.ACCEPTED, ""),
        ({"setVariableResult": [{"attributeStatus": "Accepted"}, {"attributeStatus": "RebootRequired"}]},
         S.ACCEPTED, "RebootRequired"),
        ({"setVariableResult": [{"attributeStatus": "Accepted"}, {"attributeStatus": "UnknownVariable"}]},
         S.REJECTED, "UnknownVariable"),
        ({"getVariableResult": [{"attributeStatus": "Accepted"}, {"attributeStatus": "UnknownVariable"}]},
         S.ACCEPTED, "UnknownVariable"),
        ({"clearMonitoringResult": [{"status": "NotFound", "id": 1}]}, S.ACCEPTED, "NotFound"),
        (["odd"], S.REJECTED, "Unreadable answer"),
        (None, S.REJECTED, "Unreadable answer"),
    ],
)  # fmt: skip
def test_the_answer_decides(answer: object, state: str, reason: str) -> None:
    assert actions.judge(A.RESET, answer) == (state, reason)


def test_the_table_in_the_docs_is_the_codes() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/ocpp.md").read_text()
    assert vocabulary.markdown() in page, vocabulary.markdown()
