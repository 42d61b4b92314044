"""Chunks of verdicts: few statements, leases, a bad row alone, old verdicts kept, points learned, lines drawn."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.matching import UnusableTerms, rulesets
from billing.models import (
    ChargingSession,
    PastVerdict,
    ReconciliationVerdict,
    RuleTerms,
    StationPoint,
    VerdictWork,
)
from billing.reconciliation import gathering, points, rerunning, terms, working
from billing.services import reconciliation
from billing.tests.factories import NOON, Fleet, make_fleet
from billing.tests.verdicts import END, LATER, charge, drive, rules_of, verdict_of
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.lib.api import Conflict
from vehicles.models import Driver, Position, Shift, Vehicle

STORED = json.loads((Path(__file__).parent / "fixtures" / "verdict_2026_11_1.json").read_text())


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation, money_paise=10_000_00)


def test_a_chunk_takes_as_many_statements_as_one_session(fleet: Fleet) -> None:
    def statements() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            working.judge_waiting(now=LATER)
        return len(caught)

    drive(charge(fleet, day=9))
    alone = statements()
    for day in range(1, 7):
        drive(charge(fleet, day=day))
    assert statements() == alone
    assert set(ReconciliationVerdict.objects.values_list("verdict", flat=True)) == {"verified"}
    assert not VerdictWork.objects.exists()


def test_a_leased_session_is_nobody_elses_until_the_lease_runs_out(fleet: Fleet) -> None:
    session = charge(fleet)
    VerdictWork.objects.create(session=session, leased_until=LATER, attempts=1)
    assert working.judge_waiting(now=LATER - timedelta(seconds=1)) == 0
    assert working.judge_waiting(now=LATER) == 1
    assert verdict_of(session).decided_at == LATER


def test_one_that_cannot_be_judged_is_tried_alone_and_later(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = charge(fleet, day=2), charge(fleet, day=1)
    honest = gathering._evidence

    def broken(row: dict[str, Any], *rest: Any) -> Any:
        if row["id"] == bad.pk:
            raise ArithmeticError("odd")
        return honest(row, *rest)

    monkeypatch.setattr(gathering, "_evidence", broken)
    assert working.judge_waiting(now=LATER) == 2
    assert verdict_of(good).verdict == "inconclusive"
    work = VerdictWork.objects.get()
    assert (work.session, work.last_error, work.leased_until) == (
        bad,
        "ArithmeticError: odd",
        LATER + timedelta(minutes=2),
    )
    assert working.judge_waiting(now=LATER) == 0
    monkeypatch.setattr(gathering, "_evidence", honest)
    assert working.judge_waiting(now=LATER + timedelta(minutes=2)) == 1
    assert verdict_of(bad).verdict == "inconclusive"


def test_a_kill_between_claim_and_commit_costs_a_lease(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    session = charge(fleet)

    def killed(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(working, "_judge", killed)
        working.judge_waiting(now=LATER)
    assert not ReconciliationVerdict.objects.exists()
    assert working.judge_waiting(now=LATER) == 0
    assert working.judge_waiting(now=LATER + working.LEASE) == 1
    assert verdict_of(session).ruleset_version


# --- history ------------------------------------------------------------------------------------------------------
def test_a_replaced_verdict_stays_as_it_stood_and_both_follow_from_their_evidence(fleet: Fleet) -> None:
    session = charge(fleet)
    drive(session, 9_000)
    reconciliation.judge(session_id=session.pk, now=LATER)
    Position.objects.all().delete()
    drive(session)
    reconciliation.judge(session_id=session.pk, now=LATER + timedelta(hours=1))
    old = PastVerdict.objects.get()
    assert (old.verdict, old.decided_at, verdict_of(session).verdict) == ("blocked", LATER, "verified")
    Position.objects.all().delete()  # retention
    compared = list(rerunning.rerun_all())
    assert [(each.stored.verdict, each.is_same) for each in compared] == [("verified", True), ("blocked", True)]


def test_earlier_verdicts_are_never_changed(fleet: Fleet, organisation: Organisation) -> None:
    RuleTerms.objects.create(organisation=organisation, valid_from=date(2026, 1, 1), reason="x")
    for model in (RuleTerms, PastVerdict):
        with pytest.raises(DatabaseError), transaction.atomic():
            model._default_manager.update(**{"reason": "y"} if model is RuleTerms else {"points": 0})


def test_the_first_ruleset_still_gives_its_verdicts_and_a_newer_one_makes_a_new_row(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    session = charge(fleet)
    drive(session)
    old = ReconciliationVerdict.objects.create(session=session, decided_at=END, **STORED)
    ChargingSession.objects.update(reconciled_at=END)
    assert rerunning.rerun(old).is_same
    call_command("rerun_verdicts", "--anew", "10")
    assert capsys.readouterr().out.splitlines() == [
        "1 verdicts are the same again, 0 are not.", "1 sessions judged by today's rules.",
    ]  # fmt: skip
    past, now = PastVerdict.objects.get(), verdict_of(session)
    assert (past.ruleset_version, past.findings, past.input_hash) == (
        "2026-11.1",
        STORED["findings"],
        STORED["input_hash"],
    )
    assert (now.ruleset_version, now.verdict) == ("2026-11.4", "verified")


def test_tampering_is_found(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    session = charge(fleet)
    drive(session, 9_000)
    reconciliation.judge(session_id=session.pk, now=LATER)
    ReconciliationVerdict.objects.update(points=0, verdict="verified")
    with pytest.raises(SystemExit):
        call_command("rerun_verdicts")
    assert "stored verified, again blocked" in capsys.readouterr().out
    ReconciliationVerdict.objects.update(evidence={"pings": "gone"})
    assert [(each.again, each.is_same) for each in rerunning.rerun_all()] == [(None, False)]
    ReconciliationVerdict.objects.update(ruleset_version="1999-1")
    with pytest.raises(rulesets.UnknownRuleset):
        rulesets.rerun(version="1999-1", evidence={}, thresholds={})


# --- lines of an organisation -------------------------------------------------------------------------------------
def test_an_organisations_lines_hold_from_their_day_on(fleet: Fleet, organisation: Organisation, finance: User) -> None:
    before, after = charge(fleet, day=2), charge(fleet)
    for session in (before, after):
        drive(session, 300)
    values: dict[str, Any] = {"organisation": organisation, "actor": finance, "at": END, "reason": "a small yard"}
    terms.change(valid_from=date(2026, 11, 20), changes={"near_miss_m": 50, "radius_stated_m": 150}, **values)
    working.judge_waiting(now=LATER)
    assert (rules_of(before), rules_of(after)) == (["L2"], ["L1"])
    assert verdict_of(after).thresholds["near_miss_m"] == 50
    row = RuleTerms.objects.get()
    assert row.changes == {"near_miss_m": 50}  # defaults are not repeated
    assert AuditEntry.objects.get(action="rules.change").reason == "a small yard"
    with pytest.raises(UnusableTerms):
        terms.change(valid_from=date(2026, 11, 21), changes={"near_miss": 50}, **values)


# --- points of stations -------------------------------------------------------------------------------------------
def test_verified_sessions_teach_the_point_and_it_is_used(fleet: Fleet) -> None:
    second = Vehicle.objects.create(
        organisation=fleet.organisation, registration="KA 01 ZZ 1", model=fleet.vehicle.model
    )
    for day in range(2, 7):
        drive(charge(fleet, day=day, vehicle=second if day % 2 else None), 90)
    working.judge_waiting(now=LATER)
    assert points.learn(now=LATER) == 1
    point = StationPoint.objects.get()
    assert (point.state, point.off_m, point.spread_m, point.sessions, point.vehicles) == ("learned", 90, 0, 5, 2)
    passer_by = charge(fleet)
    drive(passer_by, -60)  # within 150 m of the network's coordinates, 150 m from where one charges
    working.judge_waiting(now=LATER)
    assert (rules_of(passer_by), verdict_of(passer_by).evidence["base_radius_m"]) == (["L2"], 60)


def test_one_vehicle_alone_teaches_nothing(fleet: Fleet) -> None:
    for day in range(2, 7):
        drive(charge(fleet, day=day), 90)
    working.judge_waiting(now=LATER)
    assert points.learn(now=LATER) == 0


def test_near_misses_that_agree_propose_a_point_that_a_person_accepts(fleet: Fleet, finance: User) -> None:
    second = Vehicle.objects.create(
        organisation=fleet.organisation, registration="KA 01 ZZ 1", model=fleet.vehicle.model
    )
    for day in range(2, 7):
        drive(charge(fleet, day=day, vehicle=second if day % 2 else None), 300)
    working.judge_waiting(now=LATER)
    points.learn(now=LATER)
    assert StationPoint.objects.get().state == "proposed"
    there = charge(fleet)
    drive(there, 300)
    working.judge_waiting(now=LATER)
    assert verdict_of(there).verdict == "inconclusive"  # not used before somebody looked
    points.decide(location_id=fleet.location.pk, is_accepted=True, reason="seen on the spot", actor=finance)
    ChargingSession.objects.filter(pk=there.pk).update(reconciled_at=None)
    working.judge_waiting(now=LATER)
    assert verdict_of(there).verdict == "verified"
    with pytest.raises(Conflict):
        points.decide(location_id=fleet.location.pk, is_accepted=False, reason="again", actor=finance)


# --- evidence over rows -------------------------------------------------------------------------------------------
def test_another_vehicle_of_the_fleet_that_stood_there_is_named(fleet: Fleet) -> None:
    session = charge(fleet)
    other = Vehicle.objects.create(
        organisation=fleet.organisation, registration="KA 05 MX 7", model=fleet.vehicle.model
    )
    drive(session, 9_000)
    drive(session, 30, vehicle=other)
    working.judge_waiting(now=LATER)
    named = [each for each in verdict_of(session).findings if each["rule"] == "L6"]
    assert [each["evidence"] for each in named] == [
        {"vehicle": "KA 05 MX 7", "distance_m": 30, "soc_rise_percent": 47.0}
    ]


def test_shifts_of_the_vehicle_are_evidence(fleet: Fleet) -> None:
    session = charge(fleet)
    drive(session)
    night = {"starts_at": NOON - timedelta(hours=12), "ends_at": NOON - timedelta(hours=4)}
    driver = Driver.objects.create(organisation=fleet.organisation, name="Night")
    Shift.objects.create(organisation=fleet.organisation, vehicle=fleet.vehicle, driver=driver, **night)
    working.judge_waiting(now=LATER)
    assert (rules_of(session), verdict_of(session).verdict) == (["T1"], "review")


def test_two_sessions_of_one_vehicle_at_once(fleet: Fleet, organisation: Organisation) -> None:
    elsewhere = make_fleet(organisation, has_wallet=False)
    first, second = charge(fleet), charge(elsewhere, vehicle=fleet.vehicle)
    working.judge_waiting(now=LATER)
    assert "L5" in rules_of(first) and "L5" in rules_of(second)


def another(of: ChargingSession, number: int, **fields: Any) -> ChargingSession:
    values = {field.attname: getattr(of, field.attname) for field in of._meta.concrete_fields if not field.primary_key}
    named = {"start_key": f"{number:064d}", "transaction_ref": f"more-{number}"}
    return ChargingSession.objects.create(**{**values, **named, **fields})


def test_the_nearest_of_many_sessions_are_looked_at(fleet: Fleet, organisation: Organisation) -> None:
    elsewhere = make_fleet(organisation, has_wallet=False)
    first = charge(elsewhere, vehicle=fleet.vehicle)
    for number in range(21):  # short ones, hours before
        at = NOON - timedelta(hours=20, minutes=-10 * number)
        another(first, number, started_at=at, ended_at=at + timedelta(minutes=5))
    second = charge(fleet)
    working.judge_waiting(now=LATER)
    assert "L5" in rules_of(second)
    assert [each.is_same for each in rerunning.rerun_all(session_ids=[second.pk])] == [True]


def test_a_session_of_the_vehicle_that_comes_later_is_news_of_the_earlier_ones(
    fleet: Fleet, organisation: Organisation
) -> None:
    first = charge(fleet)
    judged_at = timezone.now() + timedelta(days=1)
    working.judge_waiting(now=judged_at)
    assert rules_of(first) == []
    second = charge(make_fleet(organisation, has_wallet=False), vehicle=fleet.vehicle)
    later = judged_at + timedelta(hours=2)
    ChargingSession.objects.filter(pk=second.pk).update(created_at=judged_at - timedelta(hours=1))
    assert working.overtaken(now=later, since=NOON, limit=9) == []
    ChargingSession.objects.filter(pk=second.pk).update(created_at=judged_at + timedelta(hours=1))
    assert working.overtaken(now=later, since=NOON, limit=9) == [first.pk]
    working.judge_these([first.pk], now=later)
    assert "L5" in rules_of(first)
