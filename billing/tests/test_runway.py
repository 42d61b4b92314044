"""How long a wallet lasts: a week's spend spread over the time that the fleet charges, a day at least."""

from datetime import timedelta

import pytest

from billing import dashboard
from billing.models import CDR, Wallet
from billing.services import rating
from billing.services.standing import burn_seconds, lasts_days, standing
from billing.tests.factories import NOON, make_fleet, start, stop
from fleetcharge.accounts.models import Organisation

DAY = 86_400


@pytest.mark.parametrize(
    ("age", "days"), [(None, 7), (timedelta(minutes=30), 1), (timedelta(days=3), 3), (timedelta(days=40), 7)]
)
def test_a_younger_fleet_has_a_shorter_week(age: timedelta | None, days: int) -> None:
    assert burn_seconds(age and NOON - age, NOON) == days * DAY


@pytest.mark.parametrize(
    ("left", "spent", "lasts"), [(1_000, 100, 10), (1_000, 0, None), (-5, 100, 0), (99, 100, 0), (1_000, -3, None)]
)
def test_whole_days_at_that_pace(left: int, spent: int, lasts: int | None) -> None:
    assert lasts_days(left, spent, DAY) == lasts


@pytest.mark.django_db
def test_an_hour_after_the_first_session_the_pace_is_of_that_day_alone(organisation: Organisation) -> None:
    """₹212.40 of ₹2,336.40 on the first day: ten days, not seventy; eight days later a week counts again."""
    fleet = make_fleet(organisation, money_paise=2_336_40)
    stop(fleet, start(fleet).transaction_ref)
    rating.rate_and_capture(cdr_id=CDR.objects.get().pk, now=NOON)
    wallet = Wallet.objects.get()
    soon = NOON + timedelta(hours=2)
    assert (standing(wallet, now=soon).runway_days, standing(wallet, now=soon).per_day_paise) == (10, 212_40)
    assert "10 days" in dashboard.figures(organisation=organisation, now=soon)["cards"][2]["note"]
    later = NOON + timedelta(days=9)
    again = start(fleet, started_at=later, received_at=later).transaction_ref
    stop(fleet, again, ended_at=later + timedelta(minutes=40), received_at=later + timedelta(minutes=40))
    rating.rate_and_capture(cdr_id=CDR.objects.get(rated_at=None).pk, now=later)
    wallet.refresh_from_db()
    assert standing(wallet, now=later + timedelta(hours=2)).runway_days == 1_911_60 * 7 // 212_40
