"""What is offered on the page of one charger, and what a repeated click does: nothing more."""

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import ChargingSession
from billing.services import sessions
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from ocpp_bridge import commands, configuration, deeds, offers, rollouts
from ocpp_bridge.models import Command, ConfigurationRollout, LocalList
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.test_charger_page import order, page
from stations.models import Charger

NOW = timezone.now()


@pytest.fixture
def station(organisation: Organisation) -> Charger:
    return made(organisation, "BLR-1")


@pytest.fixture
def desk(client: Client, dispatcher: User, station: Charger) -> Client:
    client.force_login(dispatcher)
    return client


def made(organisation: Organisation, identity: str) -> Charger:
    """As it should be but for one key."""
    charger = factories.charger(organisation, identity, protocol="ocpp1.6", vendor="Delta", model="DC60")
    for values in (configuration.defaults(), {"HeartbeatInterval": "77"}):
        rows = [(key, value, False, False) for key, value in values.items()]
        configuration.store(charger_id=charger.pk, rows=rows, at=NOW)
    return charger


def finish_all() -> None:
    for command in Command.objects.filter(state__in=Command.OPEN_STATES):
        commands.finish(command_id=command.pk, state="accepted", reason="", response={}, at=timezone.now())
        rollouts.take_answer(command_id=str(command.pk), now=timezone.now())


def drift_again(charger: Charger, value: str) -> None:
    rows = [("HeartbeatInterval", value, False, False)]
    configuration.store(charger_id=charger.pk, rows=rows, at=timezone.now())


@pytest.mark.parametrize(("do", "fields"), [("align", {}), ("align-all", {"first_chargers": "1"})])
def test_a_click_that_is_repeated_begins_one_roll_out(desk: Client, do: str, fields: dict[str, str]) -> None:
    for _ in range(2):
        assert 'role="alert"' not in order(desk, do, **fields)
    assert ConfigurationRollout.objects.count() == 1
    assert AuditEntry.objects.filter(action="configuration.rollout").count() == 1
    assert Command.objects.count() == 1
    order(desk, do, key="another", **fields)
    assert ConfigurationRollout.objects.count() == 2


def test_a_click_that_is_repeated_takes_back_one_change(desk: Client, station: Charger) -> None:
    for number, value in enumerate(("77", "88")):
        drift_again(station, value)
        order(desk, "align", key=f"align-{number}")
        finish_all()
    first, last = ConfigurationRollout.objects.order_by("created_at")
    assert offers.change_in_force(station.organisation, station)[0][0] == str(last.pk)
    for _ in range(3):
        assert 'role="alert"' not in order(desk, "roll-back", key="back", rollout=last.pk)
        finish_all()
    states = {rollout.pk: rollout.state for rollout in ConfigurationRollout.objects.all()}
    assert states == {first.pk: "done", last.pk: "rolled_back"}
    assert Command.objects.latest("created_at").parameters["value"] == "88"
    assert AuditEntry.objects.filter(action="configuration.roll_back").count() == 1


def test_taking_back_says_how_many_chargers_it_is_about(desk: Client, organisation: Organisation) -> None:
    made(organisation, "BLR-2")
    assert "deed-roll-back" not in page(desk, "configuration")
    order(desk, "align-all", first_chargers="5")
    finish_all()
    text = page(desk, "configuration")
    assert "chargers: 2" in text
    assert deeds.DEEDS["roll-back"].is_grave


def test_nobody_takes_back_what_is_another_fleets(desk: Client, other_organisation: Organisation) -> None:
    theirs = made(other_organisation, "DEL-1")
    rollout = rollouts.begin(organisation=other_organisation, charger_ids=[theirs.pk], actor=None, reason="x", now=NOW)
    finish_all()
    for number in (rollout.pk, "7" * 30, "x"):
        assert 'role="alert"' in order(desk, "roll-back", rollout=number)
    rollout.refresh_from_db()
    assert rollout.state == "done"


def test_a_running_session_is_chosen_not_typed(desk: Client, station: Charger) -> None:
    assert 'id="stop-transaction_ref" name="transaction_ref" required' in page(desk, "commands")
    factories.token(station.organisation, "TAG1")
    began = sessions.start_session(
        charger_id=station.pk, evse_number=1, connector_id=1, id_token="TAG1", started_at=NOW, received_at=NOW,
        meter_start_wh=0, start_key="k" * 32, transaction_ref="4711", reservation_number=None, remote_start_id=None,
    )  # fmt: skip
    assert '<option value="4711">EVSE 1 · TAG1 · since ' in page(desk, "commands")
    order(desk, "stop", transaction_ref="4711")
    assert Command.objects.get().parameters == {"transaction_ref": "4711"}
    ChargingSession.objects.filter(pk=began.session_id).update(state="ended")
    assert '<option value="4711">' not in page(desk, "commands")


def test_another_fleets_session_is_offered_without_its_name(station: Charger, other_organisation: Organisation) -> None:
    factories.token(other_organisation, "THEIRS")
    sessions.start_session(
        charger_id=station.pk, evse_number=1, connector_id=1, id_token="THEIRS", started_at=NOW, received_at=NOW,
        meter_start_wh=0, start_key="k" * 32, transaction_ref="4712", reservation_number=None, remote_start_id=None,
    )  # fmt: skip
    ChargingSession.objects.update(organisation=other_organisation)
    [(reference, text)] = offers.running_sessions(station.organisation, station)
    assert (reference, "THEIRS" in text, "another fleet" in text) == ("4712", False, True)


def test_a_place_is_reserved_once_and_given_back(desk: Client, station: Charger) -> None:
    assert "deed-cancel-reservation" not in page(desk, "commands")
    for _ in range(2):
        order(desk, "reserve", evse_number="1", id_token="TAG1", minutes="30")
    made = Command.objects.get()
    number = made.parameters["reservation_number"]
    assert (made.action, made.parameters["evse_number"], number >= 2**30) == ("ReserveNow", 1, True)
    finish_all()
    assert f'<option value="{number}">EVSE 1 · TAG1 · until ' in page(desk, "commands")
    order(desk, "cancel-reservation", key="k2", reservation_number=number)
    cancelled = Command.objects.latest("created_at")
    assert (cancelled.action, cancelled.parameters) == ("CancelReservation", {"reservation_number": number})
    finish_all()
    assert "deed-cancel-reservation" not in page(desk, "commands")


def test_what_dispatch_promised_is_not_offered(station: Charger) -> None:
    commands.enqueue(
        charger_id=station.pk, action="ReserveNow", idempotency_key="r", actor="dispatch", reservation_key="promise",
        parameters={"evse_number": 1, "id_token": "T", "reservation_number": 5, "expires_at": "2099-01-01T00:00:00Z"},
    )  # fmt: skip
    Command.objects.update(state="accepted")
    assert offers.held_reservations(station.organisation, station) == ()


def test_the_token_cache_is_cleared(desk: Client) -> None:
    order(desk, "clear-cache")
    assert Command.objects.get().action == "ClearCache"


def test_the_local_list_is_sent_anew_once(desk: Client, station: Charger) -> None:
    assert 'role="alert"' in order(desk, "local-list")
    LocalList.objects.create(
        charger=station, organisation=station.organisation, entries={}, content_hash="x", changed_at=NOW,
        state="current", compared_at=NOW, limits_read_at=NOW,
    )  # fmt: skip
    Charger.objects.update(is_online=True)
    for _ in range(2):
        order(desk, "local-list", key="k2")
    assert Command.objects.get().action == "GetConfiguration"
    assert AuditEntry.objects.filter(action="charger.local_list", reason="odd noises").count() == 1
