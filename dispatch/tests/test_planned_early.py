"""A vehicle is planned for before it is low where its way ahead asks for it, and again where another plug is better."""

from datetime import timedelta

import pytest
import time_machine

from dispatch import handlers, services, situation, tasks, triggers
from dispatch.engines import current
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.services import planning
from dispatch.tests import factories
from dispatch.tests.factories import HERE, NOW
from stations.models import Connector
from vehicles.events import StopDone
from vehicles.models import Stop, VehicleState

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(organisation):
    return factories.public_network(organisation)


def plug_at(source, km, **fields):
    return factories.connector(factories.location(source, latitude=HERE[0] + km / 111.2, name=f"km {km}"), **fields)


def van(organisation, *stops_km, soc_percent):
    vehicle = factories.vehicle(organisation, soc_percent=soc_percent)
    for number, km in enumerate(stops_km, 1):
        values = {"latitude": HERE[0] + km / 111.2, "longitude": HERE[1], "name": f"Stop {number}"}
        Stop.objects.create(vehicle=vehicle, sequence=number, **values)
    return vehicle


def sweep(at=NOW):
    """The vehicles and plugs are heard of all the time."""
    VehicleState.objects.update(position_at=at)
    Connector.objects.update(heard_at=at)
    with time_machine.travel(at, tick=False):
        return tasks.sweep_ways_ahead()


def test_a_stop_that_would_be_reached_below_the_reserve_is_planned_for_at_any_charge(source, organisation):
    plug = plug_at(source, 20)
    vehicle = van(organisation, 20, 60, soc_percent=60.0)
    assert (sweep(), sweep()) == (1, 0)
    plan = ChargePlan.objects.get()
    assert (plan.trigger, plan.trigger_key, plan.connector) == ("arrival", f"arrival:{vehicle.pk}:1", plug)
    assert Alert.objects.get().title == f"{vehicle.registration} will not reach Stop 2"


def test_one_reading_makes_one_plan_however_often_it_is_looked_at(source, organisation):
    plug_at(source, 20)
    vehicle = van(organisation, 60, soc_percent=60.0)
    plan = services.plan_early(vehicle_id=vehicle.pk, now=NOW)
    ChargePlan.objects.update(state="expired", closed_at=NOW - timedelta(hours=2))
    again = services.plan_early(vehicle_id=vehicle.pk, now=NOW)
    assert (again.pk, ChargePlan.objects.count()) == (plan.pk, 1)


def test_who_gets_through_with_the_reserve_is_left_alone(source, organisation):
    plug_at(source, 20)
    van(organisation, 20, 50, soc_percent=60.0)
    assert len(triggers.suspects(now=NOW)) == 1  # close enough for a look
    van(organisation, 20, 30, soc_percent=60.0)
    assert (len(triggers.suspects(now=NOW)), sweep()) == (1, 0)


@pytest.mark.parametrize("change", [{"is_charging": True}, {"position_at": NOW - timedelta(hours=1)}])
def test_who_charges_or_is_silent_is_not_looked_at(source, organisation, change):
    plug_at(source, 20)
    van(organisation, 60, soc_percent=60.0)
    VehicleState.objects.update(**change)
    assert triggers.suspects(now=NOW) == []


def test_a_dismissal_rests_for_an_hour(source, organisation, dispatcher):
    plug_at(source, 20)
    van(organisation, 60, soc_percent=60.0)
    sweep()
    services.dismiss_plan(plan_id=ChargePlan.objects.get().pk, actor=dispatcher, now=NOW)
    VehicleState.objects.update(version=2)
    assert (sweep(NOW + timedelta(minutes=50)), sweep(NOW + timedelta(minutes=61))) == (0, 1)


@pytest.mark.parametrize(("km", "trigger"), [(10, None), (24, "last_charger"), (26, None)])
def test_the_last_charger_is_not_driven_past(source, organisation, km, trigger):
    """30 %: 24.5 crow km to where 5 % are left. At 26 km it has passed already, and is told when it is low."""
    plug_at(source, km)
    van(organisation, soc_percent=30.0)
    sweep()
    assert list(ChargePlan.objects.values_list("trigger", flat=True)) == ([trigger] if trigger else [])


def test_a_stop_done_is_a_reason_to_look(source, organisation, monkeypatch):
    started = []
    monkeypatch.setattr(handlers.hints, "start", lambda task, *args: started.append((task.name, args)))
    handlers.look_at_the_way_ahead(StopDone(1, 7, organisation.pk, NOW))
    assert started == [("dispatch.tasks.look_ahead", (7,))]


def plan_to_far(organisation, source, near_km):
    """A plan made while the nearer plug was out of order, which it is no longer."""
    near, far = plug_at(source, near_km, status="faulted"), plug_at(source, 10)
    vehicle = factories.vehicle(organisation)
    plan = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=NOW)
    assert plan.connector == far
    Connector.objects.filter(pk=near.pk).update(status="available")
    return plan, near


def test_a_proposal_for_a_better_plug_takes_its_place_once(source, organisation):
    plan, near = plan_to_far(organisation, source, 1)
    assert sweep(NOW + timedelta(minutes=1)) == 0  # too young
    assert sweep(NOW + timedelta(minutes=3)) == 1
    made = ChargePlan.objects.open().get()
    assert (made.connector, made.replaces, made.trigger_key) == (near, plan, f"better:{plan.pk}")
    assert sweep(NOW + timedelta(minutes=4)) == 0


def test_many_plans_take_turns(source, organisation, monkeypatch):
    monkeypatch.setattr(triggers, "MOST_IN_A_SWEEP", 2)
    for number in range(5):
        plug_at(source, 1 + number)
    for number in range(5):
        vehicle = factories.vehicle(organisation)
        services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=f"soc:{number}", now=NOW)
    ChargePlan.objects.update(plug_in_at=NOW + timedelta(hours=1))
    looked = [triggers.settled(now=NOW + timedelta(minutes=3, seconds=30 * turn)) for turn in range(3)]
    assert sorted(pk for turn in looked for pk in turn) == sorted(ChargePlan.objects.values_list("pk", flat=True))
    assert max(map(len, looked)) == 2


def test_a_plug_that_saves_less_than_moving_is_worth_changes_nothing(source, organisation):
    plan, _ = plan_to_far(organisation, source, 9.5)
    assert sweep(NOW + timedelta(minutes=3)) == 0
    assert ChargePlan.objects.open().get() == plan


@pytest.mark.parametrize(
    ("mode", "is_by_person", "set_off_at", "moves"),
    [("manual", True, None, False), ("automatic", False, None, True), ("automatic", True, None, False),
     ("automatic", False, NOW, False)],
)  # fmt: skip
def test_what_a_person_accepted_stays_and_what_the_house_accepted_moves(
    source, organisation, dispatcher, mode, is_by_person, set_off_at, moves
):
    plan, near = plan_to_far(organisation, source, 1)
    organisation.dispatch_mode = mode
    organisation.save()
    actor = dispatcher if is_by_person else None
    services.accept_plan(plan_id=plan.pk, actor=actor, actor_label="house", is_by_person=is_by_person, now=NOW)
    ChargePlan.objects.update(set_off_at=set_off_at)
    Connector.objects.filter(pk=plan.connector_id).update(status="reserved", is_held=True)
    assert sweep(NOW + timedelta(minutes=3)) == int(moves)
    assert (ChargePlan.objects.open().get().connector == near) == moves
    assert Reservation.objects.active().get().connector == (near if moves else plan.connector)


def test_where_minutes_cost_nothing_a_few_paise_move_nobody(source, organisation):
    organisation.cost_per_minute_paise = 0
    organisation.save()
    plan, _ = plan_to_far(organisation, source, 9.995)
    seen = situation.read(plan.vehicle_id, now=NOW)
    answer = planning.look(seen, now=NOW, engine=current())
    assert 0 < triggers.gain_paise(answer, plan.connector_id) < triggers.STAY_MINUTES
    assert not triggers.is_worth_moving(answer, plan.connector_id)


def test_its_own_promised_plug_is_not_worse_for_being_held(source, organisation, dispatcher):
    near, _ = plug_at(source, 1), plug_at(source, 10)
    organisation.dispatch_mode = "automatic"
    organisation.save()
    vehicle = factories.vehicle(organisation)
    services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=NOW)
    Connector.objects.filter(pk=near.pk).update(status="reserved", is_held=True)
    assert sweep(NOW + timedelta(minutes=3)) == 0
    assert ChargePlan.objects.open().get().connector == near


def test_the_alert_of_a_route_that_could_not_be_driven_ends_when_it_can(source, organisation):
    plug_at(source, 90)
    vehicle = van(organisation, 60, soc_percent=50.0)
    assert sweep() == 1
    alert = Alert.objects.get()
    assert (alert.kind, alert.plan.state) == ("no_charger", "infeasible")
    assert sweep(NOW + timedelta(minutes=2)) == 0
    assert Alert.objects.open().exists()
    VehicleState.objects.filter(vehicle=vehicle).update(soc_percent=90.0)
    sweep(NOW + timedelta(minutes=3))
    assert not Alert.objects.open().exists()


def test_what_could_not_be_driven_once_is_told_again_the_next_time(source, organisation):
    plug_at(source, 90)
    vehicle = van(organisation, 60, soc_percent=50.0)
    sweep()
    VehicleState.objects.update(soc_percent=90.0, version=2)
    sweep(NOW + timedelta(minutes=3))
    assert not Alert.objects.open().exists()
    VehicleState.objects.update(soc_percent=50.0, version=3)
    assert sweep(NOW + timedelta(hours=2)) == 1
    assert Alert.objects.open().get().plan.trigger_key == f"arrival:{vehicle.pk}:3"
    assert sweep(NOW + timedelta(hours=4)) == 1  # brought up to date
    assert (Alert.objects.count(), ChargePlan.objects.count()) == (2, 2)


@pytest.mark.parametrize(("soc_percent", "state"), [(72.0, "proposed"), (80.0, "expired")])
def test_a_proposal_ends_when_its_vehicle_has_charged_without_us(source, organisation, soc_percent, state):
    """70.4 % do; a little more may be taken back by the next reading."""
    plug_at(source, 20)
    van(organisation, 60, soc_percent=60.0)
    assert sweep() == 1
    VehicleState.objects.update(soc_percent=soc_percent)
    sweep(NOW + timedelta(minutes=1))
    assert ChargePlan.objects.get().state == state
    assert Alert.objects.open().exists() == (state == "proposed")


@pytest.mark.parametrize(("soc_percent", "state"), [(49.0, "proposed"), (50.0, "expired")])
def test_the_way_to_the_last_charger_is_no_recovery(source, organisation, soc_percent, state):
    plug_at(source, 24)
    van(organisation, soc_percent=30.0)
    sweep()
    VehicleState.objects.update(soc_percent=soc_percent)
    sweep(NOW + timedelta(minutes=1))
    assert ChargePlan.objects.get().state == state


def test_what_was_accepted_early_is_kept(source, organisation, dispatcher):
    plug_at(source, 20)
    van(organisation, 60, soc_percent=60.0)
    sweep()
    services.accept_plan(plan_id=ChargePlan.objects.get().pk, actor=dispatcher, now=NOW)
    VehicleState.objects.update(soc_percent=90.0)
    sweep(NOW + timedelta(minutes=1))
    assert ChargePlan.objects.get().state == "accepted"


def test_the_alert_of_a_lost_plug_ends_too_when_the_route_can_be_driven(source, organisation):
    plug = plug_at(source, 20)
    van(organisation, 60, soc_percent=60.0)
    sweep()
    Connector.objects.update(status="faulted")
    services.connector_changed(connector_id=plug.pk, status="faulted", now=NOW)
    plan = ChargePlan.objects.latest("pk")
    assert (plan.state, plan.trigger, Alert.objects.open().get().plan) == ("infeasible", "faulted", plan)
    VehicleState.objects.update(soc_percent=90.0)
    sweep(NOW + timedelta(minutes=1))
    assert not Alert.objects.open().exists()


def test_many_vehicles_take_turns_too(organisation, monkeypatch):
    monkeypatch.setattr(triggers, "MOST_SUSPECTS", 2)
    vehicles = [factories.vehicle(organisation, soc_percent=30.0 + number).pk for number in range(5)]
    looked = [triggers.suspects(now=NOW + timedelta(seconds=30 * turn)) for turn in range(3)]
    assert sorted(pk for turn in looked for pk in turn) == vehicles
    assert max(map(len, looked)) == 2
