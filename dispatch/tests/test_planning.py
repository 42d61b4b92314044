"""From a low battery to a proposal: which plug, at what figures, and who is planned for at all."""

import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connections

from billing.rating import gst
from dispatch import replaying, services, tasks
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from dispatch.tests.planned import asked, network, plan_for, vehicle
from stations.models import Connector, Tariff
from vehicles.models import Stop, VehicleState

__all__ = ["asked", "network", "vehicle"]

pytestmark = pytest.mark.django_db


def test_the_nearest_free_plug_is_proposed_with_its_figures(network, organisation):
    vehicle = factories.vehicle(organisation)
    Stop.objects.create(vehicle=vehicle, sequence=1, name="Depot", latitude=13.4, longitude=77.6)
    plan = plan_for(vehicle)
    assert (plan.state, plan.connector, plan.engine) == ("proposed", network.near, "crow")
    assert plan.distance_m == pytest.approx(1_350, rel=0.01)
    assert plan.arrival_soc_percent == pytest.approx(18 - 1.35 * 140 * 1.15 / 213, abs=0.06)
    assert plan.energy_wh == pytest.approx((plan.target_soc_percent - plan.arrival_soc_percent) * 213 / 0.93, rel=0.01)
    (depot,) = plan.explanation["arrivals"]
    assert (depot["name"], depot["soc_percent"]) == ("Depot", pytest.approx(25, abs=0.1))  # no longer low
    assert plan.delay_seconds >= plan.charge_seconds > 1_500
    assert plan.done_at == plan.plug_in_at + timedelta(seconds=plan.charge_seconds)
    assert [one["connector_id"] for one in plan.explanation["candidates"]] == [
        network.near.pk, network.middle.pk, network.far.pk,
    ]  # fmt: skip
    alert = Alert.objects.get(vehicle=vehicle)
    assert (alert.kind, alert.severity) == ("will_not_reach", "bad")
    assert alert.title == f"{vehicle.registration} will not reach Depot"
    assert alert.revision > 0


def test_a_stored_plan_can_be_decided_again(network, organisation):
    plan = ChargePlan.objects.get(pk=plan_for(factories.vehicle(organisation)).pk)
    again = replaying.replay(plan)
    assert (again.connector_id, replaying.differences(plan, again)) == (plan.connector_id, [])


def test_also_what_is_missing_can_be_found_again_among_many_plugs(organisation):
    """The nearest plug is the dearest, and no cheaper one is as near."""
    source = factories.public_network(organisation)
    for number in range(13):
        price = str(500 - number)
        tariff = Tariff.objects.create(
            source=source, external_id=price, elements=[{"price_components": [{"type": "ENERGY", "price": price}]}]
        )
        far = factories.location(source, latitude=13.4 + number / 1000)
        for _ in range(5):
            factories.connector(far, tariff=tariff)
    plan = plan_for(factories.vehicle(organisation, soc_percent=9.0))
    assert len(plan.snapshot["candidates"]) < 60
    assert replaying.replay(plan).missing["deficit_wh"] == plan.explanation["deficit_wh"] > 0


def test_a_stop_that_no_road_leads_to_will_not_be_reached(network, vehicle):
    Stop.objects.create(vehicle=vehicle, sequence=1, name="Delhi", latitude=28.6, longitude=77.2)
    plan = plan_for(vehicle)
    assert plan.explanation["reaches_next_stop"] is False
    alert = Alert.objects.get()
    assert (alert.title, alert.severity) == (f"{vehicle.registration} will not reach Delhi", "bad")


@pytest.mark.parametrize(
    "change",
    [
        {"status": "faulted"}, {"status": "unavailable"}, {"status": "unknown"}, {"status": "reserved"},
        {"plug": "chademo"}, {"max_power_w": 7_000}, {"is_held": True}, {"has_session": True},
        {"heard_at": NOW - timedelta(hours=1)}, {"heard_at": None},
    ],
)  # fmt: skip
def test_a_plug_that_cannot_be_used_is_never_proposed(network, organisation, change):
    Connector.objects.filter(pk=network.near.pk).update(**change)
    assert plan_for(factories.vehicle(organisation)).connector == network.middle


def test_a_network_without_access_and_a_strangers_depot_are_never_proposed(network, organisation, other_organisation):
    closed = factories.public_network(other_organisation)
    factories.connector(factories.location(closed))
    factories.connector(factories.location(factories.source(other_organisation), organisation=other_organisation))
    assert plan_for(factories.vehicle(organisation)).connector == network.near


def test_two_vehicles_are_sent_to_two_plugs(network, organisation):
    first, second = (plan_for(factories.vehicle(organisation), key=f"soc:{number}") for number in (1, 2))
    assert (first.connector, second.connector) == (network.near, network.middle)


def test_a_busy_plug_is_taken_only_when_no_free_one_is_in_reach(network, organisation):
    Connector.objects.update(status="charging")
    Connector.objects.filter(pk=network.far.pk).update(status="available")
    assert plan_for(factories.vehicle(organisation), key="a").connector == network.far
    Connector.objects.update(status="charging")
    plan = plan_for(factories.vehicle(organisation), key="b")
    assert plan.connector == network.near
    assert plan.wait_seconds > 0


def test_the_same_trigger_makes_one_plan(network, organisation):
    vehicle = factories.vehicle(organisation)
    assert plan_for(vehicle).pk == plan_for(vehicle).pk == plan_for(vehicle, key="soc:2").pk
    assert ChargePlan.objects.count() == 1


def test_out_of_reach_says_what_is_missing(organisation):
    factories.connector(factories.location(factories.public_network(organisation), latitude=13.4))
    vehicle = factories.vehicle(organisation, soc_percent=9.0)
    plan = plan_for(vehicle)
    assert (plan.state, plan.connector) == ("infeasible", None)
    alert = Alert.objects.get()
    assert (alert.kind, alert.data["deficit_wh"]) == ("no_charger", plan.explanation["deficit_wh"])
    assert alert.data["deficit_wh"] > 5_000
    assert alert.data["reach_m"] == round(0.04 * 21_300 / (140 * 1.15) * 1000)


def test_the_sweep_finds_low_vehicles_an_event_missed(network, organisation):
    from django.utils import timezone

    Connector.objects.update(heard_at=timezone.now())
    vehicle = factories.vehicle(organisation, at=timezone.now())
    factories.vehicle(organisation, soc_percent=70)
    factories.vehicle(organisation, is_charging=True)
    tasks.sweep_low_vehicles()
    tasks.sweep_low_vehicles()
    assert ChargePlan.objects.get().vehicle == vehicle


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_make_one_plan(network, organisation):
    vehicle = factories.vehicle(organisation)
    gate, plans = threading.Barrier(4), []

    def work(number):
        try:
            gate.wait()
            plans.append(plan_for(vehicle, key=f"soc:{number % 2}"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ChargePlan.objects.count() == 1
    assert {plan.pk for plan in plans} == {ChargePlan.objects.get().pk}
    assert Alert.objects.count() == 1


def test_the_price_of_a_plan_is_the_price_of_its_energy(organisation, network, vehicle):
    """A long way on to the next stop takes more than the usual target, and costs more."""
    tariff = Tariff.objects.create(
        source=network, external_id="T", elements=[{"price_components": [{"type": "ENERGY", "price": "20.00"}]}]
    )
    Connector.objects.filter(evse__location__source=network).update(tariff=tariff)
    Stop.objects.create(
        vehicle=vehicle, sequence=1, name="Far", latitude=factories.HERE[0] + 120 / 111.2, longitude=factories.HERE[1]
    )
    plan = plan_for(vehicle)
    assert plan.target_soc_percent > organisation.target_soc_percent
    taxable_paise = plan.energy_wh * 2
    assert plan.cost_paise == taxable_paise + gst(taxable_paise, 18).total_paise


def test_one_unreadable_tariff_keeps_nobody_else_waiting(organisation, network, vehicle, monkeypatch):
    second = factories.vehicle(organisation, soc_percent=19)
    sound = services.planning.decided

    def shaky(seen, *values):
        if seen.vehicle_id == vehicle.pk:
            raise RuntimeError("a defect of ours")
        return sound(seen, *values)

    monkeypatch.setattr(services.planning, "decided", shaky)
    with time_machine.travel(NOW, tick=False):
        tasks.sweep_low_vehicles()
    assert [plan.vehicle_id for plan in ChargePlan.objects.all()] == [second.pk]


def test_a_low_vehicle_that_does_not_report_is_a_matter_for_a_person(organisation, network, vehicle, asked):
    organisation.dispatch_mode = "automatic"
    organisation.save()
    VehicleState.objects.update(position_at=NOW - timedelta(days=7))
    assert plan_for(vehicle) is None
    assert not ChargePlan.objects.exists() and not Reservation.objects.exists()
    alert = Alert.objects.open().get()
    assert (alert.kind, alert.vehicle_id) == ("vehicle_silent", vehicle.pk)
    VehicleState.objects.update(position_at=NOW)
    assert plan_for(vehicle, key="soc:2") is not None
    assert Alert.objects.open().get().kind == "rerouted"
