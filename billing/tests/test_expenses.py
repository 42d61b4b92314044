"""The expense ledger: sums to the paisa of the journal, with its kilometres, and says what it does not know."""

import dataclasses
from datetime import date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.expenses.report import By, Expense, expenses, per_km
from billing.gst.numbering import INDIA
from billing.models import CDR, ChargingSession, LedgerTransfer
from billing.prices.models import Plan
from billing.prices.services import fees, plans, subscriptions
from billing.services import ledger, rating, wallets
from billing.services.adjustments import adjust, figures_of, locked
from billing.services.ledger import Dimensions, Leg
from billing.tests.factories import NOON, Fleet, make_fleet, start, stop
from billing.tests.invoicing import make_registration, make_supplier
from fleetcharge.accounts.models import Organisation
from vehicles.models import Position, Vehicle

pytestmark = pytest.mark.django_db
SINCE, UNTIL = NOON - timedelta(hours=12), NOON + timedelta(hours=12)
PRICE = 212_40  # 10 kWh


@pytest.fixture
def fleets(organisation: Organisation) -> list[Fleet]:
    """Three vehicles with a site and driver each; two in the north, one in no cost centre."""
    made = [make_fleet(organisation, money_paise=1_000_00) for _ in range(3)]
    Vehicle.objects.filter(pk__in=[fleet.vehicle.pk for fleet in made[:2]]).update(cost_centre="NORTH")
    for fleet, sessions in zip(made, (2, 1, 1), strict=True):
        for number in range(sessions):
            charge(fleet, number)
    return made


def charge(fleet: Fleet, number: int) -> ChargingSession:
    at = NOON + timedelta(hours=number)
    began = start(fleet, started_at=at, received_at=at)
    stop(fleet, began.transaction_ref, ended_at=at + timedelta(minutes=30), received_at=at + timedelta(minutes=30))
    session = ChargingSession.objects.get(pk=began.session_id)
    assert rating.rate_and_capture(cdr_id=session.cdr.pk, now=at)
    return session


def ping(
    vehicle: Vehicle, minutes: int, *, odometer_m: int | None = None, metres_north: int = 0, dkmh: int = 400
) -> None:
    at = NOON + timedelta(minutes=minutes)
    Position.objects.create(
        vehicle=vehicle, fix_at=at, received_at=at, latitude_e7=129716000 + round(metres_north / 0.0111319),
        longitude_e7=775946000, odometer_m=odometer_m, speed_dkmh=dkmh,
    )  # fmt: skip


def by(organisation: Organisation, what: By) -> dict[str, Expense]:
    return {line.name: line for line in expenses(organisation_id=organisation.pk, by=what, since=SINCE, until=UNTIL)}


def test_each_dimension_sums_to_the_journal(fleets: list[Fleet], organisation: Organisation) -> None:
    spent = 3_000_00 - ledger.balance_paise(ledger.wallet_code(organisation.pk))
    assert spent == 4 * PRICE
    for what in By:
        lines = expenses(organisation_id=organisation.pk, by=what, since=SINCE, until=UNTIL)
        assert sum(line.total_paise for line in lines) == spent
        assert (sum(line.sessions for line in lines), sum(line.energy_wh for line in lines)) == (4, 40_000)
    dearest = next(iter(by(organisation, By.VEHICLE).values()))
    assert (dearest.key, dearest.total_paise, dearest.paise_per_kwh) == (fleets[0].vehicle.pk, 2 * PRICE, 2124)
    assert by(organisation, By.SITE)[fleets[1].location.name].total_paise == PRICE
    assert by(organisation, By.DRIVER)[fleets[2].driver.name].key == str(fleets[2].driver.driver_ref)
    assert by(organisation, By.COST_CENTRE)["NORTH"].total_paise == 3 * PRICE


def test_kilometres_come_from_the_odometer_else_the_track_else_are_said_to_be_missing(
    fleets: list[Fleet], organisation: Organisation
) -> None:
    first, second, third = (fleet.vehicle for fleet in fleets)
    ping(first, 0, odometer_m=50_000_000)
    ping(first, 60, odometer_m=50_100_000)
    for minute in range(11):  # 10 km in ten minutes, then an hour of a receiver that wanders while the vehicle stands
        ping(second, minute, metres_north=minute * 1_000)
    for minute in range(11, 71):
        ping(second, minute, metres_north=10_000 + minute % 2 * 30, dkmh=0)
    lines = by(organisation, By.VEHICLE)
    found = {name: (line.distance_m, line.distance_source, line.paise_per_km) for name, line in lines.items()}
    assert found == {
        first.registration: (100_000, "odometer", 4_25),  # 424.80 rupees over 100 km
        second.registration: (10_000, "track", 21_24),
        third.registration: (None, "", None),
    }
    assert lines[third.registration].vehicles_without_distance == 1
    north = by(organisation, By.COST_CENTRE)["NORTH"]
    assert (north.distance_m, north.distance_source, north.paise_per_km) == (110_000, "odometer+track", 5_79)
    assert by(organisation, By.SITE)[fleets[0].location.name].distance_m is None


def test_corrections_and_own_bills_count_money_in_the_wallet_does_not(
    fleets: list[Fleet], organisation: Organisation, other_organisation: Organisation
) -> None:
    session = ChargingSession.objects.filter(vehicle=fleets[0].vehicle).earliest("pk")
    about = Dimensions(organisation.pk, session.pk, session.vehicle_id, None, fleets[0].location.pk, "NORTH")
    wallets.refund(
        organisation_id=organisation.pk, entry_key="less", refunds=[("revenue:charging", 12_40)], memo="", about=about,
        at=NOON,
    )  # fmt: skip
    own = [Leg(f"electricity:{organisation.pk}", f"utility_payable:{organisation.pk}", 500_00, "utility")]
    about = Dimensions(organisation.pk, None, fleets[0].vehicle.pk, None, fleets[0].location.pk, "NORTH")
    ledger.post(entry_key="utility:1", legs=own, occurred_at=NOON, about=about)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=9_000_00, key="more", at=NOON)
    stranger = make_fleet(other_organisation)
    charge(stranger, 0)
    line = by(organisation, By.VEHICLE)[fleets[0].vehicle.registration]
    assert (line.charging_paise, line.electricity_paise) == (2 * PRICE - 12_40, 500_00)
    assert stranger.vehicle.registration not in by(organisation, By.VEHICLE)
    outside = expenses(organisation_id=organisation.pk, by=By.VEHICLE, since=UNTIL, until=UNTIL + timedelta(days=1))
    assert outside == []


@pytest.mark.parametrize("what", list(By))
def test_what_a_subscription_includes_is_energy_all_the_same_and_its_fee_a_line_of_its_own(
    organisation: Organisation, what: By
) -> None:
    make_supplier()
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=10_000_00)
    Vehicle.objects.update(cost_centre="NORTH")
    plan = plans.publish(plan_id=Plan.objects.create(slug="p", name="P").pk, fee_paise=3_000_00, included_wh=15_000)
    subscriptions.subscribe(
        organisation_id=organisation.pk, plan_version_id=plan.pk, starts_on=date(2026, 11, 1), key="first"
    )
    for number in range(2):  # 10 kWh each: all of the first is included, half of the second
        charge(fleet, number)
    until = datetime(2026, 12, 1, tzinfo=INDIA)
    assert fees.charge_due(now=until) == 1
    lines = expenses(organisation_id=organisation.pk, by=what, since=SINCE, until=until)
    told = [(line.name == "Subscription", line.sessions, line.energy_wh, line.total_paise) for line in lines]
    assert told == [(True, 0, 0, 3_540_00), (False, 2, 20_000, PRICE // 2)]
    assert sum(row[3] for row in told) == 10_000_00 - ledger.balance_paise(ledger.wallet_code(organisation.pk))


def test_corrected_energy_counts_as_it_was_corrected(fleets: list[Fleet], organisation: Organisation) -> None:
    cdr = locked(CDR.objects.filter(session__vehicle=fleets[1].vehicle).get().pk)
    figures = dataclasses.replace(figures_of(cdr), energy_wh=5_000)
    assert adjust(cdr=cdr, figures=figures, reason="late", now=NOON) is not None
    line = by(organisation, By.VEHICLE)[fleets[1].vehicle.registration]
    assert (line.energy_wh, line.total_paise, line.paise_per_kwh) == (5_000, PRICE // 2, 2124)


def test_however_many_rows_four_queries(fleets: list[Fleet], organisation: Organisation) -> None:
    for what in By:
        with CaptureQueriesContext(connection) as seen:
            expenses(organisation_id=organisation.pk, by=what, since=SINCE, until=UNTIL)
        assert len(seen) <= 4
    assert LedgerTransfer.objects.filter(organisation=organisation).exists()


def test_rupees_per_km_want_a_kilometre() -> None:
    assert per_km(514_00, 999) is None
    assert per_km(514_00, 1_000) == 514_00
    assert per_km(514_00, None) is None
