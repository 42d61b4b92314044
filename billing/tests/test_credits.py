"""A network takes its record back: the books are reversed leg by leg, and a fresh record is booked in its place."""

from datetime import timedelta
from typing import Any

import pytest

from billing import tasks
from billing.models import CDR, BillingException, CDRAdjustment, LedgerTransfer, LimitUsage, PriceCheck
from billing.services import ledger, rating, roaming, verification, wallets
from billing.tests import test_roaming
from billing.tests.factories import limit
from billing.tests.test_roaming import NOW, bill, price
from fleetcharge.accounts.models import Organisation
from fleetcharge.demo.peers import objects
from stations.models import RoamingCDR, Source

pytestmark = pytest.mark.django_db
source = test_roaming.source
WALLET = 1_000_000
CREDIT: dict[str, Any] = {
    "credit": True, "credit_reference_id": "C1", "total_cost": {"excl_vat": -390.0, "incl_vat": -460.2},
}  # fmt: skip
SMALLER: dict[str, Any] = {
    "total_energy": 10.0, "charging_periods": [objects.period(objects.STAMP, ENERGY=10.0, TIME=0.5)],
    "total_cost": {"excl_vat": 195.0, "incl_vat": 230.1}, "total_energy_cost": {"excl_vat": 195.0, "incl_vat": 230.1},
}  # fmt: skip


def spent(organisation: Organisation) -> int:
    organisation.wallet.refresh_from_db()
    return WALLET - organisation.wallet.posted_paise


def again() -> None:
    """Every record once more, as the sweep would."""
    for told in RoamingCDR.objects.order_by("pk"):
        roaming.take_cdr(roaming_cdr_id=told.pk, now=NOW)


def test_a_credit_gives_the_money_back_and_a_fresh_record_takes_what_is_right(
    source: Source, organisation: Organisation
) -> None:
    cdr = bill(source)
    price(cdr)
    assert cdr is not None
    assert spent(organisation) == 46_020
    assert bill(source, "C1-C", **CREDIT) is None
    assert spent(organisation) == 0
    reversed_legs = LedgerTransfer.objects.filter(kind="reversal")
    assert {leg.reverses.entry_key for leg in reversed_legs if leg.reverses} == {f"charge:{cdr.session_id}"}
    assert ledger.balance_paise("cpo_payable:volt") == 0
    bill(source, "C1-2", **SMALLER)
    assert spent(organisation) == ledger.balance_paise("cpo_payable:volt") == 23_010
    again()
    assert spent(organisation) == 23_010
    cdr.session.refresh_from_db()
    assert cdr.session.adjusted_paise == 23_010 - 46_020
    assert [row.energy_wh for row in CDRAdjustment.objects.order_by("number")] == [0, 10_000]
    assert PriceCheck.objects.get(roaming_cdr__key="IN*VLT*C1-2").state == "agrees"
    assert not BillingException.objects.exists()
    assert not verification.differences()


@pytest.mark.parametrize("was_told", [True, False])
def test_an_impossible_record_that_is_taken_back_never_costs_anything(
    source: Source, organisation: Organisation, was_told: bool
) -> None:
    of_month = limit(organisation, period="month", amount_paise=50_000_00)
    if was_told:
        test_roaming.hear(source)
    huge = {"total_energy": 6_000.0, "total_cost": {"excl_vat": 117_000.0, "incl_vat": 138_060.0}}
    cdr = bill(source, **huge)
    assert cdr is not None and cdr.is_blocked
    bill(source, "C1-C", **{**CREDIT, **huge, "total_cost": {"excl_vat": -117_000.0, "incl_vat": -138_060.0}})
    assert not BillingException.objects.open().exists()
    tasks.sweep_unrated()
    organisation.wallet.refresh_from_db()
    assert (spent(organisation), organisation.wallet.held_paise, LedgerTransfer.objects.count()) == (0, 0, 1)
    bill(source, "C1-2", **SMALLER)
    again()
    assert spent(organisation) == ledger.balance_paise("cpo_payable:volt") == 23_010
    usage = LimitUsage.objects.get(limit=of_month)
    assert (usage.spent_paise, usage.spent_wh, usage.reserved_paise) == (23_010, 10_000, 0)
    assert not BillingException.objects.open().exists()
    assert not verification.differences()


def test_a_fresh_record_may_itself_be_taken_back(source: Source, organisation: Organisation) -> None:
    price(bill(source))
    bill(source, "C1-C", **CREDIT)
    bill(source, "C1-2", **SMALLER)
    back = {**CREDIT, "credit_reference_id": "C1-2", "total_cost": {"excl_vat": -195.0}, "total_energy": 10.0}
    bill(source, "C1-2-C", **back)
    again()
    assert (spent(organisation), ledger.balance_paise("cpo_payable:volt")) == (0, 0)
    assert not BillingException.objects.exists()
    assert not verification.differences()


def test_a_fresh_record_that_comes_before_its_credit_waits_for_it(source: Source, organisation: Organisation) -> None:
    price(bill(source))
    bill(source, "C1-2", **SMALLER)
    assert BillingException.objects.open().get().kind == "cpo_correction"
    assert spent(organisation) == 46_020
    bill(source, "C1-C", **CREDIT)
    assert spent(organisation) == 23_010
    assert not BillingException.objects.open().exists()


def test_a_credit_ends_a_dispute(source: Source) -> None:
    price(bill(source, total_cost={"excl_vat": 450.0, "incl_vat": 531.0}))
    assert PriceCheck.objects.disputed().count() == 1
    bill(source, "C1-C", **{**CREDIT, "total_cost": {"excl_vat": -450.0, "incl_vat": -531.0}})
    assert PriceCheck.objects.get().state == "taken_back"
    assert not BillingException.objects.open().exists()


@pytest.mark.parametrize(
    "odd",
    [
        {"credit_reference_id": "C9"},
        {"total_cost": {"excl_vat": -380.0, "incl_vat": -448.4}},
        {"total_energy": 5.0},
        {"currency": "EUR"},
    ],
)
def test_a_credit_that_does_not_fit_is_decided_by_people(
    source: Source, organisation: Organisation, odd: dict[str, Any]
) -> None:
    price(bill(source))
    bill(source, "C1-C", **{**CREDIT, **odd})
    again()
    assert spent(organisation) == 46_020
    assert BillingException.objects.get().kind == "cpo_correction"


def test_a_credit_before_the_charge_was_posted_leaves_nothing_behind(
    source: Source, organisation: Organisation
) -> None:
    bill(source)  # nobody has priced it yet
    bill(source, "C1-C", **CREDIT)
    assert spent(organisation) == 0
    assert CDR.objects.get().captured_at is not None
    assert not verification.differences()


def test_what_was_owed_and_paid_since_comes_back_to_the_wallet(source: Source, organisation: Organisation) -> None:
    cdr = bill(source)
    assert cdr is not None
    wallets.release(session_key=wallets.hold_key(cdr.session_id), now=NOW)
    wallets.hold(organisation_id=organisation.pk, session_key="other", amount_paise=WALLET - 40_000, now=NOW)
    rating.rate_and_capture(cdr_id=cdr.pk, now=NOW)
    owed = ledger.balance_paise(ledger.receivable_code(organisation.pk))
    assert owed > 0
    wallets.top_up(organisation_id=organisation.pk, amount_paise=owed, key="pay", at=NOW + timedelta(hours=1))
    bill(source, "C1-C", **CREDIT)
    assert ledger.balance_paise(ledger.receivable_code(organisation.pk)) == 0
    organisation.wallet.refresh_from_db()
    assert organisation.wallet.posted_paise == WALLET + owed
    assert not verification.differences()


@pytest.mark.parametrize("is_early", [True, False])
def test_a_limit_counts_what_is_charged_in_the_end(source: Source, organisation: Organisation, is_early: bool) -> None:
    """Whether the limit was there from the start, or is opened by the credit."""
    of_month = limit(organisation, period="month", amount_paise=5_000_00) if is_early else None
    price(bill(source))
    of_month = of_month or limit(organisation, period="month", amount_paise=5_000_00)

    def used() -> tuple[int, int]:
        usage = LimitUsage.objects.get(limit=of_month)
        return usage.spent_paise, usage.spent_wh

    assert not is_early or used() == (46_020, 20_000)
    bill(source, "C1-C", **CREDIT)
    assert used() == (0, 0)
    bill(source, "C1-2", **SMALLER)
    again()
    assert used() == (spent(organisation), 10_000) == (23_010, 10_000)
