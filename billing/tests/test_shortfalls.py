"""When no more can be held for a running session: stopped, charged on or told, as its fleet wants."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from billing.limits import changing, shortfalls
from billing.models import BillingException, ChargingSession, Hold, LimitUsage, Wallet
from billing.services import bounds, exceptions, holds, verification
from billing.tests import test_bounds
from billing.tests.factories import NOON, Fleet, fund, limit, make_fleet, start
from billing.tests.test_bounds import OwnChargers
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from stations.cpo.base import StopRequest

charger = test_bounds.charger
Policy = Wallet.WhenShort
PER_KWH = 21_24


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    """Money for the hold of a session, and none beside it."""
    return make_fleet(organisation, money_paise=490_00)


def running(fleet: Fleet, policy: str = Policy.ALERT) -> ChargingSession:
    Wallet.objects.update(when_short=policy)
    return ChargingSession.objects.get(pk=start(fleet).session_id)


def draw(session: ChargingSession, wh: int, minutes: int = 5) -> int:
    """Both sweeps, after so much; how many sessions were asked to stop."""
    ChargingSession.objects.filter(pk=session.pk).update(energy_wh=wh)
    holds.extend_running(now=at(minutes))
    return bounds.stop_exhausted(now=at(minutes))


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def beyond(hold: Hold, percent: int) -> int:
    """Wh that cost so many percent of what is held."""
    return hold.amount_paise * percent * 10 // PER_KWH + 1


def told() -> list[BillingException]:
    return list(BillingException.objects.open().filter(reference__startswith=shortfalls.REFERENCE))


@pytest.mark.parametrize(("policy", "stops", "questions"), [("stop", 1, 1), ("allow_credit", 0, 0), ("alert", 0, 1)])
def test_each_fleet_decides(fleet: Fleet, charger: OwnChargers, policy: str, stops: int, questions: int) -> None:
    session = running(fleet, policy)
    hold = Hold.objects.get()
    assert (draw(session, beyond(hold, 70)), told()) == (0, [])
    assert (draw(session, beyond(hold, 90)), len(told())) == (0, questions)  # warned, and not stopped yet
    hold.refresh_from_db()
    assert hold.amount_paise == 490_00  # the last of the wallet, too
    assert draw(session, beyond(hold, 99)) == 0
    assert (draw(session, beyond(hold, 100), 7), len(told())) == (stops, questions)
    assert len(charger.asked) == stops
    assert Hold.objects.get().amount_paise == 490_00


def test_money_that_comes_in_time_settles_it(fleet: Fleet, charger: OwnChargers) -> None:
    session = running(fleet, Policy.STOP)
    hold = Hold.objects.get()
    draw(session, beyond(hold, 90))
    assert len(told()) == 1
    fund(fleet.organisation, 1_000_00)
    assert draw(session, beyond(hold, 101)) == 0
    assert (told(), charger.asked) == ([], [])
    assert Hold.objects.get().amount_paise > hold.amount_paise


def test_finance_may_let_one_go_on(fleet: Fleet, charger: OwnChargers, finance: User) -> None:
    session = running(fleet, Policy.STOP)
    hold = Hold.objects.get()
    draw(session, beyond(hold, 90))
    exceptions.resolve_exception(exception_id=told()[0].pk, actor=finance, reason="he must come home", at=NOON)
    assert draw(session, beyond(hold, 150)) == 0
    assert (told(), charger.asked) == ([], [])


def test_a_question_ends_with_its_session(fleet: Fleet) -> None:
    session = running(fleet)
    draw(session, beyond(Hold.objects.get(), 90))
    ChargingSession.objects.update(state="ended", ended_at=at(6))
    other = make_fleet(fleet.organisation, has_wallet=False)
    running(other)
    holds.extend_running(now=at(7))
    assert told() == []


def test_energy_is_held_on_too_as_far_as_its_limit_goes(fleet: Fleet) -> None:
    fund(fleet.organisation, 9_000_00)
    of_day = limit(fleet.organisation, energy_wh=40_000)
    session = running(fleet)
    held = Hold.objects.get()
    assert held.energy_wh == 23_000
    draw(session, 20_000)
    assert Hold.objects.get().energy_wh == LimitUsage.objects.get(limit=of_day).reserved_wh == 30_000
    paise = Hold.objects.get().amount_paise
    draw(session, 30_000)  # 45 kWh would be beyond it: what is left is held, and the money all the same
    assert (Hold.objects.get().energy_wh, len(told())) == (40_000, 1)
    assert Hold.objects.get().amount_paise > paise
    assert verification.differences() == {}


def test_what_is_held_for_others_counts_on_a_limit_of_energy(fleet: Fleet, charger: OwnChargers) -> None:
    """Of 40 kWh a day another session holds 23: this one stops at 17, wherever the other one is."""
    fund(fleet.organisation, 9_000_00)
    of_day = limit(fleet.organisation, energy_wh=40_000)
    session = running(fleet, Policy.STOP)
    start(make_fleet(fleet.organisation, has_wallet=False))
    assert (Hold.objects.count(), LimitUsage.objects.get(limit=of_day).reserved_wh) == (2, 40_000)
    mine = Hold.objects.get(session_key=f"session:{session.pk}")
    assert mine.energy_wh == 23_000
    assert draw(session, 22_999) == 0
    assert len(told()) == 1
    assert draw(session, 23_000) == 1
    assert [request.transaction_ref for request in charger.asked] == [session.transaction_ref]
    changing.change_limit(limit=of_day, amount_paise=None, energy_wh=60_000, reason="season", actor=None)
    assert bounds.stop_exhausted(now=at(9)) == 0  # there is room again, the next sweep holds it
    assert (draw(session, 23_000), told()) == (0, [])
    assert verification.differences() == {}


def test_one_that_ended_while_the_sweep_ran_is_not_stopped(
    fleet: Fleet, charger: OwnChargers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that is asked to stop takes so long that the other has ended meanwhile."""
    sessions = [running(fleet, Policy.STOP), running(make_fleet(fleet.organisation, money_paise=490_00), Policy.STOP)]
    ChargingSession.objects.update(energy_wh=90_000)
    holds.extend_running(now=at(5))
    ask = charger.stop

    def ask_slowly(request: StopRequest) -> Any:
        ChargingSession.objects.exclude(transaction_ref=request.transaction_ref).update(state="ended", ended_at=at(6))
        return ask(request)

    monkeypatch.setattr(charger, "stop", ask_slowly)
    assert (bounds.stop_exhausted(now=at(6)), bounds.stop_exhausted(now=at(9))) == (1, 1)
    assert {request.transaction_ref for request in charger.asked} == {sessions[0].transaction_ref}


def test_several_of_a_fleet_run_short_at_once(fleet: Fleet, charger: OwnChargers, finance: User) -> None:
    others = [make_fleet(fleet.organisation, money_paise=490_00) for _ in range(2)]
    sessions = [running(each, Policy.STOP) for each in (fleet, *others)]
    ChargingSession.objects.update(energy_wh=90_000)
    holds.extend_running(now=at(5))
    assert sorted(row.session_id or 0 for row in told()) == [session.pk for session in sessions]
    exceptions.resolve_exception(exception_id=told()[0].pk, actor=finance, reason="he must come home", at=at(5))
    assert bounds.stop_exhausted(now=at(6)) == 2


def test_nobody_hears_of_one_that_ended_while_the_sweep_ran(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    session = running(fleet)
    ChargingSession.objects.update(energy_wh=90_000)
    extend = holds.wallets.extend

    def extend_too_late(**told: Any) -> bool:
        ChargingSession.objects.update(state="ended", ended_at=at(6))
        return extend(**told)

    monkeypatch.setattr(holds.wallets, "extend", extend_too_late)
    holds.extend_running(now=at(6))
    session.refresh_from_db()
    assert session.state == "ended"
    assert not BillingException.objects.filter(reference__startswith=shortfalls.REFERENCE).exists()


def test_a_limit_of_a_session_that_is_removed_or_raised_bounds_no_more(fleet: Fleet, charger: OwnChargers) -> None:
    fund(fleet.organisation, 9_000_00)
    row = limit(fleet.organisation, period="session", amount_paise=100_00)
    session = running(fleet)
    assert Hold.objects.get().amount_paise == 100_00
    assert draw(session, 4_800) == 1
    changing.change_limit(limit=row, amount_paise=150_00, energy_wh=None, reason="too narrow", actor=None)
    assert draw(session, 4_800) == 0
    assert draw(session, 7_100, 9) == 1
    changing.remove_limit(limit=row, reason="not wanted", actor=None)
    assert draw(session, 9_000, 20) == 0
    assert Hold.objects.get().amount_paise == 9 * PER_KWH * 150 // 100
    assert len(charger.asked) == 2


def test_finance_sets_it_at_the_desk_with_a_reason(fleet: Fleet, finance: User, client: Client) -> None:
    client.force_login(finance)
    page = f"/admin/billing/wallet/{Wallet.objects.get().pk}/when-short/"
    assert client.get(page).status_code == 200
    client.post(page, {"when_short": "stop", "reason": ""})
    assert Wallet.objects.get().when_short == "alert"
    client.post(page, {"when_short": "stop", "reason": "prepaid fleet"})
    assert Wallet.objects.get().when_short == "stop"
    entry = AuditEntry.objects.get(action="set_when_short")
    assert (entry.actor, entry.reason, entry.after) == (finance, "prepaid fleet", {"when_short": "stop"})


def test_a_dispatcher_may_not_and_another_word_is_refused(fleet: Fleet, dispatcher: User, client: Client) -> None:
    client.force_login(dispatcher)
    page = f"/admin/billing/wallet/{Wallet.objects.get().pk}/when-short/"
    assert client.post(page, {"when_short": "stop", "reason": "x"}).status_code in (302, 403, 404)
    for word, reason in (("never", "x"), ("stop", " ")):
        with pytest.raises(ValueError, match="and why"):
            shortfalls.set_policy(organisation_id=fleet.organisation.pk, when_short=word, actor=None, reason=reason)
    assert Wallet.objects.get().when_short == "alert"
