"""How our version-neutral commands are said in OCPP 2.0.1 and 2.1."""

from typing import Any

from ocpp_bridge.models import Command
from ocpp_bridge.saying import (
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
from ocpp_bridge.station import Unusable
from ocpp_bridge.v2 import keys, rarer_words
from ocpp_bridge.v2.pieces import component_variable as _component_variable
from ocpp_bridge.v2.pieces import evse as _evse
from ocpp_bridge.v2.pieces import group as _group
from ocpp_bridge.v2.pieces import retries as _retries
from ocpp_bridge.v2.pieces import token as _token

A = Command.Action
PURPOSE = {"tx": "TxProfile", "tx_default": "TxDefaultProfile", "station_max": "ChargingStationMaxProfile"}
CERTIFICATE = {
    "csms_root": "CSMSRootCertificate",
    "manufacturer_root": "ManufacturerRootCertificate",
    "v2g_root": "V2GRootCertificate",
    "mo_root": "MORootCertificate",
    "v2g_chain": "V2GCertificateChain",
}
SIGNED = {"station": "ChargingStationCertificate", "v2g": "V2GCertificate"}
LIST_STATUS = {
    "accepted": "Accepted", "blocked": "Blocked", "expired": "Expired", "invalid": "Invalid",
    "concurrent": "ConcurrentTx", "no_credit": "NoCredit", "not_here": "NotAtThisLocation", "not_now": "NotAtThisTime",
}  # fmt: skip
LOG = {"diagnostics": "DiagnosticsLog", "security": "SecurityLog"}
REPORT = {"full": "FullInventory", "configuration": "ConfigurationInventory", "summary": "SummaryInventory"}
MONITORING = {"all": "All", "factory_default": "FactoryDefault", "hard_wired_only": "HardWiredOnly"}
CRITERIA = {
    "threshold": "ThresholdMonitoring", "delta": "DeltaMonitoring", "periodic": "PeriodicMonitoring",
}  # fmt: skip
PRIORITY = {"always": "AlwaysFront", "front": "InFront", "normal": "NormalCycle"}
DISPLAY_STATE = {"charging": "Charging", "faulted": "Faulted", "idle": "Idle", "unavailable": "Unavailable"}


def _remote_start(parameters: dict[str, Any]) -> Said:
    profile = check_start_profile(parameters)
    return "RequestStartTransaction", some(
        remoteStartId=parameters["remote_start_id"],
        idToken=_token(parameters["id_token"], parameters.get("token_type")),
        evseId=parameters.get("evse_number") or None,
        groupIdToken=_group(parameters.get("group_id")),
        chargingProfile=profile and _profile(profile, None),
    )


def _remote_stop(parameters: dict[str, Any]) -> Said:
    return "RequestStopTransaction", {"transactionId": str(parameters["transaction_ref"])}


def _reserve(parameters: dict[str, Any]) -> Said:
    """EVSE 0 is any EVSE of the station: said by leaving it out (part 2 H01.FR.04)."""
    return "ReserveNow", some(
        id=parameters["reservation_number"],
        expiryDateTime=instant(parameters["expires_at"]),
        idToken=_token(parameters["id_token"], parameters.get("token_type")),
        evseId=parameters["evse_number"] or None,
        groupIdToken=_group(parameters.get("group_id")),
    )


def _cancel(parameters: dict[str, Any]) -> Said:
    return "CancelReservation", {"reservationId": parameters["reservation_number"]}


def _trigger(parameters: dict[str, Any]) -> Said:
    message = parameters["message"]
    if message == "DiagnosticsStatusNotification":
        message = "LogStatusNotification"
    evse = _evse(parameters)
    if evse is not None and message == "StatusNotification":
        evse.setdefault("connectorId", 1)  # part 2 F06.FR.13
    return "TriggerMessage", some(requestedMessage=message, evse=evse)


def _reset(parameters: dict[str, Any]) -> Said:
    kind = {"soft": "OnIdle", "hard": "Immediate"}[parameters["kind"]]
    return "Reset", some(type=kind, evseId=parameters.get("evse_number") or None)


def _change_availability(parameters: dict[str, Any]) -> Said:
    kind = "Operative" if parameters["is_operative"] else "Inoperative"
    return "ChangeAvailability", some(operationalStatus=kind, evse=_evse(parameters))


def _unlock(parameters: dict[str, Any]) -> Said:
    return "UnlockConnector", {
        "evseId": parameters["evse_number"],
        "connectorId": parameters.get("connector_id") or 1,
    }


def _get_configuration(parameters: dict[str, Any]) -> Said:
    wanted = parameters.get("keys")
    if not wanted:
        raise NotSupported("all keys at once; ask for GetBaseReport")
    return "GetVariables", {"getVariableData": [_variable(keys.variable_of(key)) for key in wanted]}


def _change_configuration(parameters: dict[str, Any]) -> Said:
    setting = _variable(keys.variable_of(parameters["key"])) | {"attributeValue": str(parameters["value"])}
    return "SetVariables", {"setVariableData": [setting]}


def _get_variables(parameters: dict[str, Any]) -> Said:
    return "GetVariables", {"getVariableData": [_variable(wanted) for wanted in parameters["variables"]]}


def _set_variables(parameters: dict[str, Any]) -> Said:
    settings = [_variable(wanted) | {"attributeValue": str(wanted["value"])} for wanted in parameters["variables"]]
    return "SetVariables", {"setVariableData": settings}


def _variable(wanted: dict[str, Any]) -> dict[str, Any]:
    return some(**_component_variable(wanted), attributeType=wanted.get("attribute"))


def _base_report(parameters: dict[str, Any]) -> Said:
    kind = REPORT[parameters.get("report") or "full"]
    return "GetBaseReport", {"requestId": parameters["request_id"], "reportBase": kind}


def _report(parameters: dict[str, Any]) -> Said:
    return "GetReport", some(
        requestId=parameters["request_id"],
        componentVariable=[_component_variable(wanted) for wanted in parameters.get("variables") or ()],
        componentCriteria=[word.capitalize() for word in parameters.get("criteria") or ()],
    )


def _send_local_list(parameters: dict[str, Any]) -> Said:
    """An empty full list is said without the field: it may not be an empty list (part 2 D01)."""
    return "SendLocalList", some(
        versionNumber=parameters["version"],
        updateType={"full": "Full", "differential": "Differential"}[parameters["update"]],
        localAuthorizationList=[_list_entry(entry) for entry in parameters["entries"]],
    )


def _list_entry(entry: dict[str, Any]) -> dict[str, Any]:
    token = _token(entry["id_token"], entry.get("token_type"))
    if not entry.get("status"):
        return {"idToken": token}
    info = some(
        status=LIST_STATUS[entry["status"]],
        cacheExpiryDateTime=instant(entry.get("expires_at")),
        groupIdToken=_group(entry.get("group_id")),
    )
    return {"idToken": token, "idTokenInfo": info}


def _set_profile(parameters: dict[str, Any]) -> Said:
    profile = check_profile(parameters)
    reference = parameters["transaction_ref"] if profile["purpose"] == "tx" else None
    return "SetChargingProfile", {
        "evseId": parameters["evse_number"],
        "chargingProfile": _profile(profile, reference),
    }


def _profile(profile: dict[str, Any], transaction_ref: str | None) -> dict[str, Any]:
    return {
        "id": profile["profile_id"],
        "stackLevel": profile["stack_level"],
        "chargingProfilePurpose": PURPOSE[profile["purpose"]],
        "chargingProfileKind": KINDS[profile["kind"]],
        "chargingSchedule": [{"id": profile["profile_id"], **schedule(profile)}],
        **validity(profile),
        **some(transactionId=str(transaction_ref) if transaction_ref else None),
    }


def _clear_profile(parameters: dict[str, Any]) -> Said:
    purpose = parameters.get("purpose")
    criteria = some(
        evseId=parameters.get("evse_number"),
        chargingProfilePurpose=PURPOSE[purpose] if purpose else None,
        stackLevel=parameters.get("stack_level"),
    )
    payload = some(chargingProfileId=parameters.get("profile_id"), chargingProfileCriteria=criteria)
    if not payload:
        raise Unusable("say which profiles: profile_id, evse_number, purpose or stack_level")
    return "ClearChargingProfile", payload


def _composite(parameters: dict[str, Any]) -> Said:
    return "GetCompositeSchedule", some(
        evseId=parameters["evse_number"],
        duration=parameters["duration_seconds"],
        chargingRateUnit=parameters.get("unit"),
    )


def _get_profiles(parameters: dict[str, Any]) -> Said:
    purpose, number = parameters.get("purpose"), parameters.get("profile_id")
    criteria = some(
        chargingProfilePurpose=PURPOSE[purpose] if purpose else None,
        stackLevel=parameters.get("stack_level"),
        chargingProfileId=None if number is None else [number],
    )
    asked = some(requestId=parameters["request_id"], evseId=parameters.get("evse_number"))
    return "GetChargingProfiles", {**asked, "chargingProfile": criteria}


def _update_firmware(parameters: dict[str, Any]) -> Said:
    firmware = some(
        location=parameters["location"],
        retrieveDateTime=instant(parameters["retrieve_at"]),
        installDateTime=instant(parameters.get("install_at")),
        signingCertificate=parameters.get("signing_certificate"),
        signature=parameters.get("signature"),
    )
    return "UpdateFirmware", {"requestId": parameters["request_id"], "firmware": firmware, **_retries(parameters)}


def _get_log(parameters: dict[str, Any]) -> Said:
    log = some(
        remoteLocation=parameters["location"],
        oldestTimestamp=instant(parameters.get("oldest_at")),
        latestTimestamp=instant(parameters.get("latest_at")),
    )
    kind = LOG[parameters.get("log_type") or "diagnostics"]
    return "GetLog", {"logType": kind, "requestId": parameters["request_id"], "log": log, **_retries(parameters)}


def _install_certificate(parameters: dict[str, Any]) -> Said:
    kind = CERTIFICATE[parameters["certificate_type"]]
    return "InstallCertificate", {"certificateType": kind, "certificate": parameters["certificate"]}


def _delete_certificate(parameters: dict[str, Any]) -> Said:
    return "DeleteCertificate", {"certificateHashData": certificate_hash(parameters["certificate_hash"])}


def _list_certificates(parameters: dict[str, Any]) -> Said:
    kinds = [CERTIFICATE[kind] for kind in parameters.get("certificate_types") or ()]
    return "GetInstalledCertificateIds", some(certificateType=kinds)


def _certificate_signed(parameters: dict[str, Any]) -> Said:
    return "CertificateSigned", some(
        certificateChain=parameters["certificate_chain"],
        certificateType=SIGNED[parameters.get("certificate_type") or "station"],
    )


def _certificate_signed_21(parameters: dict[str, Any]) -> Said:
    """OCPP 2.1 says which request it answers."""
    action, payload = _certificate_signed(parameters)
    return action, payload | some(requestId=parameters.get("request_id"))


def _data_transfer(parameters: dict[str, Any]) -> Said:
    return "DataTransfer", some(
        vendorId=parameters["vendor_id"], messageId=parameters.get("message_id"), data=parameters.get("data")
    )


def _transaction_status(parameters: dict[str, Any]) -> Said:
    reference = parameters.get("transaction_ref")
    return "GetTransactionStatus", some(transactionId=str(reference) if reference else None)


def _cost_updated(parameters: dict[str, Any]) -> Said:
    """The final cost belongs into the answer to TransactionEvent Ended (part 2 I03), not here."""
    if parameters.get("is_final"):
        raise NotSupported("a final cost outside the answer to the end of the transaction")
    cost = amount(parameters["total_cost"])
    return "CostUpdated", {"totalCost": cost, "transactionId": str(parameters["transaction_ref"])}


def _set_display(parameters: dict[str, Any]) -> Said:
    state = parameters.get("display_state")
    text = some(
        format=parameters.get("format") or "UTF8", language=parameters.get("language"), content=parameters["text"]
    )
    message = some(
        id=parameters["message_number"],
        priority=PRIORITY[parameters.get("priority") or "normal"],
        state=DISPLAY_STATE[state] if state else None,
        startDateTime=instant(parameters.get("starts_at")),
        endDateTime=instant(parameters.get("ends_at")),
        transactionId=parameters.get("transaction_ref"),
        message=text,
    )
    return "SetDisplayMessage", {"message": message}


def _get_displays(parameters: dict[str, Any]) -> Said:
    numbers = [parameters["message_number"]] if parameters.get("message_number") is not None else None
    return "GetDisplayMessages", some(requestId=parameters["request_id"], id=numbers)


def _monitoring_report(parameters: dict[str, Any]) -> Said:
    return "GetMonitoringReport", some(
        requestId=parameters["request_id"],
        componentVariable=[_component_variable(wanted) for wanted in parameters.get("variables") or ()],
        monitoringCriteria=[CRITERIA[word] for word in parameters.get("criteria") or ()],
    )


def _default_tariff(parameters: dict[str, Any]) -> Said:
    """`tariff` is a TariffType of OCPP 2.1 as it is: the tariff engine that knows prices builds it."""
    return "SetDefaultTariff", {"evseId": parameters["evse_number"], "tariff": parameters["tariff"]}


def _clear_tariffs(parameters: dict[str, Any]) -> Said:
    return "ClearTariffs", some(tariffIds=parameters.get("tariff_ids"), evseId=parameters.get("evse_number"))


WORDS_201: dict[str, Say] = {
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
    A.GET_VARIABLES: _get_variables,
    A.SET_VARIABLES: _set_variables,
    A.GET_BASE_REPORT: _base_report,
    A.GET_REPORT: _report,
    A.SEND_LOCAL_LIST: _send_local_list,
    A.GET_LOCAL_LIST_VERSION: lambda parameters: ("GetLocalListVersion", {}),
    A.SET_CHARGING_PROFILE: _set_profile,
    A.CLEAR_CHARGING_PROFILE: _clear_profile,
    A.GET_COMPOSITE_SCHEDULE: _composite,
    A.GET_CHARGING_PROFILES: _get_profiles,
    A.UPDATE_FIRMWARE: _update_firmware,
    A.SIGNED_UPDATE_FIRMWARE: _update_firmware,
    A.GET_DIAGNOSTICS: _get_log,
    A.GET_LOG: _get_log,
    A.INSTALL_CERTIFICATE: _install_certificate,
    A.DELETE_CERTIFICATE: _delete_certificate,
    A.GET_INSTALLED_CERTIFICATE_IDS: _list_certificates,
    A.CERTIFICATE_SIGNED: _certificate_signed,
    A.DATA_TRANSFER: _data_transfer,
    A.GET_TRANSACTION_STATUS: _transaction_status,
    A.COST_UPDATED: _cost_updated,
    A.SET_DISPLAY_MESSAGE: _set_display,
    A.CLEAR_DISPLAY_MESSAGE: lambda parameters: ("ClearDisplayMessage", {"id": parameters["message_number"]}),
    A.GET_DISPLAY_MESSAGES: _get_displays,
    A.GET_MONITORING_REPORT: _monitoring_report,
    A.SET_MONITORING_BASE: lambda parameters: (
        "SetMonitoringBase", {"monitoringBase": MONITORING[parameters["base"]]},
    ),
    A.SET_MONITORING_LEVEL: lambda parameters: ("SetMonitoringLevel", {"severity": parameters["severity"]}),
    A.CLEAR_VARIABLE_MONITORING: lambda parameters: ("ClearVariableMonitoring", {"id": parameters["monitor_ids"]}),
    **rarer_words.WORDS_201,
}  # fmt: skip
WORDS_21: dict[str, Say] = {
    **WORDS_201,
    **rarer_words.WORDS_21,
    A.CERTIFICATE_SIGNED: _certificate_signed_21,
    A.SET_DEFAULT_TARIFF: _default_tariff,
    A.GET_TARIFFS: lambda parameters: ("GetTariffs", {"evseId": parameters["evse_number"]}),
    A.CLEAR_TARIFFS: _clear_tariffs,
}
WIRE: dict[str, str] = {
    A.REMOTE_START: "RequestStartTransaction",
    A.REMOTE_STOP: "RequestStopTransaction",
    A.GET_CONFIGURATION: "GetVariables",
    A.CHANGE_CONFIGURATION: "SetVariables",
    A.SIGNED_UPDATE_FIRMWARE: "UpdateFirmware",
    A.GET_DIAGNOSTICS: "GetLog",
}
command = speaker("2.0.1", WORDS_201)
command_21 = speaker("2.1", WORDS_21)
