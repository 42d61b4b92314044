"""Wallets that are filled a debit's day ahead: what the forecast sees, what it begins, and when finance is told."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.models import AutoTopUp, BillingException, Mandate, PaymentIntent, Wallet
from billing.payments import auto_top_up, intents
from billing.payments.forecasting import HOURS_OF_A_WEEK, forecast_paise
from billing.services import ledger, wallets
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.test_mandates import a_day_later, in_force

WEEK = timedelta(weeks=1)
NOW_HOUR = 500_000


def test_the_forecast_is_the_same_hours_of_the_weeks_before() -> None:
    spend = {NOW_HOUR + offset - HOURS_OF_A_WEEK * week: 100 for week in range(1, 9) for offset in range(3)}
    assert forecast_paise(spend, first_hour=NOW_HOUR, hours=36, weeks=8) == 300
    assert forecast_paise(spend, first_hour=NOW_HOUR + 1, hours=1, weeks=8) == 100
    assert forecast_paise(spend, first_hour=NOW_HOUR + 3, hours=36, weeks=8) == 0


def test_one_odd_week_in_ten_does_not_raise_it_and_one_in_five_does() -> None:
    calm = {NOW_HOUR - HOURS_OF_A_WEEK * week: 100 for week in range(1, 11)}
    assert forecast_paise({**calm, NOW_HOUR - HOURS_OF_A_WEEK: 9_000}, first_hour=NOW_HOUR, hours=1, weeks=10) == 100
    five = {NOW_HOUR - HOURS_OF_A_WEEK * week: 100 for week in range(1, 6)}
    assert forecast_paise({**five, NOW_HOUR - HOURS_OF_A_WEEK: 9_000}, first_hour=NOW_HOUR, hours=1, weeks=5) == 9_000


def test_without_history_there_is_no_forecast_and_a_young_fleet_counts_its_own_weeks() -> None:
    assert forecast_paise({}, first_hour=NOW_HOUR, hours=36, weeks=8) == 0
    assert forecast_paise({NOW_HOUR - HOURS_OF_A_WEEK: 500}, first_hour=NOW_HOUR, hours=36, weeks=8) == 500


@given(
    st.dictionaries(st.integers(NOW_HOUR - 1_500, NOW_HOUR - 1), st.integers(0, 10**9), max_size=60),
    st.integers(0, 400), st.integers(0, 100),
)  # fmt: skip
def test_more_hours_and_more_spend_never_forecast_less(spend: dict[int, int], hours: int, more: int) -> None:
    first = forecast_paise(spend, first_hour=NOW_HOUR, hours=hours, weeks=8)
    assert 0 <= first <= forecast_paise(spend, first_hour=NOW_HOUR, hours=hours + 1, weeks=8)
    raised = {hour: paise + more for hour, paise in spend.items()}
    assert first <= forecast_paise(raised, first_hour=NOW_HOUR, hours=hours, weeks=8)


# --- with a wallet and mandates -------------------------------------------------------------------------------------


def spends(organisation, paise: int, *, weeks: int = 8, in_hours: int = 6) -> None:
    """The same every week, so many hours from now."""
    for week in range(1, weeks + 1):
        leg = ledger.Leg(ledger.wallet_code(organisation.pk), "revenue:charging", paise, "charge")
        ledger.post(
            entry_key=f"charge:test:{week}", legs=[leg], occurred_at=NOON - week * WEEK + timedelta(hours=in_hours),
            about=ledger.Dimensions(organisation_id=organisation.pk),
        )  # fmt: skip


def wallet_with(organisation, paise: int, *, spent: int = 0) -> None:
    wallets.open_wallet(organisation_id=organisation.pk)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=paise + 8 * spent, key="start", at=NOON)
    if spent:
        spends(organisation, spent)


def switched_on(organisation, *, safety: int = 2_000_00) -> AutoTopUp:
    return auto_top_up.set_up(
        organisation_id=organisation.pk, safety_paise=safety, cover_hours=72, is_active=True, actor=None, reason="r",
        now=NOON,
    )  # fmt: skip


def look(organisation, now=NOON) -> list[int]:
    return [each.amount_paise for each in auto_top_up.work(organisation_id=organisation.pk, now=now)]


@pytest.mark.django_db
def test_it_tops_up_before_the_wallet_is_empty(world: World, organisation) -> None:
    wallet_with(organisation, 6_000_00, spent=5_000_00)
    mandate = in_force(organisation, world)
    switched_on(organisation)
    assert look(organisation) == [1_000_00]  # 6,000 there, 5,000 to be spent, 2,000 shall be left
    intent = PaymentIntent.objects.get()
    assert intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway).state == "sent"
    a_day_later(world)
    assert look(organisation, NOON + timedelta(hours=26)) == []
    assert mandate.debits.get().state == "confirmed"
    assert not BillingException.objects.exists()


@pytest.mark.django_db
def test_what_is_enough_is_left_alone_and_what_is_coming_counts(world: World, organisation) -> None:
    wallet_with(organisation, 7_000_00, spent=5_000_00)
    in_force(organisation, world)
    in_force(organisation, world, kind="emandate", amount=5_000_00)
    switched_on(organisation)
    assert look(organisation) == []
    wallets.hold(organisation_id=organisation.pk, session_key="s", amount_paise=500_00, now=NOON)
    assert look(organisation) == [500_00]
    assert look(organisation) == []  # on its way


@pytest.mark.django_db
def test_a_large_need_is_spread_over_the_mandates_within_their_limits(world: World, organisation) -> None:
    wallet_with(organisation, 10_00, spent=30_000_00)
    for kind in ("upi", "emandate"):
        in_force(organisation, world, kind=kind, amount=20_000_00)
    switched_on(organisation)
    assert look(organisation) == [15_000_00, 17_000_00]  # UPI up to what needs no approval, the bank the rest
    assert not BillingException.objects.exists()


@pytest.mark.django_db
def test_a_need_above_what_upi_may_debit_unasked_is_told_to_finance(world: World, organisation) -> None:
    wallet_with(organisation, 10_00, spent=30_000_00)
    in_force(organisation, world, amount=50_000_00)
    row = switched_on(organisation)
    assert look(organisation) == [15_000_00]
    told = BillingException.objects.get()
    assert (told.kind, told.amount_paise) == ("top_up_short", 30_000_00 + 2_000_00 - 15_000_00 - 10_00)
    assert look(organisation) == []
    row.refresh_from_db()
    assert list(row.found["mandates"].values()) == ["too_early"]
    wallets.top_up(organisation_id=organisation.pk, amount_paise=50_000_00, key="neft", at=NOON)
    assert look(organisation) == []
    told.refresh_from_db()
    assert told.resolved_at is not None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kinds", "hours"), [(["nach"], 96), (["emandate"], 72), (["nach", "emandate"], 72), (["nach", "upi"], 36)]
)
def test_the_quickest_mandate_says_how_far_ahead_the_need_is_seen(world, organisation, kinds, hours: int) -> None:
    wallet_with(organisation, 5_000_00 + 8 * 4_000_00)
    spends(organisation, 4_000_00, in_hours=hours - 1)
    for kind in kinds:
        in_force(organisation, world, kind=kind, amount=20_000_00)
    row = switched_on(organisation)
    assert look(organisation) == [1_000_00]  # 5,000 there, 4,000 to be spent by then, 2,000 shall be left
    row.refresh_from_db()
    assert row.found["forecast_paise"] == 4_000_00


@pytest.mark.django_db
def test_a_mandate_that_rests_is_not_counted_on_for_the_time_it_takes(world: World, organisation) -> None:
    in_force(organisation, world, kind="nach", amount=20_000_00)
    resting = in_force(organisation, world)
    assert auto_top_up._lead_hours(organisation.pk, NOON) == 36
    Mandate.objects.filter(pk=resting.pk).update(rests_since=NOON)
    assert auto_top_up._lead_hours(organisation.pk, NOON) == 96


@pytest.mark.django_db
def test_what_is_owed_is_topped_up_as_well(world: World, organisation) -> None:
    wallet_with(organisation, 2_500_00)
    leg = ledger.Leg(ledger.receivable_code(organisation.pk), "revenue:charging", 3_000_00, "charge")
    ledger.post(entry_key="owed", legs=[leg], occurred_at=NOON)
    in_force(organisation, world)
    switched_on(organisation)
    assert look(organisation) == [2_500_00]  # 2,500 there, 3,000 owed, 2,000 shall be left


@pytest.mark.django_db
def test_switching_it_on_opens_the_wallet_that_it_fills(world: World, organisation) -> None:
    in_force(organisation, world)
    row = switched_on(organisation)
    assert Wallet.objects.get(organisation=organisation).posted_paise == 0
    assert look(organisation) == [2_000_00]
    row.refresh_from_db()
    assert row.next_look_at > NOON


@pytest.mark.django_db
def test_one_that_was_switched_on_without_a_wallet_gets_one(world: World, organisation) -> None:
    in_force(organisation, world)
    AutoTopUp.objects.create(organisation=organisation, safety_paise=2_000_00, next_look_at=NOON)
    assert look(organisation) == [2_000_00]
    assert auto_top_up.due(now=NOON, limit=5) == []


@pytest.mark.django_db
def test_without_a_mandate_in_force_finance_is_told_at_once(world: World, organisation) -> None:
    wallet_with(organisation, 10_00)
    mandate = in_force(organisation, world)
    Mandate.objects.filter(pk=mandate.pk).update(state="paused")
    switched_on(organisation)
    assert look(organisation) == []
    assert BillingException.objects.get().kind == "top_up_short"


@pytest.mark.django_db
def test_switched_off_it_does_nothing(world: World, organisation) -> None:
    wallet_with(organisation, 10_00)
    in_force(organisation, world)
    AutoTopUp.objects.filter(pk=switched_on(organisation).pk).update(is_active=False)
    assert (look(organisation), auto_top_up.due(now=NOON, limit=5)) == ([], [])


@pytest.mark.django_db
@pytest.mark.parametrize(("safety", "hours"), [(-1, 72), (1, 0), (1, 400)])
def test_settings_that_make_no_sense_are_refused(organisation, safety: int, hours: int) -> None:
    with pytest.raises(ValueError, match="cover"):
        auto_top_up.set_up(
            organisation_id=organisation.pk, safety_paise=safety, cover_hours=hours, is_active=True, actor=None,
            reason="r", now=NOON,
        )  # fmt: skip
