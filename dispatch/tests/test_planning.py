"""From a low battery to a reserved plug, and what the world does to it."""

import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connections

from billing.models import ChargingSession
from billing.rating import gst
from dispatch import candidates, handlers, replaying, services, tasks
from dispatch.events import ReservationChanged
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from fleetcharge.accounts.models import AuditEntry
from stations.cpo import registry
from stations.cpo.base import PENDING, Capability, CommandReceipt, CPOError, CPOUnavailable
from stations.models import Connector, Tariff
from vehicles.models import Stop, VehicleState

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_index():
    candidates.sites.forget()
    candidates.sites._checked_at = float("-inf")


@pytest.fixture
def network(organisation):
    """Three sites in a row to the north: 1, 2 and 4 km away, a 60 kW plug each."""
    source = factories.public_network(organisation)
    source.near, source.middle, source.far = (
        factories.connector(factories.location(source, latitude=factories.HERE[0] + km / 111.2)) for km in (1, 2, 4)
    )
    return source


@pytest.fixture
def vehicle(organisation):
    return factories.vehicle(organisation)


@pytest.fixture
def asked(monkeypatch):
    """What the network was asked; its answer can be set. (The wire itself is tested where the adapters live.)"""

    class Network:
        kind = "ocpi-2.2.1"
        capabilities = frozenset({Capability.RESERVE})
        reserved, cancelled, answer = [], [], PENDING

        def reserve(self, request):
            from django.db import connection

            self.reserved.append((request.connector.pk, request.id_token, connection.in_atomic_block))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        def cancel(self, connector, reservation_key, reservation_number):
            self.cancelled.append(reservation_number)
            return PENDING

    adapter = Network()
    adapter.reserved, adapter.cancelled = [], []
    monkeypatch.setitem(registry._adapters, "ocpi-2.2.1", adapter)
    return adapter


def plan_for(vehicle, key="soc:1", **fields):
    values = {"vehicle_id": vehicle.pk, "trigger": "soc_low", "trigger_key": key, "now": NOW, **fields}
    return services.plan_charge_stop(**values)


def accepted(vehicle, user):
    plan = services.accept_plan(plan_id=plan_for(vehicle).pk, actor=user, now=NOW)
    services.reserve_plan(plan.pk, NOW)
    return plan


def answer(reservation, state, reason=""):
    return services.answer_reservation(reservation_key=str(reservation.key), state=state, reason=reason, at=NOW)


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
    assert AuditEntry.objects.get().action == "plan.accept"
    assert not answer(reservation, "accepted")
    assert services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=NOW).state == "reserved"
    assert not services.reserve_plan(plan.pk, NOW)
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


def test_a_stranger_at_the_plug_sends_our_vehicle_elsewhere(network, organisation, dispatcher, asked):
    accepted(factories.vehicle(organisation), dispatcher)
    start(session_of(network.near, factories.vehicle(organisation, soc_percent=60)))
    assert ChargePlan.objects.open().get().connector == network.middle


def test_a_recovered_vehicle_needs_no_plan(network, organisation, dispatcher, asked):
    vehicle = factories.vehicle(organisation)
    plan = accepted(vehicle, dispatcher)
    services.close_recovered(vehicle_id=vehicle.pk, now=NOW)
    plan.refresh_from_db()
    assert (plan.state, Reservation.objects.get().state, Alert.objects.get().closed_at) == ("expired", "cancelled", NOW)


def test_nobody_came_in_time(network, organisation, dispatcher, asked):
    plan = accepted(factories.vehicle(organisation), dispatcher)
    expires_at = Reservation.objects.get().expires_at
    assert services.expire_reservations(now=expires_at - timedelta(seconds=1)) == 0
    assert services.expire_reservations(now=expires_at) == 1
    plan.refresh_from_db()
    assert (plan.state, Reservation.objects.get().state) == ("expired", "expired")


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


@pytest.mark.django_db(transaction=True)
def test_the_network_is_asked_outside_any_transaction(network, organisation, dispatcher, asked):
    accepted(factories.vehicle(organisation), dispatcher)
    assert [in_transaction for _, _, in_transaction in asked.reserved] == [False]


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
    sound = services.plan_charge_stop

    def shaky(*, vehicle_id, **values):
        if vehicle_id == vehicle.pk:
            raise RuntimeError("a defect of ours")
        return sound(vehicle_id=vehicle_id, **values)

    monkeypatch.setattr(services, "plan_charge_stop", shaky)
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


def test_an_offer_to_a_vehicle_that_has_fallen_silent_ends(network, vehicle):
    plan = plan_for(vehicle)
    VehicleState.objects.update(position_at=NOW - timedelta(hours=1))
    assert services.replan(plan_id=plan.pk, reason="stale", now=NOW) is None
    plan.refresh_from_db()
    assert plan.state == ChargePlan.State.EXPIRED


def test_a_vehicle_that_did_not_come_is_not_booked_for_at_once(network, vehicle, asked, dispatcher):
    plan = accepted(vehicle, dispatcher)
    later = NOW + timedelta(hours=2)
    services.expire_reservations(now=later)
    VehicleState.objects.update(position_at=later)
    plan.refresh_from_db()
    assert plan.state == ChargePlan.State.EXPIRED
    assert not tasks.low_without_plan(later + timedelta(minutes=1)).exists()
    assert tasks.low_without_plan(later + timedelta(minutes=11)).exists()


def test_a_dismissal_can_be_undone_while_the_grace_lasts(network, vehicle, dispatcher):
    plan = plan_for(vehicle)
    services.dismiss_plan(plan_id=plan.pk, actor=dispatcher, now=NOW)
    undone = services.undo_plan(plan_id=plan.pk, actor=dispatcher, now=NOW + timedelta(seconds=9))
    assert (undone.state, undone.closed_at) == (ChargePlan.State.PROPOSED, None)
    assert Alert.objects.open().get().plan_id == plan.pk
    services.dismiss_plan(plan_id=plan.pk, actor=dispatcher, now=NOW)
    with pytest.raises(services.DecisionRefused, match="10 seconds"):
        services.undo_plan(plan_id=plan.pk, actor=dispatcher, now=NOW + timedelta(seconds=11))


def test_a_promise_that_is_granted_too_late_is_given_back(network, vehicle, asked, dispatcher):
    """A network may take longer than we wait; its bay must not stay blocked for a van that went elsewhere."""
    accepted(vehicle, dispatcher)
    late = Reservation.objects.get()
    answer(late, "timed_out")
    late.refresh_from_db()
    assert late.state == Reservation.State.FAILED
    assert services.cancel_at_network(late.number, NOW)
    assert not services.cancel_at_network(late.number, NOW)  # it knows
    assert not answer(late, "accepted")
    assert services.cancel_at_network(late.number, NOW)
    assert asked.cancelled == [late.number, late.number]


def test_a_promise_that_ends_any_way_is_told_to_the_network(network, vehicle, asked, dispatcher, monkeypatch):
    told = []
    monkeypatch.setattr(tasks.cancel_at_network, "apply_async", lambda args, **how: told.append(*args))
    for state in ("cancelled", "expired", "failed", "rejected", "used", "confirmed"):
        handlers.let_go_at_the_network(ReservationChanged(1, 1, 1, 1, state, "", NOW))
    assert told == [1, 1, 1]


def test_what_the_network_never_heard_is_found_again(network, organisation, asked, dispatcher, caplog):
    """The process died, or the hint was lost; one promise that cannot be worked on keeps no other waiting."""
    lost = []
    for plug in (network.near, network.middle):
        wish = {"connector_id": plug.pk, "expires_at": NOW + timedelta(hours=1), "actor": None, "now": NOW}
        made = services.create_reservation(vehicle_id=factories.vehicle(organisation).pk, **wish)
        assert services.send_reservation(made.number, NOW)
        services.cancel_reservation(number=made.number, actor=dispatcher, now=NOW)
        lost.append(made.number)
    assert services.give_back(now=NOW + timedelta(seconds=5)) == 0  # the hint has its time
    later, honest = NOW + timedelta(minutes=1), type(asked).cancel

    def broken(connector, key, number):
        if number == lost[0]:
            raise RuntimeError("a bug")
        return honest(asked, connector, key, number)

    asked.cancel = broken
    assert services.give_back(now=later) == 1
    assert asked.cancelled == [lost[1]]
    assert f"could not work on reservation {lost[0]}" in caplog.text
    del asked.cancel
    for _ in range(2):
        with time_machine.travel(later, tick=False):
            tasks.sweep_reservations()
    assert asked.cancelled == [lost[1], lost[0]]


def test_a_network_that_is_away_is_told_when_it_is_back(network, organisation, asked, dispatcher):
    for plug in (network.near, network.middle):
        wish = {"connector_id": plug.pk, "expires_at": NOW + timedelta(hours=1), "actor": None, "now": NOW}
        made = services.create_reservation(vehicle_id=factories.vehicle(organisation).pk, **wish)
        services.send_reservation(made.number, NOW)
        services.cancel_reservation(number=made.number, actor=dispatcher, now=NOW)
    later, tried = NOW + timedelta(minutes=1), []

    def away(connector, key, number):
        tried.append(number)
        raise CPOUnavailable("down")

    asked.cancel = away
    assert (services.give_back(now=later), len(tried)) == (0, 1)  # once is enough to know
    asked.cancel = lambda connector, key, number: (_ for _ in ()).throw(CPOError("unknown", "never heard of it"))
    assert services.give_back(now=later) == 2
    del asked.cancel
    assert services.give_back(now=later) == 0  # it has answered, and what is long over is nobody's any more
    Reservation.objects.update(given_back_at=None)
    assert services.give_back(now=NOW + timedelta(hours=2)) == 0


def test_what_a_network_grants_while_we_give_it_back_is_given_back_again(network, vehicle, asked, dispatcher):
    accepted(vehicle, dispatcher)
    late = Reservation.objects.get()
    answer(late, "timed_out")
    honest = type(asked).cancel

    def grants_meanwhile(connector, key, number):
        services.answer_reservation(reservation_key=key, state="accepted", reason="", at=NOW + timedelta(seconds=1))
        return honest(asked, connector, key, number)

    asked.cancel = grants_meanwhile
    assert services.cancel_at_network(late.number, NOW + timedelta(seconds=1))
    del asked.cancel
    assert [services.give_back(now=NOW + timedelta(minutes=1)) for _ in range(2)] == [1, 0]
    assert asked.cancelled == [late.number, late.number]


def test_what_was_never_asked_of_a_network_is_not_given_back(network, vehicle, asked, dispatcher):
    wish = {"connector_id": network.near.pk, "expires_at": NOW + timedelta(hours=1), "actor": None, "now": NOW}
    made = services.create_reservation(vehicle_id=vehicle.pk, **wish)
    services.cancel_reservation(number=made.number, actor=dispatcher, now=NOW)
    assert services.give_back(now=NOW + timedelta(minutes=1)) == 0
    assert asked.cancelled == []


def test_reserving_the_same_bay_for_the_same_vehicle_again_is_the_same_promise(network, vehicle, organisation):
    wish = {"connector_id": network.near.pk, "expires_at": NOW + timedelta(hours=1), "actor": None, "now": NOW}
    first = services.create_reservation(vehicle_id=vehicle.pk, **wish)
    assert services.create_reservation(vehicle_id=vehicle.pk, **wish) == first
    assert services.create_reservation(vehicle_id=factories.vehicle(organisation).pk, **wish) is None


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


def test_a_plug_that_was_busy_when_it_was_chosen_is_not_lost(network, organisation, dispatcher, asked):
    old = accepted(factories.vehicle(organisation), dispatcher)
    before = old.created_at - timedelta(seconds=1)
    Connector.objects.filter(pk=network.near.pk).update(status="occupied", status_since=before)
    assert services.plugs_lost_unnoticed(now=old.created_at + timedelta(minutes=5)) == []
