"""Demo data: a fleet's own, by the files and services that take anybody's, and all of it gone by one button."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from billing.models import ChargingSession
from billing.prices.models import NegotiatedRate
from dispatch import services
from dispatch.models import SampleRow
from dispatch.onboarding import samples, tasks
from dispatch.site_index import sites
from dispatch.tests import factories
from fleetcharge.accounts.models import AuditEntry, Membership, Organisation, User
from stations.models import Connector, Location, Source, Tariff
from vehicles.models import Driver, Position, Vehicle, VehicleModel, VehicleState
from vehicles.services import ensure_partitions

pytestmark = pytest.mark.django_db(transaction=True)  # their pings come by a connection of their own


@pytest.fixture(autouse=True)
def _ground() -> None:
    """What every installation has."""
    VehicleModel.objects.get_or_create(
        manufacturer="Tata", name="Ace EV",
        defaults={"battery_wh": 21_300, "plugs": ["ccs2"], "max_dc_power_w": 15_000, "consumption_wh_per_km": 150},
    )  # fmt: skip
    ensure_partitions(today=timezone.now().date())
    sites.forget()


@pytest.fixture
def desk(client: Client, dispatcher: User) -> Client:
    client.force_login(dispatcher)
    return client


def load(desk: Client, **more: str) -> str:
    return desk.post("/start/demo/", {"do": "load", **more}, follow=True).content.decode()


def kept_of(organisation: Organisation) -> list[int]:
    """Vehicles, drivers, stations, networks and marks."""
    rows = (
        Vehicle.objects.filter(organisation=organisation), Driver.objects.filter(organisation=organisation),
        Location.objects.filter(source__organisation=organisation), Source.objects.filter(organisation=organisation),
        Tariff.objects.filter(source__organisation=organisation), SampleRow.objects.filter(organisation=organisation),
    )  # fmt: skip
    return [found.count() for found in rows]


def test_an_empty_fleet_has_something_to_look_at_and_nobody_else_sees_it(
    desk: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    assert "Demo data is here: 6 vehicles and 6 stations." in load(desk)
    vans = Vehicle.objects.for_organisation(organisation)
    assert {van.registration[:5] for van in vans} == {"DEMO "}
    assert VehicleState.objects.filter(vehicle__in=vans, latitude__isnull=False, soc_percent__isnull=False).count() == 6
    assert not VehicleState.objects.filter(position_at__lt=timezone.now() - timedelta(minutes=2)).exists()
    assert Location.objects.visible_to(organisation).count() == 6
    assert not Location.objects.visible_to(other_organisation).exists()
    assert set(Connector.objects.values_list("status", flat=True)) == {"available", "charging", "occupied", "faulted"}
    entry = AuditEntry.objects.get(action="demo_data.load")
    assert (entry.organisation, entry.after["vehicles"]) == (organisation, 6)
    assert desk.get("/start/").context["steps"].done == 0  # none of it is a step of theirs


def test_it_is_loaded_once_and_its_vehicles_go_on_telling(desk: Client, organisation: Organisation) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        load(desk)
        before, told = kept_of(organisation), Position.objects.count()
        load(desk)
        assert kept_of(organisation) == before
    with time_machine.travel(now + timedelta(minutes=3), tick=False):
        assert [tasks.tell_samples(), tasks.tell_samples()] == [6, 6]
    assert Position.objects.count() == told + 6
    SampleRow.objects.update(told_since=timezone.now() - timedelta(days=2))
    assert tasks.tell_samples() == 0


def test_the_low_one_gets_a_plan_to_a_demo_station(desk: Client, organisation: Organisation) -> None:
    load(desk)
    van = Vehicle.objects.get(registration="DEMO 01")
    plan = services.plan_charge_stop(vehicle_id=van.pk, trigger="soc_low", trigger_key="t", now=timezone.now())
    assert plan is not None and plan.connector is not None
    assert plan.connector.evse.location.name.startswith("Demo · ")


def test_one_button_removes_all_of_it_and_nothing_else(
    desk: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    now, person = timezone.now(), {"actor": None, "actor_label": "t"}
    samples.load(organisation_id=other_organisation.pk, is_sure=False, now=now, **person)
    strangers = kept_of(other_organisation)
    factories.vehicle(organisation)
    load(desk, sure="1")
    assert "Demo data is removed: 6 vehicles and 6 stations." in desk.post(
        "/start/demo/", {"do": "remove"}, follow=True
    ).content.decode()  # fmt: skip
    assert kept_of(organisation) == [1, 0, 0, 0, 0, 0]
    assert kept_of(other_organisation) == strangers
    assert AuditEntry.objects.filter(action="demo_data.remove", organisation=organisation).count() == 1
    desk.post("/start/demo/", {"do": "remove"})
    assert AuditEntry.objects.filter(action="demo_data.remove").count() == 1
    assert "Demo data is here" in load(desk, sure="1")


def test_a_plan_and_its_place_go_with_the_vehicle(desk: Client, organisation: Organisation) -> None:
    load(desk)
    van = Vehicle.objects.get(registration="DEMO 01")
    plan = services.plan_charge_stop(vehicle_id=van.pk, trigger="soc_low", trigger_key="t", now=timezone.now())
    assert plan is not None
    services.accept_plan(plan_id=plan.pk, actor=None, actor_label="t", now=timezone.now())
    desk.post("/start/demo/", {"do": "remove"})
    assert kept_of(organisation) == [0] * 6


def test_a_demo_network_for_which_a_rate_was_agreed_is_switched_off_and_all_else_goes(
    desk: Client, organisation: Organisation, owner: User, dispatcher: User
) -> None:
    load(desk)
    network, now = Source.objects.get(organisation=organisation), timezone.now()
    NegotiatedRate.objects.create(
        organisation=organisation, source=network, version=1, name="Ours", elements=[], is_end=True, valid_from=now,
        asked_by=owner, approved_by=dispatcher, reason="cheap", created_at=now,
    )  # fmt: skip
    assert desk.post("/start/demo/", {"do": "remove"}).status_code == 302
    network.refresh_from_db()
    assert network.state == Source.State.DISABLED
    assert kept_of(organisation)[:4] == [0, 0, 0, 1]


def test_a_demo_vehicle_that_charged_is_kept_in_the_books_and_out_of_service(
    desk: Client, organisation: Organisation
) -> None:
    load(desk)
    van = Vehicle.objects.get(registration="DEMO 02")
    network = factories.source(organisation)
    plug = factories.connector(factories.location(network, organisation=organisation), at=timezone.now())
    ChargingSession.objects.create(
        organisation=organisation, source=network, connector=plug, vehicle=van, transaction_ref="T", start_key="S",
        started_at=timezone.now(),
    )  # fmt: skip
    answer = desk.post("/start/demo/", {"do": "remove"}, follow=True).content.decode()
    assert "Out of service, because they were used beside real things: DEMO 02." in answer
    van.refresh_from_db()
    assert (van.is_active, van.device_id) == (False, None)
    assert Vehicle.objects.for_organisation(organisation).count() == 1
    assert "Demo data is here" in load(desk)


def test_beside_real_vehicles_only_by_whoever_knows_and_no_plan_leads_there(
    desk: Client, organisation: Organisation
) -> None:
    factories.vehicle(organisation)
    assert "say first that you know it" in load(desk)
    assert kept_of(organisation) == [1, 0, 0, 0, 0, 0]
    load(desk, sure="1")
    assert Source.objects.get(organisation=organisation).state == Source.State.DISABLED


def test_a_fleet_that_gets_its_first_vehicle_is_no_longer_led_to_demo_stations(
    desk: Client, organisation: Organisation
) -> None:
    load(desk)
    source = Source.objects.get(organisation=organisation)
    assert source.state == Source.State.CONNECTED
    factories.vehicle(organisation)
    tasks.tell_samples()
    source.refresh_from_db()
    assert source.state == Source.State.DISABLED


@pytest.mark.parametrize("role", [Membership.Role.FINANCE, Membership.Role.INTEGRATOR, Membership.Role.DRIVER])
def test_who_may_not_change_stations_loads_nothing(client: Client, organisation: Organisation, role: str) -> None:
    person = User.objects.create_user("p@namma.example", "correct horse")
    Membership.objects.create(user=person, organisation=organisation, role=role)
    client.force_login(person)
    assert client.post("/start/demo/", {"do": "load"}).status_code == 403
    assert kept_of(organisation) == [0] * 6


def test_the_product_does_not_know_the_demo_city() -> None:
    text = "".join(path.read_text() for path in samples.FILES.parent.rglob("*.py"))
    assert "fleetcharge.demo" not in text and "DEMO" not in text
