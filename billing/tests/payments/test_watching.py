"""Differences with the gateway and the bank are questions of the platform, asked once, closed when they are settled."""

from datetime import date, timedelta

import pytest

from billing.approvals import services as approvals
from billing.approvals import top_ups
from billing.approvals.models import Approval
from billing.gateways.emulator import payments as payer
from billing.gateways.emulator import settlements as payout
from billing.models import BankLine, BillingException, GatewayEvent, GatewayPayment, Settlement, SettlementRow
from billing.payments import bank, intents, settlements, watching
from billing.services import wallets
from billing.services.exceptions import resolve_exception
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import hear
from fleetcharge.accounts.models import Organisation, User

pytestmark = pytest.mark.django_db


def paid(organisation, world: World, is_heard: bool = True) -> GatewayPayment:
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=5_000_00, now=NOON)
    intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
    made = payer.pay_order(world.bank, intent.order_id)
    if is_heard:
        hear(world)
    else:
        intents.work(intent_id=intent.pk, now=NOON + timedelta(hours=1), gateway=world.gateway)
    return GatewayPayment.objects.get(payment_id=made["id"])


def asked() -> list[str]:
    rows = BillingException.objects.open().filter(organisation=None, kind="payment_odd").order_by("reference")
    return [row.reference for row in rows]


def test_a_payout_is_asked_about_until_the_bank_has_it(world: World, organisation) -> None:
    paid(organisation, world)
    payout.settle(world.bank)
    settlements.import_recent(now=NOON, gateway=world.gateway)
    assert watching.look(now=NOON) == 0
    settlement = Settlement.objects.get()
    later = NOON + timedelta(days=9)
    settlements.settle(now=later)
    for _ in range(2):
        assert watching.look(now=later) == 1
        assert asked() == [f"gateway:payout:{settlement.settlement_id}"]
    amount = f"{settlement.amount_paise / 100:.2f}"
    bank.import_csv(["date,reference,amount", f"2026-11-25,{settlement.utr},{amount}"], now=later)
    watching.look(now=later)
    assert asked() == []
    assert BillingException.objects.get().resolved_at == later


def test_a_row_that_nobody_knows_and_a_payment_in_no_settlement_are_asked_about(world: World, organisation) -> None:
    missing = paid(organisation, world)
    settlements.settle(now=NOON + timedelta(days=6))
    settlements.keep(
        [{"settlement_id": "setl_1", "settlement_utr": "U1", "settled_at": 1_795_000_000, "entity_id": "pay_stranger",
          "type": "payment", "amount": 100_00, "credit": 98_00, "fee": 2_00, "tax": 30}],
        now=NOON,
    )  # fmt: skip
    settlements.compare(now=NOON + timedelta(days=6))
    watching.look(now=NOON + timedelta(days=6))
    assert set(asked()) == {"gateway:row:payment:pay_stranger", f"gateway:row:payment:{missing.payment_id}"}
    SettlementRow.objects.update(outcome="matched")
    watching.look(now=NOON + timedelta(days=6))
    assert asked() == []


def test_a_webhook_that_was_switched_off_is_noticed_by_the_payments_that_polling_finds(
    world: World, organisation
) -> None:
    payment = paid(organisation, world, is_heard=False)
    assert payment.credited_at is not None
    evening = payment.credited_at + timedelta(hours=6)
    watching.look(now=evening)
    assert asked() == ["gateway:silent"]
    hear(world)
    GatewayEvent.objects.update(received_at=evening)
    watching.look(now=evening)
    assert asked() == []


def test_a_day_without_payments_is_no_alarm(world: World) -> None:
    assert watching.look(now=NOON) == 0


def test_webhooks_that_were_given_up_are_one_question(world: World, organisation) -> None:
    paid(organisation, world)
    GatewayEvent.objects.update(state="dead")
    watching.look(now=NOON)
    assert asked() == ["gateway:dead"]
    GatewayEvent.objects.update(state="done")
    watching.look(now=NOON)
    assert asked() == []


# --- our bank, and what people enter by hand ------------------------------------------------------------------------
STATEMENT_DAY = NOON.date()
IN_FOUR_DAYS = NOON + timedelta(days=4)


def came(*lines: tuple[str, str], day: date = STATEMENT_DAY) -> None:
    rows = [f"{day},{reference},{rupees}" for reference, rupees in lines]
    bank.import_csv(["date,reference,amount", *rows], now=NOON)


def entered(organisation: Organisation, reference: str, paise: int) -> Approval:
    wallets.open_wallet(organisation_id=organisation.pk)
    clerk, chief = (
        User.objects.get_or_create(email=f"{name}@fc.example", is_superuser=True)[0] for name in ("clerk", "chief")
    )
    wish = top_ups.ask(
        organisation_id=organisation.pk, amount_paise=paise, reference=reference, asked_by=clerk, reason="r", now=NOON
    )
    return approvals.approve(approval_id=wish.pk, decided_by=chief, now=NOON, reason="seen")


def test_a_credit_that_is_no_payout_and_no_top_up_is_asked_about_once(world: World, organisation) -> None:
    came(("UTR-A", "5000.00"), ("Utr-B", "7000.00"), ("PAID-OUT", "-100.00"))
    entered(organisation, "utr-b", 7_000_00)
    watching.look(now=NOON + timedelta(days=2))
    assert asked() == []  # what it is about may still be told
    watching.look(now=IN_FOUR_DAYS)
    assert asked() == ["gateway:bank:UTR-A"]
    question = BillingException.objects.get()
    assert question.amount_paise == 5_000_00
    resolve_exception(exception_id=question.pk, actor=None, reason="Interest of the bank.", at=IN_FOUR_DAYS)
    watching.look(now=IN_FOUR_DAYS)
    assert asked() == []


def test_a_credit_is_explained_when_its_payout_is_imported_late(world: World, organisation) -> None:
    paid(organisation, world)
    made = payout.settle(world.bank)
    came((made["utr"], f"{made['amount'] / 100:.2f}"))
    watching.look(now=IN_FOUR_DAYS)
    assert asked() == [f"gateway:bank:{made['utr']}"]
    settlements.import_recent(now=IN_FOUR_DAYS, gateway=world.gateway)
    watching.look(now=IN_FOUR_DAYS)
    assert asked() == []


@pytest.mark.parametrize("line", [("OTHER", "7000.00"), ("UTR-B", "700.00")])
def test_a_top_up_by_hand_that_our_bank_does_not_show_is_asked_about(organisation, line: tuple[str, str]) -> None:
    came(line)
    wish = entered(organisation, "UTR-B", 7_000_00)
    watching.look(now=NOON)
    assert asked() == []  # the statements do not reach that far
    came(("LATER", "1.00"), day=STATEMENT_DAY + timedelta(days=4))
    watching.look(now=NOON)
    assert asked() == [f"gateway:by-hand:{wish.subject}"]
    BankLine.objects.filter(reference=line[0]).update(reference="utr-b", amount_paise=7_000_00)
    watching.look(now=NOON)
    assert asked() == []
