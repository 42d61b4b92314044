"""Somebody who works for two fleets sees one at a time, and never a third."""

import pytest
from django.test import Client

from fleetcharge.accounts.models import AuditEntry, Membership, Organisation, User


@pytest.fixture
def second(organisation: Organisation, dispatcher: User) -> Organisation:
    fleet = Organisation.objects.create(name="Kaveri Cabs", slug="kaveri")
    Membership.objects.create(user=dispatcher, organisation=fleet, role="finance")
    return fleet


def fleet_of(client: Client) -> tuple[str, str]:
    context = client.get("/wallet/").context
    return context["organisation"].name, context["role"]


def test_the_menu_leads_to_the_other_fleet_and_back(
    client: Client, organisation: Organisation, second: Organisation, dispatcher: User
) -> None:
    client.force_login(dispatcher)
    assert "Switch to Kaveri Cabs" in client.get("/dispatch/").content.decode()
    answer = client.post("/switch-fleet/", {"organisation": second.pk})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert fleet_of(client) == ("Kaveri Cabs", "finance")
    entry = AuditEntry.objects.get(action="fleet.enter")
    assert (entry.actor, entry.organisation, entry.target_id) == (dispatcher, second, str(second.pk))
    client.post("/switch-fleet/", {"organisation": organisation.pk})
    assert fleet_of(client) == ("Namma Logistics", "dispatcher")


@pytest.mark.parametrize("wish", ["{other}", "", "x", "-1", "9" * 30])
def test_nobody_gets_into_a_fleet_that_is_not_theirs(
    client: Client, second: Organisation, other_organisation: Organisation, dispatcher: User, wish: str
) -> None:
    client.force_login(dispatcher)
    answer = client.post("/switch-fleet/", {"organisation": wish.format(other=other_organisation.pk)})
    assert answer.status_code == 404
    assert fleet_of(client) == ("Namma Logistics", "dispatcher")
    assert not AuditEntry.objects.filter(action="fleet.enter").exists()


def test_it_takes_a_form_of_ours(second: Organisation, dispatcher: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(dispatcher)
    assert client.post("/switch-fleet/", {"organisation": second.pk}).status_code == 403
    assert client.get("/switch-fleet/", {"organisation": second.pk}).status_code == 405
    assert fleet_of(client) == ("Namma Logistics", "dispatcher")


def test_strangers_are_asked_to_sign_in(client: Client, second: Organisation) -> None:
    assert client.post("/switch-fleet/", {"organisation": second.pk})["Location"].startswith("/login/")


def test_who_lost_the_fleet_is_back_in_the_first(client: Client, second: Organisation, dispatcher: User) -> None:
    client.force_login(dispatcher)
    client.post("/switch-fleet/", {"organisation": second.pk})
    Membership.objects.filter(organisation=second).delete()
    assert fleet_of(client) == ("Namma Logistics", "dispatcher")
