"""What a session costs is said to chargers that can show it, once a minute, and to no others."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.events import SessionMetered
from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish
from ocpp_bridge import commands, configuration, costs, running_costs
from ocpp_bridge.models import Command, ConfigurationValue
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.v2 import MEANING_201
from stations.models import Charger, Connector, Tariff

NOW = timezone.now()
V16, V201, V21 = "ocpp1.6", "ocpp2.0.1", "ocpp2.1"


@pytest.fixture(autouse=True)
def nobody_was_looked_at() -> None:
    running_costs._looked_at.clear()


@pytest.mark.parametrize(
    ("protocol", "reported", "is_able"),
    [
        (V16, {}, False),
        (V16, {"CustomDisplayCostAndPrice": "false"}, False),
        (V16, {"CustomDisplayCostAndPrice": " True"}, True),
        (V16, {"TariffCostCtrlr.Enabled[Cost]": "true"}, False),
        (V201, {}, False),
        (V201, {"CustomDisplayCostAndPrice": "true"}, False),
        (V201, {"TariffCostCtrlr.Enabled[Cost]": "true"}, True),
        (V201, {"TariffCostCtrlr.Currency": "INR"}, True),
        (V21, {"TariffCostCtrlr.Available[Cost]": "true", "TariffCostCtrlr.Enabled[Cost]": "false"}, False),
        (V21, {"TariffCostCtrlr.Available[Cost]": "false"}, False),
    ],
)
def test_who_can_show_a_cost(protocol: str, reported: dict[str, str | None], is_able: bool) -> None:
    assert costs.can_show(protocol, reported) is is_able


def able(organisation: Organisation, protocol: str, *, is_able: bool = True) -> Charger:
    charger = factories.charger(organisation, f"BLR-{Charger.objects.count()}", protocol=protocol)
    key = "CustomDisplayCostAndPrice" if protocol == V16 else "TariffCostCtrlr.Enabled[Cost]"
    ConfigurationValue.objects.create(
        charger=charger, key=key, value="true" if is_able else None, is_unknown=not is_able, reported_at=NOW
    )
    return charger


def enqueue(charger: Charger, action: str, **parameters: Any) -> Command:
    return commands.enqueue(
        charger_id=charger.pk, action=action, parameters=parameters, actor="test",
        idempotency_key=str(Command.objects.count()),
    )  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("protocol", [V16, V201, V21])
def test_an_order_to_show_a_cost_needs_the_chargers_word(organisation: Organisation, protocol: str) -> None:
    cost = {"transaction_ref": "12", "total_cost": "1.50"}
    assert enqueue(able(organisation, protocol), "CostUpdated", **cost).state == "queued"
    refused = enqueue(able(organisation, protocol, is_able=False), "CostUpdated", **cost)
    assert (refused.state, "does not say" in refused.reason) == ("failed", True)


@pytest.mark.django_db
def test_the_1_6_message_is_no_way_round(organisation: Organisation) -> None:
    hidden = {"vendor_id": "org.openchargealliance.costmsg", "message_id": "RunningCost", "data": "{}"}
    assert enqueue(able(organisation, V16), "DataTransfer", **hidden).state == "queued"
    cannot = able(organisation, V16, is_able=False)
    assert enqueue(cannot, "DataTransfer", **hidden).state == "failed"
    assert enqueue(cannot, "DataTransfer", vendor_id="com.acme", data="x").state == "queued"


@pytest.mark.django_db
def test_2_x_chargers_are_asked_after_every_boot_whether_they_can(organisation: Organisation) -> None:
    charger = factories.charger(organisation, "BLR-017", protocol=V201)
    command = configuration.ask(charger_id=charger.pk, actor="test", now=NOW)
    _, payload = MEANING_201.command(command.action, command.parameters)
    asked = [one["variable"] for one in payload["getVariableData"] if one["component"]["name"] == "TariffCostCtrlr"]
    assert asked == [{"name": "Available", "instance": "Cost"}, {"name": "Enabled", "instance": "Cost"}]


def tariff(charger: Charger) -> None:
    energy = {"type": "ENERGY", "price": "20.00", "step_size": 1}
    made = Tariff.objects.create(
        source=charger.location.source, external_id=f"day-{charger.pk}", name="Day", content_hash=str(charger.pk),
        elements=[{"price_components": [energy]}], valid_from=NOW - timedelta(days=1),
    )  # fmt: skip
    Connector.objects.filter(evse__charger=charger).update(tariff=made)


def running(charger: Charger, energy_wh: int, **fields: Any) -> ChargingSession:
    connector = Connector.objects.filter(evse__charger=charger).first()
    return ChargingSession.objects.create(
        organisation=charger.organisation, source=charger.location.source, charger=charger, connector=connector,
        transaction_ref=str(100 + ChargingSession.objects.count()), start_key=f"s{ChargingSession.objects.count()}",
        started_at=NOW - timedelta(minutes=20), energy_wh=energy_wh, meter_last_wh=energy_wh, power_w=7_000, **fields,
    )  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("protocol", [V16, V201])
def test_the_running_cost_is_said_once_a_minute(organisation: Organisation, protocol: str) -> None:
    charger, other = able(organisation, protocol), able(organisation, protocol, is_able=False)
    tariff(charger)
    tariff(other)
    session, silent = running(charger, 1_500), running(other, 1_500)
    both = [session.pk, silent.pk]
    assert running_costs.say(session_ids=both, now=NOW) == 1
    command = Command.objects.get()
    assert (command.charger_id, command.action, command.actor) == (charger.pk, "CostUpdated", "running cost")
    assert command.parameters["total_cost"] == "35.40"  # 1.5 kWh at 20, and 18 % GST
    assert command.parameters["transaction_ref"] == session.transaction_ref
    assert command.deadline_at == NOW + timedelta(minutes=1)
    for seconds in (1, 30, 59):
        assert running_costs.say(session_ids=both, now=NOW + timedelta(seconds=seconds)) == 0
    assert running_costs.say(session_ids=both, now=NOW + timedelta(seconds=61)) == 1
    assert Command.objects.count() == 2


@pytest.mark.django_db
def test_between_minutes_nothing_is_asked_of_the_database(
    organisation: Organisation, django_assert_num_queries: Any
) -> None:
    session = running(able(organisation, V16), 1_000)
    running_costs.say(session_ids=[session.pk], now=NOW)
    with django_assert_num_queries(0):
        running_costs.say(session_ids=[session.pk], now=NOW + timedelta(seconds=30))


@pytest.mark.django_db
def test_another_process_in_the_same_minute_says_nothing_more(organisation: Organisation) -> None:
    charger = able(organisation, V16)
    tariff(charger)
    session = running(charger, 1_000)
    minute = NOW.replace(second=0, microsecond=0)
    assert running_costs.say(session_ids=[session.pk], now=minute) == 1
    running_costs._looked_at.clear()
    ChargingSession.objects.update(energy_wh=1_100)
    assert running_costs.say(session_ids=[session.pk], now=minute + timedelta(seconds=10)) == 0
    assert Command.objects.count() == 1


@pytest.mark.django_db
def test_without_a_tariff_or_after_the_end_nothing_is_said(organisation: Organisation) -> None:
    charger = able(organisation, V16)
    untariffed = running(charger, 1_000)
    tariff(charger)
    ended = running(charger, 1_000, state="ended", ended_at=NOW)
    Connector.objects.update(tariff=None)
    assert running_costs.say(session_ids=[untariffed.pk, ended.pk], now=NOW) == 0


@pytest.mark.django_db(transaction=True)
async def test_figures_of_a_session_reach_the_display(connect: Connect, organisation: Organisation) -> None:
    charger = able(organisation, V16)
    tariff(charger)
    session = running(charger, 1_000)
    client = await connect(charger.ocpp_identity)
    await client.call("Heartbeat", {})
    publish(SessionMetered(((session.pk, session.connector_id, 1_000, 7_000, None),)))
    frame = await client.receive()
    assert frame[2] == "DataTransfer"
    assert frame[3]["messageId"] == "RunningCost"
    assert '"cost":23.6' in frame[3]["data"]
    await until(lambda: Command.objects.filter(state="accepted").exists())
