"""Monitoring: networks, silent chargers, units that fail while they say they are free, tickets with their next step."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.tests import factories
from fleetcharge.accounts.models import Membership, User
from stations.models import Charger, EvseHealth, MaintenanceTicket, Source

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, dispatcher):
    client.force_login(dispatcher)
    return client


def ticket_at(organisation, **fields):
    unit = factories.charger(factories.location(factories.source(organisation)), organisation)
    return MaintenanceTicket.objects.create(
        organisation=organisation, charger=unit, cause="faults", score=40, opened_at=timezone.now(), **fields
    )


def step(client, ticket, **asked):
    return client.post(f"/monitoring/tickets/{ticket.pk}/", asked, follow=True)


def test_a_failing_network_comes_first_with_what_is_wrong(desk, organisation):
    now = timezone.now()
    factories.public_network(organisation)
    bad = factories.public_network(organisation)
    Source.objects.filter(pk=bad.pk).update(
        state="failing", failures_in_row=4, last_error="Public: 401 ask Ravi at https://10.2.0.7/ocpi",
        last_error_code="http_401", next_poll_at=now + timedelta(minutes=5),
    )  # fmt: skip
    answer = desk.get("/monitoring/")
    assert answer.context["networks"][0].source == bad
    assert answer.context["networks"][0].is_left_alone
    text = answer.content.decode()
    assert f"{bad.name} answers HTTP 401." in text
    assert "Ravi" not in text and "10.2.0.7" not in text


def test_networks_without_access_and_of_others_are_not_shown(desk, other_organisation):
    factories.source()
    factories.source(other_organisation)
    factories.public_network(other_organisation)
    assert desk.get("/monitoring/").context["networks"] == []


def test_silent_is_who_has_no_line_or_says_nothing_on_it(desk, organisation, other_organisation):
    now, place = timezone.now(), factories.location(factories.source(organisation))
    talks, quiet, gone = (factories.charger(place, organisation) for _number in range(3))
    factories.charger(place, other_organisation)
    Charger.objects.update(last_seen_at=now)
    Charger.objects.filter(pk=quiet.pk).update(last_seen_at=now - timedelta(hours=1))
    Charger.objects.filter(pk=gone.pk).update(is_online=False, last_seen_at=now - timedelta(minutes=1))
    assert list(desk.get("/monitoring/").context["silent"]) == [quiet, gone]
    assert talks.ocpp_identity not in desk.get("/monitoring/").content.decode()


def test_the_figures_count_what_the_lists_do_not_show(desk, organisation, monkeypatch):
    monkeypatch.setattr("dispatch.monitoring.reads.SHOWN", 1)
    place = factories.location(factories.source(organisation))
    for _number in range(3):
        factories.charger(place, organisation)
    Charger.objects.update(is_online=False)
    answer = desk.get("/monitoring/")
    assert len(answer.context["silent"]) == 1
    assert '<dt>Silent chargers</dt><dd class="bad">3</dd>' in answer.content.decode()


def test_failing_units_show_where_the_fleet_may_charge(desk, organisation, other_organisation):
    now = timezone.now()
    plugs = [
        factories.connector(factories.location(network), at=now)
        for network in (factories.public_network(organisation), factories.public_network(other_organisation))
    ]
    for plug in plugs:
        EvseHealth.objects.create(
            evse=plug.evse, score=12, p_unusable=0.9, is_failing=True, judged_at=now,
            penalties=[{"cause": "failed_starts", "points": 60, "figure": 0.9}],
        )  # fmt: skip
    answer = desk.get("/monitoring/")
    assert [row.health.evse for row in answer.context["failing"]] == [plugs[0].evse]
    assert "Starts fail" in answer.content.decode()


def test_a_ticket_is_taken_on_and_closed_with_a_note(desk, organisation, dispatcher):
    ticket = ticket_at(organisation)
    step(desk, ticket, state="in_work", note="On my way")
    ticket.refresh_from_db()
    assert ticket.state == "in_work"
    step(desk, ticket, state="done", note="New contactor")
    ticket.refresh_from_db()
    assert (ticket.state, ticket.closed_by, ticket.notes.count()) == ("done", dispatcher, 2)
    assert list(desk.get("/monitoring/").context["tickets"]) == []


@pytest.mark.parametrize("asked", [{"state": "done"}, {"state": "healed"}, {"state": "x"}, {}])
def test_what_cannot_be_is_said_and_changes_nothing(desk, organisation, asked):
    ticket = ticket_at(organisation)
    answer = step(desk, ticket, **asked)
    ticket.refresh_from_db()
    assert (ticket.state, ticket.notes.count()) == ("open", 0)
    assert 'role="alert"' in answer.content.decode()


def test_only_ones_own_tickets_and_only_for_roles_that_may(client, organisation, stranger, finance):
    ticket = ticket_at(organisation)
    client.force_login(stranger)
    assert step(client, ticket, state="in_work").status_code == 404
    assert ticket.charger.ocpp_identity not in client.get("/monitoring/").content.decode()
    client.force_login(finance)
    assert step(client, ticket, state="in_work").status_code == 403
    assert client.get("/monitoring/").context["can_change"] is False
    driver = User.objects.create_user("d@namma.example", "correct horse")
    Membership.objects.create(user=driver, organisation=organisation, role="driver")
    client.force_login(driver)
    assert client.get("/monitoring/").status_code == 403
    ticket.refresh_from_db()
    assert ticket.state == "open"


def test_the_wall_shows_the_live_page_to_who_may_see_it(client, desk, organisation, stranger):
    factories.vehicle(organisation)
    page = desk.get("/wall/")
    assert page.status_code == 200
    assert "css/wall" in page.content.decode()
    assert page.context["fleet_total"] == 1
    client.force_login(stranger)
    assert client.get("/wall/").context["fleet_total"] == 0
    client.logout()
    assert client.get("/wall/").status_code == 302
