"""Any interleaving over eight connections keeps the books: a stateful machine, and a soak of as many as one likes.

LEDGER_INTERLEAVINGS=100000 python -m pytest billing/tests/test_interleavings.py -k soak

(`make soak-ledger`.)
"""

import os

import pytest
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.django import TransactionTestCase
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from billing.models import Wallet
from billing.tests.interleavings import CONNECTIONS, KINDS, Step, check, open_bank, random_steps, refill, run

INTERLEAVINGS = int(os.environ.get("LEDGER_INTERLEAVINGS", "640"))
STEPS_A_ROUND = 40  # of each connection, then the books are looked at
SLOTS = 12
STEP = st.builds(Step, st.sampled_from(KINDS), st.integers(0, SLOTS - 1), st.integers(1, 160))


class AllAtOnce(RuleBasedStateMachine):
    """Each rule lets eight connections go at the same moment; what is true after any order is asked then."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = open_bank()

    @rule(lanes=st.lists(st.lists(STEP, min_size=1, max_size=4), min_size=CONNECTIONS, max_size=CONNECTIONS))
    def everybody_does_something(self, lanes: list[list[Step]]) -> None:
        run(self.bank, lanes)

    @rule(kind=st.sampled_from(KINDS), slot=st.integers(0, SLOTS - 1), paise=st.integers(1, 160))
    def everybody_does_the_same(self, kind: str, slot: int, paise: int) -> None:
        run(self.bank, [[Step(kind, slot, paise)]] * CONNECTIONS)

    @rule()
    def the_wallet_is_opened_again(self) -> None:
        Wallet.objects.filter(organisation=self.bank.organisation).update(state=Wallet.State.ACTIVE)

    @invariant()
    def the_books_are_right(self) -> None:
        check(self.bank)


class AnyInterleaving(TransactionTestCase):
    def test_keeps_the_books_right(self) -> None:
        run_state_machine_as_test(
            AllAtOnce,
            settings=hypothesis_settings(max_examples=4, stateful_step_count=6, phases=[Phase.generate]),
        )


@pytest.mark.django_db(transaction=True)
def test_soak() -> None:
    """So many operations, spread over rounds of fresh sessions on the same wallet."""
    bank, left, seed = open_bank(), INTERLEAVINGS, 0
    while left > 0:
        bank.name = f"round{seed}"  # sessions nobody has seen
        refill(bank)
        count = min(STEPS_A_ROUND, -(-left // CONNECTIONS))
        run(bank, [random_steps(seed * CONNECTIONS + lane, count, SLOTS) for lane in range(CONNECTIONS)])
        check(bank, is_thorough=seed % 20 == 0)
        left, seed = left - count * CONNECTIONS, seed + 1
    check(bank)
    assert seed == -(-INTERLEAVINGS // (STEPS_A_ROUND * CONNECTIONS))
