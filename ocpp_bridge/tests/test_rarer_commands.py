"""The rarer commands of OCPP 2.x from the ledger to the charger and back, with what the charger tells afterwards."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import jobs, tasks
from ocpp_bridge.dialects import DIALECTS
from ocpp_bridge.models import ChargerJob, Command, ComponentEvent, Report
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from ocpp_bridge.tests.test_commands import ask, outcome_of, ready
from ocpp_bridge.tests.test_words import EXAMPLES
from stations.models import Charger

A, S = Command.Action, Command.State
PROTOCOLS = ("ocpp2.0.1", "ocpp2.1")
AT = "2026-11-20T06:30:00Z"


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


def without_number(action: str) -> dict[str, Any]:
    return {name: value for name, value in EXAMPLES[action].items() if name != "request_id"}


@pytest.mark.parametrize(
    ("action", "answer", "outcome"),
    [
        (A.GET_REPORT, {"status": "Accepted"}, (S.ACCEPTED, "")),
        (A.GET_REPORT, {"status": "EmptyResultSet"}, (S.ACCEPTED, "EmptyResultSet")),
        (A.CUSTOMER_INFORMATION, {"status": "Invalid"}, (S.REJECTED, "Invalid")),
        (A.SET_NETWORK_PROFILE, {"status": "Failed", "statusInfo": {"reasonCode": "NoSlot"}},
         (S.REJECTED, "Failed: NoSlot")),
        (A.PUBLISH_FIRMWARE, {"status": "Rejected"}, (S.REJECTED, "Rejected")),
        (A.UNPUBLISH_FIRMWARE, {"status": "DownloadOngoing"}, (S.REJECTED, "DownloadOngoing")),
        (A.UNPUBLISH_FIRMWARE, {"status": "NoFirmware"}, (S.ACCEPTED, "NoFirmware")),
        (A.SET_VARIABLE_MONITORING, {"setMonitoringResult": [{
            "status": "Rejected", "type": "UpperThreshold", "severity": 4, "component": {"name": "EVSE"},
            "variable": {"name": "Power"},
        }]}, (S.REJECTED, "Rejected")),
        (A.CHANGE_TRANSACTION_TARIFF, {"status": "TxNotFound"}, (S.REJECTED, "TxNotFound")),
        (A.CHANGE_TRANSACTION_TARIFF, {"status": "Accepted"}, (S.ACCEPTED, "")),
    ],
)  # fmt: skip
async def test_a_rare_command_and_the_word_of_the_charger(
    connect: Connect, station: Charger, action: str, answer: dict[str, Any], outcome: tuple[str, str]
) -> None:
    for protocol in PROTOCOLS if action != A.CHANGE_TRANSACTION_TARIFF else PROTOCOLS[1:]:
        socket = await ready(connect, protocol)
        socket.replies[action] = answer
        command = await outcome_of(socket, ask(station, action, without_number(action), f"k-{protocol}"))
        assert (command.state, command.reason) == outcome
        assert command.response == answer
        [asked] = socket.asked
        assert asked[0] == action
        assert DIALECTS[protocol].request_error(*asked) is None


async def test_what_is_asked_of_one_person_comes_as_a_report_of_that_question(
    connect: Connect, station: Charger
) -> None:
    socket = await ready(connect, "ocpp2.0.1")
    command = await outcome_of(socket, ask(station, A.CUSTOMER_INFORMATION, without_number(A.CUSTOMER_INFORMATION)))
    number = socket.asked[0][1]["requestId"]
    assert (command.parameters["request_id"], command.request["clear"]) == (number, True)
    for sequence in (1, 0):
        part = {"requestId": number, "seqNo": sequence, "generatedAt": AT, "data": "a", "tbc": sequence == 0}
        assert await socket.call("NotifyCustomerInformation", part) == {}
    report = Report.objects.get(kind=Report.Kind.CUSTOMER)
    assert (report.request_id, report.state, report.parts.count()) == (number, Report.State.COMPLETE, 2)


async def test_a_monitor_that_was_set_speaks(connect: Connect, station: Charger) -> None:
    socket = await ready(connect, "ocpp2.0.1")
    told = {"status": "Accepted", "type": "UpperThreshold", "severity": 4, "id": 7, "component": {"name": "EVSE"},
            "variable": {"name": "Power"}}  # fmt: skip
    socket.replies["SetVariableMonitoring"] = {"setMonitoringResult": [told]}
    command = await outcome_of(socket, ask(station, A.SET_VARIABLE_MONITORING, EXAMPLES[A.SET_VARIABLE_MONITORING]))
    assert command.state == S.ACCEPTED
    event = {
        "eventId": 1, "timestamp": AT, "trigger": "Alerting", "actualValue": "61000", "variableMonitoringId": 7,
        "eventNotificationType": "CustomMonitor", "component": {"name": "EVSE"}, "variable": {"name": "Power"},
    }  # fmt: skip
    assert await socket.call("NotifyEvent", {"generatedAt": AT, "seqNo": 0, "eventData": [event]}) == {}
    assert ComponentEvent.objects.get().value == "61000"


async def test_firmware_for_a_site_is_followed_and_its_silence_is_seen(connect: Connect, station: Charger) -> None:
    socket = await ready(connect, "ocpp2.0.1")
    command = await outcome_of(socket, ask(station, A.PUBLISH_FIRMWARE, without_number(A.PUBLISH_FIRMWARE)))
    tasks.take_command_answer(str(command.pk))  # what the event starts
    job = ChargerJob.objects.get()
    assert (job.kind, job.request_id, job.is_open) == ("publish", command.parameters["request_id"], True)
    told = {"status": "Downloading", "requestId": job.request_id}
    assert await socket.call("PublishFirmwareStatusNotification", told) == {}
    later = timezone.now() + timedelta(days=2)
    assert jobs.show_stuck(now=later) == 1
    job.refresh_from_db()
    assert (job.status, job.has_failed, len(job.steps)) == ("Downloading", True, 2)
