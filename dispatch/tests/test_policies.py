"""Policies: versions that never change, drawn by vehicle, followed by planning and ingest, compared with intervals."""

import re
from datetime import timedelta

import numpy as np
import pytest
from django.db import DatabaseError, transaction
from django.utils import translation

from dispatch import services, situation
from dispatch.core import comparing
from dispatch.models import ChargePlan, DispatchPolicy, PlanOutcome, PolicyArm, PolicyAssignment, PolicyExperiment
from dispatch.policies import assignment, comparison, outcomes, words
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from fleetcharge.accounts.models import AuditEntry
from vehicles.models import Vehicle

pytestmark = pytest.mark.django_db
FIGURES = {
    "soc_low_percent": 20, "soc_clear_percent": 25, "reserve_soc_percent": 5, "target_soc_percent": 80,
    "cost_per_minute_paise": 400,
}  # fmt: skip
ME = {"actor": None, "actor_label": "test"}


def policy(organisation, name, **figures):
    return assignment.new_version(organisation=organisation, name=name, now=NOW, **{**FIGURES, **figures}, **ME)


def experiment(organisation, *, share=50, **other):
    one, two = policy(organisation, "as now"), policy(organisation, "early", **{"soc_low_percent": 30, **other})
    if two.soc_clear_percent <= two.soc_low_percent:
        raise AssertionError("limits out of order")
    return assignment.start(
        organisation=organisation, name="March", shares={one.pk: share, two.pk: 100 - share}, now=NOW, **ME
    )


EARLY = {"soc_low_percent": 30, "soc_clear_percent": 40, "target_soc_percent": 90, "cost_per_minute_paise": 900}


def test_a_version_never_changes_and_the_next_one_follows(organisation):
    first = policy(organisation, "mine")
    assert policy(organisation, "mine") == first
    second = policy(organisation, "mine", target_soc_percent=90)
    assert (second.version, DispatchPolicy.objects.count(), AuditEntry.objects.count()) == (2, 2, 2)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        DispatchPolicy.objects.filter(pk=first.pk).update(target_soc_percent=85)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        DispatchPolicy.objects.filter(pk=first.pk).delete()


def test_limits_out_of_order_are_refused_by_the_database(organisation):
    with pytest.raises(DatabaseError), transaction.atomic():
        policy(organisation, "upside down", soc_low_percent=26)


def test_a_vehicle_is_drawn_once_by_the_shares_and_the_same_everywhere(organisation):
    arms = [PolicyArm(share_percent=30), PolicyArm(share_percent=70)]
    drawn = [assignment.arm_of(7, vehicle_id, arms) for vehicle_id in range(4000)]
    assert drawn == [assignment.arm_of(7, vehicle_id, arms) for vehicle_id in range(4000)]
    assert 0.27 < sum(arm is arms[0] for arm in drawn) / 4000 < 0.33
    again = [assignment.arm_of(8, vehicle_id, arms) for vehicle_id in range(4000)]
    both = sum(a is b is arms[0] for a, b in zip(drawn, again, strict=True))
    assert both / 4000 < 0.12  # as chance has it (0.09): a new experiment draws anew


def test_planning_and_ingest_follow_the_policy_until_the_experiment_ends(organisation):
    vehicle = factories.vehicle(organisation)
    run = experiment(organisation, share=1, **EARLY)
    PolicyAssignment.objects.update(policy=DispatchPolicy.objects.get(name="early"))
    seen = situation.read(vehicle.pk, now=NOW)
    assert (seen.target_percent, seen.cost_per_minute_paise, seen.reserve_percent) == (90, 900, 5)
    assert assignment.policy_of(vehicle).policy_id == DispatchPolicy.objects.get(name="early").pk
    assignment.end(experiment=run, now=NOW, **ME)
    seen = situation.read(vehicle.pk, now=NOW)
    assert (seen.target_percent, seen.cost_per_minute_paise) == (80, 400)
    assert assignment.policy_of(vehicle).policy_id is None


def test_the_limits_of_a_policy_stand_beside_its_vehicles_and_go_with_it(organisation):
    vans = [factories.vehicle(organisation) for _ in range(20)]
    run = experiment(organisation, **EARLY)
    early = PolicyAssignment.objects.filter(policy__name="early").values_list("vehicle", flat=True)
    assert 0 < len(early) < 20
    for van in Vehicle.objects.filter(pk__in=[one.pk for one in vans]):
        assert van.soc_limits == ((30, 40) if van.pk in early else (20, 25))
    assignment.end(experiment=run, now=NOW, **ME)
    assert {van.soc_limits for van in Vehicle.objects.select_related("organisation")} == {(20, 25)}
    assert set(Vehicle.objects.values_list("soc_low_percent", flat=True)) == {None}


def test_a_vehicle_that_joins_later_is_drawn_then(organisation):
    factories.vehicle(organisation)
    experiment(organisation, **EARLY)
    late = factories.vehicle(organisation)
    assert [assignment.draw_new_vehicles(now=NOW), assignment.draw_new_vehicles(now=NOW)] == [1, 0]
    assert PolicyAssignment.objects.filter(vehicle=late).count() == 1


def test_one_experiment_at_a_time_and_only_with_own_policies(organisation, other_organisation):
    theirs, mine = policy(other_organisation, "theirs"), policy(organisation, "mine")
    for shares, code in (
        ({theirs.pk: 50, mine.pk: 50}, "unknown_policy"), ({mine.pk: 100}, "shares_must_be_100"),
        ({mine.pk: 50, policy(organisation, "b", target_soc_percent=90).pk: 49}, "shares_must_be_100"),
    ):  # fmt: skip
        with pytest.raises(assignment.PolicyRefused) as refused:
            assignment.start(organisation=organisation, name="x", shares=shares, now=NOW, **ME)
        assert refused.value.code == code
    experiment(organisation, **EARLY)
    with pytest.raises(assignment.PolicyRefused) as refused:
        experiment(organisation, **EARLY)
    assert (refused.value.code, PolicyExperiment.objects.count()) == ("experiment_running", 1)


def test_an_outcome_belongs_to_the_policy_of_its_moment(organisation):
    vehicle = factories.vehicle(organisation)
    run = experiment(organisation, **EARLY)
    drawn = PolicyAssignment.objects.get(vehicle=vehicle)
    during = _plan(vehicle, 1, NOW + timedelta(minutes=5))
    assignment.end(experiment=run, now=NOW + timedelta(hours=1), **ME)
    after = _plan(vehicle, 2, NOW + timedelta(hours=2))
    outcomes.record(now=NOW + timedelta(days=1))
    assert PlanOutcome.objects.get(plan=during).policy_id == drawn.policy_id
    assert PlanOutcome.objects.get(plan=after).policy_id is None


def _plan(vehicle, number, at, **fields):
    values = {"state": ChargePlan.State.COMPLETED, "closed_at": at, "delay_seconds": 1200, "energy_wh": 9000, **fields}
    return ChargePlan.objects.create(
        organisation=vehicle.organisation,
        vehicle=vehicle,
        trigger="soc_low",
        trigger_key=f"soc:{vehicle.pk}:{number}",
        soc_percent=18,
        created_at=at,
        **values,
    )


def test_a_difference_of_ten_minutes_is_found_and_said(organisation):
    vans = [factories.vehicle(organisation) for _ in range(40)]
    run = experiment(organisation, **EARLY)
    slow = set(PolicyAssignment.objects.filter(policy__name="early").values_list("vehicle", flat=True))
    rng = np.random.default_rng(1)
    for number in range(4):
        for van in vans:
            delay = 1500 + int(rng.normal(0, 120)) + 600 * (van.pk in slow)
            _plan(van, number, NOW + timedelta(minutes=number), delay_seconds=delay)
    outcomes.record(now=NOW + timedelta(days=1))
    first, second = comparison.compare(run)
    assert (first.sentence, first.against) == ("", {})
    delay = second.against["delay_minutes"]
    assert 8 < delay.low < delay.mean < delay.high < 12
    assert (delay.is_sure, second.against["energy_kwh"].is_sure) == (True, False)
    assert second.sentence.startswith("early v1 compared with as now v1, per plan: ")
    assert "minutes more delay (95 % sure of" in second.sentence
    assert comparison.compare(run)[1].against == second.against  # the same rows, the same intervals


def test_nothing_is_concluded_from_vehicles_that_people_chose(client, dispatcher, organisation):
    """A difference that would be sure of a sample, on the page and over the API."""
    one, two = policy(organisation, "town"), policy(organisation, "far", **EARLY)
    for rules, delay in ((one, 600), (two, 1200)):
        chosen = [factories.vehicle(organisation) for _ in range(5)]
        ids = [van.pk for van in chosen]
        assignment.assign(organisation=organisation, policy_id=rules.pk, vehicle_ids=ids, now=NOW, **ME)
        for van in chosen:
            _plan(van, 1, NOW, delay_seconds=delay)
    outcomes.record(now=NOW + timedelta(days=1))
    run = PolicyExperiment.objects.get()
    arms = comparison.compare(run)
    assert [(arm.plans, arm.figures["delay_minutes"].mean) for arm in arms] == [(5, 10), (5, 20)]
    client.force_login(dispatcher)
    told = client.get(f"/api/v1/policy-experiments/{run.pk}/comparison/").json()
    assert [(row["plans"], row["against_first"], row["sentence"]) for row in told] == [(5, None, "")] * 2
    assert b"minutes more per plan" not in client.get("/dispatch/policies/").content
    PolicyExperiment.objects.update(is_drawn=True)
    assert b"minutes more per plan" in client.get("/dispatch/policies/").content


def test_too_few_vehicles_are_said_to_be_too_few(organisation):
    for van in [factories.vehicle(organisation) for _ in range(4)]:
        _plan(van, 1, NOW)
    run = experiment(organisation, **EARLY)
    assert comparison.compare(run)[1].sentence.startswith("Too early to say")


def test_an_interval_is_of_vehicles_not_of_plans():
    """Ten vehicles that each do one thing all the time are ten observations, however many plans they have."""
    rng = np.random.default_rng(3)
    levels = rng.normal(30, 10, size=10)
    few = comparing.sample_of({number: [level] for number, level in enumerate(levels)})
    many = comparing.sample_of({number: [level] * 100 for number, level in enumerate(levels)})
    one, other = comparing.interval(few, seed=1), comparing.interval(many, seed=1)
    assert (other.low, other.high) == (pytest.approx(one.low), pytest.approx(one.high))


def test_the_interval_holds_what_it_promises():
    """Of 300 experiments without a difference about 15 may claim one."""
    rng = np.random.default_rng(5)
    wrong = 0
    for seed in range(300):
        one, two = (comparing.sample_of(dict(enumerate(rng.normal(30, 8, size=(30, 1)).tolist()))) for _ in range(2))
        wrong += comparing.difference(one, two, seed=seed).is_sure
    assert 4 <= wrong <= 30


def test_the_api_takes_policies_and_runs_an_experiment(client, dispatcher, stranger, organisation):
    factories.vehicle(organisation)
    client.force_login(dispatcher)
    body = {"name": "as now", **FIGURES}
    one = client.post("/api/v1/dispatch-policies/", body, content_type="application/json")
    two = client.post("/api/v1/dispatch-policies/", {**body, **EARLY, "name": "early"}, content_type="application/json")
    assert (one.status_code, two.json()["version"]) == (201, 1)
    refused = client.post(
        "/api/v1/dispatch-policies/", {**body, "soc_low_percent": 25}, content_type="application/json"
    )
    assert refused.status_code == 400
    arms = [{"policy": row.json()["id"], "share_percent": 50} for row in (one, two)]
    begun = client.post("/api/v1/policy-experiments/", {"name": "March", "arms": arms}, content_type="application/json")
    assert begun.status_code == 201
    url = f"/api/v1/policy-experiments/{begun.json()['id']}/"
    compared = client.get(f"{url}comparison/").json()
    assert [row["policy"]["name"] for row in compared] == ["as now", "early"]
    assert compared[1]["sentence"].startswith("Too early to say")
    assert b"Too early to say" in client.get("/dispatch/policies/").content
    again = client.post("/api/v1/policy-experiments/", {"name": "x", "arms": arms}, content_type="application/json")
    assert (again.status_code, again.json()["code"]) == (409, "experiment_running")
    client.force_login(stranger)
    assert [client.get(f"{url}comparison/").status_code, client.post(f"{url}end/").status_code] == [404, 404]
    client.force_login(dispatcher)
    assert client.post(f"{url}end/").json()["ended_at"] is not None


def test_a_plan_is_made_by_the_policys_weights(organisation):
    """A minute for ₹9 instead of ₹4 is in the plan's snapshot, so that it replays by the same rules."""
    network = factories.public_network(organisation)
    factories.connector(factories.location(network))
    vehicle = factories.vehicle(organisation)
    experiment(organisation, **EARLY)
    PolicyAssignment.objects.update(policy=DispatchPolicy.objects.get(name="early"))
    plan = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=NOW)
    assert plan.snapshot["rules"]["cost_per_minute_paise"] == 900
    assert plan.target_soc_percent == 90


def test_the_page_shows_versions_who_follows_them_and_the_difference_in_words(
    client, dispatcher, organisation, other_organisation
):
    vans = [factories.vehicle(organisation) for _ in range(40)]
    theirs = factories.vehicle(other_organisation)
    policy(other_organisation, "secret")
    policy(organisation, "early", **{**EARLY, "target_soc_percent": 85})
    experiment(organisation, **EARLY)
    slow = set(PolicyAssignment.objects.filter(policy__name="early").values_list("vehicle", flat=True))
    late = factories.vehicle(organisation)
    rng = np.random.default_rng(1)
    for van in vans:
        _plan(van, 1, NOW, delay_seconds=1500 + int(rng.normal(0, 120)) + 600 * (van.pk in slow))
    outcomes.record(now=NOW + timedelta(days=1))
    client.force_login(dispatcher)
    html = client.get("/dispatch/policies/").content.decode()
    rows = {name: html.split(f"<b>{name}</b>")[1].split("</tr>")[0] for name in ("early v2", "early v1", "as now v1")}
    followers = Vehicle.objects.filter(policy_assignments__policy__name="early").values_list("registration", flat=True)
    assert ", ".join(sorted(followers)) in rows["early v2"]
    assert "an earlier version" in rows["early v1"]
    assert "nobody" in rows["early v1"]
    own = html.split("The fleet's own rules")[1].split("</tr>")[0]
    assert late.registration in own
    assert vans[0].registration not in own
    assert theirs.registration not in html
    assert "secret" not in html
    assert "minutes more per plan" in html
    assert "Energy: no difference is shown" in html
    client.post("/i18n/setlang/", {"language": "hi"})
    html = client.get("/dispatch/policies/").content.decode()
    assert "मिनट ज़्यादा, 95 % निश्चय से" in html


@pytest.mark.parametrize("name", words.SENTENCES)
@pytest.mark.parametrize(
    ("interval", "direction", "figures"),
    [
        (comparing.Interval(-3.0, -4.0, -2.0), "less|fewer", ("3.0", "2.0", "4.0")),
        (comparing.Interval(3.0, 2.0, 4.0), "more", ("3.0", "2.0", "4.0")),
        (comparing.Interval(1.0, -0.5, 2.5), "no difference is shown", ("0.5", "2.5")),
    ],
)
def test_words_tell_direction_and_interval(name, interval, direction, figures):
    with translation.override("en"):
        said = words._said(name, interval)
    assert re.search(direction, said)
    assert re.findall(r"\d+\.\d", said) == list(figures)
    if interval.is_sure:
        assert not re.search("more" if "less" in direction else "less|fewer", said)


# --- from the page ------------------------------------------------------------------------------------------------


TYPED = {
    "reserve_soc_percent": 5, "soc_low_percent": 22, "soc_clear_percent": 27, "target_soc_percent": 85,
    "rupees_per_minute": "4.50",
}  # fmt: skip


def post(client, address, **values):
    return client.post(f"/dispatch/policies/{address}/", values)


def test_a_policy_is_made_and_changed_from_the_page(client, dispatcher, stranger, organisation):
    client.force_login(dispatcher)
    assert post(client, "save", name="town", **TYPED).status_code == 302
    first = DispatchPolicy.objects.get()
    assert (str(first), first.cost_per_minute_paise, first.created_by) == ("town v1", 450, dispatcher)
    form = client.get(f"/dispatch/policies/?edit={first.pk}").context["forms"]["policy"]
    assert (form.initial["name"], form.initial["soc_low_percent"]) == ("town", 22)
    post(client, "save", name="town", **{**TYPED, "target_soc_percent": 90})
    assert DispatchPolicy.objects.get(version=2).target_soc_percent == 90
    assert set(AuditEntry.objects.values_list("action", "actor")) == {("policy.version", dispatcher.pk)}
    client.force_login(stranger)
    assert client.get(f"/dispatch/policies/?edit={first.pk}").status_code == 404


def test_limits_out_of_order_are_told_and_what_was_typed_stays(client, dispatcher, organisation):
    client.force_login(dispatcher)
    answer = post(client, "save", name="upside down", **{**TYPED, "soc_low_percent": 30})
    assert answer.status_code == 400
    assert b"The limits must rise" in answer.content
    assert b'value="upside down"' in answer.content
    assert not DispatchPolicy.objects.exists()


def test_an_experiment_begins_and_ends_from_the_page(client, dispatcher, organisation):
    vans = [factories.vehicle(organisation) for _ in range(3)]
    one, two = policy(organisation, "as now"), policy(organisation, "early", **EARLY)
    client.force_login(dispatcher)
    assert b"No experiment yet: begin one above" in client.get("/dispatch/policies/").content
    short = post(client, "begin", name="March", **{f"share_{one.pk}": 50, f"share_{two.pk}": 40})
    assert (short.status_code, PolicyExperiment.objects.count()) == (400, 0)
    assert b"add up to 100" in short.content
    assert post(client, "begin", name="March", **{f"share_{one.pk}": 50, f"share_{two.pk}": 50}).status_code == 302
    run = PolicyExperiment.objects.get()
    assert run.assignments.count() == len(vans)
    page = client.get("/dispatch/policies/").content
    assert b"End March" in page
    assert b"/dispatch/policies/begin/" not in page
    assert post(client, f"{run.pk}/end").status_code == 302
    run.refresh_from_db()
    assert run.ended_at is not None
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {"policy.start", "policy.end"}


def test_a_policy_is_given_to_chosen_vehicles(client, dispatcher, organisation):
    chosen, later, other = (factories.vehicle(organisation) for _ in range(3))
    mine, second = policy(organisation, "town", **EARLY), policy(organisation, "far")
    client.force_login(dispatcher)
    plates = chosen.registration.replace(" ", "").lower() + ",\n"
    assert post(client, "give", policy=mine.pk, plates=plates).status_code == 302
    assert (
        post(client, "give", policy=mine.pk, plates=f"{chosen.registration}\n{later.registration}").status_code == 302
    )
    run = PolicyExperiment.objects.get()
    assert (run.is_drawn, run.assignments.count()) == (False, 2)
    assert [assignment.policy_of(van).policy_id for van in (chosen, later, other)] == [mine.pk, mine.pk, None]
    chosen.refresh_from_db()
    assert chosen.soc_limits == (30, 40)
    factories.vehicle(organisation)
    assert assignment.draw_new_vehicles(now=NOW) == 0  # nobody is drawn
    refused = post(client, "give", policy=second.pk, plates=chosen.registration)
    assert refused.status_code == 400
    assert b"follows another policy" in refused.content
    assert b"vehicles chosen by people" in client.get("/dispatch/policies/").content
    post(client, f"{run.pk}/end")
    assert assignment.policy_of(Vehicle.objects.get(pk=chosen.pk)).policy_id is None
    assert AuditEntry.objects.filter(action="policy.assign", actor=dispatcher).count() == 2


def test_nobody_is_given_anything_of_another_fleet(client, dispatcher, organisation, other_organisation):
    own, theirs = factories.vehicle(organisation), factories.vehicle(other_organisation)
    mine, secret = policy(organisation, "town"), policy(other_organisation, "secret")
    client.force_login(dispatcher)
    for values in (
        {"policy": mine.pk, "plates": theirs.registration}, {"policy": secret.pk, "plates": own.registration},
        {"policy": mine.pk, "plates": ""}, {"policy": "x", "plates": own.registration},
    ):  # fmt: skip
        assert post(client, "give", **values).status_code == 400
    run = experiment(other_organisation, **EARLY)
    assert post(client, f"{run.pk}/end").status_code == 404
    assert PolicyAssignment.objects.filter(vehicle=own).count() == 0
    for policy_id, vehicle in ((secret.pk, own), (mine.pk, theirs)):
        with pytest.raises(assignment.PolicyRefused):
            assignment.assign(organisation=organisation, policy_id=policy_id, vehicle_ids=[vehicle.pk], now=NOW, **ME)


def test_who_may_only_read_sees_no_forms(client, finance, organisation):
    policy(organisation, "town")
    client.force_login(finance)
    page = client.get("/dispatch/policies/")
    assert page.status_code == 200
    assert b"/dispatch/policies/save/" not in page.content
    for address in ("save", "begin", "give", "1/end"):
        assert post(client, address).status_code == 403
