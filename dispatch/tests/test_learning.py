"""What is learned from what plugs and vehicles did, where planning uses it, and how forecasts are held to account."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from billing.models import ChargingSession, MeterValue
from dispatch import candidates, services
from dispatch.core import curves, forecast, waits
from dispatch.forecasts import forecasting, known, learning, tasks
from dispatch.forecasts.models import Calibration, Forecast, LearnedCurve, PlugGroup
from dispatch.plug_rows import at_sites
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from stations.models import Connector, StatusChange

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def fresh_memory():
    known.habits.forget()
    candidates.sites.forget()
    yield
    known.habits.forget()


@pytest.fixture
def network(organisation):
    return factories.public_network(organisation)


def visits(connector: Connector, *, minutes: int, every: timedelta, days: int = 14, until: datetime = NOW) -> None:
    """A vehicle comes regularly and stays as long each time; the last one leaves before `until`."""
    at, rows = until - timedelta(days=days), []
    while at + minutes * MINUTE < until:
        for when, old, new in ((at, "available", "charging"), (at + minutes * MINUTE, "charging", "available")):
            rows.append(StatusChange(connector=connector, old=old, new=new, at=when))
        at += every
    StatusChange.objects.bulk_create(rows)


def group_of(connector: Connector) -> PlugGroup:
    return PlugGroup.objects.get(location=connector.evse.location)


def test_how_long_sessions_last_is_learned_by_site_and_shared_where_little_is_known(network):
    long, unknown = (factories.connector(factories.location(network)) for _ in range(2))
    visits(long, minutes=80, every=timedelta(hours=3))
    visits(unknown, minutes=20, every=timedelta(days=10))
    assert learning.learn_plugs(now=NOW) == 2
    habits = known.habits.at([long.evse.location_id, unknown.evse.location_id])
    at_long = habits.of(long.evse.location_id, "ccs2", 60_000)
    assert at_long.law.remaining(0, waits.P50) == 80 * 60
    assert at_long.law.remaining(60 * 60, waits.P50) == 20 * 60
    at_unknown = habits.of(unknown.evse.location_id, "ccs2", 60_000)
    assert at_unknown.law.remaining(0, waits.P50) == 80 * 60  # two visits say little against the class
    assert habits.of(-1, "ccs2", 60_000).law.remaining(0, waits.P50) == 80 * 60
    assert habits.of(-1, "chademo", 60_000).law is waits.default_law()


def test_learning_twice_learns_the_same_and_forgets_plugs_that_are_gone(network):
    plug = factories.connector(factories.location(network))
    visits(plug, minutes=30, every=timedelta(hours=2))
    learning.learn_plugs(now=NOW)
    first = list(PlugGroup.objects.order_by("pk").values_list("session_seconds", "busy_by_hour", "keeps"))
    learning.learn_plugs(now=NOW + MINUTE)
    assert list(PlugGroup.objects.order_by("pk").values_list("session_seconds", "busy_by_hour", "keeps")) == first
    Connector.objects.update(is_removed=True)
    learning.learn_plugs(now=NOW + 2 * MINUTE)
    assert not PlugGroup.objects.exists()


def test_hours_of_the_week_are_those_of_the_site(network):
    """12:00 to 13:00 in India is 06:30 to 07:30 UTC."""
    plug = factories.connector(factories.location(network, time_zone="Asia/Kolkata"))
    noon = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)  # a Monday
    for week in range(8):
        at = noon + timedelta(weeks=week)
        StatusChange.objects.create(connector=plug, old="available", new="charging", at=at)
        StatusChange.objects.create(connector=plug, old="charging", new="available", at=at + timedelta(hours=1))
    learning.learn_plugs(now=noon + timedelta(weeks=8))
    busy = group_of(plug).busy_by_hour
    assert busy.index(max(busy)) == 12
    assert busy[12] > 0.45 > 10 * busy[36]


def test_a_spell_that_ended_in_the_dark_is_only_known_to_have_lasted_so_long(network):
    plug = factories.connector(factories.location(network))
    begins = NOW - timedelta(days=2)
    for old, new, minutes in (("available", "charging", 0), ("charging", "unknown", 10), ("unknown", "available", 500)):
        StatusChange.objects.create(connector=plug, old=old, new=new, at=begins + minutes * MINUTE)
    learning.learn_plugs(now=NOW)
    group = group_of(plug)
    assert group.sessions == 1
    law = waits.evenly(group.session_seconds)
    assert law.remaining(0, waits.P50) > 10 * 60


def busy_plan(organisation, network, *, since_minutes: int):
    """What is planned where the only plug has been busy for so long, without a session that we know."""
    plug = factories.connector(
        factories.location(network, latitude=factories.HERE[0] + 0.01), status="charging",
        status_since=NOW - timedelta(minutes=1),
    )  # fmt: skip
    StatusChange.objects.create(connector=plug, old="available", new="occupied", at=NOW - since_minutes * MINUTE)
    StatusChange.objects.create(connector=plug, old="occupied", new="charging", at=NOW - MINUTE)
    vehicle = factories.vehicle(organisation)
    plan = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=f"k{plug.pk}", now=NOW)
    assert plan is not None and plan.connector_id == plug.pk
    return plan


def test_a_plan_waits_as_long_as_sessions_there_still_last(organisation, network):
    other = factories.connector(factories.location(network, latitude=factories.HERE[0] + 3))  # too far to be chosen
    visits(other, minutes=80, every=timedelta(hours=3))
    learning.learn_plugs(now=NOW)
    plan = busy_plan(organisation, network, since_minutes=20)
    ready_seconds = 60 * 60 + waits.CHANGEOVER_SECONDS
    assert plan.drive_seconds + plan.wait_seconds == pytest.approx(ready_seconds, abs=2)
    [told] = [one for one in plan.explanation["candidates"] if one["connector_id"] == plan.connector_id]
    assert told["wait_p90_seconds"] >= told["wait_seconds"] - 1


def test_a_free_plug_that_cannot_be_reserved_carries_the_risk_of_that_hour(organisation, network):
    place = factories.location(network, latitude=factories.HERE[0] + 0.01)
    plug = factories.connector(place)
    plug.evse.capabilities = []
    plug.evse.save()
    visits(plug, minutes=110, every=timedelta(hours=2), days=60)
    learning.learn_plugs(now=NOW)
    vehicle = factories.vehicle(organisation)
    plan = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="k", now=NOW)
    [found] = [one for one in plan.explanation["candidates"] if one["connector_id"] == plug.pk]
    habit = known.habits.at([place.pk]).of(place.pk, "ccs2", 60_000)
    expected = habit.profile.p_busy(is_busy=False, hour=12, ahead_hours=found["drive_seconds"] / 3600)
    assert found["risk"] == pytest.approx(0.03 + expected, abs=0.02)
    assert expected > 0.09


@pytest.mark.parametrize(("soc_percent", "by_law"), [(50.0, False), (85.0, False), (99.5, True)])
def test_a_session_that_tells_its_charge_goes_by_its_curve_until_it_is_full(organisation, network, soc_percent, by_law):
    plug = factories.connector(
        factories.location(network, latitude=factories.HERE[0] + 0.01), status="charging", status_since=NOW
    )
    stranger = factories.vehicle(organisation)
    ChargingSession.objects.create(
        organisation=organisation, source=plug.evse.location.source, connector=plug, transaction_ref="s", start_key="s",
        vehicle=stranger, started_at=NOW - 10 * MINUTE, soc_percent=soc_percent,
    )  # fmt: skip
    [row] = at_sites([plug.evse.location_id], organisation_id=organisation.pk, vehicle_id=stranger.pk)
    state = candidates.plug_state(row, NOW)
    if by_law:
        assert waits.remaining_seconds(state) == waits.default_law().remaining(600, 0.5) + waits.CHANGEOVER_SECONDS
        return
    to_percent = 80 if soc_percent < 80 else 100
    expected = curves.charge_seconds(
        curves.vehicle_curve([], 30_000), battery_wh=21_300, plug_power_w=60_000, from_percent=soc_percent,
        to_percent=to_percent,
    )  # fmt: skip
    assert waits.remaining_seconds(state) == pytest.approx(expected + waits.CHANGEOVER_SECONDS)
    assert expected > 300
    points = [[2.5 + 5 * number, 5_000.0] for number in range(20)]  # such vehicles take 5 kW there
    LearnedCurve.objects.create(vehicle_model=stranger.model, evse=plug.evse, points=points, sessions=5, learned_at=NOW)
    [row] = at_sites([plug.evse.location_id], organisation_id=organisation.pk, vehicle_id=stranger.pk)
    assert waits.remaining_seconds(candidates.plug_state(row, NOW)) > 2 * expected


# Charge curves


def charged(vehicle, charger, connector, *, number: int, kw: float) -> ChargingSession:
    """A session whose meter told charge and power: full power to 60 %, half of it after."""
    started = NOW - timedelta(days=number + 1)
    session = ChargingSession.objects.create(
        organisation=vehicle.organisation, source=connector.evse.location.source, charger=charger, connector=connector,
        transaction_ref=str(number), start_key=f"{charger.pk}-{number}", vehicle=vehicle, state="ended",
        started_at=started, ended_at=started + 60 * MINUTE,
    )  # fmt: skip
    MeterValue.objects.bulk_create(
        MeterValue(
            charger=charger, evse_number=1, transaction_ref=str(number), at=started + minute * MINUTE,
            soc_percent=20.0 + minute, power_w=int(kw * 1000 * (1 if minute < 40 else 0.5)), sampled=[],
            dedupe_key=f"{charger.pk:08}{number:04}{minute:04}".encode()[:16],
        )
        for minute in range(60)
    )  # fmt: skip
    return session


@pytest.fixture
def depot(organisation):
    source = factories.source(organisation)
    place = factories.location(source, organisation=organisation, latitude=factories.HERE[0] + 0.01)
    charger = factories.charger(place, organisation)
    return charger, factories.connector(place, charger=charger)


def test_five_sessions_teach_what_a_model_takes_there_and_plans_use_it(organisation, depot):
    charger, connector = depot
    vehicle = factories.vehicle(organisation)
    for number in range(4):
        charged(vehicle, charger, connector, number=number, kw=10)
    assert learning.learn_curves(now=NOW) == 0
    before = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="before", now=NOW)
    services.dismiss_plan(plan_id=before.pk, actor=None, actor_label="test", reason="", now=NOW)
    charged(vehicle, charger, connector, number=4, kw=10)
    assert learning.learn_curves(now=NOW) == 1
    curve = LearnedCurve.objects.get()
    assert (curve.vehicle_model, curve.evse, curve.sessions) == (vehicle.model, connector.evse, 5)
    assert curve.points[0] == [22.5, 10_000.0]
    assert curve.points[-1] == [77.5, 5_000.0]
    after = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="manual", trigger_key="after", now=NOW)
    assert after.charge_seconds > 2 * before.charge_seconds
    another = factories.vehicle(organisation)  # another model learns nothing from it
    services.dismiss_plan(plan_id=after.pk, actor=None, actor_label="test", reason="", now=NOW)
    other = services.plan_charge_stop(vehicle_id=another.pk, trigger="manual", trigger_key="other", now=NOW)
    assert other.charge_seconds == pytest.approx(before.charge_seconds, rel=0.02)


def test_what_a_model_takes_at_the_socket_is_not_what_it_takes_at_the_plug_of_direct_current(organisation, depot):
    charger, plug = depot
    socket = Connector.objects.create(
        evse=plug.evse, connector_id=9, plug="type2_socket", power_type="AC_3_PHASE", max_power_w=22_000, heard_at=NOW,
        status="available",
    )  # fmt: skip
    vehicle = factories.vehicle(organisation)
    for number in range(5):
        charged(vehicle, charger, plug, number=number, kw=40)
        charged(vehicle, charger, socket, number=10 + number, kw=7)
    assert learning.learn_curves(now=NOW) == 2
    rows = at_sites([plug.evse.location_id], organisation_id=organisation.pk, vehicle_id=vehicle.pk)
    peaks = {row.connector_id: candidates.parsed(row.learned_curve)[0][1] for row in rows}
    assert peaks == {plug.pk: 40_000, socket.pk: 7_000}


def test_a_learned_curve_only_falls_after_its_peak_and_bridges_nothing():
    sessions = [[(10, 20_000), (11, 22_000), (52, 30_000), (57, 18_000), (62, 25_000)]] * 5 + [[(92, 4_000)]] * 4
    points = curves.learned_points(sessions)
    assert points == [[12.5, 21_000.0], [52.5, 30_000.0], [57.5, 18_000.0], [62.5, 18_000.0]]
    curve = curves.with_learned(curves.vehicle_curve([], 40_000), points)
    assert (curve[12], curve[30], curve[62], curve[95]) == (
        21_000,
        40_000,
        18_000,
        curves.vehicle_curve([], 40_000)[95],
    )
    assert curves.learned_points([[(10, 20_000)]] * 4) == []


# Forecasts and what came of them


def test_forecasts_are_written_once_an_hour_and_scored_by_what_came(network):
    at_noon = NOW.replace(minute=0)
    free, busy, dark = (factories.connector(factories.location(network), at=at_noon) for _ in range(3))
    for plug in (free, busy):
        visits(plug, minutes=30, every=timedelta(hours=2), until=at_noon)
    learning.learn_plugs(now=at_noon)
    StatusChange.objects.create(connector=busy, old="available", new="charging", at=at_noon)
    Connector.objects.filter(pk=busy.pk).update(status="charging", status_since=at_noon)
    Connector.objects.filter(pk=dark.pk).update(status="unknown")
    assert forecasting.make_forecasts(now=at_noon) == 2 * len(known.HORIZONS_MINUTES)
    assert forecasting.make_forecasts(now=at_noon + 5 * MINUTE) == 0
    StatusChange.objects.create(connector=free, old="available", new="charging", at=at_noon + 20 * MINUTE)
    StatusChange.objects.create(connector=busy, old="charging", new="faulted", at=at_noon + 40 * MINUTE)
    assert forecasting.score_forecasts(now=at_noon + 61 * MINUTE) == 6
    assert forecasting.score_forecasts(now=at_noon + 61 * MINUTE) == 0
    came = {(row.connector_id, row.horizon_minutes): row.is_free for row in Forecast.objects.all()}
    assert [came[free.pk, minutes] for minutes in (15, 30, 60, 180)] == [True, False, False, None]
    assert [came[busy.pk, minutes] for minutes in (15, 30, 60, 180)] == [False, False, None, None]
    days = forecasting.drift(since=NOW - timedelta(days=1), zone="UTC")
    assert [(row["horizon_minutes"], row["forecasts"]) for row in days] == [(15, 2), (30, 2), (60, 1)]
    first = Forecast.objects.filter(horizon_minutes=15)
    expected = forecast.brier([row.probability for row in first], [bool(row.is_free) for row in first])
    assert days[0]["brier"] == pytest.approx(expected)


def test_a_forecast_is_given_out_as_such_forecasts_came_true(network):
    plug = factories.connector(factories.location(network))
    visits(plug, minutes=30, every=timedelta(hours=2))
    learning.learn_plugs(now=NOW)
    Forecast.objects.bulk_create(
        Forecast(
            connector=plug, made_at=NOW - timedelta(minutes=number), for_at=NOW, horizon_minutes=15, was_free=True,
            raw_probability=0.9, probability=0.9, is_free=number % 2 == 0, scored_at=NOW,
        )
        for number in range(600)
    )  # fmt: skip
    assert learning.learn_calibrations(now=NOW) == 1
    assert Calibration.objects.get().points == [[pytest.approx(0.9), pytest.approx(0.5)]]
    habits, state = known.habits.at([plug.evse.location_id]), waits.PlugState(True)
    habit = habits.of(plug.evse.location_id, "ccs2", 60_000)
    assert habits.p_free(habit, state, hour=12, ahead_seconds=900) == pytest.approx(0.5)
    raw = known.raw_p_free(habit, state, hour=12, ahead_seconds=3_600)
    assert habits.p_free(habit, state, hour=12, ahead_seconds=3_600) == raw


def test_the_tasks_run_and_old_forecasts_are_forgotten(network):
    plug = factories.connector(factories.location(network))
    visits(plug, minutes=30, every=timedelta(hours=2))
    with time_machine.travel(NOW, tick=False):
        tasks.learn()
        assert tasks.forecast_plugs() == len(known.HORIZONS_MINUTES)
    with time_machine.travel(NOW + forecasting.KEPT + timedelta(days=1), tick=False):
        assert tasks.score_forecasts() == len(known.HORIZONS_MINUTES)
        assert not Forecast.objects.scored().exists()  # nobody looked in time
        tasks.learn()
    assert not Forecast.objects.exists()


def test_the_drift_page_is_for_the_house_alone(client: Client, owner, django_user_model, network):
    plug = factories.connector(factories.location(network))
    Forecast.objects.create(
        connector=plug, made_at=NOW, for_at=NOW, horizon_minutes=30, was_free=True, raw_probability=0.8,
        probability=0.8, is_free=True, scored_at=NOW,
    )  # fmt: skip
    address = reverse("admin:dispatch_forecast_drift_page")
    client.force_login(owner)
    with time_machine.travel(NOW, tick=False):
        assert client.get(address).status_code in (302, 403)
        house = django_user_model.objects.create_superuser("house@fleetcharge.example", "correct horse")
        client.force_login(house)
        page = client.get(address)
    assert page.status_code == 200
    assert "0.040" in page.text


def test_the_desk_of_the_house_shows_what_was_learned(client: Client, django_user_model, network, organisation):
    plug = factories.connector(factories.location(network, name="Hoodi hub"))
    visits(plug, minutes=80, every=timedelta(hours=3))
    learning.learn_plugs(now=NOW)
    model = factories.vehicle_model()
    LearnedCurve.objects.create(
        vehicle_model=model, evse=plug.evse, points=[[22.5, 41_300.0]], sessions=5, learned_at=NOW
    )
    client.force_login(django_user_model.objects.create_superuser("house@fleetcharge.example", "correct horse"))
    groups = client.get(reverse("admin:dispatch_pluggroup_changelist")).text
    assert "Hoodi hub" in groups
    assert ">80<" in groups
    assert "41.3" in client.get(reverse("admin:dispatch_learnedcurve_changelist")).text
