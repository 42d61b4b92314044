"""Held money cannot be spent twice, a capture never fails, and the projection equals the journal after anything."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from billing.models import BillingException, Hold, Wallet
from billing.services import ledger, wallets
from billing.services.ledger import Dimensions
from billing.services.wallets import Charge
from billing.tests.factories import NOON, fund
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.lib.api import Conflict


def hold(organisation: Organisation, key: str, amount_paise: int) -> wallets.HoldResult:
    return wallets.hold(organisation_id=organisation.pk, session_key=key, amount_paise=amount_paise, now=NOON)


def capture(organisation: Organisation, key: str, amount_paise: int) -> wallets.Captured:
    return wallets.capture(
        organisation_id=organisation.pk,
        session_key=key,
        entry_key=f"charge:{key}",
        charges=[Charge("revenue:charging", amount_paise, "charge")] if amount_paise else [],
        about=Dimensions(organisation_id=organisation.pk),
        at=NOON,
        now=NOON,
    )


def wallet_of(organisation: Organisation) -> Wallet:
    return Wallet.objects.get(organisation=organisation)


def test_held_money_cannot_be_held_again(organisation: Organisation) -> None:
    fund(organisation, 100_00)
    assert hold(organisation, "a", 60_00).is_held
    assert hold(organisation, "b", 60_00) == wallets.HoldResult(False, "insufficient")
    assert not Hold.objects.filter(session_key="b").exists()
    assert wallet_of(organisation).available_paise == 40_00


def test_one_hold_per_session(organisation: Organisation) -> None:
    fund(organisation, 100_00)
    assert hold(organisation, "a", 60_00) == hold(organisation, "a", 60_00)
    assert wallet_of(organisation).held_paise == 60_00


def test_credit_is_spendable(organisation: Organisation) -> None:
    fund(organisation, 10_00, credit_limit_paise=90_00)
    assert hold(organisation, "a", 100_00).is_held
    assert not hold(organisation, "b", 1).is_held


@pytest.mark.parametrize("state", [Wallet.State.FROZEN, Wallet.State.HOLD_ONLY])
def test_a_closed_wallet_holds_nothing(organisation: Organisation, state: str) -> None:
    fund(organisation, 100_00)
    Wallet.objects.update(state=state)
    assert hold(organisation, "a", 1).reason == "wallet_frozen"


def test_no_wallet_is_said_so(organisation: Organisation) -> None:
    assert hold(organisation, "a", 1).reason == "no_wallet"


def test_a_hold_grows_while_money_lasts(organisation: Organisation) -> None:
    fund(organisation, 100_00)
    hold(organisation, "a", 60_00)
    assert wallets.extend(session_key="a", extra_paise=40_00, now=NOON)
    assert not wallets.extend(session_key="a", extra_paise=1, now=NOON)
    assert Hold.objects.get().amount_paise == wallet_of(organisation).held_paise == 100_00


def test_release_gives_the_money_back_once(organisation: Organisation) -> None:
    fund(organisation, 100_00)
    hold(organisation, "a", 60_00)
    assert wallets.release(session_key="a", now=NOON)
    assert not wallets.release(session_key="a", now=NOON)
    assert (wallet_of(organisation).held_paise, wallet_of(organisation).posted_paise) == (0, 100_00)


def test_capture_takes_the_price_and_frees_the_rest(organisation: Organisation) -> None:
    fund(organisation, 100_00)
    hold(organisation, "a", 60_00)
    assert capture(organisation, "a", 45_00) == wallets.Captured(45_00, 0, True)
    assert capture(organisation, "a", 45_00) == wallets.Captured(45_00, 0, False)
    assert (wallet_of(organisation).held_paise, wallet_of(organisation).posted_paise) == (0, 55_00)
    assert ledger.balance_paise("revenue:charging") == 45_00


def test_an_over_capture_never_fails_and_blocks_new_sessions(organisation: Organisation) -> None:
    fund(organisation, 100_00)
    hold(organisation, "a", 60_00)
    hold(organisation, "b", 30_00)
    assert capture(organisation, "a", 95_00) == wallets.Captured(70_00, 25_00, True)
    wallet = wallet_of(organisation)
    assert (wallet.posted_paise, wallet.held_paise, wallet.state) == (30_00, 30_00, Wallet.State.HOLD_ONLY)
    assert ledger.balance_paise(ledger.receivable_code(organisation.pk)) == 25_00
    assert ledger.balance_paise("revenue:charging") == 95_00
    assert BillingException.objects.get().amount_paise == 25_00
    assert hold(organisation, "c", 1).reason == "wallet_frozen"


def test_a_top_up_pays_what_is_owed_and_reopens_the_wallet(organisation: Organisation, finance: User) -> None:
    fund(organisation, 10_00)
    capture(organisation, "a", 30_00)
    wallets.top_up(
        organisation_id=organisation.pk, amount_paise=100_00, key="utr-1", at=NOON, actor=finance, reason="NEFT"
    )
    wallet = wallet_of(organisation)
    assert (wallet.posted_paise, wallet.state) == (80_00, Wallet.State.ACTIVE)
    assert ledger.balance_paise(ledger.receivable_code(organisation.pk)) == 0
    entry = AuditEntry.objects.get(action="top_up", actor=finance)
    assert (entry.reason, entry.organisation) == ("NEFT", organisation)


def test_a_wallet_that_an_operator_closed_stays_closed_whatever_comes_in(
    organisation: Organisation, finance: User
) -> None:
    fund(organisation, 10_00)
    wallets.change_terms(
        organisation_id=organisation.pk, credit_limit_paise=0, low_threshold_paise=0, state=Wallet.State.HOLD_ONLY,
        actor=finance, reason="The contract ends",
    )  # fmt: skip
    wallets.top_up(organisation_id=organisation.pk, amount_paise=100_00, key="utr-1", at=NOON)
    back = {"organisation_id": organisation.pk, "memo": "", "about": Dimensions(organisation_id=organisation.pk)}
    wallets.refund(entry_key="less", refunds=[("revenue:charging", 1_00)], at=NOON, **back)
    capture(organisation, "a", 30_00)
    wallets.take_back(organisation_id=organisation.pk, entry_key="charge:a", as_key="b", reason="credit", at=NOON)
    assert wallet_of(organisation).state == Wallet.State.HOLD_ONLY


@pytest.mark.parametrize("paid_since", [0, 5_00])
def test_a_reversal_that_clears_the_debt_reopens_the_wallet(organisation: Organisation, paid_since: int) -> None:
    fund(organisation, 10_00)
    capture(organisation, "a", 30_00)
    if paid_since:
        wallets.top_up(organisation_id=organisation.pk, amount_paise=paid_since, key="some", at=NOON)
    assert wallet_of(organisation).state == Wallet.State.HOLD_ONLY
    wallets.take_back(organisation_id=organisation.pk, entry_key="charge:a", as_key="b", reason="credit", at=NOON)
    wallet = wallet_of(organisation)
    assert (wallet.posted_paise, wallet.state) == (10_00 + paid_since, Wallet.State.ACTIVE)


def test_a_top_up_is_credited_once(organisation: Organisation) -> None:
    fund(organisation, 0)
    args = {"organisation_id": organisation.pk, "key": "utr-1", "at": NOON}
    assert wallets.top_up(amount_paise=100, **args)
    assert not wallets.top_up(amount_paise=100, **args)
    with pytest.raises(Conflict):
        wallets.top_up(amount_paise=200, **args)
    assert wallet_of(organisation).posted_paise == 100


def test_a_frozen_wallet_stays_frozen(organisation: Organisation) -> None:
    fund(organisation, 10_00)
    Wallet.objects.update(state=Wallet.State.FROZEN)
    capture(organisation, "a", 30_00)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=100_00, key="k", at=NOON)
    assert wallet_of(organisation).state == Wallet.State.FROZEN


def test_without_a_wallet_everything_is_receivable(organisation: Organisation) -> None:
    assert capture(organisation, "a", 30_00) == wallets.Captured(0, 30_00, True)
    assert BillingException.objects.get().kind == BillingException.Kind.NO_WALLET


@pytest.mark.django_db(transaction=True)
def test_money_for_exactly_five_hundred_pays_exactly_five_hundred() -> None:
    organisation = Organisation.objects.create(name="Race", slug="race")
    fund(organisation, 500 * 7)

    def grab(worker: int) -> int:
        try:
            return sum(hold(organisation, f"{worker}-{number}", 7).is_held for number in range(100))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(grab, range(8)))
    wallet = wallet_of(organisation)
    assert accepted == Hold.objects.count() == 500
    assert (wallet.held_paise, wallet.available_paise) == (3500, 0)


@pytest.mark.django_db(transaction=True)
def test_one_hold_when_eight_sockets_replay_one_start() -> None:
    organisation = Organisation.objects.create(name="Race", slug="race")
    fund(organisation, 1_000_00)

    def grab(_: int) -> bool:
        try:
            return hold(organisation, "same", 7_00).is_held
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(grab, range(8)))
    assert wallet_of(organisation).held_paise == 7_00


class WalletMachine(RuleBasedStateMachine):
    """Any order of services against a plain dictionary that knows the right answer."""

    def __init__(self) -> None:
        super().__init__()
        self.organisation = Organisation.objects.create(name="M", slug=f"m{Organisation.objects.count()}")
        fund(self.organisation, 0, credit_limit_paise=20)
        self.posted = self.owed = self.moves = 0
        self.is_active = True
        self.holds: dict[str, int] = {}

    def key(self) -> str:
        self.moves += 1
        return f"{self.organisation.slug}-{self.moves}"

    @property
    def available(self) -> int:
        return self.posted - sum(self.holds.values()) + 20

    @rule(amount=st.integers(1, 100))
    def top_up(self, amount: int) -> None:
        wallets.top_up(organisation_id=self.organisation.pk, amount_paise=amount, key=self.key(), at=NOON)
        self.posted += amount
        paid = min(self.owed, max(0, self.available))
        self.posted, self.owed = self.posted - paid, self.owed - paid
        self.is_active = self.is_active or not self.owed

    @rule(amount=st.integers(1, 80))
    def hold(self, amount: int) -> None:
        key = self.key()
        should = self.is_active and amount <= self.available
        assert hold(self.organisation, key, amount).is_held is should
        if should:
            self.holds[key] = amount

    @rule(extra=st.integers(1, 40), data=st.data())
    def extend(self, extra: int, data: st.DataObject) -> None:
        if not self.holds:
            return
        key = data.draw(st.sampled_from(sorted(self.holds)))
        should = self.is_active and extra <= self.available
        assert wallets.extend(session_key=key, extra_paise=extra, now=NOON) is should
        self.holds[key] += extra if should else 0

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.holds:
            key = data.draw(st.sampled_from(sorted(self.holds)))
            assert wallets.release(session_key=key, now=NOON)
            del self.holds[key]

    @rule(amount=st.integers(0, 150), data=st.data())
    def capture(self, amount: int, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.holds))) if self.holds else self.key()
        self.holds.pop(key, None)
        paid = min(amount, max(0, self.available))
        assert capture(self.organisation, key, amount) == wallets.Captured(paid, amount - paid, True)
        self.posted, self.owed = self.posted - paid, self.owed + amount - paid
        self.is_active = self.is_active and paid == amount

    @invariant()
    def books_agree(self) -> None:
        wallet = wallet_of(self.organisation)
        assert wallet.posted_paise == self.posted == ledger.balance_paise(wallet.account.code)
        assert wallet.held_paise == sum(self.holds.values())
        assert ledger.balance_paise(ledger.receivable_code(self.organisation.pk)) == self.owed
        assert (wallet.state == Wallet.State.ACTIVE) is self.is_active


class AnyOrderOfServices(TestCase):
    def test_keeps_the_books_right(self) -> None:
        run_state_machine_as_test(
            WalletMachine,
            settings=hypothesis_settings(max_examples=15, stateful_step_count=12, deadline=None, derandomize=True),
        )


@pytest.mark.django_db
def test_a_new_warning_level_leaves_limit_and_state_as_they_are(organisation: Organisation, owner: User) -> None:
    fund(organisation, 100)
    wallets.change_terms(
        organisation_id=organisation.pk, credit_limit_paise=500, low_threshold_paise=7, state="frozen", actor=owner,
        reason="Late payer",
    )  # fmt: skip
    wallets.set_warning(organisation_id=organisation.pk, low_threshold_paise=40, actor=owner, reason="Diwali")
    wallet = Wallet.objects.get()
    assert (wallet.credit_limit_paise, wallet.state, wallet.low_threshold_paise) == (500, "frozen", 40)
    entry = AuditEntry.objects.get(action="set_warning")
    assert (entry.actor, entry.before, entry.after) == (
        owner, {"low_threshold_paise": 7}, {"low_threshold_paise": 40},
    )  # fmt: skip
