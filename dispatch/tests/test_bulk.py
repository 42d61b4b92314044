"""What is done with many rows at once: each for itself, told row by row, taken back where one row can be."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone, translation

from billing.models import ChargingSession
from dispatch.depot.models import Depot
from dispatch.models import Alert, Reservation, SampleRow, SessionCommand
from dispatch.tests import factories
from dispatch.tests.test_tables import fill
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from stations.models import Location
from vehicles.models import Driver, Vehicle

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _language() -> Any:
    with translation.override("en"):
        yield


@pytest.fixture
def desk(client: Client, dispatcher: User) -> Client:
    client.force_login(dispatcher)
    return client


def post(client: Client, path: str, name: str, rows: Any, **more: str) -> str:
    values = {"do": name, "row": [row.pk for row in rows], **more}
    return client.post(path, values, follow=True).content.decode()


def undo(client: Client, path: str) -> str:
    return client.post(path, {"undo": "1"}, follow=True).content.decode()


def vans(organisation: Organisation, count: int = 3) -> list[Vehicle]:
    return [factories.vehicle(organisation) for _ in range(count)]


def test_chosen_vehicles_get_a_driver_and_the_last_ones_back(desk: Client, organisation: Organisation) -> None:
    rows, before, after = vans(organisation), *(Driver.objects.create(organisation=organisation, name=n) for n in "AB")
    Vehicle.objects.filter(pk=rows[0].pk).update(default_driver=before)
    Vehicle.objects.filter(pk=rows[1].pk).update(default_driver=after)
    answer = post(desk, "/fleet/", "driver", rows, **{"for-driver": str(after.pk)})
    assert "2 done. 1 not, see below." in answer
    assert f"<b>{rows[1].registration}</b> · It was so already." in answer
    assert set(Vehicle.objects.values_list("default_driver", flat=True)) == {after.pk}
    assert AuditEntry.objects.filter(action="vehicle.assign").count() == 2
    assert "see below" not in desk.get("/fleet/").content.decode()  # told once
    assert "2 done." in undo(desk, "/fleet/")
    held = [Vehicle.objects.get(pk=row.pk).default_driver_id for row in rows]
    assert held == [before.pk, after.pk, None]
    assert "too late to take that back" in undo(desk, "/fleet/")


def test_nothing_that_somebody_changed_since_is_taken_back(desk: Client, organisation: Organisation) -> None:
    first, second = vans(organisation, 2)
    post(desk, "/fleet/", "cost-centre", [first, second], **{"for-cost-centre": "Pune"})
    Vehicle.objects.filter(pk=first.pk).update(cost_centre="Nashik")
    answer = undo(desk, "/fleet/")
    assert f"<b>{first.registration}</b> · It was changed meanwhile." in answer
    assert [Vehicle.objects.get(pk=row.pk).cost_centre for row in (first, second)] == ["Nashik", ""]


def test_undo_is_for_two_minutes_and_for_its_own_page(desk: Client, organisation: Organisation) -> None:
    (van,) = vans(organisation, 1)
    post(desk, "/fleet/", "cost-centre", [van], **{"for-cost-centre": "Pune"})
    assert 'name="undo"' in desk.get("/fleet/").content.decode()
    assert 'name="undo"' not in desk.get("/alerts/").content.decode()
    with time_machine.travel(timezone.now() + timedelta(minutes=3), tick=False):
        assert "too late to take that back" in undo(desk, "/fleet/")
    van.refresh_from_db()
    assert van.cost_centre == "Pune"


def test_chosen_vehicles_belong_to_a_depot_with_its_place(desk: Client, organisation: Organisation) -> None:
    site = factories.location(factories.source(organisation), organisation=organisation, name="Hoodi", latitude=12.5)
    first, second, third = vans(organisation)
    assert 'name="for-depot"' not in desk.get("/fleet/").content.decode()  # there is none to choose
    Depot.objects.create(location=site, organisation=organisation)
    assert f'value="site {site.pk}"' in desk.get("/fleet/").content.decode()
    post(desk, "/fleet/", "depot", [first], **{"for-depot": f"site {site.pk}"})
    first.refresh_from_db()
    assert (first.depot_name, first.depot_latitude, first.depot_longitude) == ("Hoodi", 12.5, site.longitude)
    Vehicle.objects.filter(pk=second.pk).update(depot_name="Peenya", depot_latitude=13.0, depot_longitude=77.5)
    post(desk, "/fleet/", "depot", [third], **{"for-depot": "name Peenya"})
    third.refresh_from_db()
    assert (third.depot_name, third.depot_latitude) == ("Peenya", 13.0)


@pytest.mark.parametrize(("name", "value"), [("depot", "site 1"), ("driver", "x"), ("driver", ""), ("cost-centre", "")])
def test_what_is_no_answer_changes_nothing(name: str, value: str, desk: Client, organisation: Organisation) -> None:
    assert "Say first" in post(desk, "/fleet/", name, vans(organisation, 1), **{f"for-{name}": value})
    assert not AuditEntry.objects.filter(action="vehicle.assign").exists()


def test_a_text_that_no_row_can_hold_is_a_bad_request(desk: Client, organisation: Organisation) -> None:
    [van] = vans(organisation, 1)
    asked = {"do": "cost-centre", "row": [van.pk], "for-cost-centre": "Pu\0ne"}
    assert desk.post("/fleet/", asked).status_code == 400
    van.refresh_from_db()
    assert van.cost_centre == ""


def test_nobody_gets_a_driver_or_a_depot_of_another_fleet(
    desk: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    theirs = Driver.objects.create(organisation=other_organisation, name="Eve")
    site = factories.location(factories.source(other_organisation), organisation=other_organisation)
    Depot.objects.create(location=site, organisation=other_organisation)
    (van,), (stranger,) = vans(organisation, 1), vans(other_organisation, 1)
    post(desk, "/fleet/", "driver", [van], **{"for-driver": str(theirs.pk)})
    post(desk, "/fleet/", "depot", [van], **{"for-depot": f"site {site.pk}"})
    assert "0 done." in post(desk, "/fleet/", "cost-centre", [stranger], **{"for-cost-centre": "Mine"})
    assert not AuditEntry.objects.filter(action="vehicle.assign").exists()


def test_only_vehicles_at_rest_leave_the_fleet_and_may_come_back(desk: Client, organisation: Organisation) -> None:
    fill(organisation, 2)
    busy, idle = Vehicle.objects.order_by("pk")
    ChargingSession.objects.filter(vehicle=idle).update(state=ChargingSession.State.ENDED, ended_at=timezone.now())
    answer = post(desk, "/fleet/", "retire", [busy, idle])
    assert "1 done. 1 not, see below." in answer
    assert list(Vehicle.objects.filter(is_active=True)) == [busy]
    undo(desk, "/fleet/")
    assert Vehicle.objects.filter(is_active=True).count() == 2


def test_chosen_sessions_are_stopped_and_each_refusal_is_told(desk: Client, organisation: Organisation) -> None:
    fill(organisation, 2)
    running, over = ChargingSession.objects.order_by("pk")
    ChargingSession.objects.filter(pk=over.pk).update(state=ChargingSession.State.ENDED, ended_at=timezone.now())
    answer = post(desk, "/sessions/", "stop", [running, over])
    assert "1 done. 1 not, see below." in answer and "is not running any more" in answer
    assert SessionCommand.objects.get().session == running
    assert "That is being done already." in post(desk, "/sessions/", "stop", [running])


def test_a_snooze_of_many_is_taken_back_at_once(desk: Client, organisation: Organisation) -> None:
    fill(organisation, 2)
    post(desk, "/alerts/", "snooze", Alert.objects.all())
    assert Alert.objects.filter(snoozed_until=None).count() == 0
    undo(desk, "/alerts/")
    assert Alert.objects.filter(snoozed_until=None).count() == 2


def test_an_undone_snooze_gives_back_the_time_of_before_and_leaves_what_somebody_chose_since(
    desk: Client, organisation: Organisation
) -> None:
    fill(organisation, 2)
    first, second = Alert.objects.order_by("pk")
    before, since = timezone.now() + timedelta(hours=5), timezone.now() + timedelta(hours=2)
    Alert.objects.filter(pk=first.pk).update(snoozed_until=before)
    post(desk, "/alerts/", "snooze", [first, second])
    Alert.objects.filter(pk=second.pk).update(snoozed_until=since)
    assert "It was changed meanwhile." in undo(desk, "/alerts/")
    assert [*Alert.objects.order_by("pk").values_list("snoozed_until", flat=True)] == [before, since]


def test_what_nothing_brings_back_offers_no_undo(desk: Client, organisation: Organisation) -> None:
    fill(organisation, 1)
    Reservation.objects.update(state="confirmed")
    assert 'name="undo"' not in post(desk, "/reservations/", "cancel", Reservation.objects.all())


@pytest.mark.parametrize("path", ["/fleet/", "/sessions/", "/stations/"])
def test_who_may_only_look_changes_nothing(
    path: str, client: Client, finance: User, organisation: Organisation
) -> None:
    fill(organisation, 1)
    client.force_login(finance)
    assert 'name="row"' not in client.get(path).content.decode()
    for name in ("driver", "retire", "stop", "show", "hide"):
        assert client.post(path, {"do": name, "row": [1], "for-driver": "nobody"}).status_code == 403
    assert not AuditEntry.objects.exists()


# --- stations that everybody may see ------------------------------------------------------------------------------
@pytest.fixture
def office(client: Client, owner: User, organisation: Organisation) -> Client:
    Organisation.objects.filter(pk=organisation.pk).update(shows_status=True)
    client.force_login(owner)
    return client


def own_site(fleet: Organisation, **fields: Any) -> Location:
    site = factories.location(factories.source(fleet), **{"organisation": fleet, **fields})
    factories.connector(site, charger=factories.charger(site, fleet), at=timezone.now())
    return site


def test_an_owner_opens_a_site_to_everybody_and_closes_it_again(
    office: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    site = own_site(organisation, name="Hoodi Plaza")
    others = Location.objects.visible_to(other_organisation)
    assert not others.exists()
    assert "1 done." in post(office, "/stations/", "show", [site])
    assert others.get() == site
    assert "Hoodi Plaza" in office.get("/status/namma/").content.decode()
    assert AuditEntry.objects.get(action="station.show").target_id == str(site.pk)
    undo(office, "/stations/")
    assert not others.exists()


def test_only_owners_decide_it_and_only_about_sites_of_theirs_alone(
    office: Client, dispatcher: User, organisation: Organisation, other_organisation: Organisation
) -> None:
    mixed = own_site(organisation, organisation=None, name="Two operators")
    factories.connector(mixed, charger=factories.charger(mixed, other_organisation), at=timezone.now())
    strange = own_site(other_organisation, organisation=None, name="Strangers")
    answer = post(office, "/stations/", "hide", [mixed, strange])
    assert "0 done. 2 not, see below." in answer and answer.count("This is no station of your own.") == 2
    assert Location.objects.filter(organisation=None).count() == 2
    office.force_login(dispatcher)
    assert office.post("/stations/", {"do": "show", "row": [mixed.pk]}).status_code == 403


def test_demo_stations_are_never_shown_to_everybody(office: Client, organisation: Organisation) -> None:
    site = own_site(organisation)
    SampleRow.objects.create(organisation=organisation, kind=SampleRow.Kind.SOURCE, object_id=site.source_id)
    assert "It is demo data" in post(office, "/stations/", "show", [site])
    site.refresh_from_db()
    assert site.organisation == organisation
