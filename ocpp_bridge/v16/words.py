"""How our version-neutral commands are said in OCPP 1.6J and its security white paper."""

from typing import Any

import orjson

from ocpp_bridge.models import Command
from ocpp_bridge.saying import (
    COST_VENDOR,
    KINDS,
    NotSupported,
    Said,
    Say,
    amount,
    certificate_hash,
    check_profile,
    check_start_profile,
    instant,
    schedule,
    some,
    speaker,
    validity,
)

A = Command.Action
PURPOSE = {"tx": "TxProfile", "tx_default": "TxDefaultProfile", "station_max": "ChargePointMaxProfile"}
EXTENDED = {
    "LogStatusNotification": "LogStatusNotification",
    "SignChargingStationCertificate": "SignChargePointCertificate",
}
CORE_TRIGGERS = frozenset(
    {"BootNotification", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat", "MeterValues",
     "StatusNotification"}
)  # fmt: skip
CERTIFICATE = {"csms_root": "CentralSystemRootCertificate", "manufacturer_root": "ManufacturerRootCertificate"}
LIST_STATUS = {
    "accepted": "Accepted", "blocked": "Blocked", "expired": "Expired", "invalid": "Invalid",
    "concurrent": "ConcurrentTx",
}  # fmt: skip
LOG = {"diagnostics": "DiagnosticsLog", "security": "SecurityLog"}


def _remote_start(parameters: dict[str, Any]) -> Said:
    profile = check_start_profile(parameters)
    return "RemoteStartTransaction", some(
        idTag=parameters["id_token"],
        connectorId=parameters.get("evse_number") or None,
        chargingProfile=profile and _profile(profile, None),
    )


def _remote_stop(parameters: dict[str, Any]) -> Said:
    return "RemoteStopTransaction", {"transactionId": int(parameters["transaction_ref"])}


def _reserve(parameters: dict[str, Any]) -> Said:
    return "ReserveNow", {
        "connectorId": parameters["evse_number"],
        "expiryDate": instant(parameters["expires_at"]),
        "idTag": parameters["id_token"],
        "reservationId": parameters["reservation_number"],
        **some(parentIdTag=parameters.get("group_id")),
    }


def _cancel(parameters: dict[str, Any]) -> Said:
    return "CancelReservation", {"reservationId": parameters["reservation_number"]}


def _trigger(parameters: dict[str, Any]) -> Said:
    message = parameters["message"]
    where = some(connectorId=parameters.get("evse_number") or None)
    if message in EXTENDED:
        return "ExtendedTriggerMessage", {"requestedMessage": EXTENDED[message], **where}
    if message not in CORE_TRIGGERS:
        raise NotSupported(message)
    return "TriggerMessage", {"requestedMessage": message, **where}


def _reset(parameters: dict[str, Any]) -> Said:
    if parameters.get("evse_number"):
        raise NotSupported("one EVSE alone")
    return "Reset", {"type": {"soft": "Soft", "hard": "Hard"}[parameters["kind"]]}


def _change_availability(parameters: dict[str, Any]) -> Said:
    kind = "Operative" if parameters["is_operative"] else "Inoperative"
    return "ChangeAvailability", {"connectorId": parameters.get("evse_number") or 0, "type": kind}


def _unlock(parameters: dict[str, Any]) -> Said:
    return "UnlockConnector", {"connectorId": parameters["evse_number"]}


def _get_configuration(parameters: dict[str, Any]) -> Said:
    return "GetConfiguration", some(key=parameters.get("keys"))


def _change_configuration(parameters: dict[str, Any]) -> Said:
    return "ChangeConfiguration", {"key": parameters["key"], "value": str(parameters["value"])}


def _send_local_list(parameters: dict[str, Any]) -> Said:
    return "SendLocalList", {
        "listVersion": parameters["version"],
        "updateType": {"full": "Full", "differential": "Differential"}[parameters["update"]],
        "localAuthorizationList": [_list_entry(entry) for entry in parameters["entries"]],
    }


def _list_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Without a status the tag is taken off the list (differential updates, section 5.15)."""
    if not entry.get("status"):
        return {"idTag": entry["id_token"]}
    info = some(
        status=LIST_STATUS[entry["status"]],
        expiryDate=instant(entry.get("expires_at")),
        parentIdTag=entry.get("group_id"),
    )
    return {"idTag": entry["id_token"], "idTagInfo": info}


def _set_profile(parameters: dict[str, Any]) -> Said:
    profile = check_profile(parameters)
    reference = parameters["transaction_ref"] if profile["purpose"] == "tx" else None
    return "SetChargingProfile", {
        "connectorId": parameters["evse_number"],
        "csChargingProfiles": _profile(profile, reference),
    }


def _profile(profile: dict[str, Any], transaction_ref: str | None) -> dict[str, Any]:
    return {
        "chargingProfileId": profile["profile_id"],
        "stackLevel": profile["stack_level"],
        "chargingProfilePurpose": PURPOSE[profile["purpose"]],
        "chargingProfileKind": KINDS[profile["kind"]],
        "chargingSchedule": schedule(profile),
        **validity(profile),
        **some(transactionId=int(transaction_ref) if transaction_ref else None),
    }


def _clear_profile(parameters: dict[str, Any]) -> Said:
    purpose = parameters.get("purpose")
    return "ClearChargingProfile", some(
        id=parameters.get("profile_id"),
        connectorId=parameters.get("evse_number"),
        chargingProfilePurpose=PURPOSE[purpose] if purpose else None,
        stackLevel=parameters.get("stack_level"),
    )


def _composite(parameters: dict[str, Any]) -> Said:
    return "GetCompositeSchedule", some(
        connectorId=parameters["evse_number"],
        duration=parameters["duration_seconds"],
        chargingRateUnit=parameters.get("unit"),
    )


def _retries(parameters: dict[str, Any]) -> dict[str, Any]:
    return some(retries=parameters.get("retries"), retryInterval=parameters.get("retry_interval_seconds"))


def _update_firmware(parameters: dict[str, Any]) -> Said:
    """With a signature as the white paper has it; the plain message knows neither signature nor install time."""
    if parameters.get("signature") and parameters.get("signing_certificate"):
        return _signed_update_firmware(parameters)
    if parameters.get("install_at"):
        raise NotSupported("install_at without a signature")
    return "UpdateFirmware", {
        "location": parameters["location"],
        "retrieveDate": instant(parameters["retrieve_at"]),
        **_retries(parameters),
    }


def _signed_update_firmware(parameters: dict[str, Any]) -> Said:
    firmware = some(
        location=parameters["location"],
        retrieveDateTime=instant(parameters["retrieve_at"]),
        installDateTime=instant(parameters.get("install_at")),
        signingCertificate=parameters["signing_certificate"],
        signature=parameters["signature"],
    )
    return "SignedUpdateFirmware", {"requestId": parameters["request_id"], "firmware": firmware, **_retries(parameters)}


def _get_diagnostics(parameters: dict[str, Any]) -> Said:
    return "GetDiagnostics", {
        "location": parameters["location"],
        **some(startTime=instant(parameters.get("oldest_at")), stopTime=instant(parameters.get("latest_at"))),
        **_retries(parameters),
    }


def _get_log(parameters: dict[str, Any]) -> Said:
    log = some(
        remoteLocation=parameters["location"],
        oldestTimestamp=instant(parameters.get("oldest_at")),
        latestTimestamp=instant(parameters.get("latest_at")),
    )
    kind = LOG[parameters.get("log_type") or "diagnostics"]
    return "GetLog", {"logType": kind, "requestId": parameters["request_id"], "log": log, **_retries(parameters)}


def _install_certificate(parameters: dict[str, Any]) -> Said:
    kind = _certificate_type(parameters["certificate_type"])
    return "InstallCertificate", {"certificateType": kind, "certificate": parameters["certificate"]}


def _certificate_type(neutral: str) -> str:
    if neutral not in CERTIFICATE:
        raise NotSupported(f"certificate type {neutral}")
    return CERTIFICATE[neutral]


def _delete_certificate(parameters: dict[str, Any]) -> Said:
    return "DeleteCertificate", {"certificateHashData": certificate_hash(parameters["certificate_hash"])}


def _list_certificates(parameters: dict[str, Any]) -> Said:
    kinds = parameters.get("certificate_types") or ["csms_root"]
    if len(kinds) != 1:
        raise NotSupported("more than one certificate type at a time")
    return "GetInstalledCertificateIds", {"certificateType": _certificate_type(kinds[0])}


def _certificate_signed(parameters: dict[str, Any]) -> Said:
    if parameters.get("certificate_type", "station") != "station":
        raise NotSupported("certificates other than the station's own")
    return "CertificateSigned", {"certificateChain": parameters["certificate_chain"]}


def _data_transfer(parameters: dict[str, Any]) -> Said:
    data = parameters.get("data")
    text = data if isinstance(data, str) or data is None else orjson.dumps(data).decode()
    return "DataTransfer", some(vendorId=parameters["vendor_id"], messageId=parameters.get("message_id"), data=text)


def _cost_updated(parameters: dict[str, Any]) -> Said:
    """1.6 has no cost message; chargers that show prices take the OCA's DataTransfer `RunningCost` (or `FinalCost`)."""
    cost = amount(parameters["total_cost"])
    body: dict[str, Any] = {"transactionId": int(parameters["transaction_ref"]), "cost": cost}
    if parameters.get("is_final"):
        message = "FinalCost"
        body |= some(priceText=parameters.get("text"))
    else:
        message = "RunningCost"
        body |= some(
            timestamp=instant(parameters.get("at")),
            meterValue=parameters.get("meter_wh"),
            state="Idle" if parameters.get("is_idle") else "Charging",
            chargingPrice=_prices(parameters),
        )
    return "DataTransfer", {"vendorId": COST_VENDOR, "messageId": message, "data": orjson.dumps(body).decode()}


def _prices(parameters: dict[str, Any]) -> dict[str, float]:
    names = {"kWhPrice": "price_per_kwh", "hourPrice": "price_per_hour", "flatFee": "flat_fee"}
    given = {wire: parameters.get(neutral) for wire, neutral in names.items()}
    return {wire: amount(value) for wire, value in given.items() if value is not None}


WORDS: dict[str, Say] = {
    A.REMOTE_START: _remote_start,
    A.REMOTE_STOP: _remote_stop,
    A.RESERVE_NOW: _reserve,
    A.CANCEL_RESERVATION: _cancel,
    A.TRIGGER_MESSAGE: _trigger,
    A.RESET: _reset,
    A.CHANGE_AVAILABILITY: _change_availability,
    A.UNLOCK_CONNECTOR: _unlock,
    A.CLEAR_CACHE: lambda parameters: ("ClearCache", {}),
    A.GET_CONFIGURATION: _get_configuration,
    A.CHANGE_CONFIGURATION: _change_configuration,
    A.SEND_LOCAL_LIST: _send_local_list,
    A.GET_LOCAL_LIST_VERSION: lambda parameters: ("GetLocalListVersion", {}),
    A.SET_CHARGING_PROFILE: _set_profile,
    A.CLEAR_CHARGING_PROFILE: _clear_profile,
    A.GET_COMPOSITE_SCHEDULE: _composite,
    A.UPDATE_FIRMWARE: _update_firmware,
    A.SIGNED_UPDATE_FIRMWARE: _signed_update_firmware,
    A.GET_DIAGNOSTICS: _get_diagnostics,
    A.GET_LOG: _get_log,
    A.INSTALL_CERTIFICATE: _install_certificate,
    A.DELETE_CERTIFICATE: _delete_certificate,
    A.GET_INSTALLED_CERTIFICATE_IDS: _list_certificates,
    A.CERTIFICATE_SIGNED: _certificate_signed,
    A.DATA_TRANSFER: _data_transfer,
    A.COST_UPDATED: _cost_updated,
}
WIRE: dict[str, str] = {
    A.REMOTE_START: "RemoteStartTransaction",
    A.REMOTE_STOP: "RemoteStopTransaction",
    A.TRIGGER_MESSAGE: "TriggerMessage, ExtendedTriggerMessage",
    A.UPDATE_FIRMWARE: "UpdateFirmware, SignedUpdateFirmware",
    A.COST_UPDATED: f"DataTransfer ({COST_VENDOR})",
}
command = speaker("1.6", WORDS)
