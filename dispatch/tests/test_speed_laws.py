"""How fast a fleet gets about, by hour, learned from its own trips."""

import math
from datetime import datetime, timedelta

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from dispatch import candidates, engines, services
from dispatch.core import speeds
from dispatch.core.speeds import Trips
from dispatch.driving import eta
from dispatch.engines.crow import ASSUMED, CIRCUITY, SECONDS_EXPONENT, SECONDS_FACTOR, CrowEngine, Law, crow_metres
from dispatch.models import SpeedLaw
from dispatch.speeds import learning
from dispatch.speeds.tasks import learn_speeds
from dispatch.tests import factories
from dispatch.tests.driving import under_way
from dispatch.tests.factories import HERE, NOW
from vehicles.models import Stop, Vehicle
from vehicles.trips.models import Stretch

NINE, TEN_AT_NIGHT = 9, 22
AT_NINE = NOW.replace(hour=3, minute=45)
"""09:15 in India."""


def learnt(**hours: tuple[int, float, float]) -> dict[int, speeds.Learned]:
    trips = {int(name[1:]): Trips(*values) for name, values in hours.items()}
    return speeds.learn(trips, circuity=1.35, seconds_factor=1.7)


def trip(
    vehicle: Vehicle, at: datetime, *, km: float = 5, detour: float = CIRCUITY, slow: float = 1.0, **fields
) -> Stretch:
    """Due north; `slow` times as long as assumed."""
    crow_m = km * 1000
    took = timedelta(seconds=slow * SECONDS_FACTOR * crow_m**SECONDS_EXPONENT)
    values = {
        "kind": "trip", "day": at.date(), "started_at": at, "ended_at": at + took,
        "start_latitude": HERE[0], "start_longitude": HERE[1],
        "end_latitude": HERE[0] + math.degrees(crow_m / 6_371_008.8), "end_longitude": HERE[1],
        "distance_m": round(crow_m * detour), **fields,
    }  # fmt: skip
    return Stretch.objects.create(vehicle=vehicle, **values)


def many(vehicle: Vehicle, at: datetime, count: int, **fields) -> None:
    for number in range(count):
        trip(vehicle, at - timedelta(days=number % 20), **fields)


# --- the arithmetic -----------------------------------------------------------------------------------------------
def test_from_few_trips_nothing_is_learned():
    assert learnt() == {}
    assert learnt(h9=(speeds.LEAST_TRIPS - 1, 5.0, 5.0)) == {}


def test_an_hour_with_many_trips_is_as_they_were():
    """A thousand trips at nine, each twice as slow and a tenth longer; nothing at other hours."""
    made = learnt(h9=(1000, 1000 * math.log(1.1), 1000 * math.log(2)))
    assert sorted(made) == list(range(24))
    assert made[9].circuity == pytest.approx(1.35 * 1.1, rel=0.01)
    assert made[9].seconds_factor == pytest.approx(1.7 * 2, rel=0.01)
    assert made[9].trips == 1000
    assert made[3].seconds_factor == pytest.approx(1.7 * 2 ** (1000 / 1050))
    assert made[3].trips == 0


def test_an_hour_with_few_trips_is_like_the_fleets_day():
    made = learnt(h9=(10, 10 * math.log(2), 10 * math.log(2)), h15=(500, 0.0, 0.0))
    day = 10 * math.log(2) / (510 + 50)
    assert math.log(made[9].seconds_factor / 1.7) == pytest.approx((10 * math.log(2) + 20 * day) / 30)
    assert math.log(made[15].seconds_factor / 1.7) == pytest.approx(20 * day / 520)


hours = st.dictionaries(
    st.integers(0, 23), st.tuples(st.integers(1, 2000), st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)), min_size=1
)


@given(hours)
def test_what_is_learned_lies_between_the_assumed_and_the_seen(seen):
    trips = {hour: Trips(count, road * count, time * count) for hour, (count, road, time) in seen.items()}
    made = speeds.learn(trips, circuity=1.35, seconds_factor=1.7)
    times = [0.0, *(time for _, _, time in seen.values())]
    roads = [0.0, *(road for _, road, _ in seen.values())]
    for law in made.values():
        assert min(times) - 1e-9 <= math.log(law.seconds_factor / 1.7) <= max(times) + 1e-9
        assert min(roads) - 1e-9 <= math.log(law.circuity / 1.35) <= max(roads) + 1e-9


# --- from trips to plans ------------------------------------------------------------------------------------------
@pytest.fixture
def vehicle(organisation) -> Vehicle:
    return factories.vehicle(organisation)


@pytest.mark.django_db
def test_each_hour_is_learned_from_its_own_trips(vehicle, organisation):
    many(vehicle, AT_NINE, 200, slow=1.6, detour=1.5)
    many(vehicle, AT_NINE + timedelta(hours=13), 200, slow=0.7)
    assert learning.learn_speeds(now=NOW + timedelta(days=1)) == 1
    laws = {law.hour: law for law in SpeedLaw.objects.for_organisation(organisation)}
    assert {hour: law.trips for hour, law in laws.items() if law.trips} == {NINE: 200, TEN_AT_NIGHT: 200}
    assert laws[NINE].seconds_factor == pytest.approx(1.7 * 1.6, rel=0.05)
    assert laws[NINE].circuity == pytest.approx(1.5, rel=0.02)
    assert laws[TEN_AT_NIGHT].seconds_factor == pytest.approx(1.7 * 0.7, rel=0.05)
    known = learning.law_of(organisation.pk, AT_NINE)
    assert known == Law(laws[NINE].circuity, laws[NINE].seconds_factor, NOW.date() + timedelta(days=1))


@pytest.mark.django_db
def test_the_sums_are_those_of_the_trips_that_are_ways(vehicle):
    """Beside the same in Python, of trips of all kinds, odd ones among them."""
    random, kept = np.random.default_rng(3), []
    for number in range(300):
        km, detour, slow = random.uniform(0.2, 8), random.uniform(0.8, 3.0), float(np.exp(random.normal(0, 1.2)))
        row = trip(vehicle, AT_NINE - timedelta(days=number % 7), km=km, detour=detour, slow=slow,
                   end_longitude=HERE[1] + random.uniform(-0.02, 0.02))  # fmt: skip
        ends = np.array([[row.start_latitude, row.start_longitude]]), np.array([[row.end_latitude, row.end_longitude]])
        crow = float(crow_metres(*ends)[0, 0])
        seconds = (row.ended_at - row.started_at).total_seconds()
        is_way = crow >= 500 and 0.95 <= row.distance_m / crow <= 2.5 and 3 <= row.distance_m / seconds * 3.6 <= 120
        if is_way:
            road = math.log(row.distance_m / (CIRCUITY * crow))
            time = math.log(seconds / (SECONDS_FACTOR * crow**SECONDS_EXPONENT))
            kept.append((min(max(road, -speeds.CLIP), speeds.CLIP), min(max(time, -speeds.CLIP), speeds.CLIP)))
    assert 50 < len(kept) < 250
    found = learning._trips(NOW)[vehicle.organisation_id][NINE]
    assert found == (len(kept), pytest.approx(sum(a for a, _ in kept)), pytest.approx(sum(b for _, b in kept)))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "halt"},
        {"end_latitude": HERE[0]},  # a round
        {"distance_m": 0},
        {"detour": 3.0},
        {"detour": 0.5},
        {"slow": 60.0},
        {"slow": 0.01},
        {"km": 0.4},
        {"ended_at": AT_NINE - timedelta(days=30)},
    ],
)
def test_what_is_no_way_teaches_nothing(vehicle, fields):
    many(vehicle, AT_NINE, 30, **fields)
    assert learning.learn_speeds(now=NOW) == 0
    assert not SpeedLaw.objects.exists()


@pytest.mark.django_db
def test_another_fleets_trips_teach_nothing_here(vehicle, organisation, other_organisation):
    many(factories.vehicle(other_organisation), AT_NINE, 40, slow=1.9)
    assert learning.learn_speeds(now=NOW) == 1
    assert learning.law_of(organisation.pk, AT_NINE) == ASSUMED
    assert learning.law_of(other_organisation.pk, AT_NINE).seconds_factor > 1.9


@pytest.mark.django_db
def test_learning_again_changes_nothing_and_old_trips_are_forgotten(vehicle, organisation):
    many(vehicle, AT_NINE, 40, slow=1.5)
    learn_again = [learning.learn_speeds(now=NOW) for _ in range(2)]
    assert (learn_again, SpeedLaw.objects.count()) == ([1, 1], 24)
    assert learning.learn_speeds(now=NOW + timedelta(days=60)) == 0
    assert learning.law_of(organisation.pk, AT_NINE) == ASSUMED


@pytest.mark.django_db
def test_the_nightly_task_learns(vehicle):
    now = datetime.now(tz=NOW.tzinfo)
    many(vehicle, now - timedelta(days=1), 40)
    assert learn_speeds() == 1


@pytest.mark.django_db
def test_the_database_keeps_one_law_of_each_hour(organisation):
    def store(**fields):
        values = {"hour": 9, "circuity": 1.4, "seconds_factor": 2.0, "trips": 30, "learned_on": NOW.date(), **fields}
        with transaction.atomic():
            SpeedLaw.objects.create(organisation=organisation, **values)

    store()
    for broken in ({}, {"hour": 24}, {"hour": 1, "circuity": 0}, {"hour": 1, "seconds_factor": -1}):
        with pytest.raises(IntegrityError):
            store(**broken)


@pytest.mark.django_db
def test_a_plan_is_made_by_what_the_fleet_takes_at_that_hour(vehicle, organisation):
    candidates.sites.forget()
    candidates.sites._checked_at = float("-inf")
    place = factories.location(factories.public_network(organisation), latitude=HERE[0] + 3 / 111.2)
    factories.connector(place, at=AT_NINE)
    vehicle.state.position_at = vehicle.state.soc_at = AT_NINE
    vehicle.state.save()
    Stop.objects.filter(vehicle=vehicle).delete()

    def plan(key):
        made = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=key, now=AT_NINE)
        made.state = "dismissed"
        made.save()
        return made

    before = plan("soc:1")
    many(vehicle, AT_NINE - timedelta(days=1), 400, slow=1.8, detour=1.6)
    learning.learn_speeds(now=AT_NINE)
    after = plan("soc:2")
    law = learning.law_of(organisation.pk, AT_NINE)
    crow = before.distance_m / CIRCUITY
    assert (before.engine, after.engine) == ("crow", "crow learned 2026-03-02")
    assert after.distance_m == pytest.approx(crow * law.circuity, abs=2)
    assert after.drive_seconds == pytest.approx(law.seconds_factor * crow**SECONDS_EXPONENT, abs=2)
    assert after.drive_seconds > 1.6 * before.drive_seconds


def test_the_crow_by_a_law_of_its_own():
    here, there = np.array([HERE]), np.array([[13.05, 77.6]])
    usual, slow = CrowEngine().matrix(here, there), CrowEngine(Law(2.7, 3.4)).matrix(here, there)
    assert slow.metres == pytest.approx(usual.metres * 2)
    assert slow.seconds == pytest.approx(usual.seconds * 2)
    engine = engines.current(Law(2.7, 3.4, NOW.date()))
    assert engine.matrix(here, there).seconds == pytest.approx(slow.seconds)
    assert engine.name == "crow learned 2026-03-02"


# --- on the desk --------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_fleet_sees_its_own_laws_on_the_desk_and_nobody_edits_them(client, finance, organisation, other_organisation):
    for fleet in (organisation, other_organisation):
        SpeedLaw.objects.create(
            organisation=fleet, hour=9, circuity=1.5, seconds_factor=2.0, trips=77, learned_on=NOW.date()
        )
    client.force_login(finance)
    page = client.get(reverse("admin:dispatch_speedlaw_changelist"))
    text = page.content.decode()
    assert page.status_code == 200
    assert "09:00-10:00" in text
    assert organisation.name in text
    assert other_organisation.name not in text
    theirs = SpeedLaw.objects.get(organisation=other_organisation)
    assert client.get(reverse("admin:dispatch_speedlaw_change", args=[theirs.pk])).status_code in {302, 403, 404}
    assert client.get(reverse("admin:dispatch_speedlaw_add")).status_code == 403
    own = SpeedLaw.objects.get(organisation=organisation)
    assert client.post(reverse("admin:dispatch_speedlaw_change", args=[own.pk]), {"circuity": "9"}).status_code == 403


@pytest.mark.django_db
def test_the_drivers_page_expects_what_the_plan_does(organisation):
    """One law for the plan and for the arrival that its driver and those who wait are told."""
    plan = under_way(organisation, AT_NINE)
    SpeedLaw.objects.create(
        organisation=organisation, hour=NINE, circuity=1.35, seconds_factor=3.4, trips=500, learned_on=NOW.date()
    )
    state = plan.vehicle.state
    there = np.array([[plan.connector.evse.location.latitude, plan.connector.evse.location.longitude]])
    crow = float(crow_metres(np.array([[state.latitude, state.longitude]]), there)[0, 0])
    assert crow > 500
    expected = eta.expected(plan.vehicle, plan, None, AT_NINE)
    assert (expected.plug_at - AT_NINE).total_seconds() == pytest.approx(3.4 * crow**SECONDS_EXPONENT, abs=1)
