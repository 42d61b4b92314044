"""Every closed plan leaves one row: what came of it, and what the nearest free charger would have cost instead."""

from datetime import timedelta

import pytest

from billing.models import ChargingSession
from dispatch import services
from dispatch.core import choose, nearest
from dispatch.models import ChargePlan, PlanOutcome
from dispatch.policies import outcomes
from dispatch.tests import factories
from dispatch.tests.factories import NOW

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(hours=3)
VAN = choose.VehicleFacts(18, 21_300, 140, 30_000, 0)
RULES = choose.Rules(5, 80, 400)


def candidate(connector_id, *, drive_m, power_w=30_000, is_free=True, wait_seconds=0.0, price_paise=20_000):
    return choose.Candidate(
        connector_id=connector_id,
        location_id=1,
        station="Hub",
        is_dc=True,
        plug_power_w=power_w,
        drive_m=drive_m,
        drive_seconds=drive_m / 6,
        onward_m=None,
        onward_seconds=None,
        freshness="live",
        is_free=is_free,
        is_reservable=True,
        wait_seconds=wait_seconds,
        price_paise=price_paise,
    )


def snapshot(*candidates, vehicle=VAN):
    return choose.snapshot_of(vehicle, RULES, candidates)


def test_the_nearest_free_plug_is_compared_at_the_same_rates():
    near, good = candidate(1, drive_m=1000, power_w=18_000), candidate(2, drive_m=2500)
    saving = nearest.against_nearest(snapshot(near, good))
    verdicts = {one.connector_id: one for one in choose.choose(VAN, RULES, [near, good]).ranking}
    assert (saving.chosen.connector_id, saving.nearest.connector_id) == (2, 1)
    assert saving.seconds == verdicts[1].delay_seconds - verdicts[2].delay_seconds > 0
    assert saving.paise == verdicts[1].total_paise - verdicts[2].total_paise > 0


def test_who_would_choose_the_nearest_saves_nothing():
    saving = nearest.against_nearest(snapshot(candidate(1, drive_m=500), candidate(2, drive_m=9000)))
    assert (saving.seconds, saving.paise, saving.is_stranded) == (0, 0, False)


def test_a_busy_plug_is_not_the_nearest_free_one():
    busy = candidate(1, drive_m=100, is_free=False, wait_seconds=300)
    assert nearest.against_nearest(snapshot(busy, candidate(2, drive_m=900))).nearest.connector_id == 2
    assert nearest.against_nearest(snapshot(busy)).nearest is None


def test_a_nearest_plug_that_cannot_be_reached_is_a_stranding_not_a_number():
    """The queue at a near plug is better than a free one beyond the reserve."""
    van = choose.VehicleFacts(10, 21_300, 140, 30_000, 0)
    queue, far = candidate(1, drive_m=2000, is_free=False, wait_seconds=600), candidate(2, drive_m=9000)
    saving = nearest.against_nearest(snapshot(queue, far, vehicle=van))
    assert (saving.chosen.connector_id, saving.is_stranded, saving.seconds, saving.paise) == (1, True, 0, 0)


def test_nothing_is_saved_where_nothing_can_be_reached():
    van = choose.VehicleFacts(5.5, 21_300, 140, 30_000, 0)
    assert nearest.against_nearest(snapshot(candidate(1, drive_m=9000), vehicle=van)) is None


def completed(organisation, *, session=True):
    """A plan that was carried out: it waited five minutes longer than planned."""
    network = factories.public_network(organisation)
    factories.connector(factories.location(network, latitude=factories.HERE[0] + 0.01), max_power_w=18_000)
    factories.connector(factories.location(network, latitude=factories.HERE[0] + 0.02))
    vehicle = factories.vehicle(organisation)
    plan = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=f"soc:{vehicle.pk}", now=NOW)
    if session:
        begins = NOW + timedelta(seconds=plan.drive_seconds + 300)
        plan.session = ChargingSession.objects.create(
            organisation=organisation,
            source=network,
            connector=plan.connector,
            transaction_ref="1",
            start_key="a",
            vehicle=vehicle,
            state="ended",
            started_at=begins,
            ended_at=begins + timedelta(minutes=20),
            energy_wh=9000,
        )
    plan.state, plan.closed_at = ChargePlan.State.COMPLETED, NOW + timedelta(hours=1)
    plan.save()
    return plan


def test_an_outcome_is_what_the_session_was_and_is_written_once(organisation):
    plan = completed(organisation)
    assert [outcomes.record(now=LATER), outcomes.record(now=LATER)] == [1, 0]
    outcome = PlanOutcome.objects.get()
    detour = plan.delay_seconds - plan.wait_seconds - plan.charge_seconds
    assert outcome.is_measured
    assert (outcome.delay_seconds, outcome.energy_wh, outcome.cost_paise) == (
        detour + 300 + 1200,
        9000,
        plan.cost_paise,
    )
    saving = nearest.against_nearest(plan.snapshot, connector_id=plan.connector_id)
    assert (outcome.saved_seconds, outcome.saved_paise) == (saving.seconds, saving.paise)
    assert outcome.saved_paise > 0


def test_an_old_plan_that_cannot_be_told_keeps_no_newer_one_waiting(organisation, monkeypatch):
    monkeypatch.setattr(outcomes, "CHUNK", 1)
    broken, fine = (completed(organisation, session=False) for _ in range(2))
    monkeypatch.setattr(outcomes, "is_stranded", lambda plan: plan.explanation["nobody"] if plan == broken else False)
    assert outcomes.record(now=LATER) == 1
    assert PlanOutcome.objects.get().plan == fine


def test_a_snapshot_that_cannot_be_read_is_tried_once_and_compared_with_nothing(organisation):
    broken, fine = (completed(organisation, session=False) for _ in range(2))
    ChargePlan.objects.filter(pk=broken.pk).update(snapshot={"vehicle": None})
    assert [outcomes.record(now=LATER) for _ in range(2)] == [2, 0]
    row = PlanOutcome.objects.get(plan=broken)
    assert (row.saved_paise, row.delay_seconds) == (None, broken.delay_seconds)
    assert PlanOutcome.objects.compared().get().plan == fine


def test_without_a_session_the_plan_is_all_there_is(organisation):
    plan = completed(organisation, session=False)
    outcomes.record(now=LATER)
    outcome = PlanOutcome.objects.get()
    assert (outcome.is_measured, outcome.delay_seconds, outcome.energy_wh) == (
        False,
        plan.delay_seconds,
        plan.energy_wh,
    )


def test_an_open_a_fresh_and_a_replaced_plan_have_no_outcome(organisation):
    plan = completed(organisation)
    assert outcomes.record(now=plan.closed_at + timedelta(minutes=59)) == 0
    for state in (ChargePlan.State.CHARGING, ChargePlan.State.REPLACED, ChargePlan.State.DISMISSED):
        ChargePlan.objects.update(state=state)
        assert outcomes.record(now=LATER) == 0


def infeasible(organisation):
    network = factories.public_network(organisation)
    factories.connector(factories.location(network, latitude=factories.HERE[0] + 1))
    vehicle = factories.vehicle(organisation, soc_percent=8)
    return services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=NOW)


def test_a_vehicle_that_nothing_could_help_was_stranded(organisation):
    plan = infeasible(organisation)
    outcomes.record(now=LATER)
    outcome = PlanOutcome.objects.get(plan=plan)
    assert (outcome.is_stranded, outcome.delay_seconds, outcome.saved_paise) == (True, None, None)


def test_a_vehicle_that_was_helped_later_was_not(organisation):
    """Nothing is written before the two hours are over in which help counts."""
    plan = infeasible(organisation)
    assert outcomes.record(now=NOW + timedelta(minutes=90)) == 0
    ChargePlan.objects.create(
        organisation=organisation,
        vehicle=plan.vehicle,
        trigger="soc_low",
        trigger_key="soc:2",
        soc_percent=8,
        state=ChargePlan.State.DISMISSED,
        created_at=NOW + timedelta(minutes=100),
    )
    outcomes.record(now=LATER)
    assert not PlanOutcome.objects.get(plan=plan).is_stranded


def test_savings_by_day_over_the_api_and_on_the_page(organisation, client, dispatcher, stranger):
    completed(organisation)
    outcomes.record(now=LATER)
    outcome = PlanOutcome.objects.get()
    client.force_login(dispatcher)
    days = client.get("/api/v1/savings/?since=2026-03-01&until=2026-03-03").json()
    assert days == [
        {
            "day": "2026-03-02", "plans": 1, "compared": 1, "saved_minutes": round(outcome.saved_seconds / 60, 1),
            "saved_paise": outcome.saved_paise, "strandings_avoided": 0, "stranded": 0,
        }
    ]  # fmt: skip
    assert client.get("/api/v1/savings/?since=2026-03-03&until=2026-03-01").status_code == 400
    assert client.get("/api/v1/savings/?until=0001-01-05").json() == []
    client.force_login(stranger)
    assert client.get("/api/v1/savings/?since=2026-03-01&until=2026-03-03").json() == []


def test_the_day_of_a_plan_is_the_fleets_own(organisation):
    plan = completed(organisation)
    ChargePlan.objects.filter(pk=plan.pk).update(created_at=NOW.replace(hour=19))  # half past midnight in India
    outcomes.record(now=NOW + timedelta(days=1))
    assert f"{PlanOutcome.objects.get().planned_on}" == "2026-03-03"
