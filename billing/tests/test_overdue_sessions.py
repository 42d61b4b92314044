"""A session whose stop never comes is ended by its last trusted values, and corrected when the stop comes after all."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction

from billing import tasks
from billing.desk import fixes
from billing.models import (
    CDR,
    BillingException,
    CDRAdjustment,
    ChargingSession,
    Hold,
    LedgerTransfer,
    SessionCorrection,
    Wallet,
)
from billing.services import exceptions, ledger, overdue, rating, verification
from billing.tests.factories import NOON, Fleet, make_fleet, sample, start, stop
from fleetcharge.accounts.models import Organisation, User
from stations import services as stations
from stations.models import Charger, Connector

Kind = BillingException.Kind
MINUTE = timedelta(minutes=1)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    fleet = make_fleet(organisation)
    Charger.objects.filter(pk=fleet.charger.pk).update(is_online=True, last_seen_at=NOON)
    return fleet


def begin(fleet: Fleet, **fields: object) -> ChargingSession:
    """A session from noon with samples of 12:05 (3 kWh) and 12:10 (6 kWh)."""
    started = start(fleet, **fields)
    for minutes, wh in ((5, 4_000), (10, 7_000)):
        sample(fleet, started.transaction_ref, minutes, wh, power_w=36_000)
    session = ChargingSession.objects.get(pk=started.session_id)
    ChargingSession.objects.filter(pk=session.pk).update(metered_at=NOON + 10 * MINUTE, created_at=NOON)
    return session


def say_available(fleet: Fleet, minutes: float) -> None:
    at = NOON + minutes * MINUTE
    stations.report_statuses([
        stations.StatusReport(
            charger_id=fleet.charger.pk, evse_number=None, connector_id=1, raw_status="Available",
            status=Connector.Status.AVAILABLE, at=at, received_at=at,
        )
    ])  # fmt: skip


def sweep_from(minutes: int, to: int) -> int:
    return sum(overdue.sweep(now=NOON + minute * MINUTE) for minute in range(minutes, to + 1))


def end_without_stop(fleet: Fleet) -> ChargingSession:
    session = begin(fleet)
    say_available(fleet, 12)
    assert sweep_from(13, 40) == 1
    session.refresh_from_db()
    return session


def test_a_running_session_is_left_alone(fleet: Fleet) -> None:
    session = begin(fleet)
    assert sweep_from(11, 200) == 0
    session.refresh_from_db()
    assert (session.state, session.suspect_reason) == ("active", "")


def test_a_plug_that_says_free_ends_the_session_after_the_grace(fleet: Fleet) -> None:
    session = end_without_stop(fleet)
    assert (session.state, session.ended_at, session.energy_wh) == ("ended", NOON + 10 * MINUTE, 6_000)
    assert (session.quality, session.quality_reasons) == ("estimated", ["missing_stop"])
    assert session.is_stop_estimated
    assert {"kind": "stop"} in session.gaps
    assert list(BillingException.objects.open().values_list("kind", flat=True)) == [Kind.NEVER_ENDED]
    assert not Connector.objects.get(pk=fleet.connector.pk).has_session
    changed = {row.field: (row.before, row.after, row.cause) for row in SessionCorrection.objects.all()}
    assert changed["is_stop_estimated"] == (False, True, "sweep: left")
    assert changed["ended_at"][:2] == (None, (NOON + 10 * MINUTE).isoformat())


def test_the_hold_of_an_estimated_session_is_captured(fleet: Fleet) -> None:
    end_without_stop(fleet)
    tasks.sweep_unrated()
    assert CDR.objects.get().total_paise == 6 * 1800 * 118 // 100
    assert Hold.objects.get().state == Hold.State.CAPTURED
    assert Wallet.objects.get().held_paise == 0


def test_within_the_grace_nothing_happens_and_a_busy_plug_ends_the_doubt(fleet: Fleet) -> None:
    session = begin(fleet)
    say_available(fleet, 12)
    assert sweep_from(13, 20) == 0
    session.refresh_from_db()
    assert session.suspect_reason == "left"
    sample(fleet, session.transaction_ref, 21, 9_000)
    ChargingSession.objects.filter(pk=session.pk).update(metered_at=NOON + 21 * MINUTE)
    assert sweep_from(21, 60) == 0
    session.refresh_from_db()
    assert (session.state, session.suspect_reason) == ("active", "")


def test_a_new_start_at_the_plug_ends_the_one_before(fleet: Fleet) -> None:
    session = begin(fleet)
    sample(fleet, session.transaction_ref, 25, 99_000)  # said later than the next start: not its own any more
    second = start(fleet, started_at=NOON + 20 * MINUTE, meter_start_wh=7_500)
    assert sweep_from(26, 60) == 1
    session.refresh_from_db()
    assert (session.state, session.ended_at, session.energy_wh) == ("ended", NOON + 10 * MINUTE, 6_000)
    assert SessionCorrection.objects.filter(session=session, cause="sweep: superseded").exists()
    assert ChargingSession.objects.get(pk=second.session_id).state == "active"
    assert Connector.objects.get(pk=fleet.connector.pk).has_session


def test_a_boot_without_samples_after_it_ends_the_session(fleet: Fleet) -> None:
    session = begin(fleet)
    Charger.objects.update(last_boot_at=NOON + 15 * MINUTE)
    assert sweep_from(16, 60) == 1
    session.refresh_from_db()
    assert (session.state, session.is_stop_estimated, session.energy_wh) == ("ended", True, 6_000)


def test_a_boot_is_survived_by_a_session_that_goes_on(fleet: Fleet) -> None:
    session = begin(fleet)
    Charger.objects.update(last_boot_at=NOON + 15 * MINUTE)
    Connector.objects.update(raw_status="Charging", status_at=NOON + 16 * MINUTE)
    assert sweep_from(17, 90) == 0
    session.refresh_from_db()
    assert session.state == "active"


def test_a_charger_that_stays_away_for_a_day_ends_its_session(fleet: Fleet) -> None:
    session = begin(fleet)
    Charger.objects.update(is_online=False, last_seen_at=NOON + 11 * MINUTE)
    assert overdue.sweep(now=NOON + timedelta(hours=24)) == 0
    assert overdue.sweep(now=NOON + timedelta(hours=25)) == 1
    session.refresh_from_db()
    assert (session.state, session.energy_wh) == ("ended", 6_000)


def test_a_station_that_says_not_ongoing_ends_it_soon(fleet: Fleet) -> None:
    session = begin(fleet)
    at = NOON + 15 * MINUTE
    said = {"charger_id": fleet.charger.pk, "transaction_ref": session.transaction_ref, "now": at}
    assert not overdue.transaction_status(is_ongoing=True, **said)
    assert overdue.transaction_status(is_ongoing=False, **said)
    assert sweep_from(16, 20) == 1


def test_a_session_without_any_value_is_not_priced_before_somebody_looked(fleet: Fleet, finance: User) -> None:
    started = start(fleet)
    ChargingSession.objects.update(created_at=NOON)
    say_available(fleet, 12)
    assert sweep_from(13, 40) == 1
    session = ChargingSession.objects.get(pk=started.session_id)
    assert (session.quality, CDR.objects.get().is_blocked) == ("review", True)
    tasks.sweep_unrated()
    assert Hold.objects.get().state == Hold.State.ACTIVE
    row = BillingException.objects.get(kind=Kind.NEVER_ENDED)
    exceptions.resolve_exception(exception_id=row.pk, actor=finance, reason="never drew", at=NOON)
    tasks.sweep_unrated()
    assert (CDR.objects.get().total_paise, Hold.objects.get().state) == (0, Hold.State.CAPTURED)


def test_one_click_prices_a_session_that_we_ended_without_any_value(fleet: Fleet, finance: User) -> None:
    start(fleet)
    ChargingSession.objects.update(created_at=NOON)
    say_available(fleet, 12)
    assert sweep_from(13, 40) == 1
    exception = BillingException.objects.get(kind=Kind.NEVER_ENDED)
    fix = fixes.fix_for(exception)
    assert fix is not None and fix.label == "Accept and price"
    fixes.apply(exception_id=exception.pk, actor=finance, now=NOON)
    assert (CDR.objects.get().captured_at, Hold.objects.get().state) == (NOON, Hold.State.CAPTURED)


def test_two_sweeps_end_it_once(fleet: Fleet) -> None:
    end_without_stop(fleet)
    assert sweep_from(41, 80) == 0
    assert CDR.objects.count() == 1


# --- the stop comes after all -------------------------------------------------------------------------------------


def test_a_late_stop_replaces_an_estimate_that_was_not_priced(fleet: Fleet) -> None:
    session = end_without_stop(fleet)
    ended = stop(fleet, session.transaction_ref, ended_at=NOON + 11 * MINUTE, meter_stop_wh=7_400)
    session.refresh_from_db()
    assert (ended.is_new, session.energy_wh, session.ended_at) == (True, 6_400, NOON + 11 * MINUTE)
    assert (session.quality, session.quality_reasons, session.is_stop_estimated) == ("billable", [], False)
    assert not BillingException.objects.open().exists()
    assert (CDR.objects.get().energy_wh, CDRAdjustment.objects.count()) == (6_400, 0)
    energy = SessionCorrection.objects.get(field="energy_wh")
    assert (energy.before, energy.after) == (6_000, 6_400)
    assert session.transaction_ref in energy.cause


@pytest.mark.parametrize(("meter_stop_wh", "energy_wh"), [(9_000, 8_000), (6_950, 5_950)])
def test_a_late_stop_after_the_price_posts_the_difference(fleet: Fleet, meter_stop_wh: int, energy_wh: int) -> None:
    session = end_without_stop(fleet)
    tasks.sweep_unrated()
    before = Wallet.objects.get().posted_paise
    stop(fleet, session.transaction_ref, ended_at=NOON + 14 * MINUTE, meter_stop_wh=meter_stop_wh)
    adjustment = CDRAdjustment.objects.get()
    difference = (energy_wh - 6_000) * 1800 // 1000
    assert (adjustment.energy_wh, adjustment.taxable_paise) == (energy_wh, difference)
    assert adjustment.total_paise == adjustment.taxable_paise + adjustment.tax_paise
    assert Wallet.objects.get().posted_paise == before - adjustment.total_paise
    session.refresh_from_db()
    assert session.adjusted_paise == adjustment.total_paise
    assert CDR.objects.get().energy_wh == 6_000
    revenue = ledger.balance_paise("revenue:charging")
    assert revenue == energy_wh * 18 // 10
    assert not verification.differences()


def test_the_same_late_stop_again_changes_nothing(fleet: Fleet) -> None:
    session = end_without_stop(fleet)
    tasks.sweep_unrated()
    for _ in range(3):
        stop(fleet, session.transaction_ref, ended_at=NOON + 11 * MINUTE, meter_stop_wh=7_400)
    assert CDRAdjustment.objects.count() == 1
    assert LedgerTransfer.objects.filter(kind="adjustment").values("entry_key").distinct().count() == 1
    assert not BillingException.objects.open().exists()


def test_an_adjustment_that_cannot_be_priced_shows_both_figures(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    session = end_without_stop(fleet)
    tasks.sweep_unrated()
    monkeypatch.setattr(rating, "rate_cdr", lambda cdr: None)
    stop(fleet, session.transaction_ref, ended_at=NOON + 11 * MINUTE, meter_stop_wh=7_400)
    row = BillingException.objects.get(kind=Kind.NOT_ADJUSTED)
    assert (row.details["booked"]["energy_wh"], row.details["corrected"]["energy_wh"]) == (6_000, 6_400)
    assert not CDRAdjustment.objects.exists()


def test_samples_that_arrive_after_the_estimate_improve_it(fleet: Fleet) -> None:
    session = end_without_stop(fleet)
    tasks.sweep_unrated()
    sample(fleet, session.transaction_ref, 11, 7_300, received_at=NOON + 60 * MINUTE)
    ChargingSession.objects.update(needs_revision=True)  # the batch writer does it
    assert overdue.revise_ended(now=NOON + 61 * MINUTE) == 1
    session.refresh_from_db()
    assert (session.energy_wh, session.ended_at) == (6_300, NOON + 11 * MINUTE)
    assert CDRAdjustment.objects.get().energy_wh == 6_300
    assert overdue.revise_ended(now=NOON + 62 * MINUTE) == 0


def test_a_correction_is_never_rewritten(fleet: Fleet) -> None:
    end_without_stop(fleet)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        SessionCorrection.objects.update(reason="nothing happened")
