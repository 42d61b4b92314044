"""Configuration: read after every boot, compared with the wish, changed in stages, and taken back when it fails."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import ChargingPolicy
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from ocpp_bridge import commands, configuration, reports, rollouts, tasks
from ocpp_bridge.models import (
    ChargerConfiguration,
    Command,
    ConfigurationChange,
    ConfigurationRollout,
    ConfigurationValue,
    DesiredConfiguration,
)
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.v2 import MEANING_201
from stations.models import Charger

NOW = timezone.now()
S = ConfigurationChange.State
AS_WISHED = configuration.defaults


@pytest.fixture
def station(organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-1", protocol="ocpp1.6", vendor="Delta", model="DC60")


def report(charger: Charger, **values: str | None) -> int:
    rows = [(key, value, False, False) for key, value in {**AS_WISHED(), **values}.items()]
    return configuration.store(charger_id=charger.pk, rows=rows, at=timezone.now())


def values(charger: Charger) -> dict[str, str | None]:
    return dict(ConfigurationValue.objects.filter(charger=charger).values_list("key", "value"))


def answer(command: Command, word: str = "Accepted") -> None:
    state = Command.State.ACCEPTED if word in {"Accepted", "RebootRequired"} else Command.State.REJECTED
    reason = "" if word == "Accepted" else word
    commands.finish(command_id=command.pk, state=state, reason=reason, response={"status": word}, at=timezone.now())
    rollouts.take_answer(command_id=str(command.pk), now=timezone.now())


def under_way() -> list[Command]:
    return list(Command.objects.filter(state=Command.State.QUEUED).order_by("charger_id", "created_at"))


def test_what_a_1_6_charger_says_is_kept_without_its_secrets(station: Charger) -> None:
    rows = configuration.rows_of_answer(
        "GetConfiguration",
        {},
        {
            "configurationKey": [
                {"key": "HeartbeatInterval", "readonly": False, "value": 300},
                {"key": "NumberOfConnectors", "readonly": True, "value": "2"},
                {"key": "AuthorizationKey", "readonly": False, "value": "S3CR3T"},
                "nonsense",
            ],
            "unknownKey": ["WebSocketPingInterval"],
        },
    )
    configuration.store(charger_id=station.pk, rows=rows, at=NOW)
    assert values(station) == {
        "HeartbeatInterval": "300", "NumberOfConnectors": "2", "AuthorizationKey": None, "WebSocketPingInterval": None,
    }  # fmt: skip
    assert ConfigurationValue.objects.get(key="NumberOfConnectors").is_readonly
    assert ConfigurationValue.objects.get(key="WebSocketPingInterval").is_unknown


@pytest.mark.parametrize("key", ["LocalAuthListEnabled", "LocalAuthorizeOffline"])
def test_where_we_write_local_lists_chargers_are_wished_to_use_them(station: Charger, key: str) -> None:
    report(station, **{key: "false"})
    assert [(one.key, one.wanted, one.can_change) for one in configuration.drift_of(station)] == [(key, "true", True)]
    ChargingPolicy.objects.create(organisation=station.organisation, has_local_lists=False)
    assert configuration.drift_of(station) == []


def test_2_x_chargers_are_asked_whether_they_use_their_list(station: Charger) -> None:
    Charger.objects.filter(pk=station.pk).update(protocol="ocpp2.0.1")
    command = configuration.ask(charger_id=station.pk, actor="test", now=NOW)
    action, payload = MEANING_201.command(command.action, command.parameters)
    asked = {(one["component"]["name"], one["variable"]["name"]) for one in payload["getVariableData"]}
    assert action == "GetVariables"
    assert asked >= {("LocalAuthListCtrlr", "Enabled"), ("AuthCtrlr", "LocalAuthorizeOffline")}


def test_2_x_variables_go_by_the_same_names(station: Charger) -> None:
    rows = configuration.rows_of_answer(
        "GetVariables",
        {},
        {
            "getVariableResult": [
                {"attributeStatus": "Accepted", "attributeValue": "60", "component": {"name": "SampledDataCtrlr"},
                 "variable": {"name": "TxUpdatedInterval"}},
                {"attributeStatus": "UnknownVariable", "component": {"name": "TxCtrlr"}, "variable": {"name": "Odd"}},
            ]
        },
    )  # fmt: skip
    assert rows == [("MeterValueSampleInterval", "60", False, False), ("TxCtrlr.Odd", None, False, True)]


def test_a_base_report_is_kept_once_it_is_there(station: Charger) -> None:
    data = [{"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"},
             "variableAttribute": [{"value": "77", "mutability": "ReadOnly"}]}]  # fmt: skip
    reports.note_part(
        charger_id=station.pk, kind="NotifyReport", request_id=5, seq_no=0, is_last=True,
        payload={"requestId": 5, "reportData": data}, received_at=NOW,
    )  # fmt: skip
    assert configuration.take_lost_answers(now=NOW) == 1
    kept = ConfigurationValue.objects.get(charger=station, key="HeartbeatInterval")
    assert (kept.value, kept.is_readonly) == ("77", True)
    assert configuration.take_lost_answers(now=NOW) == 0


@pytest.mark.parametrize("answer", [
    {"configurationKey": [], "unknownKey": 5},
    {"configurationKey": 7, "unknownKey": True},
    {"getVariableResult": [{"attributeStatus": "Accepted", "component": {"name": "A", "evse": 5},
                            "variable": {"name": "B", "instance": {"a": 1}}, "attributeValue": "1"}]},
    {"getVariableResult": [{"component": 3, "variable": []}]},
])  # fmt: skip
def test_an_absurd_answer_is_read_as_far_as_it_goes(station: Charger, answer: dict[str, Any]) -> None:
    for action in ("GetConfiguration", "GetVariables"):
        assert all(isinstance(row[0], str) for row in configuration.rows_of_answer(action, {}, answer))


def test_one_charger_keeps_no_other_from_the_sweep(
    station: Charger, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = factories.charger(organisation, "BLR-018")
    for charger, number in ((station, 1), (other, 2)):
        reports.note_part(
            charger_id=charger.pk, kind="NotifyReport", request_id=number, seq_no=0, is_last=True, received_at=NOW,
            payload={"requestId": number, "reportData": [{"component": {"name": "C"}, "variable": {"name": "V"},
                                                         "variableAttribute": [{"value": "1"}]}]},
        )  # fmt: skip
    whole = configuration.store

    def store(*, charger_id: int, rows: Any, at: datetime) -> int:
        if charger_id == station.pk:
            raise AttributeError("what it said cannot be read")
        return whole(charger_id=charger_id, rows=rows, at=at)

    monkeypatch.setattr(configuration, "store", store)
    assert configuration.take_lost_answers(now=NOW) == 1
    assert values(other) == {"C.V": "1"}


def test_older_news_changes_nothing(station: Charger) -> None:
    configuration.store(charger_id=station.pk, rows=[("A", "new", False, False)], at=NOW)
    configuration.store(charger_id=station.pk, rows=[("A", "old", False, False)], at=NOW - timedelta(hours=1))
    assert values(station)["A"] == "new"


def test_the_wish_of_another_fleet_does_not_count(station: Charger, other_organisation: Organisation) -> None:
    DesiredConfiguration.objects.create(organisation=other_organisation, name="x", values={"HeartbeatInterval": "7"})
    assert report(station) == 0
    DesiredConfiguration.objects.create(
        organisation=station.organisation, name="x", model_pattern="DC*", values={"HeartbeatInterval": "7"}
    )
    assert report(station) == 1
    assert [gap.key for gap in configuration.drift_of(station)] == ["HeartbeatInterval"]


async def test_a_boot_is_followed_by_one_look_at_the_configuration(
    connect: Connect, organisation: Organisation
) -> None:
    row = factories.charger(organisation, "BLR-1")
    socket = await connect("BLR-1")
    reported = [{"key": "HeartbeatInterval", "readonly": False, "value": "900"}]
    socket.replies["GetConfiguration"] = {"configurationKey": reported, "unknownKey": []}
    await socket.call("BootNotification", {"chargePointVendor": "Delta", "chargePointModel": "DC60"})
    assert configuration.ask_after_boots(now=timezone.now()) == 1
    assert configuration.ask_after_boots(now=timezone.now() + timedelta(minutes=1)) == 0
    while not socket.asked:
        await socket.receive()
    assert socket.asked[0] == ("GetConfiguration", {})
    command = Command.objects.get()
    await until(lambda: Command.objects.get().state == Command.State.ACCEPTED)
    configuration.take_answer(command_id=str(command.pk), at=timezone.now())
    found = {gap.key: gap.found for gap in configuration.drift_of(Charger.objects.get(pk=row.pk))}
    assert found["HeartbeatInterval"] == "900"
    assert ChargerConfiguration.objects.get(charger=row).drifted == len(found)


def three(organisation: Organisation) -> list[Charger]:
    chargers = [factories.charger(organisation, f"BLR-{number}", protocol="ocpp1.6") for number in (1, 2, 3)]
    for charger in chargers:
        report(charger, HeartbeatInterval="900")
    return chargers


def begin(organisation: Organisation, chargers: list[Charger], **more: object) -> ConfigurationRollout:
    return rollouts.begin(
        organisation=organisation, charger_ids=[charger.pk for charger in chargers], actor=None, reason="drift",
        now=timezone.now(), **more,
    )  # fmt: skip


def test_a_rollout_begins_with_the_first_and_goes_on_when_it_worked(organisation: Organisation, owner: User) -> None:
    chargers = three(organisation)
    rollout = begin(organisation, chargers)
    (first,) = under_way()
    assert (first.charger_id, first.action) == (chargers[0].pk, "ChangeConfiguration")
    assert first.parameters == {"key": "HeartbeatInterval", "value": "300"}
    answer(first)
    second, third = under_way()
    answer(second, "RebootRequired")
    answer(third)
    rollout.refresh_from_db()
    assert rollout.state == "done"
    assert [values(charger)["HeartbeatInterval"] for charger in chargers] == ["300"] * 3
    assert rollout.changes.get(charger=chargers[1]).reason == "RebootRequired"
    assert AuditEntry.objects.filter(action="configuration.rollout").count() == 1


def test_a_failure_stops_it_and_takes_back_what_was_set(organisation: Organisation) -> None:
    chargers = three(organisation)
    rollout = begin(organisation, chargers, first_chargers=2)
    one, two = under_way()
    answer(one)
    answer(two, "Rejected")
    (back,) = under_way()
    assert (back.charger_id, back.parameters) == (chargers[0].pk, {"key": "HeartbeatInterval", "value": "900"})
    answer(back)
    rollout.refresh_from_db()
    assert rollout.state == "rolled_back"
    states = dict(rollout.changes.values_list("charger_id", "state"))
    assert states == {chargers[0].pk: S.RESTORED, chargers[1].pk: S.FAILED, chargers[2].pk: S.SKIPPED}
    assert [values(charger)["HeartbeatInterval"] for charger in chargers] == ["900"] * 3


def test_without_rollback_it_only_stops(organisation: Organisation) -> None:
    chargers = three(organisation)
    rollout = begin(organisation, chargers, rolls_back=False)
    answer(under_way()[0], "Rejected")
    rollout.refresh_from_db()
    assert (rollout.state, under_way()) == ("stopped", [])


def test_lost_events_are_found_by_the_sweep_and_a_person_can_take_it_back(organisation: Organisation) -> None:
    rollout = begin(organisation, three(organisation)[:1])
    (command,) = under_way()
    commands.finish(command_id=command.pk, state="accepted", reason="", response={}, at=timezone.now())
    rollouts.sweep(now=timezone.now())
    rollout.refresh_from_db()
    assert rollout.state == "done"
    assert rollouts.roll_back(rollout_id=rollout.pk, actor=None, reason="too slow", now=timezone.now()) == 1
    answer(under_way()[0])
    rollout.refresh_from_db()
    assert rollout.state == "rolled_back"
    assert rollouts.roll_back(rollout_id=rollout.pk, actor=None, reason="again", now=timezone.now()) == 0


def test_nothing_to_change_leaves_no_trace(organisation: Organisation, other_organisation: Organisation) -> None:
    charger = factories.charger(organisation, "BLR-9", protocol="ocpp1.6")
    report(charger)
    with pytest.raises(rollouts.NothingToChange):
        begin(organisation, [charger])
    strangers = three(other_organisation)
    with pytest.raises(rollouts.NothingToChange):
        begin(organisation, strangers)
    assert ConfigurationRollout.objects.count() == 0


def test_an_answered_command_is_read_by_the_task_that_its_event_starts(station: Charger) -> None:
    command = configuration.ask(charger_id=station.pk, actor="test", now=NOW)
    told = {"configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "900"}], "unknownKey": []}
    commands.finish(command_id=command.pk, state="accepted", reason="", response=told, at=timezone.now())
    assert command.action in tasks.BRINGS_NEWS
    tasks.take_command_answer(str(command.pk))
    assert values(station) == {"HeartbeatInterval": "900"}
    assert tasks.sweep_configurations() == 0


async def test_one_unknown_variable_spoils_no_read(connect: Connect, organisation: Organisation) -> None:
    station = factories.charger(organisation, "BLR-2X", protocol="ocpp2.0.1")
    socket = await connect("BLR-2X", subprotocols=["ocpp2.0.1"])
    await socket.call("Heartbeat", {})
    found = [
        {"attributeStatus": "UnknownVariable", "component": {"name": "TxCtrlr"}, "variable": {"name": "Odd"}},
        {"attributeStatus": "Accepted", "attributeValue": "60", "component": {"name": "SampledDataCtrlr"},
         "variable": {"name": "TxUpdatedInterval"}},
    ]  # fmt: skip
    socket.replies["GetVariables"] = {"getVariableResult": found}
    command = configuration.ask(charger_id=station.pk, actor="x", now=timezone.now())
    while not socket.asked:
        await socket.receive()
    await until(lambda: Command.objects.get(pk=command.pk).state == "accepted")
    await command.arefresh_from_db()
    assert command.reason == "UnknownVariable"
    tasks.take_command_answer(str(command.pk))
    assert values(station)["MeterValueSampleInterval"] == "60"


@pytest.mark.parametrize("state", ["accepted", "rejected"])
def test_a_read_whose_event_was_lost_is_kept_whatever_it_was_called(station: Charger, state: str) -> None:
    command = configuration.ask(charger_id=station.pk, actor="x", now=NOW)
    answer = {"configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "77"}]}
    Command.objects.filter(pk=command.pk).update(state=state, response=answer, answered_at=NOW)
    assert configuration.take_lost_answers(now=NOW) == 1
    assert values(station) == {"HeartbeatInterval": "77"}
