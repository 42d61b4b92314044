"""Limits: reserved with the wallet or not at all, moved by the capture, exceeded only by what was drawn already."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, pairwise
from typing import Any

import pytest
from django.db import Error, connection, transaction

from billing.limits import changing, standing
from billing.models import CDR, BillingException, ChargingSession, Hold, LimitUsage, SpendLimit, Wallet
from billing.services import adjustments, exceptions, holds, rating, verification, wallets
from billing.services.authorisation import decide
from billing.tests.factories import NOON, Fleet, limit, make_fleet, sample, start, stop
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.tests.crossing import until
from vehicles.models import Vehicle

PRICE = 212_40  # 10 kWh at 18 rupees and 18 % GST
AFTER_MIDNIGHT, HALF_AN_HOUR = datetime(2026, 11, 20, 19, tzinfo=UTC), timedelta(minutes=30)  # 00:30 of the 21st


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    fleet = make_fleet(organisation, money_paise=10_000_00)
    Vehicle.objects.filter(pk=fleet.vehicle.pk).update(cost_centre="NORTH")
    return fleet


def begin(fleet: Fleet, number: int = 1, **fields: Any) -> ChargingSession:
    return ChargingSession.objects.get(pk=start(fleet, start_key=f"s{number}", **fields).session_id)


def finish(fleet: Fleet, session: ChargingSession, wh: int = 10_000) -> None:
    ended_at = session.started_at + timedelta(minutes=30)
    stop(fleet, session.transaction_ref, meter_stop_wh=1_000 + wh, ended_at=ended_at, received_at=ended_at)
    session.refresh_from_db()
    rating.rate_and_capture(cdr_id=session.cdr.pk, now=NOON)


def used(of: SpendLimit) -> tuple[int, int]:
    usage = LimitUsage.objects.get(limit=of)
    return usage.reserved_paise, usage.spent_paise


SCOPES = ["organisation", "cost_centre", "location", "vehicle", "driver", "tariff"]


def whose(fleet: Fleet, scope: str) -> dict[str, Any]:
    return {} if scope == "organisation" else {scope: "NORTH" if scope == "cost_centre" else getattr(fleet, scope)}


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_reserves_spends_and_refuses_by_its_name(fleet: Fleet, scope: str) -> None:
    of_month = limit(fleet.organisation, period="month", amount_paise=300_00, **whose(fleet, scope))
    session = begin(fleet)
    hold = Hold.objects.get()
    assert used(of_month) == (hold.amount_paise, 0) == (300_00, 0)  # more was wanted, not more was left
    assert [each["scope"] for each in hold.limits["usages"]] == [of_month.scope]
    finish(fleet, session)
    assert used(of_month) == (0, PRICE)
    assert Hold.objects.get().limits == hold.limits  # as it was
    begin(fleet, 2)
    assert used(of_month) == (300_00 - PRICE, PRICE)
    refused = begin(fleet, 3)
    assert refused.authorisation_reason == f"limit:{of_month.scope}"
    assert Hold.objects.count() == 2
    assert verification.differences() == {}


def test_a_limit_of_another_vehicle_site_or_tariff_is_not_ours(fleet: Fleet, organisation: Organisation) -> None:
    other = make_fleet(organisation)
    for scope in ("location", "vehicle", "driver", "tariff"):
        limit(organisation, amount_paise=1, **whose(other, scope))
    limit(organisation, amount_paise=1, cost_centre="SOUTH")
    assert begin(fleet).authorisation_reason == "accepted"
    assert not LimitUsage.objects.exists()


def test_days_weeks_and_months_are_those_of_the_fleets_calendar(fleet: Fleet) -> None:
    """NOON is Friday the 20th; 19:00 UTC on Sunday the 22nd is Monday in India."""
    limits = {period: limit(fleet.organisation, period=period, amount_paise=9_000_00) for period in ("day", "week")}
    begin(fleet)
    begin(fleet, 2, started_at=datetime(2026, 11, 22, 19, 0, tzinfo=UTC))
    days = {period: [str(row.period_start) for row in of.usages.order_by("pk")] for period, of in limits.items()}
    assert days == {"day": ["2026-11-20", "2026-11-23"], "week": ["2026-11-16", "2026-11-23"]}


def test_energy_is_limited_too(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, energy_wh=25_000)
    assert decide_at(fleet).max_energy_wh == 25_000
    finish(fleet, begin(fleet), wh=24_500)
    usage = LimitUsage.objects.get(limit=of_day)
    assert (usage.reserved_wh, usage.spent_wh, usage.spent_paise) == (0, 24_500, 520_38)
    assert decide_at(fleet).reason == "limit:organisation"  # half a kWh is no session


def decide_at(fleet: Fleet) -> Any:
    return decide(id_token=fleet.token.uid, connector_id=fleet.connector.pk, charger_id=fleet.charger.pk, at=NOON)


def test_what_was_delivered_beyond_a_hard_limit_is_counted_and_asked_about(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, amount_paise=200_00)
    finish(fleet, begin(fleet))
    usage = LimitUsage.objects.get(limit=of_day)
    assert (usage.spent_paise, usage.excess_paise) == (PRICE, 12_40)
    assert [standing.report_reached(now=NOON), standing.report_reached(now=NOON)] == [1, 0]
    assert BillingException.objects.get().amount_paise == 12_40
    of_day.amount_paise = 1_000_00  # raised: the next session finds room again
    of_day.save()
    begin(fleet, 2)
    usage.refresh_from_db()
    assert (usage.cap_paise, usage.excess_paise, usage.reserved_paise > 0) == (1_000_00, 0, True)


def test_a_soft_limit_lets_charging_go_on_and_tells_finance(fleet: Fleet) -> None:
    limit(fleet.organisation, amount_paise=100_00, is_hard=False)
    assert begin(fleet).authorisation_reason == "accepted"
    assert standing.report_reached(now=NOON) == 1
    assert BillingException.objects.get().kind == BillingException.Kind.LIMIT_REACHED


def test_a_limit_set_while_sessions_run_counts_what_was_and_what_is_held(fleet: Fleet) -> None:
    finish(fleet, begin(fleet))
    running = begin(fleet, 2)
    held = Hold.objects.get(session_key=f"session:{running.pk}").amount_paise
    of_day = limit(fleet.organisation, amount_paise=5_000_00)
    assert decide_at(fleet).max_paise == 5_000_00 - PRICE - held
    begin(fleet, 3)
    assert used(of_day) == (2 * held, PRICE)
    finish(fleet, running)
    assert used(of_day) == (held, 2 * PRICE)
    assert verification.differences() == {}


def test_a_session_without_a_hold_counts_too(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, amount_paise=5_000_00)
    Wallet.objects.update(state="frozen")
    finish(fleet, begin(fleet))
    assert used(of_day) == (0, PRICE)


def test_extending_and_releasing_move_every_limit_or_none(fleet: Fleet) -> None:
    wide = limit(fleet.organisation, amount_paise=9_000_00)
    session = begin(fleet)
    key, held = wallets.hold_key(session.pk), Hold.objects.get().amount_paise
    narrow = limit(fleet.organisation, vehicle=fleet.vehicle, amount_paise=2 * held + 10)
    begin(fleet, 2)  # opens the usage of the new limit
    assert not wallets.extend(session_key=key, extra_paise=11, now=NOON)
    before = used(wide), used(narrow), Wallet.objects.get().held_paise
    assert not wallets.extend(session_key=key, extra_paise=10**9, now=NOON)
    assert (used(wide), used(narrow), Wallet.objects.get().held_paise) == before
    assert wallets.release(session_key=key, now=NOON)
    assert not wallets.release(session_key=key, now=NOON)
    assert used(wide)[0] == before[0][0] - held
    assert verification.differences() == {}


def test_the_sessions_own_limit_bounds_its_hold(fleet: Fleet) -> None:
    limit(fleet.organisation, period="session", amount_paise=100_00)
    session = begin(fleet)
    assert Hold.objects.get().amount_paise == 100_00
    ChargingSession.objects.filter(pk=session.pk).update(energy_wh=9_000)
    assert holds.extend_running(now=NOON + timedelta(minutes=5)) == 0


def test_the_database_keeps_a_hard_limit(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, amount_paise=300_00)
    begin(fleet)
    refusal = pytest.raises(Error, match=r"hard_limit_is_kept|limit_usage_is_not_negative")
    for change in ("reserved_paise = 30001", "spent_paise = 1", "spent_paise = -1"):
        with refusal, transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE billing_limitusage SET {change}")
    assert used(of_day) == (300_00, 0)


@pytest.mark.django_db(transaction=True)
def test_eight_vehicles_share_a_limit_to_the_last_paisa() -> None:
    """Room for exactly 40 of 80 holds; the wallet has more. Two limits, locked in the same order by all."""
    organisation = Organisation.objects.create(name="Race", slug="race")
    fleet = make_fleet(organisation, money_paise=100_000_00)
    limit(organisation, amount_paise=40 * 60_00)
    limit(organisation, period="month", amount_paise=90_000_00)

    def grab(worker: int) -> int:
        held = 0
        try:
            for number in range(10):
                limits = decide_at(fleet).limits
                result = wallets.hold(
                    organisation_id=organisation.pk, session_key=f"{worker}-{number}", amount_paise=60_00, now=NOON,
                    limits=limits,
                )  # fmt: skip
                assert result.reason in {"held", "limit:organisation"}
                held += result.is_held
        finally:
            connection.close()
        return held

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(grab, range(8))) == 40
    assert {row.limit.period: row.reserved_paise for row in LimitUsage.objects.all()} == {
        "day": 2_400_00, "month": 2_400_00,
    }  # fmt: skip
    assert verification.differences() == {}


@pytest.mark.django_db(transaction=True)
def test_a_limit_that_is_raised_under_eight_spenders_is_used_up_each_time_and_the_wallet_never_overdrawn() -> None:
    """Each raise comes when all of them stand at the limit; after the last one the wallet is what ends it."""
    organisation = Organisation.objects.create(name="Race", slug="race")
    fleet = make_fleet(organisation, money_paise=3_000_00)
    of_day = limit(organisation, amount_paise=600_00)
    is_raised = threading.Event()

    def grab(worker: int) -> int:
        held = 0
        try:
            for number in count():
                has_ended = is_raised.is_set()
                name: dict[str, Any] = {"session_key": f"{worker}-{number}", "now": NOON}
                limits = decide_at(fleet).limits
                result = wallets.hold(organisation_id=organisation.pk, amount_paise=30_00, limits=limits, **name)
                if not result.is_held and has_ended:
                    return held
                held += 30_00 * (result.is_held + wallets.extend(extra_paise=30_00, **name))
        finally:
            connection.close()
        return held

    def is_used_up(paise: int) -> bool:
        reserved = LimitUsage.objects.filter(limit=of_day).values_list("reserved_paise", flat=True).first() or 0
        assert reserved <= paise
        return reserved == paise

    with ThreadPoolExecutor(8) as pool:
        spenders = [pool.submit(grab, worker) for worker in range(8)]
        try:
            for before, after in pairwise([600_00, 1_200_00, 2_400_00, 4_200_00]):
                until(partial(is_used_up, before))
                changing.change_limit(limit=of_day, amount_paise=after, energy_wh=None, reason="more", actor=None)
        finally:
            is_raised.set()
        assert sum(spender.result() for spender in spenders) == 3_000_00
    wallet = Wallet.objects.get(organisation=organisation)
    assert (wallet.held_paise, wallet.available_paise, used(of_day)) == (3_000_00, 0, (3_000_00, 0))
    assert verification.differences() == {}


def test_a_session_that_never_asked_for_a_hold_opens_the_period_and_counts_once(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, amount_paise=5_000_00)
    Wallet.objects.update(state="frozen")
    session = begin(fleet)
    assert (Hold.objects.count(), LimitUsage.objects.count()) == (0, 0)
    Wallet.objects.update(state="active")
    finish(fleet, session)
    assert used(of_day) == (0, PRICE)
    running = begin(fleet, 2)
    finish(fleet, running)
    assert used(of_day) == (0, 2 * PRICE)


def test_a_limit_set_while_the_only_session_runs_counts_it_once(fleet: Fleet) -> None:
    """Its hold stands on no limit, and its own capture opens the period."""
    session = begin(fleet)
    of_day, soft = (limit(fleet.organisation, amount_paise=5_000_00, is_hard=is_hard) for is_hard in (True, False))
    finish(fleet, session)
    assert (used(of_day), used(soft)) == ((0, PRICE), (0, PRICE))
    assert Wallet.objects.get().held_paise == 0
    assert verification.differences() == {}


def test_a_hold_that_stands_on_no_limit_though_there_is_one_is_counted_when_it_is_captured(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, amount_paise=5_000_00)
    first, second = begin(fleet), begin(fleet, 2)
    Hold.objects.filter(session_key=wallets.hold_key(second.pk)).update(limits={})
    LimitUsage.objects.update(reserved_paise=Hold.objects.order_by("pk")[0].amount_paise)
    finish(fleet, second)
    finish(fleet, first)
    assert used(of_day) == (0, 2 * PRICE)


def test_a_token_that_is_learned_late_is_limited_too(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, amount_paise=5_000_00)
    session = begin(fleet, id_token="", evse_number=1, transaction_ref="tx-1", is_reported=False)
    assert not Hold.objects.exists()
    start(fleet, start_key="s1", evse_number=1, transaction_ref="tx-1")
    assert used(of_day) == (Hold.objects.get().amount_paise, 0)
    finish(fleet, session)
    assert used(of_day) == (0, PRICE)


def days_of(of: SpendLimit) -> dict[int, tuple[int, int, int]]:
    rows = LimitUsage.objects.filter(limit=of, limit__period="day")
    return {row.period_start.day: (row.reserved_paise, row.spent_paise, row.spent_wh) for row in rows}


def charge_all() -> None:
    """Finance accepts what is asked."""
    for question in BillingException.objects.open():
        exceptions.resolve_exception(exception_id=question.pk, actor=None, reason="It is fine.", at=NOON)
    for cdr in CDR.objects.uncaptured():
        rating.rate_and_capture(cdr_id=cdr.pk, now=NOON)


@pytest.mark.parametrize("is_opened", [False, True])
@pytest.mark.parametrize(
    ("has_hold", "is_told_when"), [(True, "running"), (True, "ended"), (True, "charged"), (False, "charged")]
)
def test_a_session_that_began_the_day_before_after_all_is_counted_there(
    fleet: Fleet, has_hold: bool, is_told_when: str, is_opened: bool
) -> None:
    """Thought to begin at half past midnight of the 21st, it began an hour earlier."""
    of_day, of_month = (limit(fleet.organisation, period=each, amount_paise=9_000_00) for each in ("day", "month"))
    if is_opened:
        finish(fleet, begin(fleet, 2))
    first = (0, PRICE, 10_000) if is_opened else (0, 0, 0)
    if not has_hold:
        Wallet.objects.update(state="frozen")
    told: dict[str, Any] = {"evse_number": 1, "transaction_ref": "tx-1"}
    session = begin(fleet, started_at=AFTER_MIDNIGHT, received_at=AFTER_MIDNIGHT, is_reported=False, **told)
    Wallet.objects.update(state="active")
    if is_told_when != "running":
        stop(fleet, "tx-1", ended_at=AFTER_MIDNIGHT + HALF_AN_HOUR, received_at=AFTER_MIDNIGHT + HALF_AN_HOUR)
    if is_told_when == "charged":
        charge_all()
        assert days_of(of_day)[21] == (0, PRICE, 10_000)
    start(
        fleet, start_key="s1", started_at=AFTER_MIDNIGHT - 2 * HALF_AN_HOUR,
        received_at=AFTER_MIDNIGHT + 2 * HALF_AN_HOUR, **told,
    )  # fmt: skip
    if is_told_when == "running":
        assert days_of(of_day)[20] == (Hold.objects.latest("pk").amount_paise, *first[1:])
        stop(fleet, "tx-1", ended_at=AFTER_MIDNIGHT + HALF_AN_HOUR, received_at=AFTER_MIDNIGHT + HALF_AN_HOUR)
    charge_all()
    session.refresh_from_db()
    assert session.started_at == AFTER_MIDNIGHT - 2 * HALF_AN_HOUR
    assert days_of(of_day) == {20: (0, first[1] + PRICE, first[2] + 10_000), 21: (0, 0, 0)}
    assert used(of_month) == (0, first[1] + PRICE)
    assert verification.differences() == {}


def test_a_session_whose_oldest_sample_is_of_the_day_before_is_counted_there(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, amount_paise=9_000_00)
    begin(
        fleet, started_at=AFTER_MIDNIGHT, received_at=AFTER_MIDNIGHT, is_reported=False, evse_number=1,
        transaction_ref="tx-1",
    )  # fmt: skip
    sample(fleet, "tx-1", (AFTER_MIDNIGHT - NOON) / timedelta(minutes=1) - 60, 1_000)
    stop(fleet, "tx-1", ended_at=AFTER_MIDNIGHT + HALF_AN_HOUR, received_at=AFTER_MIDNIGHT + HALF_AN_HOUR)
    charge_all()
    assert days_of(of_day) == {20: (0, PRICE, 10_000), 21: (0, 0, 0)}
    assert verification.differences() == {}


def test_a_removed_limit_lets_running_sessions_hold_more(fleet: Fleet) -> None:
    gone, kept = (limit(fleet.organisation, period=period, amount_paise=9_000_00) for period in ("day", "month"))
    session = begin(fleet)
    held = Hold.objects.get().amount_paise
    changing.remove_limit(limit=gone, reason="Too narrow", actor=None)
    assert wallets.extend(session_key=wallets.hold_key(session.pk), extra_paise=100, now=NOON)
    assert used(kept) == (held + 100, 0)
    assert not wallets.extend(session_key=wallets.hold_key(session.pk), extra_paise=9_000_00, now=NOON)
    finish(fleet, session)
    assert used(kept) == (0, PRICE)


def test_a_start_that_comes_again_after_the_charge_holds_nothing_for_long_and_counts_once(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, amount_paise=9_000_00)
    session = begin(fleet)
    key = wallets.hold_key(session.pk)
    wallets.release(session_key=key, now=NOON)
    Hold.objects.all().delete()
    finish(fleet, session)
    limits = decide_at(fleet).limits
    wallets.hold(organisation_id=fleet.organisation.pk, session_key=key, amount_paise=50_00, now=NOON, limits=limits)
    assert used(of_day) == (50_00, PRICE)
    charge = [wallets.Charge("revenue:charging", PRICE, "charge")]
    again = wallets.capture(
        organisation_id=fleet.organisation.pk, session_key=key, entry_key=f"charge:{session.pk}", charges=charge,
        about=rating.dimensions_of(session), at=NOON, now=NOON,
    )  # fmt: skip
    assert not again.is_new
    assert used(of_day) == (0, PRICE)
    Hold.objects.all().delete()
    wallets.hold(organisation_id=fleet.organisation.pk, session_key=key, amount_paise=50_00, now=NOON, limits=limits)
    assert [holds.release_settled(now=NOON), holds.release_settled(now=NOON)] == [1, 0]
    assert (used(of_day), Wallet.objects.get().held_paise) == ((0, PRICE), 0)


def test_a_correction_counts_its_energy_too(fleet: Fleet) -> None:
    of_day = limit(fleet.organisation, energy_wh=90_000)
    session = begin(fleet)
    finish(fleet, session)
    for wh in (12_000, 7_000):
        cdr = CDR.objects.get(session=session)
        figures = adjustments.Figures(cdr.started_at, cdr.ended_at, wh, cdr.charging_seconds, cdr.idle_seconds)
        adjustments.adjust(cdr=cdr, figures=figures, reason="late", now=NOON)
        usage = LimitUsage.objects.get(limit=of_day)
        assert (usage.spent_wh, usage.spent_paise) == (wh, wh * PRICE // 10_000)
