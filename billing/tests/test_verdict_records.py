"""Verdicts about records of networks: which one is judged, who is asked, and what ends with it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import (
    BillingException,
    ChargingSession,
    RuleTerms,
)
from billing.reconciliation import deciding, working
from billing.tests import test_roaming
from billing.tests.factories import NOON, make_fleet
from billing.tests.test_credits import CREDIT, SMALLER
from billing.tests.test_roaming import bill, hear, price
from billing.tests.verdicts import LATER, METRE, closed, held, look_again, rules_of, verdict_of
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.demo.peers import objects
from stations.models import Source, StatusChange
from vehicles.models import IdToken, Position, Vehicle

source = test_roaming.source


@pytest.fixture
def van(source: Source, organisation: Organisation) -> Vehicle:
    """With the card that the network knows; 20 kWh."""
    vehicle = make_fleet(organisation, has_wallet=False).vehicle
    IdToken.objects.filter(uid="CARD1").update(vehicle=vehicle)
    return vehicle


AT_SIX = datetime(2026, 11, 21, 6, tzinfo=UTC)


def park(van: Vehicle, *, since: datetime = AT_SIX, metres: float = 0) -> None:
    """At the network's site for the half hour of its session, from 30 to 77 %."""
    Position.objects.bulk_create(
        Position(
            vehicle=van, fix_at=since + timedelta(minutes=minute), received_at=since, speed_dkmh=0, accuracy_m=8,
            latitude_e7=129_500_000 + round((metres if -5 <= minute <= 33 else 5_000) * METRE),
            longitude_e7=777_010_000, soc_permille=300 if minute <= 0 else 770,
        )
        for minute in range(-30, 70, 3)
    )  # fmt: skip


def metered(source: Source, kwh: float) -> None:
    """The network's own last word of the session, apart from its record."""
    end = {"end_date_time": "2026-11-21T06:30:00Z", "last_updated": "2026-11-21T06:30:00Z"}
    hear(source, kwh=kwh, status="COMPLETED", **end)


def test_a_network_that_bills_twice_what_its_meter_says_is_asked_and_the_driver_is_not(
    source: Source, van: Vehicle
) -> None:
    metered(source, 10.0)
    cdr = bill(source)  # 20 kWh
    price(cdr)
    assert cdr is not None
    park(van)
    look_again(cdr.session, 1)
    assert (verdict_of(cdr.session).verdict, verdict_of(cdr.session).points) == ("invalid", 0)
    assert rules_of(cdr.session) == ["E5"]
    assert BillingException.objects.open().get().kind == "cpo_record"


AGAIN: dict[str, Any] = {
    "total_energy": 25.0, "charging_periods": [objects.period(objects.STAMP, ENERGY=25.0, TIME=0.5)],
    "total_cost": {"excl_vat": 487.5, "incl_vat": 575.25}, "total_energy_cost": {"excl_vat": 487.5, "incl_vat": 575.25},
}  # fmt: skip


def judged_by_the_sweep(session: ChargingSession, hours: int) -> tuple[str, list[str], int]:
    working.judge_waiting(now=LATER + timedelta(hours=hours))
    return verdict_of(session).verdict, rules_of(session), held()


def test_a_record_that_comes_after_a_credit_is_the_one_that_is_judged(
    source: Source, van: Vehicle, finance: User
) -> None:
    metered(source, 10.0)
    cdr = bill(source)
    price(cdr)
    assert cdr is not None
    park(van)
    session = cdr.session
    assert judged_by_the_sweep(session, 1) == ("invalid", ["E5"], 1)
    bill(source, "C1-C", **CREDIT)
    assert judged_by_the_sweep(session, 2) == ("verified", [], 0)  # nothing is asked for it
    bill(source, "C1-2", **SMALLER)
    assert judged_by_the_sweep(session, 3) == ("verified", [], 0)
    assert verdict_of(session).evidence["record"] == "IN*VLT*C1-2"
    assert not BillingException.objects.open().exists()


def test_what_was_decided_about_a_record_is_not_decided_about_the_next(
    source: Source, van: Vehicle, finance: User
) -> None:
    metered(source, 10.0)
    cdr = bill(source)
    price(cdr)
    assert cdr is not None
    session = cdr.session
    judged_by_the_sweep(session, 1)
    deciding.decide(
        verdict_id=verdict_of(session).pk, outcome="accepted", reason="paid all the same", actor=finance, at=LATER
    )
    bill(source, "C1-C", **CREDIT)
    bill(source, "C1-2", **AGAIN)
    assert judged_by_the_sweep(session, 26) == ("invalid", ["E5"], 1)
    assert verdict_of(session).outcome == ""
    assert BillingException.objects.open().get(session=session).kind == "cpo_record"


@pytest.mark.parametrize("outcome", ["disputed", "charged_back"])
@pytest.mark.parametrize("is_credited_first", [False, True])
def test_what_is_kept_off_of_one_record_is_not_kept_off_of_the_next(
    source: Source, van: Vehicle, finance: User, monkeypatch: pytest.MonkeyPatch, outcome: str, is_credited_first: bool
) -> None:
    metered(source, 10.0)
    cdr = bill(source)
    price(cdr)
    assert cdr is not None
    park(van)
    session = cdr.session
    assert judged_by_the_sweep(session, 1) == ("invalid", ["E5"], 1)
    if is_credited_first:
        bill(source, "C1-C", **CREDIT)
        judged_by_the_sweep(session, 2)
    deciding.decide(
        verdict_id=verdict_of(session).pk, outcome=outcome, reason="twice", actor=finance, at=LATER + timedelta(hours=3)
    )
    monkeypatch.setattr(test_roaming, "NOW", LATER + timedelta(hours=4))
    assert (held(), BillingException.objects.open().count()) == (1, 0)
    if not is_credited_first:
        bill(source, "C1-C", **CREDIT)
        assert judged_by_the_sweep(session, 4) == ("verified", [], 1)  # nothing came in its place yet
    bill(source, "C1-2", **SMALLER)
    assert judged_by_the_sweep(session, 5) == ("verified", [], 0)
    assert verdict_of(session).outcome == ""
    assert AuditEntry.objects.get(action="verdict.reopen").before["reason"] == "twice"


def test_a_credit_is_noticed_by_those_who_look_again(
    source: Source, van: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    cdr = bill(source)
    price(cdr)
    assert cdr is not None
    judged_at = timezone.now() + timedelta(days=1)
    working.judge_waiting(now=judged_at)
    monkeypatch.setattr(test_roaming, "NOW", judged_at + timedelta(hours=1))
    bill(source, "C1-C", **CREDIT)
    ChargingSession.objects.update(reconciled_at=judged_at)  # by a worker that had read what was known before
    assert working.overtaken(now=judged_at + timedelta(hours=2), since=NOON, limit=9) == [cdr.session.pk]


FIVE_RUPEES = {"total_cost": {"excl_vat": 396.0, "incl_vat": 467.28}}  # 1.5 % more: the price check asks
THREE_RUPEES = {"total_cost": {"excl_vat": 392.75, "incl_vat": 463.45}}  # 0.7 %, and the fleet's line is 2 rupees


@pytest.mark.parametrize("asked", [{}, THREE_RUPEES, FIVE_RUPEES], ids=["agrees", "within tolerance", "differs"])
def test_a_price_beyond_the_fleets_own_line_is_held_and_asked_once(
    source: Source, organisation: Organisation, finance: User, asked: dict[str, Any]
) -> None:
    RuleTerms.objects.create(
        organisation=organisation, valid_from=date(2026, 1, 1), reason="x", changes={"price_off_paise": 200}
    )
    cdr = bill(source, **asked)
    price(cdr)
    assert cdr is not None
    is_off = bool(asked)
    assert judged_by_the_sweep(cdr.session, 1)[1:] == (["F3"] if is_off else [], int(is_off))
    look_again(cdr.session, 2)
    assert [each.kind for each in BillingException.objects.open()] == ["cpo_price"] * is_off
    if is_off:
        closed(cdr.session, "cpo_price", finance)
        look_again(cdr.session, 3)
    assert (held(), BillingException.objects.open().count()) == (0, 0)


def test_a_verdicts_question_about_a_price_ends_with_the_record(source: Source, organisation: Organisation) -> None:
    RuleTerms.objects.create(
        organisation=organisation, valid_from=date(2026, 1, 1), reason="x", changes={"price_off_paise": 200}
    )
    cdr = bill(source, **THREE_RUPEES)
    price(cdr)
    assert cdr is not None
    judged_by_the_sweep(cdr.session, 1)
    bill(source, "C1-C", **{**CREDIT, "total_cost": {"excl_vat": -392.75, "incl_vat": -463.45}})
    judged_by_the_sweep(cdr.session, 2)
    assert (BillingException.objects.open().count(), held()) == (0, 0)
    bill(source, "C1-2", **THREE_RUPEES)
    assert judged_by_the_sweep(cdr.session, 3)[1:] == (["F3"], 1)
    assert BillingException.objects.open().get().kind == "cpo_price"


def test_a_van_that_plugs_in_another_car_and_drives_off_is_asked(source: Source, van: Vehicle) -> None:
    cdr = bill(source, **SMALLER)
    price(cdr)
    assert cdr is not None
    Position.objects.bulk_create(
        Position(
            vehicle=van, fix_at=AT_SIX + timedelta(minutes=minute), received_at=AT_SIX, accuracy_m=8,
            speed_dkmh=0 if minute < 8 else 300, longitude_e7=777_010_000,
            latitude_e7=129_500_000 + round((0 if minute < 8 else 400 * minute) * METRE),
        )
        for minute in range(-30, 70)
    )  # fmt: skip
    look_again(cdr.session, 1)
    assert (verdict_of(cdr.session).verdict, rules_of(cdr.session)) == ("review", ["L4"])
    assert verdict_of(cdr.session).evidence["told_power"] == {"seconds": "0 1800", "values": "20000 -20000"}


@pytest.mark.parametrize("idles_h", [0, 0.25])
def test_one_period_over_charging_and_idling_tells_no_power(source: Source, van: Vehicle, idles_h: float) -> None:
    coarse = {"charging_periods": [objects.period(objects.STAMP, ENERGY=20.0)], "total_parking_time": idles_h}
    cdr = bill(source, **coarse)
    price(cdr)
    assert cdr is not None
    look_again(cdr.session, 1)
    assert (verdict_of(cdr.session).evidence["told_power"]["values"] == "") == bool(idles_h)


def test_a_record_in_local_time_told_as_utc_is_no_absence(
    source: Source, van: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_roaming, "NOW", AT_SIX + timedelta(days=1))  # no word of the future by then
    local = {"start_date_time": "2026-11-21T11:30:00Z", "end_date_time": "2026-11-21T12:00:00Z", "total_energy": 10.0}
    cdr = bill(source, **{**local, "charging_periods": []})
    assert cdr is not None
    change = {"connector": cdr.session.connector}
    StatusChange.objects.create(**change, old="available", new="charging", at=AT_SIX)
    park(van)
    park(van, since=AT_SIX + timedelta(hours=5), metres=8_000)
    assert look_again(cdr.session, 1).verdict == "blocked"  # that plug was used six hours ago, and by whom nobody knows
    StatusChange.objects.create(**change, old="charging", new="available", at=AT_SIX + timedelta(minutes=31))
    another_car = AT_SIX + timedelta(hours=6, minutes=20)
    StatusChange.objects.create(**change, old="available", new="charging", at=another_car)
    look_again(cdr.session, 2)
    assert (verdict_of(cdr.session).verdict, rules_of(cdr.session)) == ("invalid", ["T3"])
    assert verdict_of(cdr.session).findings[0]["evidence"]["heard"].startswith("2026-11-21T06:00:00")
    assert [each.kind for each in BillingException.objects.open()] == ["cpo_record"]
