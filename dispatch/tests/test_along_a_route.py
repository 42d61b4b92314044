"""A plan is made for the whole way ahead: where to charge along it, how much, and what each other choice would cost."""

from datetime import datetime, timedelta

import pytest

from dispatch import pricing, replaying, services
from dispatch.core import along, routes
from dispatch.models import Alert
from dispatch.tests import factories
from dispatch.tests.factories import HERE, NOW
from stations.models import Connector, Tariff
from vehicles.models import Stop

pytestmark = pytest.mark.django_db
SECONDS_AT_A_STOP = 300


@pytest.fixture
def source(organisation):
    return factories.public_network(organisation)


def north(km):
    return HERE[0] + km / 111.2


def plug_at(source, km, **fields):
    return factories.connector(factories.location(source, latitude=north(km), name=f"km {km}"), **fields)


def plan_for(organisation, *stops, soc_percent=18.0, key="soc:1"):
    """`stops`: (km to the north, minutes until it is due or None)."""
    vehicle = factories.vehicle(organisation, soc_percent=soc_percent)
    for number, (km, due) in enumerate(stops, 1):
        due_at = None if due is None else NOW + timedelta(minutes=due)
        name = f"Stop {number}"
        Stop.objects.create(
            vehicle=vehicle, sequence=number, name=name, latitude=north(km), longitude=HERE[1], due_at=due_at
        )
    return services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=key, now=NOW)


def test_a_plug_on_the_way_is_better_than_a_nearer_one_behind(source, organisation):
    plug_at(source, -1)
    ahead = plug_at(source, 5)
    plan = plan_for(organisation, (8, None), (20, None))
    assert (plan.connector, plan.detour_m) == (ahead, pytest.approx(0, abs=3))
    assert [one["name"] for one in plan.explanation["arrivals"]] == ["Stop 1", "Stop 2"]


def test_only_what_the_route_takes_is_charged_and_its_end_is_not_low(source, organisation):
    plug_at(source, 5)
    plan = plan_for(organisation, (8, None), (20, None))
    assert plan.explanation["arrivals"][-1]["soc_percent"] == pytest.approx(organisation.soc_clear_percent, abs=0.1)
    assert plan.target_soc_percent == pytest.approx(25 + 15 * 1.35 * 161 / 213, abs=0.2)


def test_without_a_stop_it_is_charged_as_full_as_the_fleet_charges(source, organisation):
    plug_at(source, 5)
    plan = plan_for(organisation)
    assert (plan.target_soc_percent, plan.explanation["arrivals"]) == (organisation.target_soc_percent, [])
    assert plan.detour_m == plan.distance_m == pytest.approx(5 * 1350, rel=0.01)


def test_to_be_in_time_it_charges_after_the_stop_that_is_due(source, organisation):
    plug_at(source, 4)
    behind = plug_at(source, 9)
    plan = plan_for(organisation, (8, 30), (20, None))
    (visit,) = plan.explanation["visits"]
    assert (plan.connector, visit["before"]) == (behind, "Stop 2")
    assert plan.explanation["arrivals"][0]["late_seconds"] == 0
    assert plan.distance_m == pytest.approx(9 * 1350, rel=0.01)
    assert plan.drive_seconds > SECONDS_AT_A_STOP + 1.7 * 8_000**0.75  # it unloads before it charges
    assert plan.route["old"][-1] == pytest.approx([north(20), HERE[1]])


def test_what_cannot_be_reached_in_time_is_reached_late_and_it_is_said(source, organisation):
    plug_at(source, 4)
    plan = plan_for(organisation, (8, 10), (20, None))
    assert plan.state == "proposed"
    assert plan.explanation["arrivals"][0]["late_seconds"] > 10 * 60


def test_a_stop_that_is_late_anyway_makes_no_other_late(source, organisation):
    """Charging at km 4 would be as good for the first stop, and too late for the second."""
    plug_at(source, 4)
    behind = plug_at(source, 17)
    plan = plan_for(organisation, (8, 0), (16, 55), (20, None), soc_percent=26.0)
    assert plan.connector == behind
    assert [one["late_seconds"] > 0 for one in plan.explanation["arrivals"]] == [True, False, False]


def test_a_charge_fills_the_time_until_a_window_opens(source, organisation):
    """Behind the stop it would be charged later, and the vehicle would have waited for the window for nothing."""
    ahead = plug_at(source, 4)
    plug_at(source, 9)
    vehicle = factories.vehicle(organisation, soc_percent=18.0)
    for number, (km, opens) in enumerate(((8, 90), (20, None)), 1):
        Stop.objects.create(
            vehicle=vehicle, sequence=number, name=f"Stop {number}", latitude=north(km), longitude=HERE[1],
            earliest_at=NOW + timedelta(minutes=opens) if opens else None,
        )  # fmt: skip
    plan = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=NOW)
    (visit,) = plan.explanation["visits"]
    assert (plan.connector, visit["before"]) == (ahead, "Stop 1")
    opens_at = (NOW + timedelta(minutes=90)).timestamp()
    assert datetime.fromisoformat(plan.explanation["arrivals"][1]["arrives_at"]).timestamp() > opens_at


def test_a_long_way_takes_two_charges(source, organisation):
    first, second = plug_at(source, 5), plug_at(source, 45)
    plan = plan_for(organisation, (90, None))
    assert [one["connector_id"] for one in plan.explanation["visits"]] == [first.pk, second.pk]
    assert (plan.connector, plan.target_soc_percent) == (first, plan.explanation["visits"][0]["departure_soc_percent"])
    assert all(one["arrival_soc_percent"] >= organisation.reserve_soc_percent for one in plan.explanation["visits"])


def test_of_a_route_that_is_too_long_as_much_is_planned_as_can_be_driven(source, organisation):
    plug_at(source, 5)
    plan = plan_for(organisation, (10, None), (300, None))
    assert [one["name"] for one in plan.explanation["arrivals"]] == ["Stop 1"]
    assert plan.explanation["stops_beyond"] == ["Stop 2"]


def test_every_other_plug_is_told_with_what_it_would_really_cost(source, organisation):
    """Were it the only one, that would be the plan."""
    for km in (2, 4, 6):
        plug_at(source, km, status="charging" if km == 4 else "available", status_since=NOW)
    states = dict(Connector.objects.values_list("pk", "status"))
    plan = plan_for(organisation, (15, None))
    services.dismiss_plan(plan_id=plan.pk, actor=None, now=NOW)
    told = {one["connector_id"]: one for one in plan.explanation["candidates"]}
    assert len(told) == 3
    for number, connector in enumerate(Connector.objects.all()):
        Connector.objects.update(status="faulted")
        Connector.objects.filter(pk=connector.pk).update(status=states[connector.pk])
        plan = plan_for(organisation, (15, None), key=f"alone:{number}")
        (alone,) = plan.explanation["candidates"]
        assert alone == told[connector.pk]
        services.dismiss_plan(plan_id=plan.pk, actor=None, now=NOW)


def test_the_plan_is_the_cheapest_of_what_is_told(source, organisation):
    for km in (2, 4, 6):
        plug_at(source, km, status="charging" if km == 4 else "available")
    plan = plan_for(organisation, (15, None))
    totals = [one["total_paise"] for one in plan.explanation["candidates"]]
    assert totals == sorted(totals) and len(totals) == 3
    assert plan.explanation["candidates"][0]["connector_id"] == plan.connector_id


def test_plan_b_is_known_before_it_is_needed(source, organisation):
    first, second = plug_at(source, 3), plug_at(source, 8)
    plan = plan_for(organisation)
    assert plan.connector == first
    known = plan.explanation["plan_b"]
    assert (known["connector_id"], known["station"], known["turn_off_at"]) == (second.pk, "km 8", "")
    second.status = "faulted"
    second.save()
    services.dismiss_plan(plan_id=plan.pk, actor=None, now=NOW)
    alone = plan_for(organisation, key="alone").explanation["plan_b"]
    assert (alone["connector_id"], alone["turn_off_at"]) == (None, None)


def test_a_route_that_cannot_be_driven_names_what_is_missing_and_what_would_help(source, organisation):
    plug_at(source, 39)
    plan = plan_for(organisation, (20, None), (38, None), soc_percent=36.0)
    known = plan.explanation
    assert (plan.state, known["problem"], known["route_problem"]) == ("infeasible", "out_of_reach", "start_too_low")
    assert (known["blocked_stop"], known["farthest_stop"]) == ("Stop 2", "Stop 1")
    ways = {way["kind"]: way for way in known["ways_out"]}
    assert ways["charge_first"]["value"] == pytest.approx(known["deficit_wh"], abs=1)
    assert 0 < ways["drive_economically"]["value"] < 30
    assert "kWh more before it leaves would do." in Alert.objects.get().body


def test_a_route_that_needs_no_charge_is_finished_also_where_there_is_no_charger(source, organisation):
    plug_at(source, 60)
    plan = plan_for(organisation, (3, None))
    assert (plan.state, plan.explanation["can_finish"]) == ("infeasible", True)
    assert plan.explanation["deficit_wh"] > 5_000
    assert Alert.objects.get().data["deficit_wh"] == plan.explanation["deficit_wh"]


@pytest.mark.parametrize("stops", [(), ((8, 30), (20, None)), ((90, None),), ((300, None),)])
def test_a_stored_plan_is_decided_again_to_the_same_figures(source, organisation, stops):
    for km in (1, 5, 9, 45):
        plug_at(source, km, status="charging" if km == 5 else "available")
    plan = plan_for(organisation, *stops)
    plan.refresh_from_db()
    again = replaying.replay(plan)
    assert (again.connector_id, replaying.differences(plan, again)) == (plan.connector_id, [])
    assert again.figures["delay_seconds"] == plan.delay_seconds > 0


def test_a_price_that_changes_by_the_clock_is_planned_with(source, organisation):
    """It is noon there; from 12:30 on energy costs a tenth."""
    dear = {"price_components": [{"type": "ENERGY", "price": "40.00"}], "restrictions": {"end_time": "12:30"}}
    cheap = {"price_components": [{"type": "ENERGY", "price": "4.00"}]}
    tariff = Tariff.objects.create(source=source, external_id="T", elements=[dear, cheap])
    plug_at(source, 5, tariff=tariff)
    type(organisation).objects.update(cost_per_minute_paise=1)
    plan = plan_for(organisation)
    (charger,) = plan.snapshot["route"]["chargers"]
    until = (12.5 - 12) * 3600
    bands = [(at, round(price)) for at, price in charger["price_bands"] if at in (0, until)]
    assert bands == [(0, 4720), (until, 472)]  # with GST
    late = routes.from_snapshot(plan.snapshot["route"])
    assert along.decide(late).plan.price_paise < plan.energy_wh / 1000 * 4720


@pytest.mark.parametrize(
    ("elements", "line"),
    [
        ([{"price_components": [{"type": "ENERGY", "price": "20"}]}], (2360, 0)),
        ([{"price_components": [{"type": "ENERGY", "price": "20"}, {"type": "FLAT", "price": "30"}]}], (2360, 3540)),
        ([{"price_components": [{"type": "TIME", "price": "60"}]}], (236, 0)),
    ],
)
def test_a_tariff_becomes_a_line(elements, line):
    """20 kWh at 30 kW; a fee counts once, an hour counts by the kWh it brings."""
    tariff = pricing.Tariff(elements, pricing.read_terms({}), "Asia/Kolkata")
    found = pricing.line(tariff, wh=20_000, power_w=30_000, now=NOW)
    assert (found.paise_per_kwh, found.fee_paise) == (pytest.approx(line[0], abs=1), pytest.approx(line[1], abs=15))
