"""What we may ask of a charger: needs, life span and risk of every action, as one table."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ocpp_bridge.models import Command
from stations.models import Charger

A = Command.Action
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True)
class Terms:
    """How one action is queued, sent and repeated.

    `waits`: how long it may wait for an absent charger, unless the caller says otherwise. `patience`: the answer may
    take this many times OCPP_CALL_TIMEOUT_SECONDS. `is_repeatable`: saying it twice does no harm, so a connection that
    broke before the answer is no reason to give up. `is_configuration`: allowed while a charger's registration is
    Pending. `numbered`: the parameter that gets a number of ours, by which later messages of the charger refer to it.
    """

    needs: tuple[str, ...] = ()
    waits: timedelta = 24 * HOUR
    patience: int = 1
    is_repeatable: bool = True
    is_configuration: bool = False
    numbered: str = ""


TERMS: dict[str, Terms] = {
    A.REMOTE_START: Terms(("id_token",), waits=timedelta(seconds=45), is_repeatable=False, numbered="remote_start_id"),
    A.REMOTE_STOP: Terms(("transaction_ref",), waits=10 * MINUTE),
    A.RESERVE_NOW: Terms(("evse_number", "id_token", "reservation_number", "expires_at"), waits=MINUTE),
    A.CANCEL_RESERVATION: Terms(("reservation_number",), waits=30 * MINUTE),
    A.TRIGGER_MESSAGE: Terms(("message",), waits=MINUTE),
    A.RESET: Terms(("kind",), waits=5 * MINUTE, is_repeatable=False),
    A.CHANGE_AVAILABILITY: Terms(("is_operative",)),
    A.UNLOCK_CONNECTOR: Terms(("evse_number",), waits=timedelta(seconds=45), patience=2, is_repeatable=False),
    A.CLEAR_CACHE: Terms(),
    A.GET_CONFIGURATION: Terms(patience=2, is_configuration=True),
    A.CHANGE_CONFIGURATION: Terms(("key", "value"), is_configuration=True),
    A.GET_VARIABLES: Terms(("variables",), patience=2, is_configuration=True),
    A.SET_VARIABLES: Terms(("variables",), patience=2, is_configuration=True),
    A.GET_BASE_REPORT: Terms(is_configuration=True, numbered="request_id"),
    A.GET_REPORT: Terms(is_configuration=True, numbered="request_id"),
    A.SEND_LOCAL_LIST: Terms(("version", "update", "entries"), patience=2),
    A.GET_LOCAL_LIST_VERSION: Terms(),
    A.SET_CHARGING_PROFILE: Terms(("evse_number", "charging_profile"), waits=6 * HOUR),
    A.CLEAR_CHARGING_PROFILE: Terms(waits=6 * HOUR),
    A.GET_COMPOSITE_SCHEDULE: Terms(("evse_number", "duration_seconds"), waits=5 * MINUTE),
    A.GET_CHARGING_PROFILES: Terms(waits=HOUR, numbered="request_id"),
    A.UPDATE_FIRMWARE: Terms(("location", "retrieve_at"), patience=2, is_repeatable=False, numbered="request_id"),
    A.SIGNED_UPDATE_FIRMWARE: Terms(
        ("location", "retrieve_at", "signing_certificate", "signature"),
        patience=2,
        is_repeatable=False,
        numbered="request_id",
    ),
    A.GET_DIAGNOSTICS: Terms(("location",), patience=2, numbered="request_id"),
    A.GET_LOG: Terms(("location",), patience=2, numbered="request_id"),
    A.INSTALL_CERTIFICATE: Terms(("certificate_type", "certificate"), patience=2),
    A.DELETE_CERTIFICATE: Terms(("certificate_hash",), patience=2),
    A.GET_INSTALLED_CERTIFICATE_IDS: Terms(patience=2),
    A.CERTIFICATE_SIGNED: Terms(("certificate_chain",), patience=2),
    A.DATA_TRANSFER: Terms(("vendor_id",), waits=HOUR, is_repeatable=False),
    A.GET_TRANSACTION_STATUS: Terms(waits=HOUR),
    A.COST_UPDATED: Terms(("transaction_ref", "total_cost"), waits=MINUTE),
    A.SET_DISPLAY_MESSAGE: Terms(("message_number", "text")),
    A.CLEAR_DISPLAY_MESSAGE: Terms(("message_number",)),
    A.GET_DISPLAY_MESSAGES: Terms(numbered="request_id"),
    A.GET_MONITORING_REPORT: Terms(numbered="request_id"),
    A.SET_MONITORING_BASE: Terms(("base",)),
    A.SET_MONITORING_LEVEL: Terms(("severity",)),
    A.CLEAR_VARIABLE_MONITORING: Terms(("monitor_ids",)),
    A.SET_DEFAULT_TARIFF: Terms(("evse_number", "tariff")),
    A.GET_TARIFFS: Terms(("evse_number",)),
    A.CLEAR_TARIFFS: Terms(),
    A.SET_VARIABLE_MONITORING: Terms(("monitors",), is_repeatable=False),
    A.SET_NETWORK_PROFILE: Terms(("slot", "network_profile"), is_configuration=True),
    A.PUBLISH_FIRMWARE: Terms(("location", "checksum"), patience=2, is_repeatable=False, numbered="request_id"),
    A.UNPUBLISH_FIRMWARE: Terms(("checksum",)),
    A.CUSTOMER_INFORMATION: Terms(waits=HOUR, numbered="request_id"),
    A.CHANGE_TRANSACTION_TARIFF: Terms(("transaction_ref", "tariff"), waits=10 * MINUTE),
}


def missing(action: str, parameters: dict[str, Any]) -> list[str]:
    """The parameters this action needs and does not have."""
    return [name for name in TERMS[action].needs if parameters.get(name) is None]


def may_be_sent(action: str, parameters: dict[str, Any], registration: str) -> bool:
    """Accepted gets everything, Pending configuration, Rejected nothing (OCPP 1.6 section 4.2; 2.0.1 part 2 B02)."""
    if registration == Charger.Registration.ACCEPTED:
        return True
    if registration != Charger.Registration.PENDING:
        return False
    asks_for_boot = action == A.TRIGGER_MESSAGE and parameters.get("message") == "BootNotification"
    return asks_for_boot or TERMS[action].is_configuration


NOTHING_DONE = frozenset({"Unknown", "NotFound", "NoProfiles", "EmptyResultSet", "NoFirmware"})
"""There was nothing to clear, delete or report: what was asked for is the case."""
DONE = (
    frozenset({"Accepted", "Unlocked", "RebootRequired", "Scheduled", "AcceptedCanceled", "Unpublished"}) | NOTHING_DONE
)


def judge(action: str, answer: object) -> tuple[str, str]:
    """(accepted | rejected, reason) of an answer. The reason is the charger's word unless it is plainly yes.

    A charger that does not know one of the variables asked for has still told us the others (OCPP 2.0.1 part 2 B06).
    """
    if not isinstance(answer, dict):
        return Command.State.REJECTED, "Unreadable answer"
    words = _words(answer)
    if not words:
        return Command.State.ACCEPTED, ""
    refused = [word for word in words if word not in DONE]
    if refused and "getVariableResult" in answer:
        return Command.State.ACCEPTED, refused[0]
    if refused:
        return Command.State.REJECTED, refused[0]
    return Command.State.ACCEPTED, next((word for word in words if word not in {"Accepted", "Unlocked"}), "")


def _words(answer: dict[str, Any]) -> list[str]:
    """The status words of an answer: one, or one per variable, monitor or tariff (OCPP 2.x)."""
    if "status" in answer:
        info = answer.get("statusInfo")
        code = info.get("reasonCode") if isinstance(info, dict) else None
        word = str(answer["status"])
        return [f"{word}: {code}" if code and word not in DONE else word]
    words = []
    for value in answer.values():
        for entry in value if isinstance(value, list) else ():
            if isinstance(entry, dict) and (found := entry.get("attributeStatus") or entry.get("status")):
                words.append(str(found))
    return words
