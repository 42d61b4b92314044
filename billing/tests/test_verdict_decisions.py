"""What a person makes of a verdict, what takes it back, and the file to argue with."""

import json
from datetime import timedelta
from typing import Any

import pytest

from billing.admin import shown
from billing.invoicing.services import collecting
from billing.models import (
    CDR,
    BillingException,
    ChargingSession,
    ReconciliationVerdict,
)
from billing.reconciliation import deciding, files, rerunning, working
from billing.services import exceptions
from billing.tests import test_roaming
from billing.tests.factories import NOON, Fleet, make_fleet
from billing.tests.test_roaming import bill, hear, price
from billing.tests.verdicts import LATER, charge, closed, drive, held, look_again, rules_of, verdict_of
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.lib.api import Conflict
from stations.models import Source
from vehicles.models import Position

source = test_roaming.source


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation, money_paise=10_000_00)


def blocked(fleet: Fleet) -> ReconciliationVerdict:
    session = charge(fleet)
    drive(session, 9_000)
    working.judge_waiting(now=LATER)
    CDR.objects.update(captured_at=LATER)
    return verdict_of(session)


@pytest.mark.parametrize(
    ("outcome", "is_held"), [("dismissed", 0), ("accepted", 0), ("disputed", 1), ("charged_back", 1)]
)
def test_a_decision_bills_the_line_or_keeps_it_off(fleet: Fleet, finance: User, outcome: str, is_held: int) -> None:
    verdict = blocked(fleet)
    assert held() == 1
    deciding.decide(verdict_id=verdict.pk, outcome=outcome, reason="tracker swapped", actor=finance, at=LATER)
    assert held() == is_held
    doubt = BillingException.objects.get()
    assert (doubt.resolution, doubt.resolved_by) == ("tracker swapped", finance)
    entry = AuditEntry.objects.get(action="verdict.decide")
    assert (entry.reason, entry.after["outcome"], entry.actor) == ("tracker swapped", outcome, finance)
    assert deciding.precision(fleet.organisation) == {"L1": (1, int(outcome == "dismissed"))}


def test_a_decision_needs_a_reason_and_is_made_once(fleet: Fleet, finance: User) -> None:
    values: dict[str, Any] = {"verdict_id": blocked(fleet).pk, "actor": finance, "at": LATER}
    with pytest.raises(ValueError, match="reason"):
        deciding.decide(outcome="accepted", reason=" ", **values)
    deciding.decide(outcome="accepted", reason="known", **values)
    with pytest.raises(Conflict):
        deciding.decide(outcome="accepted", reason="known", **values)
    deciding.decide(outcome="disputed", reason="on second thought", **values)
    assert held() == 1


@pytest.mark.parametrize("way", ["verdict", "queue"])
def test_evidence_that_weighs_more_than_what_was_decided_takes_the_decision_back(
    fleet: Fleet, finance: User, way: str
) -> None:
    verdict = blocked(fleet)
    if way == "verdict":
        deciding.decide(verdict_id=verdict.pk, outcome="dismissed", reason="tracker swapped", actor=finance, at=LATER)
    else:
        doubt = BillingException.objects.get()
        exceptions.resolve_exception(exception_id=doubt.pk, actor=finance, reason="tracker swapped", at=LATER)
    ChargingSession.objects.update(energy_wh=9_900)  # the same doubt in other figures
    look_again(verdict.session, 1)
    assert (held(), BillingException.objects.open().count()) == (0, 0)
    Position.objects.update(latitude_e7=129_716_000)  # for an hour, all is well
    assert look_again(verdict.session, 2).verdict == "verified"
    Position.objects.update(latitude_e7=130_500_000)  # and then as it was: decided already
    assert (look_again(verdict.session, 3).verdict, held()) == ("blocked", 0)
    ChargingSession.objects.update(energy_wh=90_000, meter_stop_wh=91_000)  # more than the battery can take
    worse = look_again(verdict.session, 4)
    assert (worse.points > verdict.points, worse.outcome, held()) == (True, "", 1)
    asked = BillingException.objects.open().get()
    assert asked.details["points"] == worse.points
    reopened = AuditEntry.objects.filter(action="verdict.reopen")
    assert [entry.before["reason"] for entry in reopened] == (["tracker swapped"] if way == "verdict" else [])
    exceptions.resolve_exception(exception_id=asked.pk, actor=finance, reason="a second van", at=worse.decided_at)
    assert held() == 0
    look_again(verdict.session, 5)
    assert (held(), BillingException.objects.open().count()) == (0, 0)


def test_what_was_kept_off_stays_off_whatever_comes(fleet: Fleet, finance: User) -> None:
    verdict = blocked(fleet)
    deciding.decide(verdict_id=verdict.pk, outcome="charged_back", reason="nobody was there", actor=finance, at=LATER)
    ChargingSession.objects.update(energy_wh=90_000)
    assert (look_again(verdict.session, 1).outcome, held()) == ("charged_back", 1)


def test_closing_the_question_in_the_queue_bills_the_line(fleet: Fleet, finance: User) -> None:
    blocked(fleet)
    doubt = BillingException.objects.get()
    exceptions.resolve_exception(exception_id=doubt.pk, actor=finance, reason="it was there", at=LATER)
    assert held() == 0


def test_a_record_in_doubt_is_held_and_asks_the_network_alone(fleet: Fleet) -> None:
    first = charge(fleet)
    ChargingSession.objects.filter(pk=first.pk).update(started_at=NOON + timedelta(minutes=1))
    second = charge(fleet)
    drive(second)
    working.judge_waiting(now=LATER)
    CDR.objects.update(captured_at=LATER)
    assert (verdict_of(second).verdict, verdict_of(second).points) == ("invalid", 0)
    judged = BillingException.objects.filter(kind__in=["cpo_record", "suspicious_session"])
    assert [(each.session_id, each.kind) for each in judged] == [(second.pk, "cpo_record")]
    assert set(collecting.held(CDR.objects.all()).values_list("session", flat=True)) == {second.pk}


@pytest.mark.parametrize("is_same", [True, False])
def test_of_another_fleets_session_at_the_plug_evidence_keeps_nothing_but_that_it_is_the_same(
    fleet: Fleet, other_organisation: Organisation, is_same: bool
) -> None:
    """A network may tell one charging to two fleets."""
    theirs = charge(fleet, energy_wh=10_000 if is_same else 4_321)
    moved = {"organisation": other_organisation, "vehicle": None, "started_at": NOON + timedelta(minutes=1)}
    ChargingSession.objects.filter(pk=theirs.pk).update(**moved)
    mine = charge(fleet)
    drive(mine)
    working.judge_waiting(now=LATER)
    verdict = ReconciliationVerdict.objects.select_related(*files.RELATED).get(session=mine)
    assert rules_of(mine) == (["F1"] if is_same else [])
    assert verdict.evidence["neighbours"] == []
    assert verdict.evidence["told_to_others"] == ("charge" if is_same else "")
    assert f'"session": {theirs.pk},' not in json.dumps(verdict.evidence)
    assert [each.is_same for each in rerunning.rerun_all()] == [True, True]


def test_file_and_page_of_older_evidence_tell_no_other_fleets_session(
    fleet: Fleet, other_organisation: Organisation
) -> None:
    theirs, earlier, mine = (charge(fleet, day=day) for day in (2, 1, 0))
    ChargingSession.objects.filter(pk=theirs.pk).update(organisation=other_organisation)
    working.judge_waiting(now=LATER)
    verdict = ReconciliationVerdict.objects.select_related(*files.RELATED).get(session=mine)
    verdict.evidence["neighbours"] = [{"session": each.pk, "reference": f"REF{each.pk}"} for each in (theirs, earlier)]
    told = {"session": theirs.pk, "reference": f"REF{theirs.pk}", "energy_wh": 9_871}
    verdict.findings = [{"rule": "F1", "points": 0, "text": "told before", "evidence": told}]
    packed = files.pack(verdict)
    assert [each["session"] for each in packed["evidence"]["neighbours"]] == [earlier.pk]
    assert packed["findings"][0]["evidence"] == {}
    assert f"REF{theirs.pk}" not in files.as_csv(packed)
    on_page = str(shown.findings_shown(verdict, has_track=False))
    assert "told before" in on_page and f"REF{theirs.pk}" not in on_page and "9871" not in on_page
    verdict.findings[0]["evidence"] = {**told, "session": earlier.pk}  # one's own may be read
    assert f"REF{theirs.pk}" in shown.findings_shown(verdict, has_track=False)


@pytest.mark.parametrize("is_taken_first", [True, False])
def test_a_price_that_was_taken_over_answers_no_doubt_about_the_record(
    finance: User, source: Source, is_taken_first: bool
) -> None:
    """The network asks too much, and finance takes its price over; its meter says then that the record is wrong."""
    cdr = bill(source, total_cost={"excl_vat": 450.0, "incl_vat": 531.0})
    price(cdr)
    assert cdr is not None
    session = cdr.session
    look_again(session, 1)
    assert (verdict_of(session).verdict, rules_of(session), held()) == ("invalid", ["F3"], 1)
    if is_taken_first:
        closed(session, "cpo_price", finance)
        assert held() == 0
    hear(source, kwh=15.0, status="COMPLETED", last_updated="2026-11-21T06:40:00Z")
    look_again(session, 2)
    assert (verdict_of(session).verdict, rules_of(session), held()) == ("invalid", ["E5", "F3"], 1)
    closed(session, "cpo_record", finance)
    if not is_taken_first:
        assert held() == 1  # its price is still in doubt
        closed(session, "cpo_price", finance)
    assert held() == 0
    look_again(session, 3)
    assert (held(), BillingException.objects.open().filter(session=session).count()) == (0, 0)


def test_the_dispute_file_tells_rule_evidence_and_track(fleet: Fleet) -> None:
    verdict = ReconciliationVerdict.objects.select_related(*files.RELATED).get(pk=blocked(fleet).pk)
    lines = files.as_csv(files.pack(verdict)).splitlines()
    assert lines[0] == "section,item,points,asks,at,value,note"
    assert any(line.startswith("finding,L1 Absent,60,driver,,,The tracker was never closer than") for line in lines)
    assert sum(line.startswith("position,") for line in lines) == 20
    assert "2026-11-20T12:00:00+05:30" in "".join(lines)
