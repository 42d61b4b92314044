"""A depot's night from the rows: who is there, who comes, what is planned, planned again, and handed to chargers."""

import re
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import ChargingSession
from dispatch.core import depot as core
from dispatch.depot import clock, drawing, nights, picture, tasks
from dispatch.depot.models import Depot, DepotVehicle, NightPlan
from dispatch.tests import factories
from ocpp_bridge.charging import planning
from ocpp_bridge.models import ChargingGoal, ChargingSite
from stations.models import EVSE, Charger, Connector
from vehicles.models import Driver, Shift, Stop, Vehicle, VehicleState

pytestmark = pytest.mark.django_db
EVENING = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
"""20:00 in India."""
MORNING = datetime(2026, 3, 3, 0, 30, tzinfo=UTC)
CHEAP = [{"from": "22:00", "to": "06:00", "paise_per_kwh": 600}]


@pytest.fixture
def place(organisation):
    return factories.location(factories.source(organisation), organisation=organisation)


@pytest.fixture
def depot(place, organisation):
    """Two AC plugs of 7.4 kW on two chargers, 10 kW for both, cheap from ten at night."""
    for _ in range(2):
        charger = factories.charger(
            place, organisation, last_seen_at=EVENING, protocol="ocpp1.6", registration=Charger.Registration.ACCEPTED
        )
        factories.connector(
            place, charger=charger, plug="type2_socket", max_power_w=7_400, at=EVENING,
            power_type=Connector.PowerType.AC_1_PHASE, connector_id=1,
        )  # fmt: skip
    EVSE.objects.update(evse_number=1)
    ChargingSite.objects.create(location=place, organisation=organisation, limit_w=10_000, safe_percent=0)
    return Depot.objects.create(
        location=place,
        organisation=organisation,
        paise_per_kwh=900,
        prices=CHEAP,
        night_from=time(20),
        ready_by=time(6),
    )


@pytest.fixture
def model():
    return factories.vehicle_model(
        plugs=["type2_socket"], max_ac_power_w=7_400, max_dc_power_w=0, battery_wh=20_000, charge_curve=[]
    )


def van(organisation, model, *, km=0.0, soc_percent=50.0, **fields):
    vehicle = factories.vehicle(
        organisation, model=model, soc_percent=soc_percent, latitude=factories.HERE[0] + km / 111.2, at=EVENING
    )
    places = {"depot_latitude": factories.HERE[0], "depot_longitude": factories.HERE[1], **fields}
    Vehicle.objects.filter(pk=vehicle.pk).update(**places)
    vehicle.refresh_from_db()
    return vehicle


def begin(vehicle, evse_number=0, *, at=EVENING, **fields):
    connector = Connector.objects.order_by("pk")[evse_number]
    return ChargingSession.objects.create(
        organisation=vehicle.organisation, source=connector.evse.location.source, charger=connector.evse.charger,
        connector=connector, transaction_ref=f"{vehicle.pk}", start_key=f"{vehicle.pk}", vehicle=vehicle,
        started_at=at, **fields,
    )  # fmt: skip


def plan(depot, now=EVENING, **fields):
    return nights.plan(location_id=depot.pk, now=now, **fields)


def row(made, vehicle):
    return next(one for one in made.result["stays"] if one["vehicle"] == vehicle.pk)


def shift(vehicle, begins, ends):
    driver = Driver.objects.create(organisation=vehicle.organisation, name=f"Driver {vehicle.pk}")
    return Shift.objects.create(
        organisation=vehicle.organisation, vehicle=vehicle, driver=driver, starts_at=begins, ends_at=ends
    )


def test_vehicles_of_the_depot_charge_in_the_cheap_hours_and_are_ready(depot, organisation, model):
    one, two = van(organisation, model), van(organisation, model, soc_percent=20)
    van(organisation, model, depot_latitude=None, depot_longitude=None)
    made = plan(depot)
    assert (made.version, made.vehicles, made.ready, made.reason) == (1, 2, 2, "first plan of the night")
    assert {row(made, one)["evse"], row(made, two)["evse"]} == set(Connector.objects.values_list("evse", flat=True))
    begins = min(datetime.fromisoformat(charge[0]) for stay in made.result["stays"] for charge in stay["charges"])
    assert begins == EVENING + timedelta(hours=2)
    need_wh = (0.3 + 0.6) * 20_000 / 0.93
    assert made.cost_paise == pytest.approx(need_wh * 0.6, rel=0.03)  # a reading may err a little
    assert made.result["is_steered"]


def test_the_limit_of_the_site_holds_in_every_slot(depot, organisation, model):
    for _ in range(2):
        van(organisation, model, soc_percent=10)
    made = plan(depot)
    schedule = core.replay(made.snapshot)
    assert max(sum(wh) for wh in zip(*(stay.wh for stay in schedule.stays), strict=True)) <= 2_500.01
    assert [stay.is_ready for stay in schedule.stays] == [True, True]


def test_by_day_nothing_is_planned(depot, organisation, model):
    van(organisation, model)
    assert plan(depot, EVENING - timedelta(minutes=1)) is None
    assert plan(depot, MORNING + timedelta(hours=4)) is None
    assert plan(depot, MORNING + timedelta(hours=3)) is not None or NightPlan.objects.count() == 0


def test_ready_for_the_shift_with_time_to_spare(depot, organisation, model):
    vehicle = van(organisation, model, soc_percent=20)
    shift(vehicle, EVENING + timedelta(hours=3), EVENING + timedelta(hours=9))
    stay = row(plan(depot), vehicle)
    assert (stay["leaves_for"], stay["leaves_at"]) == (
        "shift", (EVENING + timedelta(hours=2, minutes=45)).isoformat(),
    )  # fmt: skip
    assert stay["missing_wh"] == 0
    assert max(charge[1] for charge in stay["charges"]) <= stay["leaves_at"]


def test_the_round_of_the_next_day_is_a_must(depot, organisation, model):
    """60 km out and back with 15 % margin and the reserve are more than the target."""
    vehicle = van(organisation, model, soc_percent=20)
    Stop.objects.create(
        vehicle=vehicle, sequence=1, name="Far", latitude=factories.HERE[0] + 44 / 111.2, longitude=factories.HERE[1],
        due_at=MORNING + timedelta(hours=2),
    )  # fmt: skip
    stay = row(plan(depot), vehicle)
    assert stay["leaves_for"] == "stop"
    percent = 2 * 44 * 1.35 * 140 * 1.15 / 20_000 * 100 + 5
    assert stay["target_percent"] == pytest.approx(min(100, percent), abs=0.5)
    assert stay["must_wh"] == pytest.approx(stay["need_wh"])


def test_a_vehicle_on_shift_comes_after_it(depot, organisation, model):
    vehicle = van(organisation, model, km=5)
    shift(vehicle, EVENING - timedelta(hours=6), EVENING + timedelta(hours=4))
    stay = row(plan(depot), vehicle)
    assert stay["arrives_at"] == (EVENING + timedelta(hours=4)).isoformat()
    assert stay["soc_percent"] < 50  # the way home takes some


def test_who_is_not_ready_is_said_with_kwh_and_the_priority_decides(depot, organisation, model):
    ChargingSite.objects.update(limit_w=1_000)
    first, last = van(organisation, model, soc_percent=40), van(organisation, model, soc_percent=40)
    DepotVehicle.objects.create(depot=depot, vehicle=last, priority=5)
    made = plan(depot)
    assert row(made, last)["missing_wh"] == 0
    assert row(made, first)["missing_wh"] == made.missing_wh > 5_000
    assert (made.ready, made.vehicles) == (1, 2)


def test_a_plug_out_of_order_and_a_strangers_plug_are_not_planned_with(depot, organisation, model, other_organisation):
    vehicles = [van(organisation, model), van(organisation, model)]
    Connector.objects.filter(pk=Connector.objects.order_by("pk")[0].pk).update(status="faulted")
    made = plan(depot)
    assert sorted(row(made, one)["evse"] is None for one in vehicles) == [False, True]
    Connector.objects.update(status="available")
    begin(factories.vehicle(other_organisation), 1)
    made = plan(depot, EVENING + timedelta(minutes=1))
    assert sum(row(made, one)["evse"] is None for one in vehicles) == 1


def test_as_long_as_all_goes_as_planned_the_plan_stands(depot, organisation, model):
    vehicle = van(organisation, model)
    assert plan(depot) is not None
    assert plan(depot, EVENING + timedelta(minutes=20)) is None
    charge = row(NightPlan.objects.get(), vehicle)["charges"][0]
    half = datetime.fromisoformat(charge[0]) + timedelta(minutes=30)
    got = charge[2] / 2 * 0.93 / 20_000 * 100
    VehicleState.objects.update(soc_percent=50 + got)
    assert plan(depot, half) is None
    assert NightPlan.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: Connector.objects.filter(pk=Connector.objects.first().pk).update(status="faulted"), "1 plugs out"),
        (lambda: VehicleState.objects.update(soc_percent=35), "needs another amount"),
        (lambda: VehicleState.objects.update(latitude=factories.HERE[0] + 0.3), "comes late"),
        (lambda: ChargingSite.objects.update(limit_w=8_000), "limit of the site changed"),
        (lambda: Depot.objects.update(prices=[]), "price of the site changed"),
        (lambda: Vehicle.objects.update(is_active=False), "left"),
    ],
)  # fmt: skip
def test_what_is_another_than_planned_makes_a_new_version(depot, organisation, model, change, reason):
    van(organisation, model)
    plan(depot)
    change()
    made = plan(depot, EVENING + timedelta(minutes=5))
    assert (made.version, reason in made.reason) == (2, True)
    assert plan(depot, EVENING + timedelta(minutes=6)) is None  # and that one stands


def test_a_vehicle_that_plugs_in_elsewhere_stays_there(depot, organisation, model):
    vehicle = van(organisation, model)
    told = row(plan(depot), vehicle)["evse"]
    other = next(number for number, one in enumerate(Connector.objects.order_by("pk")) if one.evse_id != told)
    begin(vehicle, other)
    made = plan(depot, EVENING + timedelta(minutes=5))
    assert row(made, vehicle)["evse"] == Connector.objects.order_by("pk")[other].evse_id
    assert "plugged in elsewhere" in made.reason


def test_a_full_vehicle_keeps_its_plug_and_the_plan_stands(depot, organisation, model):
    full, empty = van(organisation, model, soc_percent=100), van(organisation, model, soc_percent=20)
    session = begin(full, soc_percent=100)
    Connector.objects.exclude(pk=session.connector_id).update(status="faulted")
    made = plan(depot)
    assert (row(made, full)["evse"], row(made, empty)["evse"]) == (session.connector.evse_id, None)
    assert plan(depot, EVENING + timedelta(minutes=1)) is None


def test_a_turn_stays_at_its_hour_when_the_night_is_planned_anew(depot, organisation, model):
    Depot.objects.update(move_every_minutes=120, prices=[])
    Connector.objects.filter(pk=Connector.objects.order_by("pk")[1].pk).update(status="faulted")
    one, two = van(organisation, model, soc_percent=70), van(organisation, model, soc_percent=50)
    begin(one)
    plans = [plan(depot, EVENING + timedelta(minutes=late), reason="asked for") for late in (0, 45)]
    moved = [row(made, two)["charges"][0][0] for made in plans]
    assert moved == [(EVENING + timedelta(hours=2)).isoformat()] * 2


def test_a_running_session_is_limited_to_its_hours_through_the_site(depot, organisation, model):
    ChargingSite.objects.update(limit_w=16_000)  # the free plug counts with all it can draw until it has a default
    vehicle = van(organisation, model)
    session = begin(vehicle)
    stay = row(plan(depot), vehicle)
    goal = ChargingGoal.objects.get(session=session)
    begins, ends, watts = stay["charges"][0]
    assert goal.schedule[0][:2] == [datetime.fromisoformat(at).timestamp() for at in (begins, ends)]
    assert goal.schedule[0][2] == watts
    assert goal.departure_at == MORNING
    assert goal.energy_wh == pytest.approx(stay["planned_wh"], abs=2)
    decided = planning.plan(location_id=depot.pk, reason="test", now=EVENING)
    assert decided.result["outlets"][0]["wanted_w"] == 0  # dear hours: it waits
    decided = planning.plan(
        location_id=depot.pk, reason="test", now=datetime.fromisoformat(begins) + timedelta(seconds=1)
    )
    assert decided.result["outlets"][0]["wanted_w"] == pytest.approx(watts, abs=10)


def test_what_a_session_was_promised_is_taken_back_when_nothing_is_planned_for_it_any_more(depot, organisation, model):
    session = begin(van(organisation, model))
    plan(depot)
    assert ChargingGoal.objects.get(session=session).schedule
    ChargingSite.objects.update(other_load_w=10_000)
    made = plan(depot, EVENING + timedelta(minutes=5))
    assert made.result["stays"][0]["charges"] == []
    assert not ChargingGoal.objects.exists()
    assert ChargingSite.objects.get().due_at == EVENING + timedelta(minutes=5)


def test_who_has_had_all_that_was_planned_keeps_its_goal(depot, organisation, model):
    vehicle = van(organisation, model)
    session = begin(vehicle)
    charges = row(plan(depot), vehicle)["charges"]
    ChargingSession.objects.update(energy_wh=ChargingGoal.objects.get().energy_wh, soc_percent=80)
    assert plan(depot, datetime.fromisoformat(charges[-1][1]) + timedelta(seconds=1)) is None
    assert ChargingGoal.objects.get(session=session).schedule


def test_the_hours_of_one_plug_do_not_bind_a_session_at_another(depot, organisation, model):
    """Its plug is not heard of: the plan has it elsewhere, and it charges on where it stands."""
    vehicle = van(organisation, model)
    session = begin(vehicle)
    plan(depot)
    Connector.objects.filter(pk=session.connector_id).update(status="unknown")
    stay = row(plan(depot, EVENING + timedelta(minutes=5)), vehicle)
    assert stay["charges"]
    assert stay["evse"] != session.connector.evse_id
    assert not ChargingGoal.objects.exists()


def test_the_goal_a_person_has_set_is_left_alone(depot, organisation, model):
    vehicle = van(organisation, model)
    session = begin(vehicle)
    ChargingGoal.objects.create(session=session, departure_at=MORNING, actor="asha@example.com")
    plan(depot)
    goal = ChargingGoal.objects.get()
    assert (goal.schedule, goal.actor) == ([], "asha@example.com")


def test_a_vehicle_near_two_depots_is_planned_for_at_the_nearer_one(depot, organisation, model):
    site = factories.location(
        factories.source(organisation), organisation=organisation, latitude=factories.HERE[0] + 0.3 / 111.2
    )
    beside = Depot.objects.create(location=site, organisation=organisation)
    here = van(organisation, model, depot_latitude=factories.HERE[0] + 0.1 / 111.2)
    there = van(organisation, model, depot_latitude=factories.HERE[0] + 0.2 / 111.2)
    assert [one.pk for one in picture.vehicles_of(depot)] == [here.pk]
    assert [one.pk for one in picture.vehicles_of(beside)] == [there.pk]
    Depot.objects.filter(pk=beside.pk).update(is_active=False)
    assert [one.pk for one in picture.vehicles_of(depot)] == [here.pk, there.pk]


def test_only_vehicles_about_a_depot_are_measured_to_it(depot, organisation, model, monkeypatch):
    """Those of a large fleet live elsewhere."""
    here = van(organisation, model, depot_latitude=factories.HERE[0] + 0.1 / 111.2)
    for number in range(5):
        van(organisation, model, depot_latitude=factories.HERE[0] + 20 + number)
    measured: list[float] = []
    monkeypatch.setattr(picture, "_nearest", lambda rivals, latitude, longitude: measured.append(latitude) or depot)
    assert [one.pk for one in picture.vehicles_of(depot)] == [here.pk]
    assert measured == [here.depot_latitude]


@pytest.mark.parametrize("reason", ["", "asked for"])
def test_of_two_who_plan_one_night_the_first_to_be_done_has_planned_it(depot, organisation, model, monkeypatch, reason):
    van(organisation, model)
    honest, quicker = nights._decide, []

    def slow(seen):
        monkeypatch.setattr(nights, "_decide", honest)
        quicker.append(plan(depot))
        return honest(seen)

    monkeypatch.setattr(nights, "_decide", slow)
    assert plan(depot, reason=reason) == (quicker[0] if reason else None)
    assert NightPlan.objects.get() == quicker[0]


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_night_that_is_being_decided(depot, organisation, model, monkeypatch):
    van(organisation, model)
    honest, inside = nights._decide, []

    def looked(seen):
        inside.append(connection.in_atomic_block)
        return honest(seen)

    monkeypatch.setattr(nights, "_decide", looked)
    assert plan(depot) is not None
    assert inside == [False]


def test_the_sweep_plans_every_depot_and_survives_one_that_fails(depot, organisation, model, monkeypatch):
    van(organisation, model)
    assert [nights.sweep(now=EVENING), nights.sweep(now=EVENING)] == [1, 0]
    monkeypatch.setattr(nights, "plan", lambda **_: 1 / 0)
    assert nights.sweep(now=EVENING) == 0


def test_a_night_knows_its_evening_also_after_midnight():
    zone = clock.ZoneInfo("Asia/Kolkata")
    ends = {"night_from": time(20), "ready_by": time(6), "zone": zone}
    assert clock.night_at(datetime(2026, 3, 2, 20, 0, tzinfo=zone), **ends).on.isoformat() == "2026-03-02"
    assert clock.night_at(datetime(2026, 3, 3, 9, 59, tzinfo=zone), **ends).on.isoformat() == "2026-03-02"
    assert clock.night_at(datetime(2026, 3, 3, 10, 0, tzinfo=zone), **ends) is None


def test_the_lowest_limit_within_a_slot_counts():
    first = datetime(2026, 3, 2, 20, 0, tzinfo=UTC)
    start = int(first.timestamp())
    assert clock.limits(first, 3, [(start, 9), (start + 600, 4), (start + 1800, 7)]) == [4, 4, 7]


@pytest.mark.parametrize("rows", [[{"from": "22:00"}], [{"from": "1", "to": "2", "paise_per_kwh": 3}],
                                  [{"from": "22:00", "to": "22:00", "paise_per_kwh": 3}],
                                  [{"from": "22:00", "to": "23:00", "paise_per_kwh": 1.5}]])  # fmt: skip
def test_a_price_window_that_is_none_is_refused(rows):
    with pytest.raises(ValueError, match=r"price|paise|isoformat"):
        clock.price_windows(rows)


def put(client, place, **body):
    return client.put(f"/api/v1/depots/{place.public_id}/", body, content_type="application/json")


def test_a_dispatcher_sets_up_a_depot_and_sees_its_night(
    client, dispatcher, organisation, model, place, depot, time_machine
):
    time_machine.move_to(EVENING)
    depot.delete()
    client.force_login(dispatcher)
    first, last = van(organisation, model, soc_percent=30), van(organisation, model, soc_percent=30)
    named = [{"vehicle": last.pk, "priority": 7}]
    made = put(client, place, paise_per_kwh=900, prices=CHEAP, vehicles=named)
    assert (made.status_code, made.json()["vehicles"], made.json()["prices"]) == (200, named, CHEAP)
    url = f"/api/v1/depots/{place.public_id}/night/"
    assert client.get(url).status_code == 404
    planned = client.post(url).json()
    assert (planned["vehicles"], planned["ready"], planned["is_steered"]) == (2, 2, True)
    assert {stay["vehicle"]: stay["priority"] for stay in planned["stays"]} == {first.pk: 1, last.pk: 7}
    assert planned["stays"][0]["charges"][0]["power_w"] > 0
    assert client.get(url).json()["version"] == 1
    page = client.get(f"/dispatch/depots/{place.public_id}/").content.decode()
    assert f">{first.registration}<" in page
    assert page.count('<rect class="charge') == sum(len(stay["charges"]) for stay in planned["stays"])
    assert "2 of 2 ready" in page
    assert place.name in client.get("/dispatch/depots/").content.decode()
    assert client.delete(f"/api/v1/depots/{place.public_id}/").status_code == 204
    assert client.post(url).status_code == 409


@pytest.mark.parametrize(
    "body", [{"prices": [{"from": "22:00"}]}, {"move_every_minutes": 20}, {"vehicles": [{"vehicle": 1, "priority": 0}]}]
)
def test_bad_rules_change_nothing(client, dispatcher, depot, place, body):
    client.force_login(dispatcher)
    assert put(client, place, **body).status_code == 400
    assert Depot.objects.get().prices == CHEAP


def test_a_stranger_has_no_part_in_a_depot(client, stranger, dispatcher, depot, place, other_organisation, model):
    client.force_login(stranger)
    url = f"/api/v1/depots/{place.public_id}/"
    answers = [client.get(url), client.delete(url), put(client, place), client.get(f"{url}night/"),
               client.post(f"{url}night/"), client.get(f"/dispatch/depots/{place.public_id}/")]  # fmt: skip
    assert [answer.status_code for answer in answers] == [404] * 6
    client.force_login(dispatcher)
    theirs = van(other_organisation, model)
    refused = put(client, place, vehicles=[{"vehicle": theirs.pk, "priority": 2}])
    assert (refused.status_code, refused.json()["code"], DepotVehicle.objects.count()) == (409, "unknown_vehicle", 0)


def test_without_a_shared_limit_the_plan_is_advice_and_says_so(client, dispatcher, depot, organisation, model, place):
    ChargingSite.objects.all().delete()
    van(organisation, model)
    assert not plan(depot).result["is_steered"]
    client.force_login(dispatcher)
    assert "the plan is advice" in client.get(f"/dispatch/depots/{place.public_id}/").content.decode()


def shown(client, place):
    return client.get(f"/dispatch/depots/{place.public_id}/").content.decode()


def test_a_dispatcher_has_the_night_planned_again_with_a_button(
    client, dispatcher, finance, stranger, depot, organisation, model, place, time_machine, monkeypatch
):
    time_machine.move_to(EVENING)
    vehicle = van(organisation, model)
    plan(depot)
    url = f"/dispatch/depots/{place.public_id}/plan/"
    for user, status in ((finance, 403), (stranger, 404)):
        client.force_login(user)
        assert client.post(url).status_code == status
    client.force_login(finance)
    assert "Plan again" not in shown(client, place)
    client.force_login(dispatcher)
    assert client.get(url).status_code == 405
    assert NightPlan.objects.count() == 1
    VehicleState.objects.update(soc_percent=10)
    assert "Plan again" in shown(client, place)
    asked: list[int] = []
    monkeypatch.setattr("dispatch.depot.tasks.plan_again.delay", asked.append)
    answer = client.post(url, follow=True)
    assert "is being planned again" in answer.content.decode()
    assert (answer["Refresh"], asked, NightPlan.objects.count()) == ("2", [depot.pk], 1)
    waiting = answer.redirect_chain[-1][0]
    assert tasks.plan_again(depot.pk) == 2
    answer = client.get(waiting, follow=True)
    assert "Planned again: version 2" in answer.content.decode()
    assert "Refresh" not in answer
    assert row(NightPlan.objects.first(), vehicle)["soc_percent"] == pytest.approx(10, abs=5)
    with monkeypatch.context() as slow:
        slow.setattr("dispatch.core.depot.TIME_LIMIT_SECONDS", 0.0)
        waiting = client.post(url, follow=True).redirect_chain[-1][0]
        assert tasks.plan_again(depot.pk) is None
        assert "is being planned again" in client.get(waiting, follow=True).content.decode()
        time_machine.shift(60)
        assert "the last plan stands" in client.get(waiting, follow=True).content.decode()
        never = re.sub(r"asked=\d+", f"asked={10**12}", waiting)
        assert "Refresh" not in client.get(never, follow=True)
    assert NightPlan.objects.count() == 2
    time_machine.move_to(MORNING + timedelta(hours=6))
    assert "Plan again" not in shown(client, place)
    assert "It is day at this depot" in client.post(url, follow=True).content.decode()
    assert NightPlan.objects.count() == 2


def test_the_page_says_what_does_not_go_as_everybody_would_like(client, dispatcher, depot, organisation, model, place):
    ChargingSite.objects.update(limit_w=1_000)
    first, last = van(organisation, model, soc_percent=10), van(organisation, model, soc_percent=10)
    broken = Connector.objects.order_by("pk")[0]
    Connector.objects.filter(pk=broken.pk).update(status="faulted")
    made = plan(depot)
    client.force_login(dispatcher)
    html = shown(client, place)
    kept = next(one for one in (first, last) if row(made, one)["evse"])
    other = last if kept == first else first
    lack = {one.pk: f"{row(made, one)['missing_wh'] / 1000:.1f} kWh are missing" for one in (first, last)}
    assert f"{kept.registration} is not ready at 06:00: {lack[kept.pk]}." in html
    assert f"No plug is left for {other.registration}: {lack[other.pk]}." in html
    assert f"Plug {broken.evse.charger.ocpp_identity} is not planned with: Faulted." in html
    client.post("/i18n/setlang/", {"language": "hi"})
    assert f"{kept.registration} 06:00 बजे तक तैयार नहीं" in shown(client, place)


def test_a_night_without_conflicts_says_so(client, dispatcher, depot, organisation, model, place):
    van(organisation, model)
    made = plan(depot)
    client.force_login(dispatcher)
    html = shown(client, place)
    assert "every vehicle is ready in time" in html
    assert html.count("<polyline") == 1  # the limit
    assert f"₹{made.cost_paise / 100:.2f}" in html


def test_what_is_drawn_is_what_was_planned(depot, organisation, model):
    """Two vehicles one after the other at one plug, both within the limit, each paying its share."""
    Depot.objects.update(move_every_minutes=120)
    depot.refresh_from_db()
    Connector.objects.filter(pk=Connector.objects.order_by("pk")[1].pk).update(status="faulted")
    for soc_percent in (60, 40):
        van(organisation, model, soc_percent=soc_percent)
    made = plan(depot)
    stays, axis = made.result["stays"], drawing.Axis(made.starts_at, len(made.snapshot["limits_w"]))
    load = drawing.load_of(stays, axis)
    assert max(load) <= 7_400
    assert sum(load) / 4 == pytest.approx(sum(one["planned_wh"] for one in stays), abs=8)
    assert sum(drawing.cost_paise(one, made) for one in stays) == pytest.approx(made.cost_paise, abs=4)
    [evse] = made.result["plugs"]
    with timezone.override("Asia/Kolkata"):
        drawn = drawing.draw(made, {evse: "BLR-1"}, now=EVENING + timedelta(hours=1))
    stood = sorted((bar.x, bar.x + bar.width) for bar in drawn.plugs[0].bars if bar.kind == "stay")
    assert len(stood) == 2
    assert stood[0][1] <= stood[1][0]
    for bar in drawn.plugs[0].bars:
        assert any(left <= bar.x and bar.x + bar.width <= right + 0.1 for left, right in stood)
    assert [price.paise_per_kwh for price in drawn.prices] == [900, 600, 900]
    assert [price.tone for price in drawn.prices] == ["high", "low", "high"]
    assert drawn.now_x == axis.at(4)
    assert [at.hour for _x, at in drawn.hours][:3] == [20, 21, 22]
