"""What a dispatcher says to a proposal, and the promise that follows from it."""

from datetime import timedelta

import pytest

from dispatch import services, tasks
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from dispatch.tests.planned import accepted, answer, ask_for, asked, network, plan_for, vehicle
from fleetcharge.accounts.models import AuditEntry
from stations.cpo.base import CommandReceipt, CPOUnavailable
from vehicles.models import VehicleState

__all__ = ["asked", "network", "vehicle"]

pytestmark = pytest.mark.django_db


def test_accepting_promises_the_plug_asks_the_network_and_shows_the_hold(network, organisation, dispatcher, asked):
    vehicle = factories.vehicle(organisation)
    plan = accepted(vehicle, dispatcher)
    assert plan.undo_until == NOW + timedelta(seconds=10)
    assert [(pk, token) for pk, token, _ in asked.reserved] == [(network.near.pk, vehicle.id_tokens.get().uid)]
    reservation = Reservation.objects.get()
    assert reservation.state == "requested"
    assert answer(reservation, "accepted")
    plan.refresh_from_db()
    network.near.refresh_from_db()
    assert (plan.state, network.near.is_held) == ("reserved", True)
    assert Alert.objects.get().kind == "rerouted"
    assert AuditEntry.objects.filter(action="plan.accept").count() == 1
    assert not answer(reservation, "accepted")
    assert services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=NOW).state == "reserved"
    assert not ask_for(plan)
    assert len(asked.reserved) == 1


def test_a_refused_reservation_leads_to_the_next_plug(network, organisation, dispatcher, asked):
    old = accepted(factories.vehicle(organisation), dispatcher)
    answer(Reservation.objects.get(), "rejected", "Occupied")
    old.refresh_from_db()
    new = ChargePlan.objects.open().get()
    assert (old.state, new.replaces, new.connector, new.trigger) == ("replaced", old, network.middle, "rejected")
    assert Reservation.objects.get().state == "rejected"
    alert = Alert.objects.get()
    assert (alert.kind, alert.plan) == ("reservation_lost", new)


def test_an_unreachable_network_is_asked_again(network, organisation, dispatcher, asked):
    asked.answer = CPOUnavailable("down")
    accepted(factories.vehicle(organisation), dispatcher)
    assert Reservation.objects.get().sent_at is None
    asked.answer = CommandReceipt("accepted")
    Reservation.objects.update(created_at=NOW - timedelta(days=1))
    tasks.sweep_reservations()
    assert len(asked.reserved) == 2


def test_undo_takes_the_promise_back_within_ten_seconds(network, organisation, dispatcher, asked):
    plan = accepted(factories.vehicle(organisation), dispatcher)
    answer(Reservation.objects.get(), "accepted")
    with pytest.raises(services.DecisionRefused) as refused:
        services.undo_plan(plan_id=plan.pk, actor=dispatcher, now=NOW + timedelta(seconds=11))
    assert refused.value.code == "undo_too_late"
    undone = services.undo_plan(plan_id=plan.pk, actor=dispatcher, now=NOW + timedelta(seconds=9))
    reservation = Reservation.objects.get()
    network.near.refresh_from_db()
    assert (undone.state, reservation.state, network.near.is_held) == ("proposed", "cancelled", False)
    assert services.cancel_at_network(reservation.number, NOW)
    assert asked.cancelled == [reservation.number]
    assert services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=NOW).state == "accepted"


def test_a_dismissed_plan_stays_dismissed(network, organisation, dispatcher):
    vehicle = factories.vehicle(organisation)
    plan = plan_for(vehicle)
    services.dismiss_plan(plan_id=plan.pk, actor=dispatcher, reason="back to depot", now=NOW)
    assert Alert.objects.get().closed_at == NOW
    assert not tasks.low_without_plan(NOW).exists()
    with pytest.raises(services.DecisionRefused):
        services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=NOW)
    assert not Reservation.objects.exists()


def test_a_dismissal_holds_down_to_half_the_limit_and_then_half_of_what_is_left(network, vehicle, dispatcher):
    def falls_to(soc_percent):
        VehicleState.objects.update(soc_percent=soc_percent)
        return tasks.low_without_plan(NOW).exists()

    def dismissed(key):
        services.dismiss_plan(plan_id=plan_for(vehicle, key=key).pk, actor=dispatcher, now=NOW)

    dismissed("soc:1")
    assert not falls_to(10.1)
    assert falls_to(10.0)
    dismissed("soc:2")
    assert not falls_to(5.1)
    assert falls_to(5.0)


def test_a_dismissal_holds_also_when_nothing_is_left(network, organisation, dispatcher):
    """A van may stand beside a plug with 0 %."""
    organisation.reserve_soc_percent = 0
    organisation.save()
    place = network.near.evse.location
    vehicle = factories.vehicle(organisation, soc_percent=0.0, latitude=place.latitude, longitude=place.longitude)
    assert tasks.low_without_plan(NOW).exists()
    services.dismiss_plan(plan_id=plan_for(vehicle).pk, actor=dispatcher, now=NOW)
    assert not tasks.low_without_plan(NOW).exists()


def test_a_dismissal_is_held_against_what_nine_of_ten_such_vehicles_have(network, organisation, dispatcher):
    vehicle = factories.vehicle(organisation, soc_source="estimated", soc_sigma_percent=4.0, soc_percent=14.0)
    plan = plan_for(vehicle)
    assert plan.soc_percent == pytest.approx(8.9, abs=0.1)
    services.dismiss_plan(plan_id=plan.pk, actor=dispatcher, now=NOW)
    assert not tasks.low_without_plan(NOW).exists()
    VehicleState.objects.update(soc_percent=9.5)  # 4.4 % in nine of ten
    assert tasks.low_without_plan(NOW).exists()


def test_automatic_mode_reserves_at_once(network, organisation, asked, django_capture_on_commit_callbacks):
    organisation.dispatch_mode = "automatic"
    organisation.save()
    plan = plan_for(factories.vehicle(organisation))
    assert (plan.state, plan.decided_by) == ("accepted", None)
    assert Reservation.objects.get().connector == network.near


def test_a_promised_plug_is_not_promised_twice(network, organisation, dispatcher, asked):
    first, second = (factories.vehicle(organisation) for _ in range(2))
    loser = plan_for(first)
    services.create_reservation(
        vehicle_id=second.pk,
        connector_id=network.near.pk,
        expires_at=NOW + timedelta(hours=1),
        actor=dispatcher,
        now=NOW,
    )
    with pytest.raises(services.DecisionRefused) as refused:
        services.accept_plan(plan_id=loser.pk, actor=dispatcher, now=NOW)
    assert refused.value.code == "connector_taken"
    assert ChargePlan.objects.open().get().connector == network.middle
    assert Reservation.objects.count() == 1


def test_a_dismissal_can_be_undone_while_the_grace_lasts(network, vehicle, dispatcher):
    plan = plan_for(vehicle)
    services.dismiss_plan(plan_id=plan.pk, actor=dispatcher, now=NOW)
    undone = services.undo_plan(plan_id=plan.pk, actor=dispatcher, now=NOW + timedelta(seconds=9))
    assert (undone.state, undone.closed_at) == (ChargePlan.State.PROPOSED, None)
    assert Alert.objects.open().get().plan_id == plan.pk
    services.dismiss_plan(plan_id=plan.pk, actor=dispatcher, now=NOW)
    with pytest.raises(services.DecisionRefused, match="10 seconds"):
        services.undo_plan(plan_id=plan.pk, actor=dispatcher, now=NOW + timedelta(seconds=11))


@pytest.mark.django_db(transaction=True)
def test_the_network_is_asked_outside_any_transaction(network, organisation, dispatcher, asked):
    accepted(factories.vehicle(organisation), dispatcher)
    assert [in_transaction for _, _, in_transaction in asked.reserved] == [False]


def test_a_vehicle_that_did_not_come_is_not_booked_for_at_once(network, vehicle, asked, dispatcher):
    plan = accepted(vehicle, dispatcher)
    later = NOW + timedelta(hours=2)
    services.expire_reservations(now=later)
    VehicleState.objects.update(position_at=later)
    plan.refresh_from_db()
    assert plan.state == ChargePlan.State.EXPIRED
    assert not tasks.low_without_plan(later + timedelta(minutes=1)).exists()
    assert tasks.low_without_plan(later + timedelta(minutes=11)).exists()


def test_reserving_the_same_bay_for_the_same_vehicle_again_is_the_same_promise(network, vehicle, organisation):
    wish = {"connector_id": network.near.pk, "expires_at": NOW + timedelta(hours=1), "actor": None, "now": NOW}
    first = services.create_reservation(vehicle_id=vehicle.pk, **wish)
    assert services.create_reservation(vehicle_id=vehicle.pk, **wish) == first
    assert services.create_reservation(vehicle_id=factories.vehicle(organisation).pk, **wish) is None


def test_nobody_came_in_time(network, organisation, dispatcher, asked):
    plan = accepted(factories.vehicle(organisation), dispatcher)
    expires_at = Reservation.objects.get().expires_at
    assert services.expire_reservations(now=expires_at - timedelta(seconds=1)) == 0
    assert services.expire_reservations(now=expires_at) == 1
    plan.refresh_from_db()
    assert (plan.state, Reservation.objects.get().state) == ("expired", "expired")
