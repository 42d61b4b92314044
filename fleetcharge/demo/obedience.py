"""What a simulated charger does when the system asks for something."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from fleetcharge.demo import profiles
from fleetcharge.demo.bays import PLUGGED, REFUSED, Bay, Booking
from fleetcharge.demo.calls import Order
from fleetcharge.demo.quirks import Quirk
from fleetcharge.demo.wording import instant

if TYPE_CHECKING:
    from fleetcharge.demo.charger import SimCharger

RESTART_SECONDS = 3.0
FIRMWARE_STEPS = (("Downloading", 1), ("Downloaded", 3), ("Installing", 4))
REPORT_ROWS = 8
MAX_LIST, MAX_LIST_PART = 500, 100
ABSURD_SECONDS = 2_147_483_647

Answer = dict[str, Any]
Handler = Callable[["SimCharger", Order, datetime], Answer]

ACCEPTED: Answer = {"status": "Accepted"}
REJECTED: Answer = {"status": "Rejected"}


# --- reservations -------------------------------------------------------------------------------------------------
def _reserve(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    bay = charger.bay(order.number)
    if bay is None or order.expires_at is None:
        return REJECTED
    if bay.fault:
        return {"status": "Faulted"}
    if bay.is_switched_off:
        return {"status": "Unavailable"}
    if bay.visit or (bay.booking and bay.booking.number != order.reference):
        return {"status": "Occupied"}
    bay.booking = Booking(order.reference, order.token, order.expires_at)
    return ACCEPTED


def _cancel(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    for bay in charger.bays:
        if bay.booking and bay.booking.number == order.reference:
            bay.booking = None
            return ACCEPTED
    return REJECTED


# --- transactions -------------------------------------------------------------------------------------------------
def _start(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    """Accepted when a car is plugged in and waits; without a car nothing would ever start."""
    if Quirk.ACCEPTS_BUT_NEVER_STARTS in charger.quirks:
        return ACCEPTED
    for bay in charger.bays:
        visit = bay.visit
        if visit and visit.state in (PLUGGED, REFUSED) and order.number in (None, bay.number):
            visit.token, visit.remote_start_id = order.token, order.remote_start_id
            charger.begin(bay, visit, now)
            return ACCEPTED
    return REJECTED


def _stop(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    for bay in charger.bays:
        names = (bay.visit.key, bay.visit.transaction_ref) if bay.visit else ()  # a 2.x charger names it itself
        if bay.visit and bay.visit.is_running and order.reference in names:
            charger.end(bay, now, "Remote")
            return ACCEPTED
    return REJECTED


def _transaction_status(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    waiting = bool(charger.unanswered())
    if not order.reference:
        return {"messagesInQueue": waiting}
    running = any(
        bay.visit and bay.visit.is_running and order.reference in (bay.visit.key, bay.visit.transaction_ref)
        for bay in charger.bays
    )
    return {"ongoingIndicator": running, "messagesInQueue": waiting}


def _unlock(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    bay = charger.bay(order.number)
    if bay is None:
        return {"status": "UnknownConnector" if "evseId" in order.said else "NotSupported"}
    if "evseId" in order.said and bay.visit and bay.visit.is_running:
        return {"status": "OngoingAuthorizedTransaction"}
    charger.leave(bay, now, "UnlockCommand")
    return {"status": "Unlocked"}


# --- the station --------------------------------------------------------------------------------------------------
def _availability(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    """Scheduled while a session runs: it takes effect after it."""
    bays = [bay for bay in charger.bays if order.number in (None, 0, bay.number)]
    if not bays:
        return REJECTED
    for bay in bays:
        bay.is_switched_off = order.message == "Inoperative"
    is_busy = any(bay.visit and bay.visit.is_running for bay in bays)
    return {"status": "Scheduled"} if is_busy and order.message == "Inoperative" else ACCEPTED


def _reset(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    """1.6: Hard or Soft; 2.x: Immediate or OnIdle, which waits for the last session."""
    if order.message == "OnIdle" and any(bay.visit and bay.visit.is_running for bay in charger.bays):
        charger.resets_from = now
        return {"status": "Scheduled"}
    reason = {"Hard": "HardReset", "Soft": "SoftReset"}.get(order.message, "ImmediateReset")
    charger.restart(now, RESTART_SECONDS, reason)
    return ACCEPTED


def _trigger(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    if order.message == "StatusNotification":
        for bay in charger.bays:
            if order.number in (None, 0, bay.number):
                charger.shown.pop(bay.number, None)
    elif order.message == "BootNotification":
        charger.say("boot", charger.dialect.boot(charger))
    elif order.message == "Heartbeat":
        charger.say("heartbeat", ("Heartbeat", {}))
    elif order.message in ("MeterValues", "TransactionEvent"):
        charger.meter_at = {}
    elif order.message == "FirmwareStatusNotification":
        charger.say("note", charger.dialect.firmware_status("Idle", None))
    else:
        return {"status": "NotImplemented"}
    return ACCEPTED


def _accept(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    return ACCEPTED


def _silently(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    return {}


# --- configuration ------------------------------------------------------------------------------------------------
def _get_configuration(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    are_numbers = Quirk.NUMERIC_CONFIGURATION in charger.quirks
    return charger.configuration.get(order.said.get("key", []), are_numbers=are_numbers)


def _change_configuration(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    entry = charger.configuration.find(order.said["key"])
    status = charger.configuration.change(entry, order.said["value"])
    _take_over(charger)
    return {"status": status}


def _get_variables(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    return charger.configuration.get_variables(order.said["getVariableData"])


def _set_variables(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    rows = []
    for one in order.said["setVariableData"]:
        entry = charger.configuration.find_variable(one["component"]["name"], one["variable"]["name"])
        status = charger.configuration.change(entry, one["attributeValue"])
        status = {"NotSupported": "UnknownVariable"}.get(status, status)
        rows.append({"component": one["component"], "variable": one["variable"], "attributeStatus": status})
    _take_over(charger)
    return {"setVariableResult": rows}


def _take_over(charger: "SimCharger") -> None:
    """What was set takes effect."""
    values = charger.configuration.value
    charger.heartbeat_every = timedelta(seconds=max(5, int(values("HeartbeatInterval"))))
    charger.meter_every = timedelta(seconds=max(1, int(values("MeterValueSampleInterval"))))
    if password := values("AuthorizationKey"):
        charger.password = password


def _report(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    """The variables follow in NotifyReports of a few rows each."""
    rows = charger.configuration.report()
    parts = [rows[start : start + REPORT_ROWS] for start in range(0, len(rows), REPORT_ROWS)]
    for number, part in enumerate(parts):
        payload = {
            "requestId": order.said["requestId"],
            "generatedAt": instant(now),
            "seqNo": number,
            "tbc": number < len(parts) - 1,
            "reportData": part,
        }
        charger.say("note", ("NotifyReport", payload))
    return ACCEPTED


# --- local list ---------------------------------------------------------------------------------------------------
def _send_list(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    said = order.said
    version = said.get("listVersion", said.get("versionNumber", 0))
    rows = said.get("localAuthorizationList", [])
    if len(rows) > MAX_LIST_PART:
        return {"status": "Failed"}
    if said["updateType"] == "Full":
        charger.local_list = {}
    elif version <= charger.list_version:
        return {"status": "VersionMismatch"}
    for row in rows:
        token = (row["idTag"] if "idTag" in row else row["idToken"]["idToken"]).upper()
        info = row.get("idTagInfo") or row.get("idTokenInfo")
        if info:
            charger.local_list[token] = info["status"]
        else:
            charger.local_list.pop(token, None)
    if len(charger.local_list) > MAX_LIST:
        charger.local_list, charger.list_version = {}, 0
        return {"status": "Failed"}
    charger.list_version = version
    return ACCEPTED


def _list_version(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    return {order.message: charger.list_version}


# --- charging profiles --------------------------------------------------------------------------------------------
def _set_profile(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    """OCPP 1.6 section 5.16.2: the same id, or the same purpose, level and plug, replaces what was there."""
    raw = order.said.get("csChargingProfiles") or order.said["chargingProfile"]
    profile = profiles.read(raw, order.number or 0)
    bay = charger.bay(profile.evse_number)
    is_running = bay is not None and bay.visit is not None and bay.visit.is_running
    is_misplaced = profile.purpose in profiles.STATION_MAX and profile.evse_number != 0
    if Quirk.REJECTS_PROFILES in charger.quirks or is_misplaced or (profile.purpose == profiles.TX and not is_running):
        return REJECTED
    slot = (profile.purpose, profile.stack_level, profile.evse_number)
    charger.profiles = [
        one
        for one in charger.profiles
        if one.number != profile.number and (one.purpose, one.stack_level, one.evse_number) != slot
    ] + [profile]
    return ACCEPTED


def _clear_profiles(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    said = order.said
    criteria = said.get("chargingProfileCriteria", said)
    kept = profiles.clear(
        charger.profiles,
        number=said.get("id", said.get("chargingProfileId")),
        evse_number=criteria.get("connectorId", criteria.get("evseId")),
        purpose=criteria.get("chargingProfilePurpose"),
        stack_level=criteria.get("stackLevel"),
    )
    was_there = len(kept) < len(charger.profiles)
    charger.profiles = kept
    return ACCEPTED if was_there else {"status": "Unknown"}


def _composite(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    number, seconds = order.number or 0, int(order.said["duration"])
    bays = [bay for bay in charger.bays if number in (0, bay.number)]
    if not bays:
        return REJECTED
    if Quirk.ABSURD_COMPOSITE_SCHEDULE in charger.quirks:
        steps, seconds = [(0, -1.0)], ABSURD_SECONDS
    else:
        steps = _steps(charger, bays[0] if number else None, now, seconds)
    periods = [{"startPeriod": start, "limit": round(watts, 1)} for start, watts in steps]
    if order.message == "1.6":
        schedule = {"duration": seconds, "chargingRateUnit": "W", "chargingSchedulePeriod": periods}
        return {**ACCEPTED, "connectorId": number, "scheduleStart": instant(now), "chargingSchedule": schedule}
    schedule = {
        "evseId": number, "duration": seconds, "scheduleStart": instant(now), "chargingRateUnit": "W",
        "chargingSchedulePeriod": periods,
    }  # fmt: skip
    return {**ACCEPTED, "schedule": schedule}


def _steps(charger: "SimCharger", bay: Bay | None, now: datetime, seconds: int) -> list[tuple[int, float]]:
    visit = bay.visit if bay and bay.visit and bay.visit.is_running else None
    most_w = bay.max_power_w if bay else sum(one.max_power_w for one in charger.bays)
    return profiles.composite(
        charger.profiles, bay.number if bay else 0, now, seconds, most_w=most_w,
        transaction_ref=visit.transaction_ref if visit else "", began_at=visit.began_at if visit else None,
    )  # fmt: skip


def _get_profiles(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    """OCPP 2.x: they follow in ReportChargingProfiles, one message per EVSE."""
    wanted = [one for one in charger.profiles if order.number is None or one.evse_number == order.number]
    numbers = sorted({profile.evse_number for profile in wanted})
    for index, number in enumerate(numbers):
        payload = {
            "requestId": order.said["requestId"],
            "chargingLimitSource": "CSO",
            "evseId": number,
            "chargingProfile": [profile.raw for profile in wanted if profile.evse_number == number],
            "tbc": index < len(numbers) - 1,
        }
        charger.say("note", ("ReportChargingProfiles", payload))
    return ACCEPTED if wanted else {"status": "NoProfiles"}


# --- firmware and logs --------------------------------------------------------------------------------------------
def _firmware(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    """Downloads, installs, restarts, and tells so; a location without a version in its name fails to install."""
    location, request_id = order.said.get("firmware", order.said)["location"], order.said.get("requestId")
    for status, seconds in FIRMWARE_STEPS:
        _tell_firmware(charger, status, request_id, now + timedelta(seconds=seconds))
    version = re.search(r"(\d+\.\d+\.\d+)", location)
    if version is None:
        _tell_firmware(charger, "InstallationFailed", request_id, now + timedelta(seconds=5))
    else:
        charger.installing, charger.resets_from = (version[1], request_id), now + timedelta(seconds=5)
    return ACCEPTED if request_id is not None else {}


def on_restart(charger: "SimCharger") -> None:
    """What was downloaded is what starts."""
    if charger.installing:
        charger.firmware_version = charger.installing[0]


def firmware_installed(charger: "SimCharger") -> None:
    """After the boot that follows an installation."""
    if charger.installing and charger.installing[0] == charger.firmware_version:
        charger.say("note", charger.dialect.firmware_status("Installed", charger.installing[1]), is_durable=True)
        charger.installing = None


def _tell_firmware(charger: "SimCharger", status: str, request_id: int | None, at: datetime) -> None:
    charger.say("note", charger.dialect.firmware_status(status, request_id), is_durable=True, at=at)


def _log(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    """GetLog (2.x and the 1.6 security white paper): status Uploading, then Uploaded."""
    request_id, name = order.said.get("requestId"), f"{charger.identity}-{now:%Y%m%d%H%M%S}.log"
    for status, seconds in (("Uploading", 1), ("Uploaded", 3)):
        said = charger.dialect.log_status(status, request_id)
        charger.say("note", said, is_durable=True, at=now + timedelta(seconds=seconds))
    charger.uploads.append((order.said.get("log", order.said).get("remoteLocation", ""), name))
    return {**ACCEPTED, "filename": name}


def _diagnostics(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    """OCPP 1.6 section 5.9."""
    name = f"{charger.identity}-{now:%Y%m%d%H%M%S}.zip"
    for status, seconds in (("Uploading", 1), ("Uploaded", 3)):
        said = ("DiagnosticsStatusNotification", {"status": status})
        charger.say("note", said, is_durable=True, at=now + timedelta(seconds=seconds))
    charger.uploads.append((order.said.get("location", ""), name))
    return {"fileName": name}


# --- tariffs and the rest of 2.1 ----------------------------------------------------------------------------------
def _get_tariffs(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    return {"status": "NoTariff"}


def _clear_tariffs(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    named = order.said.get("tariffIds") or []
    return {"clearTariffsResult": [{"tariffId": name, "status": "NoTariff"} for name in named] or [ACCEPTED]}


def _certificate_ids(charger: "SimCharger", order: Order, now: datetime) -> Answer:
    return {"status": "NotFound"}


HANDLERS: dict[str, Handler] = {
    "reserve": _reserve, "cancel": _cancel, "start": _start, "stop": _stop, "unlock": _unlock,
    "transaction_status": _transaction_status, "availability": _availability, "reset": _reset, "trigger": _trigger,
    "accept": _accept, "silently": _silently, "get_configuration": _get_configuration,
    "change_configuration": _change_configuration, "get_variables": _get_variables, "set_variables": _set_variables,
    "report": _report, "send_list": _send_list, "list_version": _list_version, "set_profile": _set_profile,
    "clear_profiles": _clear_profiles, "composite": _composite, "get_profiles": _get_profiles, "firmware": _firmware,
    "log": _log, "diagnostics": _diagnostics, "get_tariffs": _get_tariffs, "clear_tariffs": _clear_tariffs,
    "certificate_ids": _certificate_ids,
}  # fmt: skip
