"""Of vehicles that fall low at once, no two are sent to one EVSE for one time."""

import threading
from importlib import import_module

import pytest
from django.db import IntegrityError, connection, connections

from dispatch import permitted, services
from dispatch.models import ChargePlan
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from stations.models import Connector

pytestmark = pytest.mark.django_db


@pytest.fixture
def plugs(organisation):
    source = factories.public_network(organisation)
    return [factories.connector(factories.location(source, latitude=factories.HERE[0] + km / 111.2)) for km in (1, 2)]


def second_gun(plug):
    return Connector.objects.create(
        evse=plug.evse, connector_id=2, plug="ccs2", max_power_w=60_000, status="available", heard_at=NOW, status_at=NOW
    )


def plan_for(vehicle):
    return services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=f"soc:{vehicle.pk}", now=NOW)


def test_two_guns_of_one_unit_are_one_place(organisation, plugs):
    second_gun(plugs[0])
    first, second = (plan_for(factories.vehicle(organisation)) for _ in range(2))
    assert (first.connector.evse, second.connector) == (plugs[0].evse, plugs[1])


def test_the_database_refuses_a_second_vehicle_until_the_first_has_plugged_in(organisation, plugs):
    first = plan_for(factories.vehicle(organisation))
    values = {"organisation": organisation, "vehicle": factories.vehicle(organisation), "soc_percent": 9}
    second = ChargePlan(connector=second_gun(plugs[0]), trigger_key="second", **values)
    ChargePlan.objects.filter(pk=first.pk).update(state="charging")
    second.save()
    with pytest.raises(IntegrityError, match="one_vehicle_under_way_per_evse"):
        ChargePlan.objects.filter(pk=first.pk).update(state="reserved")


def test_a_dismissal_is_not_undone_into_a_plug_that_another_vehicle_is_sent_to(organisation, plugs, dispatcher):
    dismissed = plan_for(factories.vehicle(organisation))
    services.dismiss_plan(plan_id=dismissed.pk, actor=dispatcher, now=NOW)
    assert plan_for(factories.vehicle(organisation)).connector == dismissed.connector
    with pytest.raises(services.DecisionRefused) as refused:
        services.undo_plan(plan_id=dismissed.pk, actor=dispatcher, now=NOW)
    assert refused.value.code == "connector_taken"


@pytest.mark.django_db(transaction=True)
def test_vehicles_that_look_at_once_get_different_plugs_and_the_last_one_its_turn(organisation, plugs, monkeypatch):
    vehicles = [factories.vehicle(organisation) for _ in range(3)]
    all_have_looked, honest, plans = threading.Barrier(3), permitted.best, []
    looked = threading.local()

    def best(*question):
        if not getattr(looked, "once", False):
            looked.once = True
            all_have_looked.wait(timeout=30)
        return honest(*question)

    monkeypatch.setattr(permitted, "best", best)

    def work(vehicle):
        try:
            plans.append(plan_for(vehicle))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(vehicle,)) for vehicle in vehicles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    *first, last = sorted(plans, key=lambda plan: plan.window_starts_at)
    assert {plan.connector for plan in first} == {*plugs}
    assert last.window_starts_at >= next(plan for plan in first if plan.connector == last.connector).window_ends_at


def test_where_an_older_version_sent_two_the_firmest_stays(organisation, plugs):
    """The migration, on rows as they could be before it."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE dispatch_chargeplan DROP CONSTRAINT one_vehicle_under_way_per_evse")
    values = {"organisation": organisation, "soc_percent": 9}
    states = ("proposed", "reserved", "charging", "dismissed")
    rows = [
        ChargePlan.objects.create(
            vehicle=factories.vehicle(organisation), connector=plugs[0], state=state, trigger_key=state, **values
        )
        for state in states
    ]
    other = ChargePlan.objects.create(
        vehicle=factories.vehicle(organisation), connector=plugs[1], trigger_key="other", **values
    )
    migration = import_module("dispatch.migrations.0025_one_vehicle_under_way_per_evse")
    with connection.cursor() as cursor:
        cursor.execute(migration.KEEP_THE_FIRMEST)
    kept = [ChargePlan.objects.get(pk=plan.pk) for plan in (*rows, other)]
    assert [plan.state for plan in kept] == ["expired", "reserved", "charging", "dismissed", "proposed"]
    assert kept[0].closed_at is not None and kept[1].closed_at is None
    assert {plan.evse for plan in kept} == {plug.evse for plug in plugs}
