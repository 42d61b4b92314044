"""A session that is not billed gives its money back, once a second person agrees, and is never charged again."""

from datetime import timedelta
from typing import Any

import pytest

from billing.approvals import services
from billing.approvals.models import Approval
from billing.invoicing.services import collecting, items
from billing.models import CDR, BillingException, CDRAdjustment, ChargingSession, LimitUsage, ReconciliationVerdict
from billing.reconciliation import deciding, storing
from billing.services import adjustments, ending, exceptions, ledger, rating, verification
from billing.tests import test_roaming
from billing.tests.factories import NOON, Fleet, limit, make_fleet, sample, start, stop
from billing.tests.test_roaming import bill, price
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.api import Conflict
from stations.models import Source

pytestmark = pytest.mark.django_db
source = test_roaming.source
LATER = NOON + timedelta(days=1)
PRICE = 212_40  # 10 kWh
KEPT = ("revenue:charging", "output_cgst", "output_sgst", "output_igst")


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation, money_paise=1_000_00)


@pytest.fixture
def chief() -> User:
    return User.objects.create_superuser("chief@fleetcharge.example", "correct horse")


def charge(fleet: Fleet) -> CDR:
    stop(fleet, start(fleet).transaction_ref)
    rating.rate_and_capture(cdr_id=CDR.objects.get().pk, now=NOON)
    return CDR.objects.get()


def doubted(session: ChargingSession) -> ReconciliationVerdict:
    return ReconciliationVerdict.objects.create(
        session=session, verdict="blocked", points=90, ruleset_version="x", input_hash="x", decided_at=NOON,
        findings=[{"rule": "L1", "points": 90, "text": "It was elsewhere.", "evidence": {}}],
    )  # fmt: skip


def decide(verdict: ReconciliationVerdict, actor: User, outcome: str = "charged_back") -> Any:
    return deciding.decide(verdict_id=verdict.pk, outcome=outcome, reason="nobody was there", actor=actor, at=LATER)


def approve(chief: User) -> Approval:
    return services.approve(approval_id=Approval.objects.open().get().pk, decided_by=chief, now=LATER)


def spent(organisation: Organisation) -> int:
    organisation.wallet.refresh_from_db()
    return 1_000_00 - organisation.wallet.posted_paise


def test_what_is_not_billed_goes_back_when_a_second_person_agrees(
    fleet: Fleet, organisation: Organisation, finance: User, chief: User
) -> None:
    of_month = limit(organisation, period="month", amount_paise=5_000_00)
    verdict = doubted(charge(fleet).session)
    decide(verdict, finance)
    wish = Approval.objects.get()
    assert (wish.state, wish.amount_paise, spent(organisation)) == ("asked", PRICE, PRICE)
    with pytest.raises(ValueError, match="own books"):
        services.approve(approval_id=wish.pk, decided_by=finance, now=LATER)
    approve(chief)
    usage = LimitUsage.objects.get(limit=of_month)
    assert (spent(organisation), usage.spent_paise, usage.spent_wh) == (0, 0, 0)
    assert [ledger.balance_paise(account) for account in KEPT] == [0, 0, 0, 0]
    session = ChargingSession.objects.get()
    assert session.adjusted_paise == -PRICE == CDRAdjustment.objects.get().total_paise
    assert not verification.differences()
    with pytest.raises(Conflict, match="given back already"):
        decide(verdict, finance, "accepted")


def test_nothing_that_comes_later_charges_for_it_again(
    fleet: Fleet, organisation: Organisation, finance: User, chief: User
) -> None:
    cdr = charge(fleet)
    decide(doubted(cdr.session), finance)
    approve(chief)
    sample(fleet, cdr.session.transaction_ref, 20, 15_000)
    ending.revise(session_id=cdr.session_id, now=LATER)
    adjustments.adjust_included(cdr_id=cdr.pk, now=LATER)
    assert (spent(organisation), CDRAdjustment.objects.count()) == (0, 1)


def test_a_networks_session_is_not_owed_to_it_any_more(
    source: Source, organisation: Organisation, finance: User, chief: User
) -> None:
    cdr = bill(source)
    price(cdr)
    assert cdr is not None and ledger.balance_paise("cpo_payable:volt") == 46_020
    decide(doubted(cdr.session), finance)
    approve(chief)
    organisation.wallet.refresh_from_db()
    assert (ledger.balance_paise("cpo_payable:volt"), organisation.wallet.posted_paise) == (0, 1_000_000)


def test_another_decision_meanwhile_keeps_the_money(
    fleet: Fleet, organisation: Organisation, finance: User, chief: User
) -> None:
    verdict = doubted(charge(fleet).session)
    decide(verdict, finance)
    decide(verdict, finance, "accepted")
    with pytest.raises(Conflict, match="otherwise"):
        approve(chief)
    decide(verdict, finance)  # the same wish waits still
    assert (Approval.objects.count(), spent(organisation)) == (1, PRICE)
    approve(chief)
    assert spent(organisation) == 0


def test_a_refusal_puts_the_session_before_finance_again(
    fleet: Fleet, organisation: Organisation, finance: User, chief: User
) -> None:
    verdict = doubted(charge(fleet).session)
    ChargingSession.objects.update(reconciled_at=NOON)
    storing.ask_again(verdict, now=NOON)
    decide(verdict, finance)
    assert not BillingException.objects.open().exists()
    services.decline(approval_id=Approval.objects.get().pk, decided_by=chief, now=LATER, reason="the meter is right")
    verdict.refresh_from_db()
    assert (verdict.outcome, spent(organisation)) == ("", PRICE)
    question = BillingException.objects.open().get()
    assert (question.kind, question.title, question.details["rule"]) == (
        "suspicious_session",
        "It was elsewhere.",
        "L1",
    )
    assert not items.items_of([organisation.pk], before=LATER)
    exceptions.resolve_exception(exception_id=question.pk, actor=finance, reason="it was there", at=LATER)
    assert items.items_of([organisation.pk], before=LATER)


def test_what_is_not_charged_yet_cannot_be_given_back(fleet: Fleet, finance: User) -> None:
    stop(fleet, start(fleet).transaction_ref)
    verdict = doubted(ChargingSession.objects.get())
    with pytest.raises(Conflict, match="not charged yet"):
        decide(verdict, finance)
    verdict.refresh_from_db()
    assert (verdict.outcome, BillingException.objects.exists()) == ("", False)


@pytest.mark.parametrize(("outcome", "is_held"), [("charged_back", True), ("disputed", True), ("accepted", False)])
def test_what_a_person_keeps_off_the_invoice_stays_off_whatever_its_verdict(
    fleet: Fleet, organisation: Organisation, finance: User, outcome: str, is_held: bool
) -> None:
    verdict = doubted(charge(fleet).session)
    ReconciliationVerdict.objects.update(verdict="review")
    ChargingSession.objects.update(reconciled_at=NOON)
    assert items.items_of([organisation.pk], before=LATER)  # review alone holds nothing
    decide(verdict, finance, outcome)
    assert collecting.held(collecting.unbilled(before=LATER)).exists() == is_held
    assert bool(items.items_of([organisation.pk], before=LATER)) != is_held
