"""Many vehicles of a fleet that need a plug at once get theirs by one matching, never two the same."""

from collections import Counter
from datetime import timedelta

import pytest
import time_machine

from dispatch import candidates, replaying, services, tasks
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.services import assigning, following
from dispatch.tests import factories
from dispatch.tests.factories import HERE, NOW
from stations.models import EVSE, Charger, Connector
from vehicles.models import IdToken

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_index():
    candidates.sites.forget()


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
    let_go, stuck = following._let_go, ChargePlan.objects.open().get(vehicle=rivals[1])

    def fail_once(plan_id, reason, now):
        if plan_id == stuck.pk:
            raise RuntimeError("a bad row")
        return let_go(plan_id, reason, now)

    monkeypatch.setattr(following, "_let_go", fail_once)
    Connector.objects.filter(pk__in=[first.pk, second.pk]).update(status="faulted")
    services.connectors_changed(changes=[(first.pk, "faulted"), (second.pk, "faulted")], now=NOW)
    other = ChargePlan.objects.open().exclude(pk=stuck.pk).get()
    assert (other.trigger, other.connector) == ("faulted", free)
