"""Rules 33-39: reservations, profiles, lists, firmware, security, cost and reports."""

import asyncio
import itertools
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from billing.models import ChargingPolicy
from dispatch.models import Alert, Reservation, ReservationBreach
from ocpp_bridge import costs, local_lists, reports, uploads
from ocpp_bridge.models import ChargerJob, Notice, Report, SecurityEvent
from stations.models import Charger
from tests.flows.ocpp.station import ALL_VERSIONS, NEWER, V16, Station, now, text_of, until
from tests.flows.ocpp.world import World


def reserves(station: Station, status: str = "Accepted") -> None:
    station.replies["ReserveNow"] = {"status": status}


def token_in(asked: dict[str, Any]) -> str:
    return str(asked["idTag"] if "idTag" in asked else asked["idToken"]["idToken"])


def number_in(asked: dict[str, Any]) -> int:
    return int(asked["reservationId"] if "reservationId" in asked else asked["id"])


async def state_of(world: World, number: int) -> str:
    return str((await world.api(f"/api/v1/reservations/{number}/"))["state"])


async def becomes(world: World, number: int, *states: str) -> str:
    async def look() -> str:
        state = await state_of(world, number)
        return state if state in states else ""

    return str(await until(look, f"reservation {number} to be {states}"))


async def test_rule_33_a_promise_is_kept_by_us_when_the_charger_does_not(world: World) -> None:
    ChargingPolicy.objects.update_or_create(organisation=world.fleet, defaults={"reserved_bay": "stop"})
    await asyncio.gather(*(_keep_a_promise(world, version) for version in ALL_VERSIONS))


async def _keep_a_promise(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    for plug in (1, 2):
        await station.status("Available", plug)
    mine, stranger = world.tag(), world.tag()
    numbers = set()
    for word, states in (("Occupied", ("rejected", "failed")), ("Accepted", ("confirmed",))):
        reserves(station, word)
        made = await world.reserve(charger, mine)
        asked = await station.next("ReserveNow")
        assert token_in(asked) == mine
        assert 0 < number_in(asked) < 2**31
        numbers.add(number_in(asked))
        assert await becomes(world, made["number"], *states) in states
    assert len(numbers) == 2
    await world.shows(charger, "reserved")

    station.cut()  # it forgets with every reboot: said again
    station = await world.connect(charger, version)
    await station.boot()
    again = await station.next("ReserveNow")
    assert number_in(again) == number_in(asked)

    stops = "RemoteStopTransaction" if version == V16 else "RequestStopTransaction"
    reference = await station.start(stranger, 0)  # it starts another tag on the reserved connector
    stopped = await station.next(stops)
    assert str(stopped["transactionId"]) == reference
    await station.stop(reference, 100)
    breach = ReservationBreach.objects.get(reservation__number=made["number"])
    assert breach.session.id_token_uid == stranger
    assert Alert.objects.filter(kind=Alert.Kind.RESERVATION_LOST, organisation=world.fleet).exists()

    kept = await world.reserve(charger, world.tag(), number=2)
    await station.next("ReserveNow")
    await becomes(world, kept["number"], "confirmed")
    if version == V16:
        cancelled = await world.api(f"/api/v1/reservations/{kept['number']}/cancel/", {"reason": "test"})
        assert cancelled["number"] == kept["number"]
        while number_in(await station.next("CancelReservation")) != kept["number"]:
            pass  # the one that was broken is taken back too
    else:
        update = {"reservationId": kept["number"], "reservationUpdateStatus": "Removed"}
        await station.call("ReservationStatusUpdate", update)
        ended = lambda: Reservation.objects.get(number=kept["number"]).state not in ("requested", "confirmed")  # noqa: E731
        await until(ended, "the removed reservation to end")


def profile(purpose: str, **more: Any) -> dict[str, Any]:
    periods = [{"start_seconds": 0, "limit": "11000.26"}, {"start_seconds": 600, "limit": "7000"}]
    plain = {"profile_id": 5, "stack_level": 1, "kind": "absolute", "unit": "W", "start_at": text_of(now())}
    return {**plain, "purpose": purpose, "periods": periods, **more}


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_34_profiles_are_said_right_and_absurd_answers_are_only_noted(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    reference = await station.start(world.tag(), 0)

    async def refused(evse: int, **wanted: Any) -> None:
        row = await world.command(charger, "SetChargingProfile", evse_number=evse, charging_profile=wanted)
        assert (await world.outcome(row))["state"] in ("failed", "rejected")
        assert station.asked["SetChargingProfile"].empty()

    async def accepted(evse: int, reference: str = "", **wanted: Any) -> dict[str, Any]:
        named: dict[str, Any] = {"transaction_ref": reference} if reference else {}
        row = await world.command(charger, "SetChargingProfile", evse_number=evse, charging_profile=wanted, **named)
        asked = await station.next("SetChargingProfile")
        assert (await world.outcome(row))["state"] == "accepted"
        return dict(asked.get("csChargingProfiles") or asked["chargingProfile"])

    said = await accepted(1, reference, **profile("tx"))
    assert said["chargingProfilePurpose"] == "TxProfile"
    assert str(said["transactionId"]) == reference
    schedule = said["chargingSchedule"] if version == V16 else said["chargingSchedule"][0]
    assert [one["limit"] for one in schedule["chargingSchedulePeriod"]] == [11000.2, 7000]  # of 11000.26: never more
    assert (await accepted(0, **profile("station_max")))["chargingProfilePurpose"] in (
        "ChargePointMaxProfile", "ChargingStationMaxProfile",
    )  # fmt: skip
    assert (await accepted(2, **profile("tx_default")))["chargingProfilePurpose"] == "TxDefaultProfile"
    await refused(1, **profile("station_max"))  # only for the whole station
    await refused(1, **profile("tx"))  # of no transaction
    await refused(0, **profile("tx_default", kind="recurring"))  # recurring how?

    period = {"startPeriod": 0, "limit": -1}
    start_at = text_of(now())
    if version == V16:
        absurd: dict[str, Any] = {"duration": 2**31 - 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [period]}
        answer = {"status": "Accepted", "connectorId": 1, "scheduleStart": start_at, "chargingSchedule": absurd}
    else:
        absurd = {"evseId": 1, "duration": 2**31 - 1, "scheduleStart": start_at, "chargingRateUnit": "W"}
        answer = {"status": "Accepted", "schedule": {**absurd, "chargingSchedulePeriod": [period]}}
    station.replies["GetCompositeSchedule"] = answer
    row = await world.command(charger, "GetCompositeSchedule", evse_number=1, duration_seconds=600)
    done = await world.outcome(row)
    assert done["state"] == "accepted"
    assert done["response"] == answer  # kept as it came
    assert "currentTime" in await station.call("Heartbeat", {})


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_35_the_local_list_follows_who_may_charge(world: World, version: str) -> None:
    tag = world.tag()
    charger = world.charger(subprotocols=[version])
    station = await world.connect(charger, version)
    version_key = "listVersion" if version == V16 else "versionNumber"
    station.replies["GetLocalListVersion"] = {version_key: 0}
    limits = [
        {"key": "LocalAuthListEnabled", "readonly": False, "value": "true"},
        {"key": "LocalAuthListMaxLength", "readonly": True, "value": "400"},
        {"key": "SendLocalListMaxLength", "readonly": True, "value": "25"},
    ]
    station.replies["GetConfiguration"] = {"configurationKey": limits}
    station.replies["GetVariables"] = lambda asked: {
        "getVariableResult": [
            {"attributeStatus": "Accepted", "component": one["component"], "variable": one["variable"],
             "attributeValue": {"Enabled": "true", "ItemsPerMessage": "25", "Entries": "400"}.get(
                 one["variable"]["name"], "0")}
            for one in asked["getVariableData"]
        ]
    }  # fmt: skip
    await station.boot()
    parts = [await pushed(world, station)]
    assert parts[0]["updateType"] == "Full"
    while tag not in tokens_of(parts):
        parts.append(await pushed(world, station))
    assert all(len(part.get("localAuthorizationList", [])) <= 25 for part in parts)
    assert all(len(token) <= (20 if version == V16 else 36) for token in tokens_of(parts))

    newcomer = world.tag()
    change = await pushed(world, station)
    while newcomer not in tokens_of([change]):
        change = await pushed(world, station)
    assert change["updateType"] == "Differential"
    assert change[version_key] > parts[0][version_key]

    answers = itertools.chain(["VersionMismatch"], itertools.repeat("Accepted"))
    station.replies["SendLocalList"] = lambda asked: {"status": next(answers)}
    third = world.tag()
    assert (await pushed(world, station))["updateType"] == "Differential"
    whole = [await pushed(world, station)]
    while third not in tokens_of(whole):
        whole.append(await pushed(world, station))
    assert whole[0]["updateType"] == "Full"  # nobody had to ask for it
    assert tag in tokens_of(whole)


async def pushed(world: World, station: Station) -> dict[str, Any]:
    """The next list on the wire; the sweep of the running system is hurried on."""

    async def look() -> Any:
        await asyncio.to_thread(sweep_lists)
        return None if station.asked["SendLocalList"].empty() else station.asked["SendLocalList"].get_nowait()

    return dict(await until(look, "a local list"))


def sweep_lists() -> None:
    from django.db import connection

    local_lists.sweep(now=now())
    connection.close()


def tokens_of(parts: list[dict[str, Any]]) -> set[str]:
    rows = [row for part in parts for row in part.get("localAuthorizationList", [])]
    return {row["idTag"] if "idTag" in row else row["idToken"]["idToken"] for row in rows}


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_36_firmware_and_logs_are_followed_to_their_end(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    station.replies["UpdateFirmware"] = {} if version == V16 else {"status": "Accepted"}
    row = await world.command(
        charger, "UpdateFirmware", location="https://fw.example/nc-5.0.1.bin", retrieve_at=text_of(now())
    )
    asked = await station.next("UpdateFirmware")
    await world.outcome(row, "accepted")
    numbered = {} if version == V16 else {"requestId": asked["requestId"]}

    def job() -> ChargerJob:
        return ChargerJob.objects.filter(charger=charger, kind=ChargerJob.Kind.FIRMWARE).latest("pk")

    for status in ("Downloading", "Downloaded", "Installing"):
        await station.call("FirmwareStatusNotification", {"status": status, **numbered})
        assert (job().status, job().is_open) == (status, True)
    station.cut()  # it installs, and is away for long
    station = await world.connect(charger, version)
    await station.boot()
    await station.call("FirmwareStatusNotification", {"status": "InstallationFailed", **numbered})
    assert (job().has_failed, job().is_open) == (True, False)
    assert ChargerJob.objects.filter(charger=charger, kind=ChargerJob.Kind.FIRMWARE).count() == 1
    failed = Alert.objects.filter(kind=Alert.Kind.CHARGER_MATTER, title__contains=charger.ocpp_identity)
    await until(failed.exists, "an alert for the failed update")

    upload = uploads.ask_for_log(
        charger_id=charger.pk, kind="security", actor=None, actor_label="test", reason="", key=f"log-{charger.pk}",
        now=now(),
    )  # fmt: skip
    station.replies["GetLog"] = {"status": "Accepted", "filename": "security.log"}
    asked = await station.next("GetLog")
    path = "/" + asked["log"]["remoteLocation"].split("/", 3)[3]
    async with httpx.AsyncClient(base_url=world.system.realtime, trust_env=False) as client:
        assert (await client.put(path, content=b"door opened\n")).status_code in (200, 201, 204)
        assert (await client.put(path.replace(path[-5:-1], "aaaa"), content=b"x")).status_code in (401, 403, 404, 410)
    await station.call("LogStatusNotification", {"status": "Uploaded", "requestId": asked["requestId"]})
    upload.refresh_from_db()
    assert uploads.path_of(upload).name  # kept, where an operator finds it


def csr_for(identity: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([
        x509.NameAttribute(NameOID.COMMON_NAME, identity), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Namma"),
    ])  # fmt: skip
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_37_security_events_are_kept_and_requests_for_certificates_checked(
    world: World, version: str
) -> None:
    charger, station = await world.ready(version)
    for kind in ("FirmwareUpdated", "TamperDetectionActivated"):
        await station.call("SecurityEventNotification", {"type": kind, "timestamp": text_of(now()), "techInfo": "x"})
    kept = dict(SecurityEvent.objects.filter(charger=charger).values_list("type", "is_critical"))
    assert kept["TamperDetectionActivated"] is True
    alert = Alert.objects.filter(kind=Alert.Kind.CHARGER_MATTER, title__contains=charger.ocpp_identity)
    await until(alert.exists, "an alert for the opened door")

    async def sign(csr: str) -> str:
        return str((await station.call("SignCertificate", {"csr": csr}))["status"])

    assert await sign(csr_for("SOMEBODY-ELSE")) == "Rejected"
    assert await sign("not a request") == "Rejected"
    assert await sign(csr_for(charger.ocpp_identity)) == "Accepted"
    signed = await station.next("CertificateSigned")
    chain = x509.load_pem_x509_certificates(signed["certificateChain"].encode())
    [name] = chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == charger.ocpp_identity
    assert chain[1].subject == chain[0].issuer
    if version != V16:
        ev = {"iso15118SchemaVersion": "urn:iso:15118:2:2013:MsgDef", "action": "Install", "exiRequest": "AAAA"}
        assert (await station.call("Get15118EVCertificate", ev))["status"] == "Failed"


async def it_can_show_costs(world: World, charger: Charger, station: Station) -> None:
    """It says so when it is asked for its configuration."""
    shown = [{"key": "CustomDisplayCostAndPrice", "readonly": True, "value": "true"}]
    station.replies["GetConfiguration"] = {"configurationKey": shown}
    station.replies["GetVariables"] = lambda asked: {
        "getVariableResult": [
            {"attributeStatus": "Accepted", "attributeValue": "true", **one} for one in asked["getVariableData"]
        ]
    }
    keys = [] if station.is_16 else ["TariffCostCtrlr.Enabled[Cost]"]
    await world.outcome(await world.command(charger, "GetConfiguration", keys=keys), "accepted")
    await until(lambda: costs.able([world.fresh(charger)]), "its abilities to be known")


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_38_cost_is_said_to_those_who_can_show_it(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    transfer = {"vendorId": "com.nobody", "messageId": "x", "data": "y"}
    assert (await station.call("DataTransfer", transfer))["status"] == "UnknownVendorId"
    cost = {"vendorId": "org.openchargealliance.costmsg", "messageId": "NoSuchMessage", "data": "{}"}
    assert (await station.call("DataTransfer", cost))["status"] == "UnknownMessageId"
    assert not Notice.objects.filter(charger=charger).exists()

    async def told() -> tuple[float, str]:
        """(cost, transaction) of the next message to the charger."""
        if version != V16:
            asked = await station.next("CostUpdated")
            return asked["totalCost"], asked["transactionId"]
        asked = await station.next("DataTransfer")
        assert (asked["vendorId"], asked["messageId"]) == ("org.openchargealliance.costmsg", "RunningCost")
        data = json.loads(asked["data"])
        return data["cost"], str(data["transactionId"])

    def manual(reference: str) -> Any:
        return world.command(charger, "CostUpdated", transaction_ref=reference, total_cost="123.45")

    began_at = now() - timedelta(minutes=30)
    first = await station.start(world.tag(), 0, began_at)
    row = await world.outcome(await manual(first))  # it does not say that it can show one
    assert (row["state"], "does not say" in row["reason"]) == ("failed", True)
    await station.meter(first, 1_000, began_at + timedelta(minutes=5))
    await station.stop(first, 2_000, began_at + timedelta(minutes=10))
    assert not (station.asked["CostUpdated"].qsize() or station.asked["DataTransfer"].qsize())

    await it_can_show_costs(world, charger, station)
    second = await station.start(world.tag(), 2_000, began_at + timedelta(minutes=12))
    if version != V16:
        assert await told() == (0.0, second)  # the first sample comes with the start
    row = await manual(second)
    assert await told() == (123.45, second)
    assert (await world.outcome(row))["state"] == "accepted"
    await station.meter(second, 3_000, began_at + timedelta(minutes=17))
    if version == V16:
        assert await told() == (23.6, second)  # 1 kWh at 20, and 18 % GST
    await station.meter(second, 4_000, began_at + timedelta(minutes=18))
    assert "currentTime" in await station.call("Heartbeat", {})
    said = [one for one in world.commands(charger) if one.actor == "running cost"]
    assert len(said) == 1  # not again within the minute


@pytest.mark.parametrize("version", NEWER)
async def test_rule_39_reports_are_put_together_and_gaps_shown(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    row = await world.command(charger, "GetBaseReport", report="full")
    asked = await station.next("GetBaseReport")
    await world.outcome(row, "accepted")
    generated_at = text_of(now())  # a part that is repeated is the same part

    async def tell(number: int, request_id: int, *, more: bool) -> None:
        variable = {
            "component": {"name": "TxCtrlr"}, "variable": {"name": f"V{number}"},
            "variableAttribute": [{"value": str(number)}],
        }  # fmt: skip
        part = {"requestId": request_id, "generatedAt": generated_at, "seqNo": number, "tbc": more}
        await station.call("NotifyReport", {**part, "reportData": [variable]})

    for number, more in ((2, False), (0, True), (1, True), (1, True)):  # any order, and one twice
        await tell(number, asked["requestId"], more=more)
    report = Report.objects.get(charger=charger, request_id=asked["requestId"])
    assert (report.state, report.parts.count()) == (Report.State.COMPLETE, 3)
    assert reports.variables(charger_id=charger.pk)

    row = await world.command(charger, "GetBaseReport", report="full")
    asked = await station.next("GetBaseReport")
    await tell(0, asked["requestId"], more=True)
    await tell(2, asked["requestId"], more=False)
    partial = Report.objects.get(charger=charger, request_id=asked["requestId"])
    assert partial.state != Report.State.COMPLETE
    reports.close_silent(now=now() + timedelta(hours=1))
    partial.refresh_from_db()
    assert partial.state == Report.State.INCOMPLETE
