"""Charges taken back from a fleet that owes money: what is paid too much comes back, what was written off does not."""

import threading
from random import Random

import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.approvals import services as approvals
from billing.approvals import write_offs
from billing.models import LedgerTransfer, Wallet
from billing.services import ledger, verification, wallets
from billing.services.wallets import Charge
from billing.tests.factories import NOON, fund, make_fleet, start
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.tests.crossing import until, waiters


@pytest.fixture
def clerk(db: None) -> User:
    return User.objects.create_superuser("clerk@fleetcharge.example", "correct horse", full_name="Clerk")


@pytest.fixture
def chief(db: None) -> User:
    return User.objects.create_superuser("chief@fleetcharge.example", "correct horse", full_name="Chief")


def charge(organisation: Organisation, key: str, paise: int) -> None:
    wallets.capture(
        organisation_id=organisation.pk, session_key=key, entry_key=key, at=NOON, now=NOON,
        charges=[Charge("revenue:charging", paise, "test_charge")], about=ledger.Dimensions(organisation.pk),
    )  # fmt: skip


def take_back(organisation: Organisation, key: str) -> bool:
    return wallets.take_back(
        organisation_id=organisation.pk, entry_key=key, as_key=f"back:{key}", reason="credit", at=NOON
    )


def write_off(organisation: Organisation, paise: int, clerk: User, chief: User) -> None:
    wish = write_offs.ask(organisation_id=organisation.pk, amount_paise=paise, asked_by=clerk, reason="r", now=NOON)
    approvals.approve(approval_id=wish.pk, decided_by=chief, now=NOON, reason="seen the papers")


def owed(organisation: Organisation) -> int:
    return ledger.balance_paise(ledger.receivable_code(organisation.pk))


def wallet_of(organisation: Organisation) -> Wallet:
    return Wallet.objects.get(organisation=organisation)


@pytest.mark.django_db(transaction=True)
def test_two_credits_at_once_leave_no_debt_below_zero() -> None:
    organisation = Organisation.objects.create(name="Race", slug="race")
    fund(organisation, 0)
    charge(organisation, "a", 60_00)
    charge(organisation, "b", 40_00)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=50_00, key="some", at=NOON)
    taken: list[bool] = []

    def other() -> None:
        try:
            taken.append(take_back(organisation, "b"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=other)
    with transaction.atomic():
        assert take_back(organisation, "a")
        thread.start()
        until(lambda: waiters() > 0 or not thread.is_alive())
    thread.join(60)
    assert taken == [True]
    assert (owed(organisation), wallet_of(organisation).posted_paise) == (0, 50_00)
    assert verification.differences() == {}


@pytest.mark.django_db
def test_what_was_written_off_and_is_credited_then_is_no_gift(
    organisation: Organisation, clerk: User, chief: User
) -> None:
    fund(organisation, 10_00)
    charge(organisation, "a", 100_00)
    write_off(organisation, 70_00, clerk, chief)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=20_00, key="the rest", at=NOON)
    take_back(organisation, "a")
    assert (owed(organisation), ledger.balance_paise("writeoff")) == (0, 0)
    assert wallet_of(organisation).posted_paise == 30_00  # what it paid, and no more
    assert LedgerTransfer.objects.filter(entry_key=f"write-off-undone:{organisation.pk}:back:a").count() == 1


@pytest.mark.django_db
def test_an_old_write_off_keeps_nothing_of_a_charge_that_was_paid(
    organisation: Organisation, clerk: User, chief: User
) -> None:
    fund(organisation, 0)
    charge(organisation, "a", 100_00)
    write_off(organisation, 100_00, clerk, chief)
    charge(organisation, "b", 60_00)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=60_00, key="b", at=NOON)
    take_back(organisation, "b")
    assert (owed(organisation), ledger.balance_paise("writeoff")) == (0, 100_00)
    assert wallet_of(organisation).posted_paise == 60_00  # all that it paid
    take_back(organisation, "a")
    assert (ledger.balance_paise("writeoff"), wallet_of(organisation).posted_paise) == (0, 60_00)


@pytest.mark.django_db
def test_a_later_write_off_keeps_nothing_of_an_older_charge_that_was_paid(
    organisation: Organisation, clerk: User, chief: User
) -> None:
    """What is owed is paid oldest first, so the loss is of the newer charge."""
    fund(organisation, 0)
    charge(organisation, "a", 100_00)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=100_00, key="a", at=NOON)
    charge(organisation, "b", 60_00)
    write_off(organisation, 60_00, clerk, chief)
    take_back(organisation, "a")
    assert (owed(organisation), ledger.balance_paise("writeoff")) == (0, 60_00)
    assert wallet_of(organisation).posted_paise == 100_00
    take_back(organisation, "b")
    assert (owed(organisation), ledger.balance_paise("writeoff")) == (0, 0)
    assert wallet_of(organisation).posted_paise == 100_00  # nobody paid the second one
    assert verification.differences() == {}


@pytest.mark.django_db
def test_a_charge_that_was_written_off_and_is_credited_pays_no_other_debt(
    organisation: Organisation, clerk: User, chief: User
) -> None:
    fund(organisation, 0)
    charge(organisation, "a", 100_00)
    write_off(organisation, 100_00, clerk, chief)
    charge(organisation, "b", 60_00)
    take_back(organisation, "a")
    assert (owed(organisation), ledger.balance_paise("writeoff")) == (60_00, 0)
    assert wallet_of(organisation).posted_paise == 0


MONEY = st.integers(1, 200_00)
HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("charge"), MONEY), st.tuples(st.just("top_up"), MONEY), st.tuples(st.just("write_off"), MONEY)
    ),
    min_size=1, max_size=10,
)  # fmt: skip


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORY, st.randoms(use_true_random=False))
def test_when_every_charge_is_taken_back_all_that_was_paid_is_there_and_nothing_is_lost(
    organisation: Organisation, history: list[tuple[str, int]], order: Random
) -> None:
    """In any order, debts paid and given up in any order before."""
    with transaction.atomic():
        wallets.open_wallet(organisation_id=organisation.pk)
        charged, paid = list[str](), 0
        for number, (name, paise) in enumerate(history):
            if name == "charge":
                charge(organisation, f"c{number}", paise)
                charged.append(f"c{number}")
            elif name == "top_up":
                wallets.top_up(organisation_id=organisation.pk, amount_paise=paise, key=f"{number}", at=NOON)
                paid += paise
            elif (lost := min(paise, owed(organisation))) > 0:
                leg = ledger.Leg("writeoff", ledger.receivable_code(organisation.pk), lost, "write_off")
                about = ledger.Dimensions(organisation.pk)
                ledger.post(entry_key=f"write-off:{number}", legs=[leg], occurred_at=NOON, about=about)
        order.shuffle(charged)
        for key in charged:
            take_back(organisation, key)
            assert ledger.balance_paise("writeoff") >= 0
        assert (wallet_of(organisation).posted_paise, owed(organisation)) == (paid, 0)
        assert ledger.balance_paise("writeoff") == 0
        assert verification.differences() == {}
        transaction.set_rollback(True)


@pytest.mark.django_db
@pytest.mark.parametrize("has_wallet", [True, False])
def test_a_refund_of_what_was_written_off_is_no_cash(
    organisation: Organisation, clerk: User, chief: User, has_wallet: bool
) -> None:
    begun = start(make_fleet(organisation, money_paise=0, has_wallet=has_wallet))
    about = ledger.Dimensions(organisation.pk, begun.session_id)
    money = 40_00 if has_wallet else 0
    if has_wallet:
        wallets.top_up(organisation_id=organisation.pk, amount_paise=money, key="some", at=NOON)
    wallets.capture(
        organisation_id=organisation.pk, session_key="a", entry_key="a", at=NOON, now=NOON, about=about,
        charges=[Charge("revenue:charging", 100_00, "test_charge")],
    )  # fmt: skip
    lost = owed(organisation)
    write_off(organisation, lost, clerk, chief)
    charge(organisation, "other", 30_00)
    write_off(organisation, owed(organisation), clerk, chief)
    for number, paise in enumerate((50_00, 50_00)):
        wallets.refund(
            organisation_id=organisation.pk, entry_key=f"less:{number}", refunds=[("revenue:charging", paise)], memo="",
            about=about, at=NOON,
        )  # fmt: skip
    assert (owed(organisation), ledger.balance_paise("writeoff")) == (0, 30_00)
    assert ledger.balance_paise(ledger.wallet_code(organisation.pk)) == money
    assert verification.differences() == {}


@pytest.mark.django_db
@pytest.mark.parametrize("has_wallet", [True, False])
def test_a_refund_of_what_was_written_off_pays_no_later_debt(
    organisation: Organisation, clerk: User, chief: User, has_wallet: bool
) -> None:
    begun = start(make_fleet(organisation, money_paise=0, has_wallet=has_wallet))
    about = ledger.Dimensions(organisation.pk, begun.session_id)
    wallets.capture(
        organisation_id=organisation.pk, session_key="a", entry_key="a", at=NOON, now=NOON, about=about,
        charges=[Charge("revenue:charging", 100_00, "test_charge")],
    )  # fmt: skip
    write_off(organisation, 100_00, clerk, chief)
    wallets.refund(
        organisation_id=organisation.pk, entry_key="less", refunds=[("revenue:charging", 40_00)], memo="", at=NOON,
        about=about,
    )  # fmt: skip
    charge(organisation, "b", 60_00)
    write_off(organisation, 60_00, clerk, chief)
    take_back(organisation, "b")
    assert (owed(organisation), ledger.balance_paise("writeoff")) == (0, 60_00)
    assert verification.differences() == {}


@pytest.mark.django_db
def test_what_was_given_back_without_a_wallet_is_in_it_when_it_is_opened(organisation: Organisation) -> None:
    charge(organisation, "a", 30_00)
    wallets.refund(
        organisation_id=organisation.pk, entry_key="less", refunds=[("revenue:charging", 45_00)], memo="", at=NOON,
        about=ledger.Dimensions(organisation.pk),
    )  # fmt: skip
    assert owed(organisation) == -15_00
    wallets.open_wallet(organisation_id=organisation.pk)
    assert (owed(organisation), wallet_of(organisation).posted_paise) == (0, 15_00)
