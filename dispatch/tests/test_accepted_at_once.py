"""In automatic mode the plans of many are accepted together: promised, linked, told and audited as one by one."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from dispatch import services, tasks
from dispatch.driving.models import DriverLink
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.services import decisions, following, reservations
from dispatch.tests import factories
from dispatch.tests.factories import HERE, NOW
from fleetcharge.accounts.models import AuditEntry, Organisation
from fleetcharge.lib import hints
from stations.models import EVSE, Connector
from vehicles.models import Driver, IdToken

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet(organisation):
    organisation.dispatch_mode = Organisation.DispatchMode.AUTOMATIC
    organisation.save()
    return organisation


@pytest.fixture
def source(fleet, monkeypatch):
    model, source = factories.vehicle_model(), factories.public_network(fleet)
    monkeypatch.setattr(factories, "vehicle_model", lambda **fields: model)
    for km in range(1, 13):
        factories.connector(factories.location(source, latitude=HERE[0] + km / 222.4))
    return source


def sent_out(fleet, count):
    """So many vehicles with an accepted plan each."""
    vehicles = [factories.vehicle(fleet) for _ in range(count)]
    for vehicle in vehicles:
        services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=f"soc:{vehicle.pk}", now=NOW)
    return list(ChargePlan.objects.open().filter(vehicle__in=vehicles).order_by("pk"))


def break_plugs(connector_ids):
    Connector.objects.filter(pk__in=connector_ids).update(status="faulted", reported_status="faulted")


def lose_plugs_of(plans):
    """All their plugs break; the plans that there are then, of these vehicles."""
    changes = [(plan.connector_id, "faulted") for plan in plans]
    break_plugs(dict(changes))
    services.connectors_changed(changes=changes, now=NOW)
    return list(ChargePlan.objects.open().filter(vehicle__in=[plan.vehicle_id for plan in plans]).order_by("pk"))


def test_all_are_promised_linked_told_and_audited(source, fleet):
    old = sent_out(fleet, 3)
    assert {plan.state for plan in old} == {"accepted"}
    Connector.objects.filter(pk__in=[plan.connector_id for plan in old]).update(is_held=True)
    new = lose_plugs_of(old)
    assert {plan.replaces_id for plan in new} == {plan.pk for plan in old}
    assert {(plan.state, plan.decided_at, plan.decided_by, plan.undo_until) for plan in new} == {
        ("accepted", NOW, None, NOW + timedelta(seconds=10))
    }
    for plan in new:
        promise = Reservation.objects.get(plan=plan)
        assert (promise.state, promise.connector, promise.vehicle) == ("requested", plan.connector, plan.vehicle)
        assert (promise.id_token, promise.created_by) == (plan.vehicle.id_tokens.get().uid, None)
        assert (promise.starts_at, promise.expires_at) == reservations.hold_of(plan, NOW)
        assert promise.stay_ends_at == plan.window_ends_at
        assert DriverLink.objects.get(plan=plan, kind="drive", revoked_at=None).vehicle == plan.vehicle
        alert = Alert.objects.open().get(vehicle=plan.vehicle)
        assert (alert.plan, alert.kind, alert.body_codes[-1]) == (plan, "rerouted", "reserving_at")
        line = AuditEntry.objects.get(action="plan.accept", target_id=str(plan.pk))
        assert (line.organisation, line.actor_label, line.after) == (
            fleet, "automatic mode", {"connector_id": plan.connector_id}
        )  # fmt: skip
    given_back = Reservation.objects.filter(plan__in=old)
    assert set(given_back.values_list("state", "reason")) == {("cancelled", "faulted")}
    assert not Connector.objects.filter(is_held=True).exists()


def test_many_cost_the_statements_of_two(source, fleet):
    counts = []
    for count in (2, 2, 4):  # the first ones fill the memory of sites
        plans = sent_out(fleet, count)
        IdToken.objects.all().delete()  # whether they may charge is asked one by one
        with CaptureQueriesContext(connection) as asked:
            new = lose_plugs_of(plans)
        assert [plan.state for plan in new] == ["accepted"] * count
        counts.append(len(asked))
    assert counts[2] == counts[1] < 70


def test_who_has_a_place_elsewhere_keeps_it_and_is_asked_while_the_others_go(source, fleet, monkeypatch):
    plans = sent_out(fleet, 3)
    busy, elsewhere = plans[0].vehicle, Connector.objects.order_by("pk").last()
    honest = decisions.accept_each

    def reserved_meanwhile(proposals, **values):
        services.create_reservation(
            vehicle_id=busy.pk, connector_id=elsewhere.pk, expires_at=NOW + timedelta(hours=1), actor=None, now=NOW
        )
        return honest(proposals, **values)

    monkeypatch.setattr(decisions, "accept_each", reserved_meanwhile)
    states = {plan.vehicle_id: plan.state for plan in lose_plugs_of(plans)}
    assert states.pop(busy.pk) == "proposed"
    assert set(states.values()) == {"accepted"}
    assert Reservation.objects.active().get(vehicle=busy).connector == elsewhere
    assert not DriverLink.objects.filter(plan__vehicle=busy, plan__state="proposed").exists()


def test_who_loses_the_new_place_too_is_planned_for_again(source, fleet, monkeypatch):
    """Somebody takes one of the plugs, and another one breaks, between the plans and their acceptance."""
    plans, stranger = sent_out(fleet, 3), factories.vehicle(fleet, soc_percent=60)
    honest, lost = decisions.accept_each, []

    def gone_meanwhile(proposals, **values):
        taken, broken = proposals[0].connector_id, proposals[1].connector_id
        lost.extend([taken, broken])
        Reservation.objects.create(
            organisation=fleet, vehicle=stranger, connector_id=taken, starts_at=NOW, expires_at=NOW + timedelta(hours=2)
        )
        break_plugs([broken])
        return honest(proposals, **values)

    monkeypatch.setattr(decisions, "accept_each", gone_meanwhile)
    new = lose_plugs_of(plans)
    assert [plan.state for plan in new] == ["accepted"] * 3
    assert not {plan.connector_id for plan in new} & {*lost, *(plan.connector_id for plan in plans)}
    assert Counter(Reservation.objects.active().values_list("vehicle_id", flat=True)) == dict.fromkeys(
        [stranger.pk, *(plan.vehicle_id for plan in plans)], 1
    )


def test_a_defect_while_all_are_accepted_leaves_each_to_be_accepted_alone(source, fleet, monkeypatch):
    plans = sent_out(fleet, 2)
    monkeypatch.setattr(reservations, "promise_each", lambda *_, **__: 1 / 0)
    assert [plan.state for plan in lose_plugs_of(plans)] == ["accepted"] * 2


def test_a_dispatcher_who_is_quicker_decides(source, fleet, dispatcher, monkeypatch):
    plans = sent_out(fleet, 2)
    honest = decisions.accept_each

    def dismissed_meanwhile(proposals, **values):
        services.dismiss_plan(plan_id=proposals[0].pk, actor=dispatcher, now=NOW)
        return honest(proposals, **values)

    monkeypatch.setattr(decisions, "accept_each", dismissed_meanwhile)
    new = lose_plugs_of(plans)
    assert [plan.state for plan in new] == ["accepted"]
    assert ChargePlan.objects.filter(state="dismissed").count() == 1


def test_the_drivers_links_that_there_are_stay_and_those_of_former_drivers_end(source, fleet):
    plans = sent_out(fleet, 2)
    first = DriverLink.objects.get(plan=plans[0])
    handed_over = plans[1].vehicle
    handed_over.default_driver = Driver.objects.create(organisation=fleet, name="Asha")
    handed_over.save()
    DriverLink.objects.filter(plan=plans[1]).update(driver=Driver.objects.create(organisation=fleet, name="Before"))
    from dispatch.driving import links

    links.make_each(plan_ids=[plan.pk for plan in plans], now=NOW)
    assert DriverLink.objects.get(plan=plans[0], revoked_at=None) == first
    assert DriverLink.objects.get(plan=plans[1], revoked_at=None).driver == handed_over.default_driver


def test_a_link_that_somebody_else_makes_at_the_same_time_is_the_one(source, fleet, monkeypatch):
    plans = sent_out(fleet, 2)
    DriverLink.objects.all().delete()
    from dispatch.driving import links

    def beaten(plan_ids, now):
        links.make(plan_id=plan_ids[0], actor=None, now=now)
        raise IntegrityError

    monkeypatch.setattr(links, "_make_first", beaten)
    links.make_each(plan_ids=[plan.pk for plan in plans], now=NOW)
    assert Counter(DriverLink.objects.values_list("plan_id", flat=True)) == {plan.pk: 1 for plan in plans}


def test_networks_are_asked_by_one_message_that_a_worker_passes_on(
    source, fleet, monkeypatch, django_capture_on_commit_callbacks
):
    plans, sent = sent_out(fleet, 3), []
    monkeypatch.setattr(hints, "_start", lambda task, args, countdown: sent.append((task.name, args)))
    with django_capture_on_commit_callbacks(execute=True):
        new = lose_plugs_of(plans)
    old_ones = sorted(Reservation.objects.filter(plan__in=plans).values_list("pk", flat=True))
    new_ones = sorted(Reservation.objects.filter(plan__in=new).values_list("pk", flat=True))
    assert [args for name, args in sent if name == hints.pass_on.name] == [
        (tasks.cancel_at_network.name, [[number] for number in old_ones]),
        (tasks.send_reservation.name, [[number] for number in new_ones]),
    ]
    assert not [name for name, _ in sent if name == tasks.rebook.name]
    sent.clear()
    with django_capture_on_commit_callbacks(execute=True):
        hints.pass_on(tasks.send_reservation.name, [[number] for number in new_ones])
    assert sent == [(tasks.send_reservation.name, (number,)) for number in new_ones]


def test_beside_its_broken_plug_the_other_one_of_the_same_bay_is_free_for_it(fleet):
    """What it was promised there is given back only with the new plan, and stands in the way of nobody."""
    bay = factories.connector(factories.location(factories.public_network(fleet), latitude=HERE[0] + 1 / 111.2))
    beside = factories.connector(bay.evse.location)
    lonely = beside.evse_id
    Connector.objects.filter(pk=beside.pk).update(evse=bay.evse, connector_id=2)
    EVSE.objects.filter(pk=lonely).delete()
    [plan] = sent_out(fleet, 1)
    Connector.objects.filter(pk=plan.connector_id).update(is_held=True)
    [new] = lose_plugs_of([plan])
    assert {plan.connector_id, new.connector_id} == {bay.pk, beside.pk}
    assert (new.state, new.evse) == ("accepted", bay.evse)


@pytest.mark.django_db(transaction=True)
def test_two_groups_that_are_lost_at_once_get_places_of_their_own(source, fleet):
    """Two workers accept at the same time what they gave out at the same time."""
    plans = sent_out(fleet, 4)
    changes = [(plan.connector_id, "faulted") for plan in plans]
    break_plugs(dict(changes))
    barrier, failed = threading.Barrier(2), []

    def follow(some):
        try:
            barrier.wait(30)
            following.connectors_changed(changes=some, now=NOW)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=follow, args=[changes[number::2]]) for number in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    new = ChargePlan.objects.open()
    assert not failed
    assert {plan.state for plan in new} == {"accepted"} and new.count() == 4
    assert len({plan.connector_id for plan in new}) == 4
    assert Reservation.objects.active().count() == 4
