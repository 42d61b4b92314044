"""Subscriptions: exact shares of days, included energy in the order of sessions, each period charged once."""

from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing.gst.numbering import INDIA
from billing.invoicing.models import TaxDocument, TaxRule
from billing.invoicing.services import figures, months
from billing.models import CDR, BillingException, LedgerTransfer
from billing.prices.models import AllowanceUse, Plan, PlanVersion, Subscription, SubscriptionFee
from billing.prices.periods import Share, Span, Term, months_after, period_of, periods, shares
from billing.prices.services import fees, plans, subscriptions
from billing.services import gst_rates, ledger, rating, tariffs, verification
from billing.tests.factories import NOON, Fleet, make_fleet, start, stop
from billing.tests.invoicing import AFTER_NOVEMBER, charge, make_registration, make_supplier
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict

NOVEMBER = Span(date(2026, 11, 1), date(2026, 12, 1))


# --- days ---------------------------------------------------------------------------------------------------------
def test_months_are_counted_from_the_day_it_began_without_drifting() -> None:
    begun = date(2028, 1, 31)  # a leap year
    found = periods("anniversary", Span(begun, date(2028, 5, 1)))
    assert [span.start for span in found] == [begun, date(2028, 2, 29), date(2028, 3, 31), date(2028, 4, 30)]
    assert period_of("calendar", begun, date(2027, 2, 28)) == Span(date(2027, 2, 1), date(2027, 3, 1))
    assert months_after(date(2026, 11, 30), 3) == date(2027, 2, 28)


def test_a_day_belongs_to_the_last_change_of_it() -> None:
    terms = [Term(1, date(2026, 10, 1), 7), Term(2, date(2026, 11, 11), 8), Term(3, date(2026, 11, 11), 9)]
    assert shares(NOVEMBER, Span(date(2026, 10, 1), date.max), terms) == [Share(7, 10, 30), Share(9, 20, 30)]
    assert shares(NOVEMBER, Span(date(2026, 11, 16), date(2026, 11, 16)), terms) == []


days = st.integers(0, 400).map(lambda count: date(2027, 12, 1) + timedelta(days=count))


@given(
    days, days, st.lists(st.tuples(days, st.integers(1, 5)), max_size=5), st.sampled_from(["calendar", "anniversary"])
)
def test_every_day_of_a_subscription_is_in_one_period_and_one_plan(
    begun: date, ended: date, changes: list[tuple[date, int]], cycle: str
) -> None:
    lived = Span(begun, max(begun, ended))
    later = sorted((max(day, begun), version) for day, version in changes)
    terms = [Term(number, day, version) for number, (day, version) in enumerate([(begun, 0), *later], start=1)]
    spans = periods(cycle, lived)
    assert all(one.end == two.start for one, two in pairwise(spans))
    counted = [share for span in spans for share in shares(span, lived, terms)]
    assert sum(share.days for share in counted) == lived.days
    assert all(sum((share.of(3100) for share in shares(span, lived, terms)), Fraction(0)) <= 3100 for span in spans)


# --- a fleet with a plan ------------------------------------------------------------------------------------------
@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    make_supplier()
    make_registration(organisation)
    return make_fleet(organisation, money_paise=10_000_00)


def make_plan(fee_paise: int = 3_000_00, **fields: Any) -> PlanVersion:
    plan = Plan.objects.create(slug=f"p{Plan.objects.count()}", name="Depot")
    return plans.publish(plan_id=plan.pk, fee_paise=fee_paise, **fields)


def subscribe(fleet: Fleet, version: PlanVersion, on: date = date(2026, 11, 1), **fields: Any) -> Subscription:
    return subscriptions.subscribe(
        organisation_id=fleet.organisation.pk, plan_version_id=version.pk, starts_on=on, key="first", **fields
    )


def at(day: int, hour: int = 12, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=INDIA)


@pytest.mark.django_db
def test_included_energy_costs_nothing_more_and_the_rest_less(fleet: Fleet) -> None:
    version = make_plan(included_wh=15_000, discount_percent=10)
    subscribe(fleet, version)
    first, second, third = (charge(fleet, at=at(day)) for day in (3, 4, 5))  # 10 kWh each, 18.00 on the list
    assert [(cdr.included_wh, cdr.taxable_paise) for cdr in (first, second, third)] == [
        (10_000, 0), (5_000, 5 * 16_20), (0, 10 * 16_20),
    ]  # fmt: skip
    assert (second.plan_version, second.tariff) == (version, fleet.tariff)
    told = [(line["dimension"], line["quantity"], line["amount_paise"]) for line in second.explanation[:2]]
    assert told == [("ENERGY", "5.000", 0), ("ENERGY", "5.000", 81_00)]
    assert rating.explain(rating.rate_cdr(CDR.objects.get(pk=second.pk)), gst_percent=18) == second.explanation  # type: ignore[arg-type]


@pytest.mark.django_db
def test_a_late_record_gets_its_place_and_the_others_are_corrected(fleet: Fleet) -> None:
    subscribe(fleet, make_plan(included_wh=10_000))
    later = charge(fleet, at=at(5))
    earlier = charge(fleet, at=at(3))  # priced after it, although it began before
    assert (later.included_wh, earlier.included_wh) == (10_000, 0)
    assert fees.charge_due(now=at(1, month=12)) == 1
    assert list(AllowanceUse.objects.values_list("cdr", "wh")) == [(earlier.pk, 10_000), (later.pk, 0)]
    assert [row.taxable_paise for row in (earlier.adjustments.get(), later.adjustments.get())] == [-180_00, 180_00]
    assert not any(verification.differences().values())


@pytest.mark.django_db
def test_a_pool_by_vehicle_is_each_vehicles_own(fleet: Fleet) -> None:
    subscribe(fleet, make_plan(included_wh=8_000, pool="vehicle", elements=[
        {"price_components": [{"type": "ENERGY", "price": "10", "step_size": 1}]}
    ]))  # fmt: skip
    other = make_fleet(fleet.organisation, has_wallet=False)
    assert [charge(one, at=at(3, hour)).taxable_paise for one, hour in ((fleet, 8), (other, 9), (fleet, 10))] == [
        2 * 10_00, 2 * 10_00, 10 * 10_00,
    ]  # fmt: skip


@pytest.mark.django_db
def test_a_fee_is_charged_once_by_days_and_by_whom_they_belong_to(fleet: Fleet) -> None:
    basic, better = make_plan(1_000_00), make_plan(2_000_01)
    subscription = subscribe(fleet, basic, on=date(2026, 11, 11))
    for key, version in (("b", better), ("c", basic), ("d", better), ("d", better), ("b", better)):
        subscriptions.change_plan(
            subscription_id=subscription.pk, plan_version_id=version.pk, on=date(2026, 11, 21), key=key
        )
    assert fees.charge_due(now=at(30)) == 0  # the month is not over
    assert [fees.charge_due(now=at(1, month=12)) for _ in range(3)] == [1, 0, 0]
    fee = SubscriptionFee.objects.get()
    exact = Fraction(1_000_00 * 10, 30) + Fraction(2_000_01 * 10, 30)  # 100,000.33 paise
    assert (fee.taxable_paise, fee.cgst_paise, fee.sgst_paise) == (round(exact), 90_00, 90_00)
    assert [(share["days"], share["of_days"]) for share in fee.shares] == [(10, 30), (10, 30)]
    assert ledger.balance_paise("revenue:subscription") == fee.taxable_paise
    assert LedgerTransfer.objects.filter(kind="subscription").count() == 3
    with pytest.raises(Conflict, match="charged"):
        subscriptions.change_plan(
            subscription_id=subscription.pk, plan_version_id=basic.pk, on=date(2026, 11, 25), key="late"
        )
    for change in (lambda: fee.delete(), lambda: SubscriptionFee.objects.update(taxable_paise=0, total_paise=0)):
        with pytest.raises(DatabaseError, match="refused"), transaction.atomic():
            change()


@pytest.mark.django_db
def test_a_subscription_that_cannot_be_charged_stops_no_other(fleet: Fleet, other_organisation: Organisation) -> None:
    bad = subscribe(make_fleet(other_organisation, money_paise=1_00), make_plan())
    good = subscribe(fleet, make_plan(1_000_00))
    Organisation.objects.filter(pk=other_organisation.pk).update(currency="USD")  # its accounts are in rupees
    assert [fees.charge_due(now=at(1, month=12)) for _ in range(2)] == [1, 0]
    assert SubscriptionFee.objects.get().subscription == good
    row = BillingException.objects.get(reference=f"subscription:{bad.pk}")
    assert (row.organisation, row.details["subscription"]) == (None, bad.pk)
    assert "could not be charged" in row.title and row.details["error"]
    months.close(day=date(2026, 11, 5), now=AFTER_NOVEMBER, reason="one fee is asked about")
    assert TaxDocument.objects.get(kind="invoice").organisation == fleet.organisation
    Organisation.objects.filter(pk=other_organisation.pk).update(currency="INR")
    assert fees.charge_due(now=at(2, month=12)) == 1
    assert bad.fees.count() == 1


@pytest.mark.django_db
def test_an_end_charges_its_days_at_once_and_then_the_fleet_pays_as_it_goes(fleet: Fleet) -> None:
    subscription = subscribe(fleet, make_plan(3_100_00, included_wh=31_000), cycle="anniversary")
    subscriptions.end(subscription_id=subscription.pk, before=date(2026, 11, 16))
    subscriptions.end(subscription_id=subscription.pk, before=date(2026, 11, 16))
    assert fees.charge_due(now=at(16)) == 1
    assert SubscriptionFee.objects.get().taxable_paise == 1_550_00
    assert (charge(fleet, at=at(15, 23)).included_wh, charge(fleet, at=at(16, 0)).included_wh) == (10_000, 0)
    with pytest.raises(Conflict):
        subscriptions.subscribe(
            organisation_id=fleet.organisation.pk, plan_version_id=make_plan().pk, starts_on=date(2026, 11, 15), key="x"
        )


@pytest.mark.django_db
def test_the_months_invoice_has_the_sessions_and_the_fee_and_not_a_paisa_is_left_over(fleet: Fleet) -> None:
    subscribe(fleet, make_plan(999_99, included_wh=4_000))
    charge(fleet, at=NOON)
    months.close(day=date(2026, 11, 5), now=AFTER_NOVEMBER, reason="test")
    invoice = TaxDocument.objects.get(kind="invoice")
    assert [(line.component, line.taxable_paise) for line in invoice.lines.all()] == [
        ("SUBSCRIPTION", 999_99), ("ENERGY", 6 * 18_00),
    ]  # fmt: skip
    assert invoice.charged_paise == 127_44 + SubscriptionFee.objects.get().total_paise
    assert (SubscriptionFee.objects.get().document, invoice.annexure_rows) == (invoice, 1)
    assert set(figures.unexplained_tax().values()) == {0}
    assert not any(verification.differences().values())


@pytest.mark.django_db
def test_a_month_with_nothing_but_a_fee_is_invoiced_too(fleet: Fleet) -> None:
    subscribe(fleet, make_plan(999_99))
    months.close(day=date(2026, 11, 5), now=AFTER_NOVEMBER, reason="test")
    invoice = TaxDocument.objects.get(kind="invoice")
    assert (invoice.taxable_paise, invoice.total_paise, invoice.annexure_sha256) == (999_99, 1_180_00, "")
    assert set(figures.unexplained_tax().values()) == {0}


@pytest.mark.django_db
def test_a_fee_has_the_rate_of_its_last_day(fleet: Fleet) -> None:
    """Of a subscription that ended on the 20th, although the rate changed again before its month was over."""
    for day, value in ((date(2026, 11, 10), "12"), (date(2026, 11, 25), "5")):
        TaxRule.objects.create(name="rate", subject="998714", value=value, valid_from=day)
    gst_rates.forget()
    subscription = subscribe(fleet, make_plan(3_000_00))
    subscriptions.end(subscription_id=subscription.pk, before=date(2026, 11, 21))
    months.close(day=date(2026, 11, 5), now=AFTER_NOVEMBER, reason="test")
    fee, invoice = SubscriptionFee.objects.get(), TaxDocument.objects.get(kind="invoice")
    assert (fee.taxable_paise, fee.cgst_paise) == (2_000_00, 120_00)
    assert (invoice.lines.get().rate_percent, invoice.cgst_paise) == (12, 120_00)
    assert set(figures.unexplained_tax().values()) == {0}


@pytest.mark.django_db
def test_a_plan_version_never_changes_and_the_same_one_is_not_made_twice(fleet: Fleet) -> None:
    version = make_plan()
    assert plans.publish(plan_id=version.plan_id, fee_paise=3_000_00) == version
    assert plans.publish(plan_id=version.plan_id, fee_paise=3_500_00).number == 2
    with pytest.raises(DatabaseError), transaction.atomic():
        PlanVersion.objects.update(fee_paise=1)
    with pytest.raises(ValueError):
        plans.publish(plan_id=version.plan_id, fee_paise=1, elements=[{"price_components": [{"type": "WATER"}]}])


@pytest.mark.django_db
def test_a_hold_and_a_quote_know_the_plan(fleet: Fleet) -> None:
    subscribe(fleet, make_plan(included_wh=15_000))
    asked: dict[str, Any] = {"connector": fleet.connector, "energy_wh": 20_000, "duration_s": 3600, "at": NOON}
    assert tariffs.quote_at(**asked) == 424_80
    assert tariffs.quote_at(**asked, organisation_id=fleet.organisation.pk) == 5 * 21_24
    started = start(fleet)
    stop(fleet, started.transaction_ref)
    offer = tariffs.offer_at(**asked, organisation_id=fleet.organisation.pk, vehicle_id=fleet.vehicle.pk)
    assert offer is not None
    assert (offer.price.kind, offer.rated.total_paise) == ("subscription", 5 * 21_24)
