"""A vehicle is only sent where it may charge: by list, money, shift, opening hours, plug and volts."""

from datetime import timedelta

import pytest
import time_machine

from billing.models import AllowedSite, ChargingPolicy, LimitUsage, Wallet
from billing.tests.factories import limit
from dispatch import candidates, services, tasks
from dispatch.models import Alert, ChargePlan
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from stations.models import Connector, Location, Tariff
from vehicles.models import Driver, IdToken, Shift, Stop

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(organisation):
    return factories.public_network(organisation)


@pytest.fixture
def near(source):
    return plug_at(source, 1)


@pytest.fixture
def far(source):
    return plug_at(source, 4)


@pytest.fixture
def vehicle(organisation, near, far):
    return factories.vehicle(organisation)


def plug_at(source, km, *, opening_times=None, **fields):
    place = factories.location(source, latitude=factories.HERE[0] + km / 111.2, opening_times=opening_times)
    return factories.connector(place, **fields)


def plan_for(vehicle, key="soc:1"):
    return services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=key, now=NOW)


@pytest.mark.parametrize("of", ["vehicle", "token"])
def test_a_vehicle_with_a_list_of_sites_is_sent_to_one_of_them(vehicle, far, organisation, of):
    whose = {"vehicle": vehicle} if of == "vehicle" else {"id_token": vehicle.id_tokens.get()}
    AllowedSite.objects.create(organisation=organisation, location=far.evse.location, **whose)
    assert plan_for(vehicle).connector == far


def test_where_the_limit_of_a_site_is_used_up_the_next_one_is_taken(vehicle, near, far, organisation):
    limit(organisation, location=near.evse.location, amount_paise=1_00)
    plan = plan_for(vehicle)
    assert (plan.connector, plan.explanation["refusal"]) == (far, "limit:site")
    assert near.pk not in {one["connector_id"] for one in plan.explanation["candidates"]}


def test_what_would_be_refused_everywhere_is_told_and_planned_once_it_is_mended(vehicle, near):
    Wallet.objects.update(state="frozen")
    plan = plan_for(vehicle)
    assert (plan.state, plan.connector) == ("infeasible", None)
    alert = Alert.objects.get()
    assert (alert.kind, alert.title) == ("no_charger", f"{vehicle.registration} has 18 % and may not charge")
    assert "the wallet is frozen" in alert.body and alert.data["refusal"] == "wallet_frozen"
    Wallet.objects.update(state="active")
    with time_machine.travel(NOW + timedelta(minutes=2), tick=False):
        tasks.sweep_low_vehicles()
    assert ChargePlan.objects.open().get().connector == near


def test_another_reason_is_news(vehicle):
    Wallet.objects.update(state="frozen")
    plan_for(vehicle)
    IdToken.objects.update(is_active=False)
    plan_for(vehicle, key="soc:2")
    assert "the token is blocked" in Alert.objects.get().body


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"is_active": False}, "blocked_token"), ({"valid_until": NOW + timedelta(minutes=1)}, "expired_token")],
)
def test_a_token_that_will_not_be_valid_on_arrival_is_refused(vehicle, change, reason):
    IdToken.objects.update(**change)
    assert plan_for(vehicle).explanation["refusal"] == reason


def test_a_valid_token_counts_more_than_an_old_one(vehicle, near, organisation):
    IdToken.objects.update(is_active=False)
    IdToken.objects.create(organisation=organisation, uid="NEW", vehicle=vehicle)
    assert plan_for(vehicle).connector == near


def test_off_shift_is_said(vehicle, organisation):
    ChargingPolicy.objects.create(organisation=organisation, needs_shift=True)
    assert plan_for(vehicle).explanation["refusal"] == "not_on_shift"


@pytest.fixture
def gate(near):
    """The nearest plug, behind a gate that opens in an hour."""
    Location.objects.filter(evses__connectors=near).update(opening_times=opens("13:00", "20:00"))
    return near


def test_a_token_that_expires_while_it_waits_at_one_plug_is_used_at_another(vehicle, gate, far, organisation):
    dear = [{"price_components": [{"type": "ENERGY", "price": "900"}]}]
    far.tariff = Tariff.objects.create(source=far.evse.location.source, external_id="dear", elements=dear)
    far.save()
    type(organisation).objects.update(cost_per_minute_paise=0)
    IdToken.objects.update(valid_until=NOW + timedelta(hours=2))
    assert plan_for(vehicle).connector == gate
    ChargePlan.objects.all().delete()
    IdToken.objects.update(valid_until=NOW + timedelta(minutes=30))
    plan = plan_for(vehicle, key="soc:2")
    assert (plan.connector, plan.explanation["refusal"]) == (far, "expired_token")


def test_before_its_shift_a_vehicle_is_sent_where_it_begins_in_its_shift(vehicle, gate, organisation):
    ChargingPolicy.objects.create(organisation=organisation, needs_shift=True, shift_margin_minutes=0)
    driver = Driver.objects.create(organisation=organisation, name="Asha")
    begins = NOW + timedelta(minutes=45)
    Shift.objects.create(
        organisation=organisation, vehicle=vehicle, driver=driver, starts_at=begins, ends_at=begins + timedelta(hours=8)
    )
    plan = plan_for(vehicle)
    assert (plan.connector, plan.explanation["refusal"]) == (gate, "not_on_shift")


def test_a_limit_of_the_day_is_told_and_not_waited_for_till_tomorrow(vehicle, near, organisation):
    tomorrow = {"weekday": 2, "period_begin": "06:00", "period_end": "20:00"}
    times = {"twentyfourseven": False, "regular_hours": [tomorrow]}
    Location.objects.filter(evses__connectors=near).update(opening_times=times)
    day = limit(organisation, amount_paise=1000_00)
    today = NOW.date()
    LimitUsage.objects.create(limit=day, period_start=today, is_hard=True, cap_paise=1000_00, spent_paise=1000_00)
    plan = plan_for(vehicle)
    assert (plan.state, plan.explanation["refusal"]) == ("infeasible", "limit:organisation")
    LimitUsage.objects.update(period_start=today - timedelta(days=1))
    assert plan_for(vehicle, key="soc:2").state == "proposed"


def test_of_a_vehicle_without_any_token_nothing_is_asked(vehicle, near):
    IdToken.objects.all().delete()
    assert plan_for(vehicle).connector == near


def opens(begins, ends):
    """On Mondays; it is noon there."""
    line = {"weekday": 1, "period_begin": begins, "period_end": ends}
    return {"twentyfourseven": False, "regular_hours": [line]}


@pytest.mark.parametrize("times", [opens("06:00", "11:00"), opens("23:00", "23:30"), opens("06:00", "12:20")])
def test_a_gate_that_is_closed_on_arrival_or_closes_too_soon_is_not_driven_to(vehicle, near, far, times):
    Location.objects.filter(evses__connectors=near).update(opening_times=times)
    assert plan_for(vehicle).connector == far


@pytest.mark.parametrize("times", [opens("06:00", "20:00"), opens("??", "20:00"), {"twentyfourseven": True}])
def test_an_open_site_and_one_of_unknown_hours_are_driven_to(vehicle, near, times):
    Location.objects.filter(evses__connectors=near).update(opening_times=times)
    assert plan_for(vehicle).connector == near


def test_where_nothing_is_open_the_vehicle_waits_at_the_gate(vehicle, near, far):
    Connector.objects.filter(pk=far.pk).update(status="faulted")
    Location.objects.filter(evses__connectors=near).update(opening_times=opens("13:00", "20:00"))
    plan = plan_for(vehicle)
    assert (plan.connector, plan.plug_in_at) == (near, NOW + timedelta(hours=1))


def test_nearby_sites_that_open_hours_later_do_not_end_the_search(organisation, source):
    for _ in range(candidates.NEAREST_SITES):
        plug_at(source, 1, opening_times=opens("18:00", "23:00"))
    open_now = plug_at(source, 2)
    assert plan_for(factories.vehicle(organisation)).connector == open_now


def test_a_plug_without_the_volts_of_the_battery_is_left_out(organisation, near, far):
    Connector.objects.filter(pk=near.pk).update(max_voltage_v=500)
    bus = factories.vehicle(organisation, model=factories.vehicle_model(max_voltage_v=750))
    assert plan_for(bus).connector == far
    Connector.objects.filter(pk=near.pk).update(max_voltage_v=750)
    candidates.sites.forget()
    assert plan_for(factories.vehicle(organisation, model=bus.model), key="soc:2").connector == near


def test_a_vehicle_that_no_plug_fits_is_told_so(organisation, near):
    scooter = factories.vehicle(organisation, model=factories.vehicle_model(plugs=["bharat_dc001"]))
    assert plan_for(scooter).explanation["problem"] == "no_plug_match"
    alert = Alert.objects.get()
    assert alert.title == f"{scooter.registration} has 18 % and no charger fits it"
    assert alert.body.startswith("No charger that it may use has a plug for it")


def test_where_every_fitting_plug_is_out_of_order_it_is_said(vehicle):
    Connector.objects.update(status="faulted")
    assert plan_for(vehicle).explanation["problem"] == "none_free"
    assert Alert.objects.get().title == f"{vehicle.registration} has 18 % and no charger to be had"


@pytest.mark.parametrize(("km", "status"), [(60, "faulted"), (600, "available")])
def test_what_lies_beyond_reach_is_out_of_reach_whatever_its_state(organisation, source, km, status):
    plug_at(source, km, status=status)
    vehicle = factories.vehicle(organisation)
    assert plan_for(vehicle).explanation["problem"] == "out_of_reach"
    assert Alert.objects.get().title == f"{vehicle.registration} has 18 % and no charger in reach"


@pytest.fixture
def asked(monkeypatch):
    """How many sites were asked for their plugs, each time."""
    counts, honest = [], candidates.at_sites

    def counted(place_ids, **values):
        counts.append(len(place_ids))
        return honest(place_ids, **values)

    monkeypatch.setattr(candidates, "at_sites", counted)
    return counts


def test_sites_beyond_reach_or_without_a_fitting_plug_are_not_asked(organisation, source, asked):
    for number in range(50):
        plug_at(source, 60 + number / 10)
        plug_at(source, 1, plug="chademo")
    vehicle = factories.vehicle(organisation)
    plan = plan_for(vehicle)
    assert (plan.explanation["problem"], asked) == ("out_of_reach", [candidates.NEAREST_SITES])
    assert plan.explanation["deficit_wh"] > 5_000


def test_few_plugs_nearby_do_not_end_the_search_within_reach(organisation, source, asked):
    plug_at(source, 1, status="charging")
    for _ in range(candidates.NEAREST_SITES - 1):
        plug_at(source, 1, status="faulted")
    free = plug_at(source, 2)
    assert plan_for(factories.vehicle(organisation)).connector == free
    assert asked == [candidates.NEAREST_SITES, 1]


def test_sites_of_others_are_not_asked(organisation, other_organisation, near, asked):
    closed = factories.public_network(other_organisation)
    for _ in range(candidates.NEAREST_SITES):
        plug_at(closed, 0)
    assert plan_for(factories.vehicle(organisation)).connector == near
    assert asked == [1]


def test_who_would_be_refused_later_on_its_way_charges_before_that(organisation, source):
    """The plug ahead is the better one, but the token does not last until the vehicle is there."""
    ahead, behind = plug_at(source, 12), plug_at(source, -2)
    vehicle = factories.vehicle(organisation, soc_percent=40.0)
    for number, km in enumerate((10, 50), 1):
        place = {"latitude": factories.HERE[0] + km / 111.2, "longitude": factories.HERE[1]}
        Stop.objects.create(vehicle=vehicle, sequence=number, name=f"Stop {number}", **place)
    assert plan_for(vehicle).connector == ahead
    ChargePlan.objects.all().delete()
    IdToken.objects.filter(vehicle=vehicle).update(valid_until=NOW + timedelta(minutes=20))
    plan = plan_for(vehicle, key="soc:2")
    assert (plan.state, plan.connector, plan.explanation["refusal"]) == ("proposed", behind, "expired_token")
