"""Nothing that opens a door or names a person is kept of a frame; everything else is, word for word."""

import orjson
import pytest

from ocpp_bridge.recorder import _redacted, hash_tag
from ocpp_bridge.redaction import REMOVED, needs_reading, redact_frame

SECRETS = [
    ("ChangeConfiguration", {"key": "AuthorizationKey", "value": "S3CR3T-4711"}),
    ("ChangeConfiguration", {"key": "authorizationkey", "value": "S3CR3T-4711"}),
    ("DataTransfer", {"vendorId": "x", "data": '{"idTag":"S3CR3T-4711","wifiPassword":"S3CR3T-4711"}'}),
    ("DataTransfer", {"vendorId": "x", "data": '{"idTag":"S3CR3T-4711", broken'}),
    ("SetVariables", {"setVariableData": [
        {"attributeValue": "S3CR3T-4711", "component": {"name": "S"}, "variable": {"name": "BasicAuthPassword"}}
    ]}),
    ("NotifyReport", {"requestId": 1, "reportData": [
        {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"},
         "variableAttribute": [{"value": "S3CR3T-4711"}]}
    ]}),
    ("SetNetworkProfile", {"connectionData": {
        "vpn": {"server": "v", "user": "u", "password": "S3CR3T-4711", "key": "S3CR3T-4711", "type": "IPSec"}
    }}),
    ("SetNetworkProfile", {"connectionData": {"apn": {"apn": "iot", "simPin": "S3CR3T-4711"}}}),
    ("UpdateFirmware", {"location": "ftp://user:S3CR3T-4711@files.example/fw.bin"}),
    ("GetDiagnostics", {"location": "https://files.example/up/S3CR3T-4711?token=S3CR3T-4711"}),
    ("Authorize", {"idTag": "S3CR3T-4711"}),
    ("Authorize", {"idToken": {"idToken": "S3CR3T-4711", "type": "ISO14443",
                               "additionalInfo": [{"additionalIdToken": "S3CR3T-4711", "type": "x"}]}}),
    ("SendLocalList", {"localAuthorizationList": [
        {"idTag": "S3CR3T-4711", "idTagInfo": {"parentIdTag": "S3CR3T-4711"}}
    ]}),
    ("MeterValues", {"connectorId": 1, "meterValue": [
        {"sampledValue": [{"format": "SignedData", "value": 'OCMF|{"FV":"1.0","ID":"S3CR3T-4711"}|{"SD":"3045"}'}]}
    ]}),
    ("CustomerInformation", {"requestId": 1, "report": True, "clear": False, "customerIdentifier": "S3CR3T-4711"}),
    ("Get15118EVCertificate", {"exiRequest": "S3CR3T-4711"}),
    ("InstallCertificate", {"certificate": "-----BEGIN PRIVATE KEY-----\nS3CR3T-4711\n-----END PRIVATE KEY-----"}),
]  # fmt: skip


@pytest.mark.parametrize(("action", "payload"), SECRETS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_secret_is_never_kept(action: str, payload: dict) -> None:
    kept = _redacted(orjson.dumps([2, "m1", action, payload]).decode())
    assert "4711" not in kept
    assert orjson.loads(kept)[:3] == [2, "m1", action]


def test_what_is_no_secret_is_kept_word_for_word() -> None:
    frame = '[2, "m1",  "StatusNotification", {"connectorId":1,"errorCode":"NoError","status":"Available"}]'
    assert _redacted(frame) == frame


def test_equal_tags_stay_recognisable_in_any_case_and_fit_their_field() -> None:
    assert hash_tag("AbC1") == hash_tag("abc1") != hash_tag("abc2")
    assert len(hash_tag("AbC1")) <= 20
    frame = orjson.loads(_redacted('[2,"1","StartTransaction",{"connectorId":1,"idTag":"AbC1","meterStart":5}]'))
    assert frame[3] == {"connectorId": 1, "idTag": hash_tag("abc1"), "meterStart": 5}


def test_a_reported_configuration_keeps_its_harmless_values() -> None:
    frame = orjson.loads(_redacted(orjson.dumps([3, "m1", {"configurationKey": [
        {"key": "HeartbeatInterval", "readonly": False, "value": "300"},
        {"key": "AuthorizationKey", "readonly": False, "value": "S3CR3T-4711"},
    ]}]).decode()))  # fmt: skip
    assert [entry["value"] for entry in frame[2]["configurationKey"]] == ["300", REMOVED]


@pytest.mark.parametrize(
    "text",
    [
        '[2,"m","Authorize",{"idTag":"S3CR3T-4711"',
        '{"idToken" : "S3CR3T-4711", ',
        '[2,"m","Authorize",{"id\\u0054ag":"S3CR3T-4711"}]',
        '[2,"m","X",{"key":"AuthorizationKey","value":"S3CR3T-4711"',
        '[4,"m","PropertyConstraintViolation","idTag: \\"S3CR3T-4711\\" is longer than 20 characters",{}]',
    ],
)
def test_broken_and_disguised_frames_do_not_leak_either(text: str) -> None:
    assert "4711" not in _redacted(text)


@pytest.mark.parametrize("message_id", ["", "m", "idTag", "dTag", "S3CR3T-4711"])
def test_what_an_id_is_said_to_be_hides_nothing(message_id: str) -> None:
    """The id is left out when frames are compared, and only where it stands: not in a frame that has none."""
    for text in ('{"idToken" : "S3CR3T-4711", ', '[2,"m","Authorize",{"idTag":"S3CR3T-4711"}]'):
        assert "4711" not in _redacted(text, message_id)


def test_a_refusal_as_short_as_an_empty_answer_is_read_too() -> None:
    assert "4711" not in _redacted('[4,"m","FormationViolation","idTag \\"S4711\\"",{}]', "m")


def test_what_is_said_of_a_customer_is_not_kept() -> None:
    said = {"data": "idToken: 04AABBCCDD, name Asha Rao", "seqNo": 0, "requestId": 1}
    (_, _, _, kept) = redact_frame([2, "m1", "NotifyCustomerInformation", said], hash_tag)
    assert kept == {**said, "data": REMOVED}
    assert needs_reading(str(["NotifyCustomerInformation", said]))
