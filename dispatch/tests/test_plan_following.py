"""What the world does to a plan: plugs break, sessions start and end, vehicles recover."""

from datetime import timedelta

import pytest
import time_machine

from billing.models import ChargingSession
from dispatch import services, tasks
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.services import planning
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from dispatch.tests.planned import accepted, answer, asked, network, plan_for, vehicle
from stations.models import Connector
from vehicles.models import VehicleState

__all__ = ["asked", "network", "vehicle"]

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("status", "trigger"), [("faulted", "faulted"), ("unavailable", "faulted"), ("unknown", "silent")]
)
def test_a_plug_out_of_order_sends_the_vehicle_elsewhere(network, organisation, dispatcher, asked, status, trigger):
    old = accepted(factories.vehicle(organisation), dispatcher)
    answer(Reservation.objects.get(), "accepted")
    Connector.objects.filter(pk=network.near.pk).update(status=status)
    made = services.connector_changed(connector_id=network.near.pk, status=status, now=NOW)
    assert services.connector_changed(connector_id=network.near.pk, status=status, now=NOW) == []
    new = ChargePlan.objects.open().get()
    assert (made, new.connector, new.trigger, new.replaces) == ([new.pk], network.middle, trigger, old)
    assert Reservation.objects.get().state == "cancelled"


def test_our_own_vehicle_plugging_in_is_no_reason_to_replan(network, organisation, dispatcher, asked):
    vehicle = factories.vehicle(organisation)
    plan = accepted(vehicle, dispatcher)
    here = network.near.evse.location
    VehicleState.objects.filter(vehicle=vehicle).update(latitude=here.latitude, longitude=here.longitude)
    assert services.connector_changed(connector_id=network.near.pk, status="occupied", now=NOW) == []
    session = session_of(network.near, vehicle)
    start(session)
    plan.refresh_from_db()
    assert (plan.state, plan.session, Reservation.objects.get().state) == ("charging", session, "used")
    assert services.session_ended(session_id=session.pk, now=NOW)
    plan.refresh_from_db()
    assert (plan.state, plan.closed_at, Alert.objects.get().closed_at) == ("completed", NOW, NOW)


def test_a_vehicle_that_charges_elsewhere_lets_its_plug_go(network, organisation, dispatcher, asked):
    vehicle = factories.vehicle(organisation)
    plan = accepted(vehicle, dispatcher)
    start(session_of(network.far, vehicle))
    plan.refresh_from_db()
    assert (plan.state, Reservation.objects.get().state) == ("expired", "cancelled")
    assert not tasks.low_without_plan(NOW).exists()
    assert plan_for(vehicle, key="soc:2") is None
    ChargingSession.objects.update(suspect_reason="not_ongoing")  # a lost stop keeps nobody waiting
    assert tasks.low_without_plan(NOW).exists()
    assert plan_for(vehicle, key="soc:2").state == "proposed"


def test_a_stale_proposal_is_looked_at_again(network, organisation):
    from django.utils import timezone

    Connector.objects.update(heard_at=timezone.now())
    old = plan_for(factories.vehicle(organisation, at=timezone.now()))
    tasks.sweep_low_vehicles()
    new = ChargePlan.objects.open().get()
    assert (new.replaces, new.trigger, new.connector) == (old, "stale", network.near)


def test_a_proposal_that_somebody_accepted_since_it_was_found_stale_stands(network, organisation, dispatcher, asked):
    plan = accepted(factories.vehicle(organisation), dispatcher)
    for reason in ("stale", "better"):
        assert services.replan(plan_id=plan.pk, reason=reason, now=NOW) is None
    assert (ChargePlan.objects.get().state, Reservation.objects.get().state) == ("accepted", "requested")


def test_a_stranger_at_the_plug_sends_our_vehicle_elsewhere(network, organisation, dispatcher, asked):
    accepted(factories.vehicle(organisation), dispatcher)
    start(session_of(network.near, factories.vehicle(organisation, soc_percent=60)))
    assert ChargePlan.objects.open().get().connector == network.middle


@pytest.mark.parametrize(("seconds", "kept"), [(200, True), (400, False)])
def test_who_plugs_in_without_a_token_is_ours_for_a_while_where_nobody_knows_better(
    network, organisation, dispatcher, asked, seconds, kept
):
    vehicle = factories.vehicle(organisation)
    plan = accepted(vehicle, dispatcher)
    VehicleState.objects.filter(vehicle=vehicle).update(latitude=None, longitude=None)
    session = session_of(network.near, vehicle)
    ChargingSession.objects.filter(pk=session.pk).update(vehicle=None, created_at=NOW)
    at = NOW + timedelta(seconds=seconds)
    services.connector_changed(connector_id=network.near.pk, status="occupied", now=at)
    plan.refresh_from_db()
    assert (plan.state == "accepted") == kept


def test_a_recovered_vehicle_needs_no_plan(network, organisation, dispatcher, asked):
    vehicle = factories.vehicle(organisation)
    plan = accepted(vehicle, dispatcher)
    services.close_recovered(vehicle_id=vehicle.pk, now=NOW)
    plan.refresh_from_db()
    assert (plan.state, Reservation.objects.get().state, Alert.objects.get().closed_at) == ("expired", "cancelled", NOW)


def session_of(connector, vehicle):
    return ChargingSession.objects.create(
        organisation=vehicle.organisation, source=connector.evse.location.source, connector=connector,
        transaction_ref=f"t{vehicle.pk}", start_key=f"s{vehicle.pk}", vehicle=vehicle, started_at=NOW,
    )  # fmt: skip


def start(session):
    services.session_started(
        session_id=session.pk, vehicle_id=session.vehicle_id, connector_id=session.connector_id,
        location_id=session.connector.evse.location_id, now=NOW,
    )  # fmt: skip


def test_an_offer_to_a_vehicle_that_has_fallen_silent_ends(network, vehicle):
    plan = plan_for(vehicle)
    VehicleState.objects.update(position_at=NOW - timedelta(hours=1))
    assert services.replan(plan_id=plan.pk, reason="stale", now=NOW) is None
    plan.refresh_from_db()
    assert plan.state == ChargePlan.State.EXPIRED


def test_a_lost_plug_is_found_also_when_its_event_was_not(network, organisation, dispatcher, asked):
    old = accepted(factories.vehicle(organisation), dispatcher)
    after = old.created_at + timedelta(seconds=1)
    Connector.objects.filter(pk=network.near.pk).update(status="faulted", status_since=after)
    assert services.plugs_lost_unnoticed(now=after) == []  # the event has its time
    later = after + timedelta(seconds=30)
    assert services.plugs_lost_unnoticed(now=later) == [(network.near.pk, "faulted")]
    services.connector_changed(connector_id=network.near.pk, status="faulted", now=NOW)
    assert ChargePlan.objects.open().get().connector == network.middle
    assert services.plugs_lost_unnoticed(now=later) == []


def test_a_lost_plug_that_cannot_be_followed_keeps_no_promise_waiting(
    network, organisation, dispatcher, asked, monkeypatch
):
    old = accepted(factories.vehicle(organisation), dispatcher)
    broken = {"status": "faulted", "reported_status": "faulted", "status_since": old.created_at + HOUR}
    Connector.objects.filter(pk=network.near.pk).update(**broken)
    over = services.create_reservation(
        vehicle_id=factories.vehicle(organisation).pk, connector_id=network.far.pk, actor=None, now=NOW,
        expires_at=NOW + HOUR,
    )  # fmt: skip

    def shaky(*values):
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(planning, "decided", shaky)
    VehicleState.objects.update(position_at=NOW + 2 * HOUR)
    with time_machine.travel(NOW + 2 * HOUR, tick=False):
        tasks.sweep_reservations()
    over.refresh_from_db()
    assert over.state == "expired"


def test_a_plug_that_was_busy_when_it_was_chosen_is_not_lost(network, organisation, dispatcher, asked):
    old = accepted(factories.vehicle(organisation), dispatcher)
    before = old.created_at - timedelta(seconds=1)
    Connector.objects.filter(pk=network.near.pk).update(status="occupied", status_since=before)
    assert services.plugs_lost_unnoticed(now=old.created_at + timedelta(minutes=5)) == []
