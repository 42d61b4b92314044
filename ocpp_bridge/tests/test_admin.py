"""Chargers commanded from the desk: asked first, with a reason, once per page, in the audit trail."""

from typing import Any

import pytest
from django.test import Client

from fleetcharge.accounts.models import AuditEntry, Organisation, User
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories
from stations.models import Charger

CHARGERS = "/admin/stations/charger/"
WHY = {"reason": "hangs since the morning"}


@pytest.fixture
def station(db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


@pytest.fixture
def desk(owner: User, client: Client) -> Client:
    client.force_login(owner)
    return client


def act(desk: Client, action: str, *rows: Any, **fields: Any) -> Any:
    address = f"/admin/{rows[0]._meta.app_label}/{rows[0]._meta.model_name}/"
    chosen = {"action": action, "_selected_action": [row.pk for row in rows]}
    return desk.post(address, chosen | fields, follow=True)


@pytest.mark.parametrize(
    ("action", "fields", "sent", "parameters"),
    [
        ("restart", {"kind": "hard"}, "Reset", {"kind": "hard"}),
        (
            "change_availability",
            {"availability": "off", "evse_number": 0},
            "ChangeAvailability",
            {"is_operative": False, "evse_number": 0},
        ),
        ("unlock_connector", {"evse_number": 2}, "UnlockConnector", {"evse_number": 2}),
        (
            "trigger_message",
            {"message": "StatusNotification", "evse_number": 0},
            "TriggerMessage",
            {"message": "StatusNotification", "evse_number": 0},
        ),
    ],
)
def test_a_command_from_the_desk(
    desk: Client, station: Charger, owner: User, action: str, fields: Any, sent: str, parameters: Any
) -> None:
    page = act(desk, action, station)
    assert "BLR-017" in page.content.decode()
    assert not Command.objects.exists()
    for _ in range(2):  # a double click
        act(desk, action, station, page="p1", **fields, **WHY)
    command = Command.objects.get()
    assert (command.action, command.parameters, command.actor) == (sent, parameters, str(owner))
    entry = AuditEntry.objects.filter(action=f"command.{sent}").first()
    assert entry is not None
    assert (entry.reason, entry.actor, entry.target_id) == (WHY["reason"], owner, str(station.pk))


def test_no_reason_no_command(desk: Client, station: Charger) -> None:
    act(desk, "restart", station, kind="soft", reason=" ")
    assert not Command.objects.exists()


def test_finance_looks_on(client: Client, station: Charger, finance: User) -> None:
    client.force_login(finance)
    assert "BLR-017" in client.get(CHARGERS).content.decode()
    act(client, "restart", station, kind="soft", **WHY)
    assert not Command.objects.exists()


def test_a_strangers_charger_cannot_be_commanded(
    desk: Client, station: Charger, other_organisation: Organisation
) -> None:
    other = factories.charger(other_organisation, "DEL-001")
    act(desk, "restart", other, kind="soft", **WHY)
    assert not Command.objects.exists()


def test_what_is_queued_can_be_taken_back(desk: Client, station: Charger) -> None:
    act(desk, "restart", station, kind="soft", **WHY)
    command = Command.objects.get()
    assert (
        "&quot;kind&quot;: &quot;soft&quot;"
        in desk.get(f"/admin/ocpp_bridge/command/{command.pk}/change/").content.decode()
    )
    act(desk, "take_back", command)
    assert Command.objects.get().state == "cancelled"
    assert AuditEntry.objects.filter(action="command.cancel").count() == 1
