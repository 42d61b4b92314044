"""OCPP 2.x: monitors, network profiles, firmware for a site, data about a customer, another tariff while charging."""

import math
from typing import Any

from ocpp_bridge.models import Command
from ocpp_bridge.saying import Said, Say, certificate_hash, some
from ocpp_bridge.station import Unusable
from ocpp_bridge.v2.pieces import component_variable, retries, token

A = Command.Action
MONITOR = {
    "upper": "UpperThreshold", "lower": "LowerThreshold", "delta": "Delta", "periodic": "Periodic",
    "clock": "PeriodicClockAligned",
}  # fmt: skip
INTERFACE = {
    **{f"wired{number}": f"Wired{number}" for number in range(4)},
    **{f"wireless{number}": f"Wireless{number}" for number in range(4)},
}


def _monitors(parameters: dict[str, Any]) -> Said:
    """OCPP 2.0.1 part 2 N04; severity 0 danger ... 9 debug."""
    return "SetVariableMonitoring", {"setMonitoringData": [_monitor(one) for one in parameters["monitors"]]}


def _monitor(wanted: dict[str, Any]) -> dict[str, Any]:
    value = float(wanted["value"])
    if not math.isfinite(value):
        raise Unusable("value: expected a number")
    return {
        **component_variable(wanted),
        "type": MONITOR[wanted["kind"]],
        "value": value,
        "severity": wanted["severity"],
        "transaction": bool(wanted.get("is_while_charging")),
        **some(id=wanted.get("monitor_id")),
    }


def _network_profile(parameters: dict[str, Any]) -> Said:
    """OCPP 2.1 part 2 B09: the version is chosen in the handshake."""
    wanted = parameters["network_profile"]
    if not str(wanted["url"]).startswith(("ws://", "wss://")):
        raise Unusable("url: ws:// or wss:// is needed")
    if wanted["security_profile"] >= 2 and not str(wanted["url"]).startswith("wss://"):
        raise Unusable("url: security profiles 2 and 3 need wss://")
    return "SetNetworkProfile", {
        "configurationSlot": parameters["slot"],
        "connectionData": {
            "ocppTransport": "JSON",
            "ocppCsmsUrl": wanted["url"],
            "messageTimeout": wanted["timeout_seconds"],
            "securityProfile": wanted["security_profile"],
            "ocppInterface": INTERFACE[wanted["interface"]],
        },
    }


def _network_profile_201(parameters: dict[str, Any]) -> Said:
    """OCPP 2.0.1 part 2 B09: its word for 2.0.1 is OCPP20."""
    action, payload = _network_profile(parameters)
    return action, {**payload, "connectionData": {**payload["connectionData"], "ocppVersion": "OCPP20"}}


def _publish_firmware(parameters: dict[str, Any]) -> Said:
    """To a local controller, which hands it on to the chargers of its site (OCPP 2.0.1 part 2 L03)."""
    return "PublishFirmware", {
        "location": parameters["location"],
        "checksum": parameters["checksum"],
        "requestId": parameters["request_id"],
        **retries(parameters),
    }


def _customer_information(parameters: dict[str, Any]) -> Said:
    """What the charger knows of one person, told or deleted (OCPP 2.0.1 part 2 N09, N10): by exactly one mark."""
    tag, mark = parameters.get("id_token"), parameters.get("certificate_hash")
    who = some(
        idToken=token(tag, parameters.get("token_type")) if tag else None,
        customerIdentifier=parameters.get("customer"),
        customerCertificate=certificate_hash(mark) if mark else None,
    )
    if len(who) != 1:
        raise Unusable("CustomerInformation is about one id_token, customer or certificate_hash")
    is_told, is_deleted = parameters.get("is_told", True), bool(parameters.get("is_deleted"))
    return "CustomerInformation", {
        "requestId": parameters["request_id"], "report": bool(is_told), "clear": is_deleted, **who,
    }  # fmt: skip


def _transaction_tariff(parameters: dict[str, Any]) -> Said:
    """OCPP 2.1 part 2 I11: `tariff` is a TariffType as it is."""
    reference, tariff = parameters["transaction_ref"], parameters["tariff"]
    return "ChangeTransactionTariff", {"transactionId": str(reference), "tariff": tariff}


WORDS_201: dict[str, Say] = {
    A.SET_VARIABLE_MONITORING: _monitors,
    A.SET_NETWORK_PROFILE: _network_profile_201,
    A.PUBLISH_FIRMWARE: _publish_firmware,
    A.UNPUBLISH_FIRMWARE: lambda parameters: ("UnpublishFirmware", {"checksum": parameters["checksum"]}),
    A.CUSTOMER_INFORMATION: _customer_information,
}
WORDS_21: dict[str, Say] = {
    A.SET_NETWORK_PROFILE: _network_profile,
    A.CHANGE_TRANSACTION_TARIFF: _transaction_tariff,
}
