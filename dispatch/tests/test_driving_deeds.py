"""What a driver says and does on the page, once each, and only about the plan that the page showed."""

from datetime import datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from billing.models import ChargingSession
from billing.tests.factories import fund
from dispatch.driving import eta, links
from dispatch.driving.models import PlugReport
from dispatch.models import Alert, ChargePlan, Reservation, SessionCommand
from dispatch.services import close_recovered, dismiss_plan, expire_reservations, plan_charge_stop, session_started
from dispatch.tests import factories
from dispatch.tests.driving import link_of, page, press, site_of, under_way
from fleetcharge.accounts.models import AuditEntry, Organisation
from stations.cpo import registry
from stations.models import EVSE, Connector
from vehicles.models import Stop, VehicleState
from vehicles.services import PlannedStop, set_stops

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(organisation: Organisation) -> ChargePlan:
    fund(organisation, 1_000_000)
    return under_way(organisation, timezone.now().replace(microsecond=0), name="Marathahalli Hub")


def plug_of(plan: ChargePlan) -> Connector:
    assert plan.connector is not None
    return plan.connector


def charging(plan: ChargePlan, plug: Connector | None = None) -> ChargingSession:
    """The plan's vehicle has plugged in."""
    plug = plug or plug_of(plan)
    session = ChargingSession.objects.create(
        organisation=plan.organisation, source=plug.evse.location.source, connector=plug, transaction_ref="t1",
        start_key=f"t1-{plug.pk}", vehicle=plan.vehicle, started_at=timezone.now(), energy_wh=1200, power_w=30_000,
    )  # fmt: skip
    session_started(
        session_id=session.pk, vehicle_id=plan.vehicle_id, connector_id=plug.pk, location_id=plug.evse.location_id,
        now=timezone.now(),
    )  # fmt: skip
    return session


def test_the_page_says_where_until_when_and_with_how_much(client: Client, plan: ChargePlan) -> None:
    html = page(client, plan)
    for said in ("Drive to Marathahalli Hub, plug 2", "Reserved for you from", "You arrive with about 12 %",
                 "Charge to 80 %, about 30 minutes", "geo:12.990000,77.620000", "https://www.google.com/maps/dir/",
                 "https://maps.apple.com/"):  # fmt: skip
        assert said in html
    assert "<h2>Start charging" not in html


def test_on_the_way_and_there_count_once(client: Client, plan: ChargePlan) -> None:
    assert "sees that you are on the way" in press(client, plan, "off").content.decode()
    plan.refresh_from_db()
    first = plan.set_off_at
    assert "known already" in press(client, plan, "off").content.decode()
    assert "You are there: plug in at 2" in press(client, plan, "arrived").content.decode()
    plan.refresh_from_db()
    assert (plan.set_off_at, plan.arrived_by) == (first, "driver")
    arrived_at = plan.arrived_at
    press(client, plan, "arrived")
    plan.refresh_from_db()
    assert plan.arrived_at == arrived_at is not None


def test_a_broken_plug_is_left_for_another_one_at_once(client: Client, plan: ChargePlan) -> None:
    other = factories.connector(factories.location(site_of(plan).source, name="Domlur Yard"), at=timezone.now())
    html = press(client, plan, "report", kind="broken").content.decode()
    plan.refresh_from_db()
    new = ChargePlan.objects.get(replaces=plan)
    assert (plan.state, new.connector_id, new.trigger) == ("replaced", other.pk, "broken")
    assert plan.reservations.get().state == Reservation.State.CANCELLED
    assert "Your dispatcher is choosing where you charge" in html
    alerts = {alert.kind: alert for alert in Alert.objects.open()}
    assert alerts["reservation_lost"].body.startswith("The driver says that the earlier plug is broken.")
    assert alerts["charger_matter"].title == "Plug 2 at Marathahalli Hub is broken"
    press(client, plan, "report", kind="broken")  # the page was not drawn anew yet
    assert (PlugReport.objects.count(), ChargePlan.objects.count()) == (1, 2)


def test_an_old_page_changes_nothing_new(client: Client, plan: ChargePlan) -> None:
    link = link_of(plan)
    factories.connector(factories.location(site_of(plan).source), at=timezone.now())
    press(client, plan, "report", kind="blocked")
    new = ChargePlan.objects.get(replaces=plan)
    for deed in ("off", "arrived", "report", "start", "share"):
        assert "Your plan has changed" in press(client, plan, deed, link=link, kind="broken", code="2").content.decode()
    new.refresh_from_db()
    assert (new.state, new.set_off_at, new.arrived_at, SessionCommand.objects.count()) == ("proposed", None, None, 0)


def test_other_vehicles_of_the_fleet_are_kept_away_from_a_reported_plug(
    client: Client, plan: ChargePlan, organisation: Organisation, other_organisation: Organisation
) -> None:
    press(client, plan, "report", kind="broken")
    ChargePlan.objects.filter(vehicle=plan.vehicle).update(state="dismissed")

    def plugs_for(fleet: Organisation) -> list[int | None]:
        van = factories.vehicle(fleet, at=timezone.now())
        made = plan_charge_stop(vehicle_id=van.pk, trigger="manual", trigger_key=f"m:{van.pk}", now=timezone.now())
        return [made.connector_id if made else None]

    assert plugs_for(organisation) == [None]
    site_of(plan).source.access.create(organisation=other_organisation)
    assert plugs_for(other_organisation) == [plan.connector_id]  # what our driver says is our own business


def test_the_drivers_word_for_the_charge_counts(client: Client, plan: ChargePlan) -> None:
    press(client, plan, "charge", soc_percent="34,5")
    state = VehicleState.objects.get(vehicle=plan.vehicle)
    assert (state.soc_percent, state.soc_source) == (34.5, "driver")
    for nonsense in ("", "full", "101", "-1", "nan", "1e400"):
        assert "from 0 to 100" in press(client, plan, "charge", soc_percent=nonsense).content.decode()
    state.refresh_from_db()
    assert state.soc_percent == 34.5


@pytest.fixture
def can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that takes starts and stops; what it does with them is its own tests' matter."""
    monkeypatch.setattr(registry, "starter_for", lambda source: object())
    monkeypatch.setattr(registry, "stopper_for", lambda source: object())


@pytest.mark.usefixtures("can_start")
class TestStarting:
    def test_by_the_code_on_the_plug(self, client: Client, plan: ChargePlan) -> None:
        evse = plug_of(plan).evse
        press(client, plan, "arrived")
        html = press(client, plan, "start", code=f"https://fleet.example/go/at/{evse.public_id}/").content.decode()
        command = SessionCommand.objects.get()
        assert (command.kind, command.connector_id, command.vehicle_id) == ("start", plan.connector_id, plan.vehicle_id)
        assert "The charger is asked to start" in html
        assert AuditEntry.objects.get(action="session.start").actor_label == f"driver link {link_of(plan).pk}"
        assert "That is being done already" in press(client, plan, "start", code=evse.public_id).content.decode()
        assert SessionCommand.objects.count() == 1

    @pytest.mark.parametrize("said", ["2", " 2 ", "EVSE-7", "evse-7"])
    def test_by_what_is_written_on_it(self, client: Client, plan: ChargePlan, said: str) -> None:
        evse = plug_of(plan).evse
        evse.uid = "EVSE-7"
        evse.save()
        press(client, plan, "start", code=said)
        assert SessionCommand.objects.get().connector_id == plan.connector_id

    @pytest.mark.parametrize("called", ["2", "3"])
    def test_a_bay_at_the_site_goes_before_plugs_elsewhere_with_that_uid(
        self, client: Client, plan: ChargePlan, other_organisation: Organisation, called: str
    ) -> None:
        """Bay 2 is the promised one; 3, which has its uid alone, is beside it."""
        beside = factories.connector(site_of(plan), at=timezone.now())
        EVSE.objects.filter(pk=beside.evse_id).update(uid="3")
        depot = factories.location(factories.source(other_organisation), organisation=other_organisation)
        for place in (depot, factories.location(site_of(plan).source)):
            evse = factories.connector(place, at=timezone.now()).evse
            EVSE.objects.filter(pk=evse.pk).update(uid=called)
        press(client, plan, "start", code=called)
        assert SessionCommand.objects.get().connector_id == (plan.connector_id if called == "2" else beside.pk)

    @pytest.mark.parametrize(
        "said",
        [
            "", "7", "beckn://discover?&x=1", "https://elsewhere.example/x", "%00", "go/at/", "a\x00b",
            "https://fleet.example/go/at/%00/", "http://[x",
        ],
    )  # fmt: skip
    def test_not_by_what_nobody_knows(self, client: Client, plan: ChargePlan, said: str) -> None:
        assert "We know no plug with this code" in press(client, plan, "start", code=said).content.decode()
        assert SessionCommand.objects.count() == 0

    def test_not_at_a_plug_of_a_network_without_contract(
        self, client: Client, plan: ChargePlan, other_organisation: Organisation
    ) -> None:
        foreign = factories.connector(factories.location(factories.public_network(other_organisation)))
        depot = factories.connector(factories.location(factories.source(other_organisation)))
        for plug in (foreign, depot):
            assert "no plug with this code" in press(client, plan, "start", code=plug.evse.public_id).content.decode()
        assert SessionCommand.objects.count() == 0

    def test_the_one_door_decides(self, client: Client, plan: ChargePlan) -> None:
        plan.vehicle.id_tokens.update(is_active=False)
        html = press(client, plan, "start", code="2").content.decode()
        assert "no token to charge with" in html
        assert SessionCommand.objects.count() == 0

    def test_which_of_several_must_be_said(self, client: Client, plan: ChargePlan) -> None:
        evse = plug_of(plan).evse
        for number in (2, 3):
            Connector.objects.create(evse=evse, connector_id=number, plug="ccs2", max_power_w=60_000)
        press(client, plan, "start", code=evse.public_id)
        assert SessionCommand.objects.get().connector_id == plan.connector_id  # the promised one is meant
        elsewhere = factories.connector(factories.location(site_of(plan).source), at=timezone.now())
        Connector.objects.create(evse=elsewhere.evse, connector_id=2, plug="ccs2", max_power_w=60_000)
        said = press(client, plan, "start", code=elsewhere.evse.public_id).content.decode()
        assert "Several plugs have this code" in said

    def test_and_stopping(self, client: Client, plan: ChargePlan) -> None:
        assert "not charging any more" in press(client, plan, "stop").content.decode()
        session = charging(plan)
        html = page(client, plan)
        assert "Charging at Marathahalli Hub, plug 2" in html
        assert "Stop charging" in html
        assert "is charging already" in press(client, plan, "start", code="2").content.decode()
        press(client, plan, "stop")
        command = SessionCommand.objects.get()
        assert (command.kind, command.session_id) == ("stop", session.pk)


def test_those_who_wait_see_the_vehicle_and_the_time_alone(client: Client, plan: ChargePlan) -> None:
    plan.vehicle.stops.create(sequence=1, name="Whitefield DC", latitude=12.982, longitude=77.757)
    html = press(client, plan, "share").content.decode()
    shared = plan.driver_links.get(kind="eta")
    assert links.url_of(shared) in html
    shown = client.get(links.path_of(shared)).content.decode()
    assert plan.vehicle.registration in shown
    assert "Arrives at about" in shown
    for secret in ("Whitefield", "Marathahalli", "12.99", "77.6", "%"):
        assert secret not in shown.split("<main")[1].split("</main>")[0]
    press(client, plan, "share")
    assert plan.driver_links.filter(kind="eta").count() == 1


def shown_to_who_waits(client: Client, plan: ChargePlan, stop: Stop | None) -> str:
    shared = plan.driver_links.get(kind="eta", stop=stop)
    return client.get(links.path_of(shared)).content.decode().split("<main")[1]


def test_who_waits_at_a_stop_sees_when_it_comes_there_whatever_stop_comes_next(
    client: Client, plan: ChargePlan
) -> None:
    def add(sequence: int, name: str) -> Stop:
        return Stop.objects.create(
            vehicle=plan.vehicle, sequence=sequence, name=name, latitude=12.982, longitude=77.757
        )  # fmt: skip

    first = add(5, "Whitefield DC")
    press(client, plan, "share")
    before = shown_to_who_waits(client, plan, first)
    earlier = add(1, "Domlur")
    Stop.objects.filter(pk=earlier.pk).update(latitude=12.7)  # far south, and back
    assert "Arrives at about" in shown_to_who_waits(client, plan, first) != before
    now = timezone.now()
    for stop in (earlier, first):
        Stop.objects.filter(pk=stop.pk).update(done_at=now)
    add(9, "Hoskote")
    assert f"Came at <b>{timezone.localtime(now):%H:%M}</b>" in shown_to_who_waits(client, plan, first)


def test_the_next_one_who_waits_gets_a_link_of_his_own(client: Client, plan: ChargePlan) -> None:
    first, second = (
        Stop.objects.create(
            vehicle=plan.vehicle, sequence=number, name=f"Stop {number}", latitude=12.98, longitude=77.7
        )
        for number in (1, 2)
    )
    press(client, plan, "share")
    Stop.objects.filter(pk=first.pk).update(done_at=timezone.now())
    assert "Make a link to my arrival" in page(client, plan)
    for _ in range(2):
        press(client, plan, "share")
    shared = list(plan.driver_links.filter(kind="eta").order_by("pk").values_list("stop", flat=True))
    assert shared == [first.pk, second.pk]
    assert links.url_of(plan.driver_links.get(stop=second)) in page(client, plan)


def test_a_shared_arrival_outlives_a_new_list_of_stops(client: Client, plan: ChargePlan) -> None:
    stop = Stop.objects.create(vehicle=plan.vehicle, sequence=1, name="Domlur", latitude=12.98, longitude=77.7)
    press(client, plan, "share")
    set_stops(
        vehicle_id=plan.vehicle_id, stops=[PlannedStop("New", 12.97, 77.6), PlannedStop("Domlur", 12.98, 77.7)]
    )  # fmt: skip
    assert "Arrives at about" in shown_to_who_waits(client, plan, stop)


def times(plan: ChargePlan, stop: Stop, now: datetime) -> tuple[datetime, datetime, datetime]:
    """At the plug, done there, and at the stop."""
    seen = eta.expected(plan.vehicle, plan, stop, now)
    assert seen.plug_at
    assert seen.done_at
    assert seen.stop_at
    return seen.plug_at, seen.done_at, seen.stop_at


def test_who_waits_before_the_charge_is_not_told_to_wait_for_it(organisation: Organisation, plan: ChargePlan) -> None:
    now = timezone.now()
    first, second = (
        Stop.objects.create(vehicle=plan.vehicle, sequence=number, name=name, latitude=12.98, longitude=77.6)
        for number, name in enumerate(("Domlur", "Whitefield"), 1)
    )
    plan.explanation = {"visits": [{"before": "Whitefield"}]}
    plug_at, done_at, there_at = times(plan, first, now)
    assert now < there_at < plug_at - eta.WORK
    assert times(plan, second, now)[:2] == (plug_at, done_at)
    assert times(plan, second, now)[2] > done_at
    Stop.objects.filter(pk=first.pk).update(done_at=now)
    assert times(plan, second, now)[0] < plug_at - eta.WORK
    second.vehicle = factories.vehicle(organisation)
    assert eta.expected(plan.vehicle, plan, second, now).stop_at is None


def test_without_a_stop_the_plug_is_where_it_is_waited_for(client: Client, plan: ChargePlan) -> None:
    for _ in range(2):
        press(client, plan, "share")
    assert "Arrives at about" in shown_to_who_waits(client, plan, None)
    press(client, plan, "arrived")
    assert "Came at" in shown_to_who_waits(client, plan, None)


def test_where_we_start_nothing_the_page_knows_a_way_on(client: Client, plan: ChargePlan) -> None:
    press(client, plan, "arrived")
    html = page(client, plan)
    network = site_of(plan).source
    assert f"not started from here. Use your card, or the app of {network.name}." in html
    assert "scan the code" not in html
    assert "another plug is looked for" in html
    assert "tel:" not in html
    network.help_phone, network.app_url = "+91 80 4567 890", "https://volt.example/app"
    network.full_clean()
    network.save()
    plan.explanation = {"plan_b": {"station": "Domlur Yard", "drive_seconds": 540}}
    plan.save()
    html = page(client, plan)
    for said in ('href="tel:+91804567890"', 'href="https://volt.example/app"', "Domlur Yard is 9 minutes on"):
        assert said in html
    network.help_phone = "call me"
    with pytest.raises(ValidationError):
        network.full_clean()


def test_a_plug_that_does_not_start_is_left_for_another_one(client: Client, plan: ChargePlan) -> None:
    other = factories.connector(factories.location(site_of(plan).source, name="Domlur Yard"), at=timezone.now())
    press(client, plan, "report", kind="refused")
    new = ChargePlan.objects.get(replaces=plan)
    assert (new.connector_id, new.trigger, PlugReport.objects.get().kind) == (other.pk, "refused", "refused")
    alerts = {alert.kind: alert for alert in Alert.objects.open()}
    assert "could not be started" in alerts["reservation_lost"].body
    assert alerts["charger_matter"].title == "Plug 2 at Marathahalli Hub could not be started"


def test_nothing_changed_is_304(client: Client, plan: ChargePlan) -> None:
    path = f"{links.path_of(link_of(plan))}now/"
    state = VehicleState.objects.get(vehicle=plan.vehicle)
    VehicleState.objects.filter(pk=state.pk).update(latitude=None, longitude=None)  # or the ETA moves with the clock
    first: Any = client.get(path)
    assert client.get(path, headers={"If-None-Match": first["ETag"]}).status_code == 304
    Connector.objects.filter(pk=plug_of(plan).pk).update(status="faulted")
    changed = client.get(path, headers={"If-None-Match": first["ETag"]})
    assert (changed.status_code, "Faulted" in changed.content.decode()) == (200, True)


def test_without_a_script_a_button_leads_back_to_the_page(client: Client, plan: ChargePlan) -> None:
    path = links.path_of(link_of(plan))
    answer: Any = client.post(f"{path}do/off/", {"plan": plan.pk})
    assert (answer.status_code, answer["Location"]) == (302, f"{path}?said=off")
    assert "sees that you are on the way" in client.get(answer["Location"]).content.decode()
    assert "&lt;b&gt;" not in client.get(f"{path}?said=<b>&no=<b>").content.decode()
    assert client.get(f"{path}do/off/").status_code == 405
    assert client.post(f"{path}do/everything/", {"plan": plan.pk}).status_code == 404


def test_the_page_speaks_hindi(client: Client, plan: ChargePlan) -> None:
    path = links.path_of(link_of(plan))
    client.post(f"{path}language/", {"language": "hi"})
    assert "Marathahalli Hub" in client.get(path).content.decode()
    assert 'lang="hi-IN"' in client.get(path).content.decode()
    assert "Drive to" not in client.get(path).content.decode()


def test_a_vehicle_that_is_full_enough_is_not_blamed(client: Client, plan: ChargePlan) -> None:
    close_recovered(vehicle_id=plan.vehicle_id, now=timezone.now())
    html = page(client, plan)
    assert "Nothing to charge just now" in html
    assert "was given up" not in html


def test_who_came_too_late_hears_so(client: Client, plan: ChargePlan) -> None:
    expire_reservations(now=plan.reservations.get().expires_at)
    html = page(client, plan)
    assert "Your place at Marathahalli Hub was given up" in html
    assert "Call your dispatcher" in html


def test_what_comes_after(client: Client, plan: ChargePlan) -> None:
    dismiss_plan(plan_id=plan.pk, actor=None, now=timezone.now())
    html = page(client, plan)
    assert "Nothing to charge just now" in html
    assert "Marathahalli Hub" not in html
    assert "Your plan has changed" in press(client, plan, "share").content.decode()
