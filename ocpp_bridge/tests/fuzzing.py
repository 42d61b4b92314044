"""Real frames and what can go wrong with them on the way; all from a seeded generator, so every failure comes back."""

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

STAMP = "2026-11-21T10:00:00.000Z"
TOKEN = {"idToken": "TAG1", "type": "ISO14443"}
SAMPLE_16 = {"value": "10.5", "measurand": "Energy.Active.Import.Register", "unit": "kWh", "context": "Sample.Periodic"}
SAMPLE_2 = {
    "value": 10.5,
    "measurand": "Energy.Active.Import.Register",
    "unitOfMeasure": {"unit": "kWh", "multiplier": 0},
}
SIGNED_2 = {"value": 1, "signedMeterValue": {
    "signedMeterData": "T0NNRg==", "signingMethod": "", "encodingMethod": "OCMF", "publicKey": "",
}}  # fmt: skip
SCHEDULE = {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 11000.0}]}
COMPONENT = {"component": {"name": "EVSE", "evse": {"id": 1}}, "variable": {"name": "Power"}}

REAL_16: list[tuple[str, dict[str, Any]]] = [
    ("BootNotification", {
        "chargePointVendor": "Volt", "chargePointModel": "M1", "chargePointSerialNumber": "1", "firmwareVersion": "7",
    }),
    ("Heartbeat", {}),
    ("StatusNotification", {
        "connectorId": 1, "errorCode": "NoError", "status": "Charging", "timestamp": STAMP, "info": "x",
        "vendorErrorCode": "E1",
    }),
    ("Authorize", {"idTag": "TAG1"}),
    ("StartTransaction", {
        "connectorId": 1, "idTag": "TAG1", "meterStart": 100, "timestamp": STAMP, "reservationId": 7,
    }),
    ("StopTransaction", {
        "transactionId": 1, "meterStop": 900, "timestamp": STAMP, "idTag": "TAG1", "reason": "Local",
        "transactionData": [{"timestamp": STAMP, "sampledValue": [SAMPLE_16]}],
    }),
    ("MeterValues", {
        "connectorId": 1, "transactionId": 1,
        "meterValue": [{"timestamp": STAMP, "sampledValue": [SAMPLE_16, {"value": "55", "measurand": "SoC"}]}],
    }),
    ("DataTransfer", {"vendorId": "org.openchargealliance.costmsg", "messageId": "ConnectorUnplugged", "data": "{}"}),
    ("FirmwareStatusNotification", {"status": "Downloading"}),
    ("DiagnosticsStatusNotification", {"status": "Uploading"}),
    ("LogStatusNotification", {"status": "Uploading", "requestId": 1}),
    ("SignedFirmwareStatusNotification", {"status": "Installing", "requestId": 1}),
    ("SecurityEventNotification", {"type": "MemoryExhaustion", "timestamp": STAMP, "techInfo": "heap"}),
    ("SignCertificate", {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAA\n-----END CERTIFICATE REQUEST-----"}),
]  # fmt: skip
REAL_201: list[tuple[str, dict[str, Any]]] = [
    ("BootNotification", {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}),
    ("Heartbeat", {}),
    ("StatusNotification", {"timestamp": STAMP, "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1}),
    ("Authorize", {"idToken": TOKEN}),
    ("TransactionEvent", {
        "eventType": "Started", "timestamp": STAMP, "triggerReason": "Authorized", "seqNo": 0,
        "transactionInfo": {"transactionId": "t-1", "chargingState": "EVConnected", "remoteStartId": 5},
        "evse": {"id": 1, "connectorId": 1}, "idToken": TOKEN, "reservationId": 7,
        "meterValue": [{"timestamp": STAMP, "sampledValue": [SAMPLE_2]}],
    }),
    ("TransactionEvent", {
        "eventType": "Updated", "timestamp": STAMP, "triggerReason": "MeterValuePeriodic", "seqNo": 1,
        "transactionInfo": {"transactionId": "t-1", "chargingState": "Charging"},
        "meterValue": [{"timestamp": STAMP, "sampledValue": [SAMPLE_2, SIGNED_2]}],
    }),
    ("TransactionEvent", {
        "eventType": "Ended", "timestamp": STAMP, "triggerReason": "EVDeparted", "seqNo": 2, "offline": True,
        "transactionInfo": {"transactionId": "t-1", "stoppedReason": "EVDisconnected"},
        "meterValue": [{"timestamp": STAMP, "sampledValue": [SAMPLE_2]}],
    }),
    ("MeterValues", {"evseId": 1, "meterValue": [{"timestamp": STAMP, "sampledValue": [SAMPLE_2]}]}),
    ("DataTransfer", {"vendorId": "org.openchargealliance.costmsg", "messageId": "ConnectorUnplugged", "data": [1]}),
    ("NotifyReport", {
        "requestId": 1, "generatedAt": STAMP, "seqNo": 0, "tbc": True,
        "reportData": [{**COMPONENT, "variableAttribute": [{"value": "1"}]}],
    }),
    ("NotifyMonitoringReport", {"requestId": 2, "generatedAt": STAMP, "seqNo": 0}),
    ("NotifyCustomerInformation", {"requestId": 3, "generatedAt": STAMP, "seqNo": 0, "data": "x"}),
    ("NotifyEvent", {"generatedAt": STAMP, "seqNo": 0, "eventData": [{
        "eventId": 1, "timestamp": STAMP, "trigger": "Alerting", "actualValue": "9",
        "eventNotificationType": "HardWiredMonitor", **COMPONENT,
    }]}),
    ("ReportChargingProfiles", {"requestId": 4, "chargingLimitSource": "CSO", "evseId": 1, "chargingProfile": [{
        "id": 1, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute",
        "chargingSchedule": [SCHEDULE],
    }]}),
    ("ReservationStatusUpdate", {"reservationId": 7, "reservationUpdateStatus": "Expired"}),
    ("NotifyChargingLimit", {
        "evseId": 1, "chargingLimit": {"chargingLimitSource": "EMS"}, "chargingSchedule": [SCHEDULE],
    }),
    ("ClearedChargingLimit", {"chargingLimitSource": "EMS", "evseId": 1}),
    ("NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": {
        "requestedEnergyTransfer": "DC", "departureTime": STAMP,
        "dcChargingParameters": {"evMaxCurrent": 200, "evMaxVoltage": 400, "energyAmount": 9000, "stateOfCharge": 20},
    }}),
    ("NotifyEVChargingSchedule", {"timeBase": STAMP, "evseId": 1, "chargingSchedule": SCHEDULE}),
    ("NotifyDisplayMessages", {"requestId": 5, "messageInfo": []}),
    ("FirmwareStatusNotification", {"status": "Downloading", "requestId": 2}),
    ("PublishFirmwareStatusNotification", {"status": "Published", "location": ["http://x"], "requestId": 3}),
    ("LogStatusNotification", {"status": "Uploading", "requestId": 4}),
    ("SecurityEventNotification", {"type": "MemoryExhaustion", "timestamp": STAMP, "techInfo": "heap"}),
    ("SignCertificate", {"csr": "no", "certificateType": "V2GCertificate"}),
    ("GetCertificateStatus", {"ocspRequestData": {
        "hashAlgorithm": "SHA256", "issuerNameHash": "a", "issuerKeyHash": "b", "serialNumber": "1",
        "responderURL": "x",
    }}),
    ("Get15118EVCertificate", {"iso15118SchemaVersion": "x", "action": "Install", "exiRequest": "A"}),
]  # fmt: skip
REAL_21: list[tuple[str, dict[str, Any]]] = [
    *REAL_201,
    ("TransactionEvent", {
        "eventType": "Updated", "timestamp": STAMP, "triggerReason": "RunningCost", "seqNo": 3,
        "transactionInfo": {"transactionId": "t-1", "tariffId": "T"},
        "costDetails": {
            "totalCost": {"currency": "INR", "typeOfCost": "NormalCost", "total": {"exclTax": 1.5, "inclTax": 2.5}},
            "totalUsage": {"energy": 1.0, "chargingTime": 1, "idleTime": 0},
        },
    }),
    ("NotifySettlement", {
        "pspRef": "p", "status": "Settled", "settlementAmount": 1.5, "settlementTime": STAMP, "transactionId": "t-1",
    }),
    ("NotifyPriorityCharging", {"transactionId": "t-1", "activated": True}),
    ("NotifyDERAlarm", {"controlType": "VoltVar", "timestamp": STAMP}),
    ("NotifyDERStartStop", {"controlId": "c", "started": True, "timestamp": STAMP}),
    ("ReportDERControl", {"requestId": 6}),
    ("VatNumberValidation", {"vatNumber": "29ABCDE1234F1Z5", "evseId": 1}),
    ("PullDynamicScheduleUpdate", {"chargingProfileId": 1}),
    ("ClosePeriodicEventStream", {"id": 1}),
    ("OpenPeriodicEventStream", {"constantStreamData": {"id": 1, "params": {}, "variableMonitoringId": 2}}),
    ("GetCertificateChainStatus", {"certificateStatusRequests": [{
        "certificateHashData": {
            "hashAlgorithm": "SHA256", "issuerNameHash": "a", "issuerKeyHash": "b", "serialNumber": "1",
        },
        "source": "OCSP", "urls": ["http://x"],
    }]}),
]  # fmt: skip
REAL = {"ocpp1.6": REAL_16, "ocpp2.0.1": REAL_201, "ocpp2.1": REAL_21}

NASTY: list[Any] = [
    None, True, False, 0, -1, -5, 1, 2**15, 2**16, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 10**20, -(10**20), 10**40,
    0.0, -0.5, 1e-9, 1e20, 1e300, 118.005, "", " ", "0", "-1", "10", "1e3", "NaN", "Infinity", "x" * 21,
    "x" * 37, "x" * 256,
    "x" * 3000, "\x00", "a\x00b", "ಬೆಂಗಳೂರು", "😀" * 60, "\u202e", "' OR 1=1", "{}", "[[]]", "2026-11-21", "yesterday",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+23:59", "2026-11-21T10:00:00+99:00", "1969-12-31T23:59:59Z",
    "2030-01-01T00:00:00Z", "2026-02-30T00:00:00Z", {}, [], [[]], [None], [{}], {"": ""}, {"id": 1}, {"id": {"id": []}},
    [1] * 50, {"value": {"value": "1"}}, "TAG1", "Started", "Ended", "Updated", "Available", "Faulted", "Idle", "kWh",
]  # fmt: skip


def frame_of(pick: random.Random, version: str, message_id: Any) -> str:
    """A frame that was real once; a few in a hundred still are."""
    action, payload = pick.choice(REAL[version])
    message: list[Any] = [2, message_id, action, copy.deepcopy(payload)]
    for _ in range(pick.choice((0, 1, 1, 1, 2, 3, 6))):
        pick.choice(_ON_VALUES)(pick, message[3])
    if pick.random() < 0.15:
        pick.choice(_ON_FRAMES)(pick, message, version)
    text = json.dumps(message, ensure_ascii=pick.random() < 0.5)
    return pick.choice(_ON_TEXT)(pick, text) if pick.random() < 0.15 else text


# --- inside the payload -------------------------------------------------------------------------------------------
def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every (container, key) below."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, inner in items:
        found.append((value, key))
        _places(inner, found)
    return found


def _somewhere(pick: random.Random, payload: Any) -> tuple[Any, Any] | None:
    places = _places(payload, [])
    return pick.choice(places) if places else None


def _replace(pick: random.Random, payload: Any) -> None:
    if place := _somewhere(pick, payload):
        place[0][place[1]] = copy.deepcopy(pick.choice(NASTY))


def _drop(pick: random.Random, payload: Any) -> None:
    if place := _somewhere(pick, payload):
        del place[0][place[1]]


def _add(pick: random.Random, payload: Any) -> None:
    names = ("customData", "extra", "transactionId", "connectorId", "evseId", "timestamp", "idToken", "meterValue", "")
    payload[pick.choice(names)] = copy.deepcopy(pick.choice(NASTY))


def _repeat(pick: random.Random, payload: Any) -> None:
    place = _somewhere(pick, payload)
    if place and isinstance(place[0][place[1]], list) and place[0][place[1]]:
        place[0][place[1]] *= pick.choice((2, 3, 40))


def _wrap(pick: random.Random, payload: Any) -> None:
    if place := _somewhere(pick, payload):
        inner = place[0][place[1]]
        for _ in range(pick.choice((1, 5, 29, 60))):
            inner = pick.choice(([inner], {"a": inner}))
        place[0][place[1]] = inner


_ON_VALUES: list[Callable[[random.Random, Any], None]] = [_replace, _replace, _replace, _drop, _add, _repeat, _wrap]


# --- the frame itself ---------------------------------------------------------------------------------------------
def _odd_id(pick: random.Random, message: list[Any], version: str) -> None:
    message[1] = pick.choice(
        (None, 17, -1, 1.5, True, "", "y" * 36, "y" * 37, "y" * 300, [], {}, "ü", '"', "\\", "\x00z")
    )


def _odd_kind(pick: random.Random, message: list[Any], version: str) -> None:
    message[0] = pick.choice((0, 1, 3, 4, 5, 6, 7, 9, -2, 2.0, "2", None, True, [], 10**20))


def _odd_action(pick: random.Random, message: list[Any], version: str) -> None:
    others = [action for real in REAL.values() for action, _ in real]
    message[2] = pick.choice(
        (*others, "", "Reset", "heartbeat", "x" * 500, None, 7, [], {}, "__class__", "\x00", '"' * 99, "\\" * 60)
    )


def _odd_length(pick: random.Random, message: list[Any], version: str) -> None:
    if pick.random() < 0.5:
        message.append(pick.choice(NASTY))
    else:
        del message[pick.randrange(len(message)) :]


def _odd_payload(pick: random.Random, message: list[Any], version: str) -> None:
    message[3:] = [copy.deepcopy(pick.choice(NASTY))]


_ON_FRAMES: list[Callable[[random.Random, list[Any], str], None]] = [
    _odd_id, _odd_kind, _odd_action, _odd_length, _odd_payload,
]  # fmt: skip


# --- the text -----------------------------------------------------------------------------------------------------
def _cut(pick: random.Random, text: str) -> str:
    return text[: pick.randrange(len(text) + 1)]


def _flip(pick: random.Random, text: str) -> str:
    at = pick.randrange(len(text))
    return text[:at] + chr(pick.choice((0, 9, 34, 44, 58, 91, 93, 123, 125, 92, 127, 0x20AC))) + text[at + 1 :]


def _nest(pick: random.Random, text: str) -> str:
    depth = pick.choice((10, 33, 500, 50_000))
    return text[:-2] + ', "deep": ' + "[" * depth + "]" * depth + "}]"


def _literal(pick: random.Random, text: str) -> str:
    odd = pick.choice(
        ("NaN", "Infinity", "-Infinity", "1e999", "-0", "01", "0x1", "'a'", '"\\ud800"', '"\\u0000"', "9" * 400)
    )
    return re.sub(r"(?<=: )[^,\]}]+", lambda match: odd if pick.random() < 0.2 else match[0], text)


def _surround(pick: random.Random, text: str) -> str:
    return pick.choice(("\ufeff", " \n\t", "", "[")) + text + pick.choice(("", "\n", "]", ",", text, "\x00"))


def _endless(pick: random.Random, text: str) -> str:
    """Deep enough to be measured, then a string of escapes that never ends."""
    escape = pick.choice(('\\"', "\\\\", "\\\n", '\\\\"'))
    return text[:-2] + ', "deep": ' + "[" * 40 + '"' + escape * pick.choice((10, 300, 100_000))


_ON_TEXT: list[Callable[[random.Random, str], str]] = [_cut, _flip, _nest, _literal, _surround, _endless]


# --- what must be answered ----------------------------------------------------------------------------------------
_HEAD = re.compile(r'\s*\[\s*2(?:\.0+)?\s*,\s*("(?:[^"\\]|\\.)*"|-?\d{1,18})\s*[,\]]')


def readable_id(text: str) -> Any:
    """The id by which this frame must be answered, judged without our codec; None: nobody can be answered by it."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return _id_in_head(text)
    is_call = isinstance(message, list) and len(message) > 2 and message[0] == 2 and message[0] is not True
    if not is_call or isinstance(message[1], bool) or not isinstance(message[1], str | int):
        return None
    return None if isinstance(message[1], str) and len(message[1]) > 255 else message[1]


def _id_in_head(text: str) -> Any:
    match = _HEAD.match(text)
    if match is None or len(match[1]) > 257:
        return None
    try:
        return json.loads(match[1])
    except ValueError:
        return None
