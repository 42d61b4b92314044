"""What chargers report of themselves is in the database once it is answered, and only once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from billing.models import ChargingSession
from dispatch.models import Alert
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from ocpp_bridge import csr, jobs, reports
from ocpp_bridge.models import (
    CertificateRequest,
    ChargerJob,
    ChargingNeeds,
    ChargingSite,
    Command,
    ComponentEvent,
    ExternalLimit,
    Notice,
    Report,
    SecurityEvent,
    Settlement,
    StationCost,
)
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.threads import in_database
from stations.events import ReservationAnswered
from stations.models import Charger

NOW = datetime.now(UTC).replace(microsecond=0)
STAMP = NOW.isoformat().replace("+00:00", "Z")
VERSIONS = ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]
HASH = {"hashAlgorithm": "SHA256", "issuerNameHash": "a", "issuerKeyHash": "b", "serialNumber": "1"}
KEY_77 = "77777777-7777-4777-8777-777777777777"
STREAM = {"constantStreamData": {"id": 1, "params": {}, "variableMonitoringId": 2}}
SCHEDULE = {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 11000}]}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "BLR-017")


def signing_request(name: str, *, bits: int = 2048) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits) if bits > 521 else ec.generate_private_key(
        ec.SECP192R1() if bits == 192 else ec.SECP256R1()
    )  # fmt: skip
    subject = x509.Name([
        x509.NameAttribute(x509.NameOID.COMMON_NAME, name), x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Fleet"),
    ])  # fmt: skip
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


# --- every version ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_security_event_is_kept_once_and_tampering_calls_a_person(
    connect: Connect, station: Charger, version: str
) -> None:
    socket = await connect("BLR-017", subprotocols=[version])
    tampered = {"type": "TamperDetectionActivated", "timestamp": STAMP, "techInfo": "lid"}
    for event in (tampered, tampered, {"type": "StartupOfTheDevice", "timestamp": STAMP}):
        assert await socket.call("SecurityEventNotification", event) == {}
    kept = (
        SecurityEvent.objects.filter(charger=station).order_by("type").values_list("type", "is_critical", "tech_info")
    )
    assert [row async for row in kept] == [("StartupOfTheDevice", True, ""), ("TamperDetectionActivated", True, "lid")]
    alert = await Alert.objects.aget(kind=Alert.Kind.CHARGER_MATTER)
    assert (alert.organisation_id, alert.severity, alert.title) == (
        station.organisation_id, "bad", "BLR-017: TamperDetectionActivated",
    )  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_certificate_request_we_would_not_sign_is_refused_with_its_reason(
    connect: Connect, station: Charger, version: str
) -> None:
    socket = await connect("BLR-017", subprotocols=[version])
    strangers, weak = signing_request("BLR-018"), signing_request("BLR-017", bits=192)
    for pem in (strangers, strangers, weak, "no request"):
        assert await socket.call("SignCertificate", {"csr": pem}) == {"status": "Rejected"}
    kept = CertificateRequest.objects.filter(charger=station).order_by("pk").values_list("csr", "key", "reason")
    assert [(pem, key, reason[:27]) async for pem, key, reason in kept] == [
        (strangers, "RSA 2048", "the common name must be the"),
        (weak, "EC secp192r1", "the key is too weak: EC sec"),
        ("no request", "", "not a readable PKCS#10 requ"),
    ]


def test_a_certificate_request_is_judged_by_key_name_and_signature() -> None:
    good = signing_request("BLR-017")
    assert csr.check(good, identity="BLR-017").flaw == ""
    assert csr.check(good, identity="BLR-018").flaw == "the common name must be the charger's identity"
    assert csr.check(signing_request("BLR-017", bits=256), identity="BLR-017").flaw == ""
    lines = good.splitlines()
    forged = "\n".join([*lines[:-3], lines[-3][:-4] + "AAAA", *lines[-2:]])
    assert csr.check(forged, identity="BLR-017").flaw == "its signature is not of its own key"


@pytest.mark.parametrize("version", VERSIONS)
async def test_cost_messages_are_ours_and_other_vendors_are_unknown(
    connect: Connect, station: Charger, version: str
) -> None:
    socket = await connect("BLR-017", subprotocols=[version])
    ours = {
        "vendorId": "org.openchargealliance.costmsg",
        "messageId": "ConnectorUnplugged",
        "data": '{"transactionId": 7}',
    }
    assert await socket.call("DataTransfer", ours) == {"status": "Accepted"}
    assert await socket.call("DataTransfer", ours | {"messageId": "X"}) == {"status": "UnknownMessageId"}
    assert await socket.call("DataTransfer", {"vendorId": "com.example"}) == {"status": "UnknownVendorId"}
    notice = await Notice.objects.aget(charger=station)
    assert (notice.action, notice.transaction_ref) == ("DataTransfer.ConnectorUnplugged", "7")


# --- jobs ---------------------------------------------------------------------------------------------------------
async def test_a_firmware_update_of_1_6_is_followed_without_a_number(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    for status in ("Idle", "Downloading", "Downloading", "Downloaded", "Installing", "InstallationFailed"):
        await socket.call("FirmwareStatusNotification", {"status": status})
    job = await ChargerJob.objects.aget(charger=station)
    assert [step[0] for step in job.steps] == ["Downloading", "Downloaded", "Installing", "InstallationFailed"]
    assert (job.is_open, job.has_failed) == (False, True)
    assert await Alert.objects.open().filter(kind=Alert.Kind.CHARGER_MATTER).acount() == 1
    for status in ("Downloading", "Downloaded", "Installing", "Installed"):
        await socket.call("FirmwareStatusNotification", {"status": status})
    assert await ChargerJob.objects.filter(charger=station).acount() == 2
    assert await Alert.objects.open().filter(kind=Alert.Kind.CHARGER_MATTER).acount() == 0


@pytest.mark.parametrize(
    ("version", "action"),
    [
        ("ocpp1.6", "SignedFirmwareStatusNotification"),
        ("ocpp1.6", "LogStatusNotification"),
        ("ocpp2.0.1", "FirmwareStatusNotification"),
        ("ocpp2.1", "LogStatusNotification"),
    ],
)
async def test_a_numbered_job_is_one_job_also_across_sockets(
    connect: Connect, station: Charger, version: str, action: str
) -> None:
    first, last = ("Uploading", "Uploaded") if "Log" in action else ("Downloading", "Installed")
    for status in (first, last):
        socket = await connect("BLR-017", subprotocols=[version])
        assert await socket.call(action, {"status": status, "requestId": 41}) == {}
    job = await ChargerJob.objects.aget(charger=station, request_id=41)
    assert (job.status, job.is_open, job.has_failed, len(job.steps)) == (last, False, False, 2)


async def test_a_published_firmware_says_where_it_lies(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    done = {"status": "Published", "location": ["http://10.0.0.2/fw.bin"], "requestId": 5}
    assert await socket.call("PublishFirmwareStatusNotification", done) == {}
    assert (await ChargerJob.objects.aget(charger=station)).detail == "http://10.0.0.2/fw.bin"


@pytest.mark.django_db
def test_a_job_that_fell_silent_is_shown(station: Charger) -> None:
    jobs.note_progress(charger_id=station.pk, kind="log", status="Uploading", request_id=1, received_at=NOW)
    assert jobs.show_stuck(now=NOW + timedelta(hours=1)) == 0
    assert jobs.show_stuck(now=NOW + timedelta(hours=3)) == 1
    job = ChargerJob.objects.get()
    assert (job.is_open, job.has_failed, job.detail) == (False, True, "Silent since Uploading.")
    jobs.note_progress(charger_id=station.pk, kind="log", status="Uploaded", request_id=1, received_at=NOW)
    assert not ChargerJob.objects.get().has_failed


# --- reports ------------------------------------------------------------------------------------------------------
def variables(seq_no: int, *, is_last: bool = False, value: str = "1") -> dict[str, Any]:
    datum = {
        "component": {"name": "Connector", "evse": {"id": 1, "connectorId": 1}},
        "variable": {"name": f"V{seq_no}"},
        "variableAttribute": [{"value": value}],
    }
    return {"requestId": 9, "generatedAt": STAMP, "seqNo": seq_no, "tbc": not is_last, "reportData": [datum]}


@pytest.fixture
async def newer(connect: Connect, station: Charger) -> Socket:
    socket: Socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    return socket


async def test_a_report_is_complete_when_its_last_gap_is_filled(newer: Socket, station: Charger) -> None:
    for part in (variables(0), variables(2, is_last=True), variables(2, is_last=True)):
        assert await newer.call("NotifyReport", part) == {}
    report = await Report.objects.aget(charger=station)
    assert (report.state, report.missing) == ("receiving", [1])
    await newer.call("NotifyReport", variables(1))
    report = await Report.objects.aget(charger=station)
    assert (report.state, report.missing, await report.parts.acount()) == ("complete", [], 3)


async def test_a_report_whose_rest_never_comes_is_incomplete_until_it_does(newer: Socket, station: Charger) -> None:
    await newer.call("NotifyReport", variables(0))
    await newer.call("NotifyReport", variables(3, is_last=True))
    late = datetime.now(UTC) + reports.PATIENCE + timedelta(seconds=5)
    assert await in_database(reports.close_silent, now=late) == 1
    report = await Report.objects.aget(charger=station)
    assert (report.state, report.missing) == ("incomplete", [1, 2])
    for number in (1, 2):
        await newer.call("NotifyReport", variables(number))
    assert (await Report.objects.aget(charger=station)).state == "complete"


async def test_the_same_request_again_is_another_report_and_the_newest_value_counts(
    newer: Socket, station: Charger
) -> None:
    for value in ("1", "2"):
        await newer.call("NotifyReport", variables(0, value=value))
        await newer.call("NotifyReport", variables(1, value=value, is_last=True))
    assert [report.state async for report in Report.objects.filter(charger=station)] == ["complete", "complete"]
    found = await in_database(reports.variables, charger_id=station.pk)
    assert found == {("Connector#1.1", "V0", "Actual"): "2", ("Connector#1.1", "V1", "Actual"): "2"}


async def test_profiles_and_messages_have_no_numbers_and_are_put_together_as_they_come(
    newer: Socket, station: Charger
) -> None:
    profile = {
        "id": 1, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute",
        "chargingSchedule": [SCHEDULE],
    }  # fmt: skip
    part = {"requestId": 3, "chargingLimitSource": "CSO", "evseId": 1, "chargingProfile": [profile]}
    assert await newer.call("ReportChargingProfiles", part | {"tbc": True}) == {}
    assert await newer.call("ReportChargingProfiles", part | {"tbc": True}) == {}
    assert await newer.call("ReportChargingProfiles", part | {"evseId": 2}) == {}
    report = await Report.objects.aget(charger=station, kind="ReportChargingProfiles")
    assert (report.state, await report.parts.acount()) == ("complete", 2)
    message = {"id": 1, "priority": "InFront", "message": {"format": "UTF8", "content": "Hello"}}
    await newer.call("NotifyDisplayMessages", {"requestId": 3, "messageInfo": [message]})
    assert (await Report.objects.aget(charger=station, kind="NotifyDisplayMessages")).state == "complete"
    told = {"requestId": 4, "seqNo": 0, "generatedAt": STAMP, "data": "nothing is kept"}
    await newer.call("NotifyCustomerInformation", told)
    await newer.call("NotifyMonitoringReport", {"requestId": 5, "seqNo": 0, "generatedAt": STAMP})
    assert await Report.objects.filter(charger=station, state="complete").acount() == 4


# --- notices ------------------------------------------------------------------------------------------------------
async def test_component_events_are_kept_once_and_a_danger_calls_a_person(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.1"])
    entry = {
        "eventId": 1, "timestamp": STAMP, "trigger": "Alerting", "actualValue": "95", "severity": 1,
        "eventNotificationType": "HardWiredMonitor", "component": {"name": "Controller"},
        "variable": {"name": "Temperature"},
    }  # fmt: skip
    calm = entry | {"eventId": 2, "trigger": "Periodic", "severity": 8}
    for _ in range(2):
        told = {"generatedAt": STAMP, "seqNo": 0, "eventData": [entry, calm]}
        assert await socket.call("NotifyEvent", told) == {}
    assert await ComponentEvent.objects.filter(charger=station).acount() == 2
    assert (await Alert.objects.aget(kind=Alert.Kind.CHARGER_MATTER)).title == "BLR-017: Controller.Temperature = 95"
    cleared = entry | {"eventId": 3, "cleared": True, "actualValue": "40"}
    await socket.call("NotifyEvent", {"generatedAt": STAMP, "seqNo": 0, "eventData": [cleared]})
    assert await Alert.objects.open().filter(kind=Alert.Kind.CHARGER_MATTER).acount() == 0


@pytest.mark.parametrize("number", [None, 0])
async def test_every_part_of_a_long_notify_event_is_kept(
    connect: Connect, station: Charger, number: int | None
) -> None:
    """In any order, repeated, and from a station that numbers every event 0."""
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])

    def part(seq_no: int) -> dict[str, Any]:
        entries = [
            {
                "eventId": 10 * seq_no + plug if number is None else number, "timestamp": STAMP, "trigger": "Delta",
                "actualValue": "1", "eventNotificationType": "HardWiredNotification",
                "component": {"name": "Connector", "evse": {"id": seq_no + 1, "connectorId": plug}},
                "variable": {"name": "Available"},
            }
            for plug in (1, 2)
        ]  # fmt: skip
        return {"generatedAt": STAMP, "seqNo": seq_no, "tbc": seq_no < 2, "eventData": entries}

    for seq_no in (2, 0, 1, 0):
        assert await socket.call("NotifyEvent", part(seq_no)) == {}
    kept = ComponentEvent.objects.filter(charger=station).order_by("component")
    assert [row.component async for row in kept] == [
        f"Connector#{unit}.{plug}" for unit in (1, 2, 3) for plug in (1, 2)
    ]


async def test_a_limit_from_outside_is_in_force_until_it_is_cleared(newer: Socket, station: Charger) -> None:
    limit = {"chargingLimit": {"chargingLimitSource": "EMS", "isGridCritical": True}, "chargingSchedule": [SCHEDULE]}
    for _ in range(2):
        assert await newer.call("NotifyChargingLimit", limit | {"evseId": 1}) == {}
    in_force = ExternalLimit.objects.filter(charger=station, cleared_at=None)
    assert [(row.evse_number, row.source, row.is_grid_critical) async for row in in_force] == [(1, "EMS", True)]
    await newer.call("ClearedChargingLimit", {"chargingLimitSource": "EMS"})
    assert not await in_force.all().aexists()


async def test_what_a_vehicle_needs_is_kept_for_whoever_plans(newer: Socket, station: Charger) -> None:
    leaves = NOW + timedelta(days=3)
    needs = {
        "requestedEnergyTransfer": "DC", "departureTime": leaves.isoformat(),
        "dcChargingParameters": {
            "evMaxCurrent": 200, "evMaxVoltage": 400, "energyAmount": 30_000, "stateOfCharge": 20,
            "evEnergyCapacity": 60_000,
        },
    }  # fmt: skip
    answer = await newer.call("NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs})
    assert answer["status"] == "Rejected"
    site = await ChargingSite.objects.acreate(
        location_id=station.location_id, organisation_id=station.organisation_id, limit_w=50_000
    )
    answer = await newer.call("NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs})
    assert answer == {"status": "Processing"}
    await site.arefresh_from_db()
    assert site.due_at is not None
    kept = await ChargingNeeds.objects.aget(charger=station, evse_number=1)
    assert (kept.energy_wh, kept.soc_percent, kept.capacity_wh, kept.departure_at) == (30_000, 20, 60_000, leaves)
    plan = {"timeBase": STAMP, "evseId": 1, "chargingSchedule": SCHEDULE}
    assert await newer.call("NotifyEVChargingSchedule", plan) == {"status": "Accepted"}
    assert (await Notice.objects.aget(charger=station)).evse_number == 1


@pytest.mark.parametrize(("update", "state"), [("Expired", "expired"), ("Removed", "cancelled")])
async def test_a_reservation_the_station_let_go_is_told_to_whoever_made_it(
    newer: Socket, station: Charger, update: str, state: str
) -> None:
    heard: list[ReservationAnswered] = []
    events.subscribe(ReservationAnswered)(heard.append)
    try:
        await Command.objects.acreate(
            organisation_id=station.organisation_id, charger=station, action=Command.Action.RESERVE_NOW,
            parameters={"reservation_number": 77}, idempotency_key=f"r-{update}", reservation_key=KEY_77,
            state=Command.State.ACCEPTED, deadline_at=NOW,
        )  # fmt: skip
        told = {"reservationId": 77, "reservationUpdateStatus": update}
        assert await newer.call("ReservationStatusUpdate", told) == {}
        assert await newer.call("ReservationStatusUpdate", told | {"reservationId": 78}) == {}
        await until(lambda: heard)
        assert [(event.reservation_key, event.state, event.reason) for event in heard] == [
            (KEY_77, state, f"{update} by the charger")
        ]
    finally:
        events._handlers[ReservationAnswered].remove(heard.append)


async def test_what_we_do_not_offer_is_declined_in_its_own_words(newer: Socket) -> None:
    ocsp = {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": "a",
        "issuerKeyHash": "b",
        "serialNumber": "1",
        "responderURL": "x",
    }
    assert (await newer.call("GetCertificateStatus", {"ocspRequestData": ocsp}))["status"] == "Failed"
    wanted = {"iso15118SchemaVersion": "urn:iso:15118:2:2013:MsgDef", "action": "Install", "exiRequest": "AAAA"}
    assert (await newer.call("Get15118EVCertificate", wanted))["status"] == "Failed"


# --- OCPP 2.1 -----------------------------------------------------------------------------------------------------
async def test_2_1_tells_what_a_transaction_costs_and_how_it_was_paid(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.1"])
    cost = {
        "totalCost": {"currency": "INR", "typeOfCost": "NormalCost", "total": {"exclTax": 100, "inclTax": 118.005}},
        "totalUsage": {"energy": 5.0, "chargingTime": 600, "idleTime": 0},
    }
    event = {
        "eventType": "Started", "timestamp": STAMP, "triggerReason": "Authorized", "seqNo": 0, "evse": {"id": 1},
        "transactionInfo": {"transactionId": "t-1"}, "idToken": {"idToken": "TAG1", "type": "ISO14443"},
    }  # fmt: skip
    assert (await socket.call("TransactionEvent", event))["idTokenInfo"]["status"] == "NoCredit"
    update = {
        "eventType": "Updated", "timestamp": STAMP, "triggerReason": "RunningCost", "seqNo": 1, "costDetails": cost,
        "transactionInfo": {"transactionId": "t-1", "tariffId": "T9"},
    }  # fmt: skip
    assert await socket.call("TransactionEvent", update) == {}
    kept = await StationCost.objects.aget(charger=station)
    assert (kept.transaction_ref, kept.total_paise, kept.currency, kept.tariff_id) == ("t-1", 11_801, "INR", "T9")
    paid = {
        "pspRef": "p-1", "status": "Settled", "settlementAmount": 118.01, "settlementTime": STAMP,
        "transactionId": "t-1", "receiptId": "R1",
    }  # fmt: skip
    for _ in range(2):
        assert await socket.call("NotifySettlement", paid) == {}
    settlement = await Settlement.objects.aget(charger=station)
    assert (settlement.amount_paise, settlement.receipt_id, settlement.settled_at) == (11_801, "R1", NOW)


async def test_2_1_keeps_what_it_notifies_and_a_send_is_kept_without_an_answer(
    connect: Connect, station: Charger
) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.1"])
    alarm = {"controlType": "VoltVar", "timestamp": STAMP, "gridEventFault": "OverVoltage"}
    assert await socket.call("NotifyDERAlarm", alarm) == {}
    assert await socket.call("NotifyPriorityCharging", {"transactionId": "t", "activated": True}) == {}
    stream = {"id": 1, "pending": 0, "basetime": STAMP, "data": [{"t": 0.5, "v": "230.1"}]}
    await socket.send([6, "s-1", "NotifyPeriodicEventStream", stream])
    await socket.send([6, "s-2", "NotifyPeriodicEventStream", {"broken": True}])
    await socket.send([5, "s-3", "FormatViolation", "your answer", {}])
    await socket.send([2, "after", "Heartbeat", {}])
    assert (await socket.receive())[1] == "after"
    kept = Notice.objects.filter(charger=station).order_by("pk").values_list("action", flat=True)
    assert [action async for action in kept] == [
        "NotifyDERAlarm",
        "NotifyPriorityCharging",
        "NotifyPeriodicEventStream",
    ]


@pytest.mark.parametrize(
    ("action", "payload", "status"),
    [
        ("VatNumberValidation", {"vatNumber": "29ABCDE1234F1Z5"}, "Rejected"),
        ("PullDynamicScheduleUpdate", {"chargingProfileId": 1}, "Rejected"),
        (
            "OpenPeriodicEventStream",
            {"constantStreamData": {"id": 1, "params": {}, "variableMonitoringId": 2}},
            "Rejected",
        ),
    ],
)
async def test_2_1_declines_what_we_do_not_offer(
    connect: Connect, station: Charger, action: str, payload: dict[str, Any], status: str
) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.1"])
    assert (await socket.call(action, payload))["status"] == status


async def test_2_1_answers_unknown_and_unsupported_actions(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.1"])
    assert (await socket.call("Nonsense", {}))[2] == "NotImplemented"
    assert (await socket.call("BatterySwap", {}))[2] == "NotSupported"
    chain = {
        "certificateHashData": {
            "hashAlgorithm": "SHA256",
            "issuerNameHash": "a",
            "issuerKeyHash": "b",
            "serialNumber": "1",
        }
    }
    request = {"certificateStatusRequests": [chain | {"source": "OCSP", "urls": ["http://ocsp"]}]}
    answer = await socket.call("GetCertificateChainStatus", request)
    assert answer["certificateStatus"][0]["status"] == "Failed"


# --- before acceptance --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])
async def test_2_x_says_nothing_before_its_first_boot(connect: Connect, station: Charger, version: str) -> None:
    await Charger.objects.filter(pk=station.pk).aupdate(last_boot_at=None)
    socket = await connect("BLR-017", subprotocols=[version])
    assert (await socket.call("Heartbeat", {}))[2] == "SecurityError"
    boot = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}
    assert (await socket.call("BootNotification", boot))["status"] == "Accepted"
    assert "currentTime" in await socket.call("Heartbeat", {})
    again = await connect("BLR-017", subprotocols=[version])
    assert "currentTime" in await again.call("Heartbeat", {})


async def test_a_pending_2_x_station_may_only_say_what_it_may_be_asked_for(connect: Connect, station: Charger) -> None:
    await Charger.objects.filter(pk=station.pk).aupdate(registration="Pending")
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    token = {"idToken": {"idToken": "TAG1", "type": "ISO14443"}}
    assert (await socket.call("Authorize", token))[2] == "SecurityError"
    assert await socket.call("NotifyReport", variables(0, is_last=True)) == {}
    boot = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}
    answer = await socket.call("BootNotification", boot)
    assert answer["status"] == "Pending" and 50 <= answer["interval"] <= 70


async def turn_away(station: Charger, registration: str) -> None:
    await Charger.objects.filter(pk=station.pk).aupdate(registration=registration)


async def test_what_began_while_accepted_is_finished_by_a_rejected_1_6_charger(
    connect: Connect, station: Charger
) -> None:
    start = {"connectorId": 1, "idTag": "TAG1", "meterStart": 1000, "timestamp": STAMP}
    socket = await connect("BLR-017")
    number = (await socket.call("StartTransaction", start))["transactionId"]
    await turn_away(station, "Rejected")
    socket = await connect("BLR-017")
    moment = {"timestamp": STAMP, "sampledValue": [{"value": "1400"}]}
    values = {"connectorId": 1, "transactionId": number, "meterValue": [moment]}
    assert await socket.call("MeterValues", values) == {}
    assert (await socket.call("StartTransaction", start | {"connectorId": 2}))[2] == "SecurityError"
    assert (await socket.call("Heartbeat", {}))[2] == "SecurityError"
    stop = {"transactionId": number, "meterStop": 1900, "timestamp": STAMP}
    for _ in range(2):
        assert await socket.call("StopTransaction", stop) == {}
    session = await ChargingSession.objects.aget()
    assert (session.state, session.energy_wh) == ("ended", 900)
    assert (await socket.call("StopTransaction", stop | {"transactionId": number + 1}))[2] == "SecurityError"
    assert (await socket.call("MeterValues", {"connectorId": 1, "meterValue": [moment]}))[2] == "SecurityError"


@pytest.mark.parametrize("registration", ["Pending", "Rejected"])
@pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])
async def test_what_began_while_accepted_is_finished_by_a_2_x_station(
    connect: Connect, station: Charger, version: str, registration: str
) -> None:
    def event(kind: str, reference: str) -> dict[str, Any]:
        return {
            "eventType": kind, "timestamp": STAMP, "triggerReason": "Trigger", "seqNo": 0, "evse": {"id": 1},
            "transactionInfo": {"transactionId": reference},
        }  # fmt: skip

    socket = await connect("BLR-017", subprotocols=[version])
    await socket.call("TransactionEvent", event("Started", "t-1"))
    await turn_away(station, registration)
    socket = await connect("BLR-017", subprotocols=[version])
    assert isinstance(await socket.call("TransactionEvent", event("Updated", "t-1")), dict)
    for kind in ("Started", "Updated", "Ended"):
        assert (await socket.call("TransactionEvent", event(kind, "t-2")))[2] == "SecurityError"
    assert isinstance(await socket.call("TransactionEvent", event("Ended", "t-1")), dict)
    assert [row.state async for row in ChargingSession.objects.all()] == ["ended"]


async def test_a_pending_1_6_charger_is_answered_and_a_rejected_one_only_boots(
    connect: Connect, station: Charger
) -> None:
    await Charger.objects.filter(pk=station.pk).aupdate(registration="Pending")
    socket = await connect("BLR-017")
    start = {"connectorId": 1, "idTag": "TAG1", "meterStart": 5, "timestamp": STAMP}
    assert (await socket.call("StartTransaction", start))["transactionId"] > 0
    await Charger.objects.filter(pk=station.pk).aupdate(registration="Rejected")
    socket = await connect("BLR-017")
    assert (await socket.call("Heartbeat", {}))[2] == "SecurityError"
    boot = {"chargePointVendor": "V", "chargePointModel": "M"}
    assert (await socket.call("BootNotification", boot))["status"] == "Rejected"
