"""A plan whose charge comes later keeps its place for that time, and leaves it to others before and after."""

import threading
from datetime import timedelta
from importlib import import_module
from io import StringIO
from math import inf

import pytest
import time_machine
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from billing.models import ChargingSession
from dispatch import candidates, permitted, services, tasks
from dispatch.core import windows
from dispatch.driving import drives
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.services import asking
from dispatch.tests import factories
from dispatch.tests.factories import HERE, NOW
from dispatch.tests.planned import ask_for, asked
from stations.cpo.base import CommandReceipt
from stations.models import Connector
from vehicles.models import Stop, VehicleState

__all__ = ["asked"]

pytestmark = pytest.mark.django_db
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STOPS, KM_BETWEEN = 8, 7
"""A round of more than three hours; seven stops long no charger is near."""


def north(km):
    return HERE[0] + km / 111.2


@pytest.fixture
def plug(organisation, other_organisation):
    """The only one, near the seventh stop."""
    network = factories.public_network(organisation, other_organisation)
    return factories.connector(factories.location(network, latitude=north(7 * KM_BETWEEN - 1)))


@pytest.fixture
def van(organisation):
    """It sets out with 70 % on a round that takes as much."""
    return on_a_round(organisation)


def on_a_round(organisation):
    vehicle = factories.vehicle(organisation, soc_percent=70)
    for number in range(1, STOPS + 1):
        Stop.objects.create(
            vehicle=vehicle, sequence=number, name=f"Stop {number}", latitude=north(number * KM_BETWEEN),
            longitude=HERE[1],
        )  # fmt: skip
    return vehicle


def plan_for(vehicle, key="", **fields):
    values = {"vehicle_id": vehicle.pk, "trigger": "arrival", "trigger_key": key or f"key:{vehicle.pk}", "now": NOW}
    return services.plan_charge_stop(**values | fields)


@pytest.fixture
def later(plug, van, dispatcher, asked):
    """An accepted plan whose charge comes hours ahead."""
    plan = services.accept_plan(plan_id=plan_for(van).pk, actor=dispatcher, now=NOW)
    ask_for(plan)
    plan.refresh_from_db()
    return plan


def low_beside(plug, organisation, **fields):
    site = plug.evse.location
    return factories.vehicle(organisation, latitude=site.latitude - 0.5 / 111.2, longitude=site.longitude, **fields)


def charging(plug, owner, at, **fields):
    return ChargingSession.objects.create(
        source=plug.evse.location.source, connector=plug, organisation=owner.organisation, started_at=at,
        transaction_ref=f"t{owner.pk}", start_key=f"s{owner.pk}", created_at=at,
        **{"vehicle": owner, "id_token_uid": f"TOKEN{owner.pk}"} | fields,
    )  # fmt: skip


# --- pure ---------------------------------------------------------------------------------------------------------
spans = st.lists(
    st.tuples(st.integers(-4000, 100_000), st.integers(1, 20_000)).map(lambda one: (one[0], one[0] + one[1])),
    max_size=6,
)


@given(spans)
def test_what_is_free_overlaps_no_promise_and_is_long_enough(promised):
    gaps = windows.free(promised)
    assert all(ends - begins >= windows.LEAST_SECONDS and begins >= 0 for begins, ends in gaps)
    assert not [(gap, one) for gap in gaps for one in promised if gap[0] < one[1] and one[0] < gap[1]]
    assert gaps == sorted(gaps)


def test_between_promises_stands_every_gap_and_the_last_one_is_open():
    assert windows.free([]) == [windows.EVER]
    assert windows.free([(9000, 12_000), (-60, 600), (600, 3000)]) == [(3000, 9000), (12_000, inf)]
    assert windows.free([(0, 10 * windows.DAY_SECONDS)]) == []


@given(st.floats(0, 40_000), st.floats(60, 20_000), st.floats(0, 30_000), st.floats(600, 90_000))
def test_a_kept_place_has_its_whole_charge_and_nothing_of_others(early, charge, gap_begins, gap_lasts):
    gap = (gap_begins, gap_begins + gap_lasts)
    plug_in = max(early, gap[0])
    done = min(plug_in + charge, gap[1])
    if done <= plug_in:
        return
    begins, ends = windows.kept(plug_in=plug_in, done=done, gap=gap, at_least=1800)
    assert gap[0] <= begins <= plug_in < done <= ends <= gap[1]


def test_the_farther_ahead_the_longer_a_place_is_kept():
    assert windows.kept(plug_in=800, done=2000) == (0, 2600)
    assert windows.kept(plug_in=3600, done=6000) == (3000, 6600)
    assert windows.kept(plug_in=14_400, done=18_000) == (14_400 - 2160, 18_000 + 2160)


# --- the promise --------------------------------------------------------------------------------------------------
def test_a_place_for_later_is_promised_for_then_and_free_until(later, plug, asked):
    held = Reservation.objects.get()
    plug.refresh_from_db()
    assert later.plug_in_at > NOW + 2 * HOUR
    assert later.plug_in_at - HOUR < held.starts_at < later.plug_in_at - 10 * MINUTE
    assert later.plug_in_at + 15 * MINUTE < held.expires_at < later.plug_in_at + HOUR
    assert held.stay_ends_at == later.window_ends_at > later.done_at
    assert (later.state, held.state, held.way, plug.status, plug.is_held) == (
        "reserved", "confirmed", "soft", "available", False
    )  # fmt: skip
    assert asked.reserved == []


def test_another_fleet_charges_there_before(later, plug, other_organisation):
    before = plan_for(low_beside(plug, other_organisation))
    assert (before.connector, before.state) == (plug, "proposed")
    assert before.plug_in_at < NOW + 10 * MINUTE
    assert before.window_ends_at <= later.window_starts_at


def test_who_cannot_be_done_before_comes_after(later, plug, other_organisation):
    short = timedelta(minutes=20)
    ChargePlan.objects.update(window_starts_at=NOW + short)
    Reservation.objects.update(starts_at=NOW + short)
    slow = factories.vehicle_model(max_dc_power_w=7_000, max_ac_power_w=7_000)
    after = plan_for(low_beside(plug, other_organisation, soc_percent=8, model=slow))
    assert after.window_starts_at >= later.window_ends_at
    assert after.plug_in_at >= later.window_ends_at
    out = StringIO()
    call_command("replay_plan", str(after.pk), stdout=out)
    assert "The same answer" in out.getvalue()


def test_a_closed_site_is_not_open_between_promises(plug, organisation, other_organisation):
    closed = {"period_begin": (NOW - HOUR).isoformat(), "period_end": (NOW + 72 * HOUR).isoformat()}
    site = plug.evse.location
    site.opening_times = {"twentyfourseven": True, "exceptional_closings": [closed]}
    site.save()
    Reservation.objects.create(
        organisation=organisation, vehicle=factories.vehicle(organisation), connector=plug,
        starts_at=NOW + 3 * HOUR, expires_at=NOW + 4 * HOUR,
    )  # fmt: skip
    assert windows.within((), (600.0, inf)) == ()
    assert plan_for(low_beside(plug, other_organisation)).connector is None


def test_on_a_route_the_time_of_arrival_counts(later, organisation, plug):
    second = plan_for(on_a_round(organisation))
    assert second.connector == plug
    assert second.window_starts_at >= later.window_ends_at or second.window_ends_at <= later.window_starts_at


def test_the_plug_itself_is_no_plan_b_at_another_time(later, plug, other_organisation):
    before = plan_for(low_beside(plug, other_organisation))
    assert before.explanation["plan_b"]["connector_id"] is None
    assert [one["connector_id"] for one in before.explanation["candidates"]] == [plug.pk]


def test_the_rest_of_a_charge_is_nobody_elses(later, plug, other_organisation):
    held, other = Reservation.objects.get(), factories.vehicle(other_organisation)
    of = {"vehicle_id": other.pk, "connector_id": plug.pk, "actor": None, "now": NOW}
    assert held.expires_at < held.stay_ends_at
    begins = held.expires_at + MINUTE
    assert services.create_reservation(**of, starts_at=begins, expires_at=begins + 30 * MINUTE) is None
    assert services.create_reservation(**of, starts_at=held.stay_ends_at, expires_at=held.stay_ends_at + HOUR)


@pytest.mark.django_db(transaction=True)
def test_of_two_fleets_that_want_one_time_one_gets_it(plug, organisation, other_organisation, monkeypatch):
    vans = [on_a_round(organisation), on_a_round(other_organisation)]
    both_have_looked, honest, plans = threading.Barrier(2), permitted.best, []
    looked = threading.local()

    def best(*question):
        if not getattr(looked, "once", False):
            looked.once = True
            both_have_looked.wait(timeout=30)
        return honest(*question)

    monkeypatch.setattr(permitted, "best", best)

    def work(van):
        try:
            plans.append(plan_for(van))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(van,)) for van in vans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = sorted(plans, key=lambda plan: plan.window_starts_at)
    assert (first.state, second.state) == ("proposed", "proposed")
    assert first.window_ends_at <= second.window_starts_at


def test_the_database_refuses_two_plans_and_two_promises_for_one_time(later, plug, other_organisation):
    of = {"organisation": other_organisation, "vehicle": factories.vehicle(other_organisation), "connector": plug}
    plan = ChargePlan(
        **of, soc_percent=9, trigger_key="k", window_starts_at=later.window_ends_at - MINUTE,
        window_ends_at=later.window_ends_at + HOUR,
    )  # fmt: skip
    held = Reservation(**of, starts_at=later.window_ends_at - MINUTE, expires_at=later.window_ends_at + HOUR)
    for row, name in ((plan, "one_vehicle_under_way_per_evse"), (held, "reservations_never_overlap")):
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            row.save()
    plan.window_starts_at = held.starts_at = later.window_ends_at
    plan.save()
    held.save()


# --- the network --------------------------------------------------------------------------------------------------
def sweep(now):
    for row in services.held_until_near(now):
        services.ask_when_due(row.number, now)
    return [row.way for row in Reservation.objects.active().order_by("number")]


def test_the_network_is_asked_when_the_time_is_near_and_told_when_it_is_given_up(later, plug, asked, dispatcher):
    held = Reservation.objects.get()
    assert sweep(held.starts_at - asking.lead() - MINUTE) == ["soft"]
    assert sweep(held.starts_at - asking.lead()) == ["network"]
    assert sweep(held.starts_at - MINUTE) == ["network"]
    assert [number for number, *_ in asked.reserved] == [plug.pk]
    services.dismiss_plan(plan_id=later.pk, actor=dispatcher, now=held.starts_at)
    assert services.cancel_at_network(held.number, held.starts_at)
    assert asked.cancelled == [held.number]
    assert not Reservation.objects.active().exists()


def test_what_no_network_was_asked_for_needs_no_word_to_give_back(later, asked, dispatcher):
    services.dismiss_plan(plan_id=later.pk, actor=dispatcher, now=NOW)
    assert not services.cancel_at_network(Reservation.objects.get().number, NOW)
    assert asked.cancelled == []


def test_a_network_that_refuses_late_sends_the_vehicle_elsewhere_at_once(later, plug, asked, organisation):
    held, asked.answer = Reservation.objects.get(), CommandReceipt("rejected", "EVSE_OCCUPIED")
    at = held.starts_at - 20 * MINUTE
    beside = factories.connector(factories.location(plug.evse.location.source, latitude=north(48)), at=at)
    candidates.sites.forget()
    Connector.objects.update(heard_at=at)
    VehicleState.objects.update(position_at=at, soc_percent=20, latitude=north(46))
    Stop.objects.filter(sequence__lt=7).update(done_at=at)
    sweep(at)
    new = ChargePlan.objects.open().get()
    assert (new.replaces, new.trigger, new.connector) == (later, "rejected", beside)
    held.refresh_from_db()
    assert held.state == "rejected"


def test_a_charger_is_not_asked_while_another_of_ours_has_the_place_first(later, plug, other_organisation, asked):
    held = Reservation.objects.get()
    first = services.create_reservation(
        vehicle_id=factories.vehicle(other_organisation).pk, connector_id=plug.pk, actor=None, now=NOW,
        starts_at=held.starts_at - 20 * MINUTE, expires_at=held.starts_at,
    )  # fmt: skip
    Reservation.objects.filter(pk=first.pk).update(state="confirmed", way="network", sent_at=NOW)
    assert sweep(held.starts_at - 15 * MINUTE) == ["soft", "network"]
    Reservation.objects.filter(pk=first.pk).update(state="used")
    assert sweep(held.starts_at - 15 * MINUTE) == ["network"]


# --- the world ----------------------------------------------------------------------------------------------------
def test_who_charges_there_hours_before_takes_nothing_away(later, plug, other_organisation):
    session = charging(plug, low_beside(plug, other_organisation), NOW)
    Connector.objects.update(status="charging")
    assert services.connector_changed(connector_id=plug.pk, status="charging", now=NOW) == []
    assert services.enforce(session_id=session.pk, now=NOW) is None
    assert ChargePlan.objects.open().get() == later


def test_who_takes_it_when_the_time_is_near_does(later, plug, other_organisation):
    at = later.window_starts_at - 20 * MINUTE
    charging(plug, low_beside(plug, other_organisation), at)
    services.connector_changed(connector_id=plug.pk, status="charging", now=at)
    later.refresh_from_db()
    assert later.state != "reserved"


@pytest.fixture
def still_there(later, plug, other_organisation):
    """A vehicle of ours, planned for the time before, charges; and it takes longer."""
    before = low_beside(plug, other_organisation)
    plan = plan_for(before)
    ChargePlan.objects.filter(pk=plan.pk).update(state="charging", window_ends_at=later.window_starts_at)
    return charging(plug, before, later.window_starts_at - 20 * MINUTE)


@pytest.mark.parametrize("minutes", [-20, -4, 5])
def test_one_of_ours_whose_time_is_before_is_no_thief(later, plug, still_there, minutes):
    """Until the vehicle is expected: by then it has left."""
    at = later.window_starts_at + minutes * MINUTE
    assert services.connector_changed(connector_id=plug.pk, status="charging", now=at) == []
    later.refresh_from_db()
    assert later.state == "reserved"


@pytest.mark.parametrize("waits", [True, False])
def test_who_waits_beside_one_of_ours_that_takes_longer_keeps_its_place(later, plug, still_there, waits):
    at = later.plug_in_at
    ChargePlan.objects.filter(pk=later.pk).update(arrived_at=at - MINUTE if waits else None)
    services.connector_changed(connector_id=plug.pk, status="charging", now=at)
    later.refresh_from_db()
    assert (later.state == "reserved") == waits


def test_who_is_still_there_when_it_is_time_sends_it_elsewhere(later, plug, other_organisation):
    charging(plug, low_beside(plug, other_organisation), NOW)
    assert services.plans_kept_waiting(now=later.plug_in_at - MINUTE) == []
    assert services.plans_kept_waiting(now=later.plug_in_at) == [(later.pk, "taken")]
    with time_machine.travel(later.plug_in_at, tick=False):
        tasks.sweep_reservations()
    later.refresh_from_db()
    assert later.state not in ("proposed", "accepted", "reserved")
    assert not Reservation.objects.active().exists()


def plugged_in(plug, owner, at):
    """A session whose vehicle has not shown itself yet (OCPP 2.x: cable first, card second)."""
    session = charging(plug, owner, at, id_token_uid="", vehicle=None)
    ChargingSession.objects.filter(pk=session.pk).update(created_at=at)
    return session


@pytest.mark.parametrize(
    ("away_km", "seen_ago", "session_ago", "is_sent_elsewhere"),
    [
        (0.1, 1, 1, False),
        (12, 1, 1, True),  # it is on the road: somebody else plugged in
        (12, 11, 1, False),  # where it is by now nobody knows
        (12, 11, 6, True),  # but who shows nothing for so long is not waiting for the charger
        (0.1, 1, 6, True),
    ],
)
def test_who_plugs_in_without_a_token_may_be_the_one_that_is_expected(
    later, plug, van, away_km, seen_ago, session_ago, is_sent_elsewhere
):
    at, site = later.plug_in_at, plug.evse.location
    plugged_in(plug, van, at - session_ago * MINUTE)
    seen = {"latitude": site.latitude - away_km / 111.2, "longitude": site.longitude}
    VehicleState.objects.filter(vehicle=van).update(**seen, position_at=at - seen_ago * MINUTE)
    assert services.plans_kept_waiting(now=at) == ([(later.pk, "taken")] if is_sent_elsewhere else [])


def test_a_token_says_whose_the_session_is(later, plug, van, organisation):
    at = later.plug_in_at
    session = plugged_in(plug, van, at - MINUTE)
    VehicleState.objects.filter(vehicle=van).update(latitude=None, longitude=None)
    assert services.plans_kept_waiting(now=at) == []
    other = factories.vehicle(organisation)
    ChargingSession.objects.filter(pk=session.pk).update(id_token_uid="TOKEN", vehicle=other)
    assert services.plans_kept_waiting(now=at) == [(later.pk, "taken")]
    ChargingSession.objects.filter(pk=session.pk).update(vehicle=van)
    assert services.plans_kept_waiting(now=at) == []


def test_how_many_wait_costs_no_more_statements(organisation):
    """Beside some a vehicle has just plugged in that says nothing of itself yet."""
    network, counts = factories.public_network(organisation), []
    for count in (1, 4):
        for number in range(count):
            place = factories.connector(factories.location(network))
            ChargePlan.objects.create(
                organisation=organisation, vehicle=factories.vehicle(organisation), connector=place, state="reserved",
                trigger="arrival", trigger_key=f"{count}:{number}", soc_percent=20, created_at=NOW - HOUR,
                plug_in_at=NOW, window_starts_at=NOW - MINUTE, window_ends_at=NOW + HOUR,
            )  # fmt: skip
            plugged_in(place, factories.vehicle(organisation), NOW - number * 2 * MINUTE)
        with CaptureQueriesContext(connection) as asked:
            waiting = services.plans_kept_waiting(now=NOW)
        counts.append((len(asked), len(waiting)))
    assert counts == [(2, 0), (2, 1)]


@pytest.mark.parametrize("minutes", [-5, 5])
def test_the_rest_of_its_own_charge_is_its_own_place(later, plug, van, organisation, minutes):
    """Reserved by hand around the end of the hold, while the plan's charge goes on."""
    held = Reservation.objects.get()
    begins = held.expires_at + minutes * MINUTE
    assert begins < held.stay_ends_at
    wish = {"connector_id": plug.pk, "starts_at": begins, "expires_at": begins + HOUR, "actor": None, "now": NOW}
    assert services.create_reservation(vehicle_id=van.pk, **wish) == held
    other = factories.vehicle(organisation)
    assert services.create_reservation(vehicle_id=other.pk, **wish) is None


def test_who_does_not_come_in_its_time_has_lost_the_place(later):
    held = Reservation.objects.get()
    assert services.expire_reservations(now=held.expires_at - MINUTE) == 0
    assert services.expire_reservations(now=held.expires_at) == 1
    assert drives.tell_no_shows(now=held.expires_at) == 1
    assert Alert.objects.open().get().kind == "no_show"


def test_a_vehicle_that_stands_at_the_site_hours_before_has_not_come_yet(later, plug, van):
    site = plug.evse.location

    def found_at(at):
        VehicleState.objects.filter(vehicle=van).update(
            latitude=site.latitude, longitude=site.longitude, position_at=at, speed_kmh=0
        )
        return drives.find_arrivals(now=at)

    assert found_at(NOW + MINUTE) == 0
    assert found_at(later.window_starts_at) == 1


def test_dispatcher_and_driver_read_from_when_to_when(later, dispatcher, client):
    held = Reservation.objects.get()
    said = Alert.objects.get(kind="rerouted")
    assert "kept_between" in said.body_codes
    assert said.parameters["kept_from_at"] == held.starts_at.isoformat()
    client.force_login(dispatcher)
    page = client.get(f"/dispatch/vehicles/{later.vehicle_id}/").content.decode()
    assert "reserved from" in page


# --- rows of before -----------------------------------------------------------------------------------------------
def test_the_migration_gives_plans_under_way_their_window(later, plug):
    migration = import_module("dispatch.migrations.0033_windows_of_plans")
    Reservation.objects.update(stay_ends_at=None, starts_at=NOW)
    ChargePlan.objects.update(window_starts_at=None, window_ends_at=None)
    with connection.cursor() as cursor:
        cursor.execute(migration.FILL_IN)
    later.refresh_from_db()
    assert (later.window_starts_at, later.window_ends_at) == (NOW, later.done_at + 10 * MINUTE)
    assert Reservation.objects.get().stay_ends_at == later.window_ends_at


def test_the_way_back_leaves_one_plan_at_each_evse(later, plug, other_organisation):
    migration = import_module("dispatch.migrations.0033_windows_of_plans")
    before = plan_for(low_beside(plug, other_organisation))
    with connection.cursor() as cursor:
        cursor.execute(migration.KEEP_ONE)
    before.refresh_from_db()
    later.refresh_from_db()
    assert (later.state, before.state) == ("reserved", "expired")
