"""What a session at a charger of our own may draw, and what the charger says it will, where no site shares power."""

from typing import Any

import pytest
from django.utils import timezone

from billing.models import ChargingSession
from billing.tests.factories import fund
from dispatch.models import SessionCommand
from dispatch.services import commands, wishing
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.charging import sites
from ocpp_bridge.models import ConfigurationValue
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, reaches
from ocpp_bridge.tests.test_socket_16 import START
from stations.models import Charger, Connector

STARTED = {
    "eventType": "Started", "timestamp": START["timestamp"], "triggerReason": "Authorized", "seqNo": 0,
    "transactionInfo": {"transactionId": "tx-1"}, "evse": {"id": 1, "connectorId": 1},
    "idToken": {"idToken": "TAG1", "type": "ISO14443"},
}  # fmt: skip


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    fund(organisation, 10_000_00)
    made = factories.charger(organisation, "BLR-017")
    Connector.objects.filter(evse__charger=made).update(power_type="DC", max_power_w=60_000)
    return made


@pytest.fixture(params=["ocpp1.6", "ocpp2.0.1"])
async def socket(request: pytest.FixtureRequest, connect: Connect, station: Charger) -> Any:
    opened = await connect("BLR-017", subprotocols=[request.param])
    told = ("StartTransaction", START) if request.param == "ocpp1.6" else ("TransactionEvent", STARTED)
    await opened.call(*told)
    return opened


def ask(kind: str, **said: Any) -> SessionCommand:
    session, now = ChargingSession.objects.get(), timezone.now()
    command = wishing.wish(session_id=session.pk, kind=kind, parameters=said, actor=None, now=now)
    commands.send_command(command.pk, now)
    return command


async def answered(socket: Any, command: SessionCommand, state: str) -> SessionCommand:
    asked = len(socket.asked)
    while len(socket.asked) == asked:
        await socket.receive()
    rows = SessionCommand.objects.filter(pk=command.pk)
    await reaches(lambda: rows.values_list("state", flat=True).get(), state)
    return rows.get()


def schedule_in(payload: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """(the schedule, the transaction) of a SetChargingProfile of either version."""
    profile = payload.get("csChargingProfiles") or payload["chargingProfile"]
    schedule = profile["chargingSchedule"]
    return (schedule if isinstance(schedule, dict) else schedule[0]), str(profile["transactionId"])


async def test_a_limit_is_set_and_taken_away(socket: Any) -> None:
    await answered(socket, ask("limit", max_power_w=30_000), "done")
    action, payload = socket.asked[-1]
    schedule, reference = schedule_in(payload)
    assert (action, reference) == ("SetChargingProfile", ChargingSession.objects.get().transaction_ref)
    assert (schedule["chargingRateUnit"], schedule["chargingSchedulePeriod"]) == (
        "W",
        [{"startPeriod": 0, "limit": 30000.0}],
    )
    number = payload.get("csChargingProfiles") or payload["chargingProfile"]
    await answered(socket, ask("unlimit"), "done")
    action, payload = socket.asked[-1]
    assert action == "ClearChargingProfile"
    assert payload.get("id", payload.get("chargingProfileId")) == number.get("chargingProfileId", number.get("id"))


async def test_a_refusal_is_told(socket: Any) -> None:
    socket.replies["SetChargingProfile"] = {"status": "Rejected"}
    command = await answered(socket, ask("limit", max_power_w=30_000), "rejected")
    assert command.reason == "Rejected"


async def test_the_outlook_is_what_the_charger_says(socket: Any) -> None:
    periods = [{"startPeriod": 0, "limit": 30000.0}, {"startPeriod": 600, "limit": 11000}]
    plan = {"chargingRateUnit": "W", "chargingSchedulePeriod": periods, "duration": 3600}
    at = "2026-11-20T06:30:00Z"
    is_old = socket.socket.subprotocol == "ocpp1.6"
    socket.replies["GetCompositeSchedule"] = {"status": "Accepted"} | (
        {"connectorId": 1, "scheduleStart": at, "chargingSchedule": plan}
        if is_old
        else {"schedule": {"evseId": 1, "scheduleStart": at, **plan}}
    )
    command = await answered(socket, ask("outlook"), "done")
    assert socket.asked[-1][1]["duration"] == 3600
    profile = command.result["profile"]
    assert profile["start_date_time"] == at
    told = [
        (period["start_period"], period["limit"]) for period in profile["charging_profile"]["charging_profile_period"]
    ]
    assert (profile["charging_profile"]["charging_rate_unit"], told) == ("W", [(0, 30_000), (600, 11_000)])


@pytest.mark.parametrize("why", ["site", "1.6", "2.0.1"])
async def test_where_it_cannot_be_it_is_not_offered(
    socket: Any, station: Charger, organisation: Organisation, why: str
) -> None:
    now = timezone.now()
    if why == "site":
        sites.manage(
            location_id=station.location_id, organisation_id=organisation.pk, actor=None, actor_label="test", now=now,
            limit_w=50_000,
        )  # fmt: skip
    else:
        key, value = {
            "1.6": ("SupportedFeatureProfiles", "Core,Reservation"), "2.0.1": ("SmartChargingCtrlr.Available", "false")
        }[why]  # fmt: skip
        ConfigurationValue.objects.create(charger=station, key=key, value=value, reported_at=now)
    with pytest.raises(wishing.CommandRefused) as refused:
        ask("limit", max_power_w=30_000)
    assert refused.value.code == "not_supported"


async def test_a_charger_that_is_away_is_said_to_be(socket: Any, station: Charger) -> None:
    Charger.objects.filter(pk=station.pk).update(is_online=False)
    for kind, said in (("limit", {"max_power_w": 30_000}), ("outlook", {})):
        command = SessionCommand.objects.get(pk=ask(kind, **said).pk)
        assert (command.state, command.reason) == ("rejected", "The charger is offline.")
