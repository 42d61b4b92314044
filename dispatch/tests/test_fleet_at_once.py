"""Many vehicles of a fleet that need a plug at once get theirs by one matching, never two the same."""

from collections import Counter
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import ChargingSession
from dispatch import candidates, replaying, services, tasks
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.services import assigning, following, planning, stories
from dispatch.tests import factories
from dispatch.tests.factories import HERE, NOW
from stations.models import EVSE, Charger, Connector
from vehicles.models import IdToken

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(organisation):
    return factories.public_network(organisation)


def plug_at(source, km, **fields):
    return factories.connector(factories.location(source, latitude=HERE[0] + km / 111.2), **fields)


def sweep():
    with time_machine.travel(NOW, tick=False):
        tasks.sweep_low_vehicles()


@pytest.fixture
def rivals(organisation):
    """Two whose best plug is the nearest one: one with a large battery could go on, the other one could not."""
    large = factories.vehicle_model(battery_wh=60_000)
    able = factories.vehicle(organisation, soc_percent=6.3, model=large)
    return able, factories.vehicle(organisation, soc_percent=6.5)


def connectors():
    return dict(ChargePlan.objects.open().values_list("vehicle_id", "connector_id"))


def test_who_can_go_on_leaves_the_near_plug_to_who_cannot(source, rivals):
    near, far = plug_at(source, 1), plug_at(source, 3)
    able, stuck = rivals
    sweep()
    assert connectors() == {able.pk: far.pk, stuck.pk: near.pk}
    assert not ChargePlan.objects.filter(state="infeasible").exists()


def test_a_plan_that_the_matching_made_is_told_and_decided_again_as_it_is(source, rivals):
    plug_at(source, 1)
    far = plug_at(source, 3)
    sweep()
    plan = ChargePlan.objects.get(connector=far)
    assert plan.snapshot["assigned"] == far.pk
    told = plan.explanation["candidates"]
    assert told[0]["connector_id"] == far.pk and told[0]["total_paise"] > told[1]["total_paise"]
    again = replaying.replay(plan)
    assert (again.connector_id, replaying.differences(plan, again)) == (far.pk, [])
    assert plan.arrival_soc_percent == pytest.approx(6.3 - 3 * 1.35 * 161 / 600, abs=0.1)


def test_who_would_be_refused_at_its_place_is_planned_for_alone(source, rivals):
    able, stuck = rivals
    plug_at(source, 1)
    plug_at(source, 3)
    IdToken.objects.filter(vehicle=able).update(valid_until=NOW)
    sweep()
    assert connectors().keys() == {stuck.pk}
    assert ChargePlan.objects.get(vehicle=able).explanation["refusal"] == "expired_token"


def test_of_more_vehicles_than_plugs_those_left_over_come_after_the_others(source, organisation):
    plugs = {plug_at(source, km) for km in (1, 2, 3)}
    for number in range(5):
        factories.vehicle(organisation, soc_percent=10 + number)
    sweep()
    *first, fourth, fifth = ChargePlan.objects.open().order_by("window_starts_at", "pk")
    assert {plan.connector for plan in first} == plugs
    for later in (fourth, fifth):
        assert all(later.window_starts_at >= plan.window_ends_at for plan in first if plan.connector == later.connector)
    assert not Alert.objects.filter(kind="no_charger").exists()


def test_who_gets_no_place_at_all_is_told_so(source, organisation):
    for km in (1, 2, 3):
        plug = plug_at(source, km)
        Reservation.objects.create(
            organisation=organisation, vehicle=factories.vehicle(organisation, soc_percent=60), connector=plug,
            starts_at=NOW, expires_at=NOW + timedelta(days=2),
        )  # fmt: skip
    vehicles = {factories.vehicle(organisation).pk for _ in range(2)}
    sweep()
    assert set(Alert.objects.filter(kind="no_charger").values_list("vehicle_id", flat=True)) == vehicles


def test_a_lost_hub_sends_its_vehicles_to_different_plugs(organisation, source):
    own = factories.source(organisation)
    hub = factories.location(own, organisation=organisation)
    charger = factories.charger(hub, organisation)
    for number in range(1, 5):
        plug = factories.connector(hub)
        EVSE.objects.filter(pk=plug.evse_id).update(charger=charger, evse_number=number)
    vehicles = [factories.vehicle(organisation) for _ in range(4)]
    for number, vehicle in enumerate(vehicles):
        services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=f"soc:{number}", now=NOW)
    old = ChargePlan.objects.in_bulk()
    assert {plan.connector.evse.charger_id for plan in old.values()} == {charger.pk}
    elsewhere = {plug_at(source, km).pk for km in (2, 3, 4, 5)}
    candidates.sites.forget()
    Charger.objects.update(is_online=False)
    made = services.charger_lost(charger_id=charger.pk, now=NOW)
    assert (len(made), set(connectors().values())) == (4, elsewhere)
    assert Counter(ChargePlan.objects.values_list("state", flat=True)) == {"replaced": 4, "proposed": 4}
    assert {plan.replaces_id for plan in ChargePlan.objects.open()} == old.keys()
    assert services.charger_lost(charger_id=charger.pk, now=NOW) == []


def test_plugs_that_fail_in_one_breath_are_followed_together(source, organisation, monkeypatch):
    """Their vehicles are matched once."""
    lost = [plug_at(source, km) for km in (1, 2)]
    for number in range(2):
        vehicle = factories.vehicle(organisation)
        services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=f"soc:{number}", now=NOW)
    left = [plug_at(source, km) for km in (4, 5)]
    candidates.sites.forget()
    Connector.objects.filter(pk__in=[plug.pk for plug in lost]).update(status="faulted")
    sizes, honest = [], assigning.places_of
    monkeypatch.setattr(assigning, "places_of", lambda fleet: sizes.append(len(fleet)) or honest(fleet))
    services.connectors_changed(changes=[(plug.pk, "faulted") for plug in lost], now=NOW)
    assert (sizes, set(connectors().values())) == ([2], {plug.pk for plug in left})


def test_fleets_are_matched_apart_and_share_no_plug(source, rivals, other_organisation):
    factories.NetworkAccess.objects.create(organisation=other_organisation, source=source)
    for km in (1, 2, 3):
        plug_at(source, km)
    factories.vehicle(other_organisation)
    sweep()
    assert len(connectors()) == len(set(connectors().values())) == 3
    plans = ChargePlan.objects.select_related("vehicle")
    assert all(plan.organisation_id == plan.vehicle.organisation_id for plan in plans)


def test_a_plan_that_cannot_be_let_go_keeps_nobody_else_at_a_dead_plug(source, rivals, monkeypatch):
    first, second = plug_at(source, 1), plug_at(source, 1.2)
    free = plug_at(source, 2)
    sweep()
    let_go, stuck = following._want_for, ChargePlan.objects.open().get(vehicle=rivals[1])

    def fail_once(plan, reason):
        if plan == stuck:
            raise RuntimeError("a bad row")
        return let_go(plan, reason)

    monkeypatch.setattr(following, "_want_for", fail_once)
    Connector.objects.filter(pk__in=[first.pk, second.pk]).update(status="faulted")
    services.connectors_changed(changes=[(first.pk, "faulted"), (second.pk, "faulted")], now=NOW)
    other = ChargePlan.objects.open().exclude(pk=stuck.pk).get()
    assert (other.trigger, other.connector) == ("faulted", free)


def sent_out(organisation, count):
    """So many vehicles, each with a plan of its own."""
    vehicles = [factories.vehicle(organisation) for _ in range(count)]
    IdToken.objects.all().delete()  # whether they may charge is asked one by one
    for vehicle in vehicles:
        services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=f"soc:{vehicle.pk}", now=NOW)
    return ChargePlan.objects.open().filter(vehicle__in=vehicles)


def broken(plans):
    changes = [(connector_id, "faulted") for connector_id in plans.values_list("connector_id", flat=True)]
    Connector.objects.filter(pk__in=dict(changes)).update(status="faulted")
    return changes


def test_many_cost_the_statements_of_two(source, organisation, monkeypatch):
    model = factories.vehicle_model()
    monkeypatch.setattr(factories, "vehicle_model", lambda **fields: model)
    for km in range(1, 25):
        plug_at(source, km / 4)
    counts = []
    for count in (2, 2, 7):  # the first ones fill the memory of sites
        changes = broken(sent_out(organisation, count))
        with CaptureQueriesContext(connection) as asked:
            made = services.connectors_changed(changes=changes, now=NOW)
        assert len(made) == count
        counts.append(len(asked))
    assert counts[2] == counts[1] < 30


def test_the_documents_of_many_plans_are_written_as_they_are_and_not_read_to_be_shown(source, organisation):
    for km in (1, 2, 3, 4):
        plug_at(source, km)
    changes = broken(sent_out(organisation, 2))
    with CaptureQueriesContext(connection) as asked:
        made = services.connectors_changed(changes=changes, now=NOW)
    [written] = [one["sql"] for one in asked if one["sql"].startswith('INSERT INTO "dispatch_chargeplan"')]
    assert "UNNEST" not in written  # the driver escapes each quote mark of an array's texts in Python
    for plan in ChargePlan.objects.filter(pk__in=made):
        assert plan.explanation["candidates"] and plan.snapshot["candidates"]
        assert replaying.differences(plan, replaying.replay(plan)) == []
    shown = [*ChargePlan.objects.for_display(), *(alert.plan for alert in Alert.objects.for_display())]
    assert len(shown) > 2 and all("snapshot" in plan.get_deferred_fields() for plan in shown)


def test_all_are_told_of_in_one_message(source, organisation, monkeypatch, django_capture_on_commit_callbacks):
    for km in (1, 2, 3, 4):
        plug_at(source, km)
    plans = sent_out(organisation, 2)
    vehicles, changes, told = set(plans.values_list("vehicle_id", flat=True)), broken(plans), []
    monkeypatch.setattr("dispatch.live.send_to_map", lambda kind, **payload: told.append((kind, payload)))
    with django_capture_on_commit_callbacks(execute=True):
        services.connectors_changed(changes=changes, now=NOW)
    ids = sorted(Alert.objects.values_list("pk", flat=True))
    assert [payload for kind, payload in told if kind == "alerts"] == [{"o": organisation.pk, "ids": ids}]
    assert [payload for kind, payload in told if kind == "marks"] == [{"o": organisation.pk, "ids": sorted(vehicles)}]
    alert = Alert.objects.get(vehicle=min(vehicles))
    plan = ChargePlan.objects.open().get(vehicle=min(vehicles))
    assert (alert.plan, alert.kind, alert.location) == (plan, "reservation_lost", plan.connector.evse.location)
    assert alert.body_codes[0] == "plug_faulted" and alert.data["lost_connector_id"] == plan.replaces.connector_id


def test_its_own_old_place_is_in_nobodys_way(source, organisation):
    plug_at(source, 1)
    plug_at(source, 2)
    before = dict(sent_out(organisation, 2).values_list("vehicle_id", "connector_id"))
    stale = [(pk, "stale") for pk in ChargePlan.objects.values_list("pk", flat=True)]
    assert len(services.replan_together(plans=stale, now=NOW)) == 2
    assert set(connectors().values()) == set(before.values())
    assert Counter(ChargePlan.objects.values_list("state", flat=True)) == {"replaced": 2, "proposed": 2}


def test_who_loses_its_place_to_a_quicker_one_is_planned_for_alone(
    source, organisation, other_organisation, monkeypatch
):
    factories.NetworkAccess.objects.create(organisation=other_organisation, source=source)
    plug_at(source, 1)
    plug_at(source, 1.2)
    changes = broken(sent_out(organisation, 2))
    free = {plug_at(source, km).pk for km in (2, 3, 4)}
    candidates.sites.forget()
    honest = assigning.places_of

    def somebody_is_quicker(fleet):
        sent_out(other_organisation, 1)
        return honest(fleet)

    monkeypatch.setattr(assigning, "places_of", somebody_is_quicker)
    assert len(services.connectors_changed(changes=changes, now=NOW)) == 2
    assert set(connectors().values()) == free
    assert Counter(ChargePlan.objects.values_list("state", flat=True)) == {"replaced": 2, "proposed": 3}


@pytest.mark.parametrize("count", [1, 2])
def test_what_was_promised_while_another_place_was_looked_for_is_given_back(
    source, organisation, dispatcher, monkeypatch, count
):
    for km in (1, 2, 3, 4):
        plug_at(source, km)
    old = sent_out(organisation, count).order_by("pk").first()
    honest = planning.drafted

    def accepted_meanwhile(seen, want, answer, engine):
        if want.replaces == old:
            services.accept_plan(plan_id=old.pk, actor=dispatcher, now=NOW)
        return honest(seen, want, answer, engine)

    monkeypatch.setattr(planning, "drafted", accepted_meanwhile)
    services.replan_together(plans=[(pk, "taken") for pk in ChargePlan.objects.values_list("pk", flat=True)], now=NOW)
    old.refresh_from_db()
    assert (old.state, Reservation.objects.get().state) == ("replaced", "cancelled")


@pytest.mark.parametrize("reason", ["stale", "better"])
@pytest.mark.parametrize("count", [1, 2])
def test_what_somebody_accepts_while_a_newer_plan_is_looked_for_stands(
    source, organisation, dispatcher, monkeypatch, count, reason
):
    for km in (1, 2, 3, 4):
        plug_at(source, km)
    old = sent_out(organisation, count).order_by("pk").first()
    meanwhile(monkeypatch, old, lambda: services.accept_plan(plan_id=old.pk, actor=dispatcher, now=NOW))
    services.replan_together(plans=[(pk, reason) for pk in ChargePlan.objects.values_list("pk", flat=True)], now=NOW)
    assert ChargePlan.objects.open().get(vehicle=old.vehicle_id) == old
    assert (Reservation.objects.get().plan, Reservation.objects.get().state) == (old, "requested")
    assert Counter(ChargePlan.objects.values_list("state", flat=True))["replaced"] == count - 1


@pytest.mark.parametrize("count", [1, 2])
def test_who_comes_and_charges_while_another_place_is_looked_for_stays(source, organisation, monkeypatch, count):
    for km in (1, 2, 3, 4):
        plug_at(source, km)
    old = sent_out(organisation, count).order_by("pk").first()
    meanwhile(monkeypatch, old, lambda: charge_at(old.connector, old.vehicle))
    services.replan_together(plans=[(pk, "taken") for pk in ChargePlan.objects.values_list("pk", flat=True)], now=NOW)
    old.refresh_from_db()
    assert (old.state, ChargePlan.objects.open().get(vehicle=old.vehicle)) == ("charging", old)
    assert Alert.objects.get(vehicle=old.vehicle).kind == "rerouted"
    assert Counter(ChargePlan.objects.values_list("state", flat=True))["replaced"] == count - 1


def meanwhile(monkeypatch, plan, happens):
    """Once a place is found for its vehicle, and before that is written."""
    honest = planning.drafted

    def drafted(seen, want, *values):
        if want.replaces == plan and plan.state == "proposed":
            plan.state = "seen"
            happens()
        return honest(seen, want, *values)

    monkeypatch.setattr(planning, "drafted", drafted)


def charge_at(connector, vehicle):
    session = ChargingSession.objects.create(
        organisation=vehicle.organisation, source=connector.evse.location.source, connector=connector, vehicle=vehicle,
        transaction_ref=f"t{vehicle.pk}", start_key=f"s{vehicle.pk}", started_at=NOW,
    )  # fmt: skip
    services.session_started(
        session_id=session.pk, vehicle_id=vehicle.pk, connector_id=connector.pk,
        location_id=connector.evse.location_id, now=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(("module", "name"), [(stories, "_opening"), (assigning, "question_of")])
def test_one_that_cannot_be_told_or_asked_for_keeps_nobody_else_waiting(
    source, organisation, monkeypatch, module, name
):
    for km in (1, 2, 3, 4, 5, 6):
        plug_at(source, km)
    plans = sent_out(organisation, 3)
    bad, *others = plans.order_by("pk").values_list("vehicle_id", flat=True)
    changes, honest = broken(plans), getattr(module, name)

    def shaky(about, **values):
        if about.vehicle_id == bad:
            raise RuntimeError("a defect of ours")
        return honest(about, **values)

    monkeypatch.setattr(module, name, shaky)
    services.connectors_changed(changes=changes, now=NOW)
    planned = ChargePlan.objects.open().filter(trigger="faulted", vehicle__in=others)
    assert len(set(planned.values_list("connector_id", flat=True))) == 2
    assert not set(connectors().values()) & set(dict(changes))


def test_who_was_planned_for_or_has_come_meanwhile_sends_nobody_else_to_the_end_of_the_queue(
    source, organisation, monkeypatch
):
    plugs = [plug_at(source, km) for km in (1, 2, 3, 4, 5)]
    quick, there, *others = (factories.vehicle(organisation, soc_percent=10 + number) for number in range(4))
    honest, alone, plan_alone = assigning.places_of, [], planning.plan_charge_stop

    def places_of(fleet):
        plan_alone(vehicle_id=quick.pk, trigger="soc_low", trigger_key="soc:event", now=NOW, excluded=[plugs[0].pk])
        charge_at(plugs[4], there)
        return honest(fleet)

    def plan_charge_stop(**want):
        alone.append(want["vehicle_id"])
        return plan_alone(**want)

    monkeypatch.setattr(assigning, "places_of", places_of)
    monkeypatch.setattr(planning, "plan_charge_stop", plan_charge_stop)
    sweep()
    assert quick.pk in alone and there.pk in alone and len(alone) < 4
    assert connectors().keys() == {quick.pk, *(one.pk for one in others)}
    assert ChargePlan.objects.get(vehicle=quick).trigger_key == "soc:event"
