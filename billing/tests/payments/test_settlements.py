"""Settlements: every row has an outcome, the ledger is posted once, the bank is found by UTR."""

from datetime import date, timedelta
from importlib import import_module

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing.approvals import services as approvals
from billing.approvals.models import Approval
from billing.desk import fixes
from billing.gateways.emulator import payments as payer
from billing.gateways.emulator import settlements as payout
from billing.gateways.emulator.bank import DAY
from billing.gateways.errors import Said, Unavailable
from billing.models import BankLine, BillingException, GatewayPayment, LedgerTransfer, Settlement, SettlementRow
from billing.payments import applying, bank, intents, mending, refunds, settlements, watching
from billing.services import ledger
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import books_are_right, hear
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict

pytestmark = pytest.mark.django_db


def paid(organisation, world: World, amount: int = 5_000_00) -> GatewayPayment:
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=amount, now=NOON)
    intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
    made = payer.pay_order(world.bank, intent.order_id)
    hear(world)
    return GatewayPayment.objects.get(payment_id=made["id"])


def take_in(world: World, now=NOON) -> int:
    return settlements.import_recent(now=now, gateway=world.gateway)


def outcomes() -> dict[str, str]:
    return dict(SettlementRow.objects.values_list("entity_id", "outcome"))


def test_a_settlement_is_explained_to_the_paisa(world: World, organisation, finance, owner) -> None:
    first, second = paid(organisation, world), paid(organisation, world, 1_234_56)
    refund = refunds.ask(payment_id=first.pk, amount_paise=500_00, asked_by=finance, reason="r", now=NOON)
    refunds.approve(refund_id=refund.pk, decided_by=owner, now=NOON)
    refunds.work(refund_id=refund.pk, now=NOON, gateway=world.gateway)
    payer.finish_refund(world.bank, world.bank.every("refund")[0]["id"])
    dispute = payer.open_dispute(world.bank, second.payment_id, amount=234_56)
    payer.end_dispute(world.bank, dispute["id"], outcome="lost")
    hear(world)
    made = payout.settle(world.bank)
    assert take_in(world) == 4
    assert set(outcomes().values()) == {"matched"}
    settlement = Settlement.objects.get()
    assert settlement.amount_paise == made["amount"] == ledger.balance_paise("bank")
    fees = first.fee_paise + second.fee_paise
    tax = first.tax_paise + second.tax_paise
    assert (settlement.fee_paise, settlement.tax_paise) == (fees - tax, tax)
    assert (ledger.balance_paise("gateway_fees"), ledger.balance_paise("gateway_gst_input")) == (fees - tax, tax)
    assert (ledger.balance_paise("razorpay_clearing"), settlements.unexplained_paise()) == (0, 0)
    assert books_are_right()


def test_the_same_report_again_changes_nothing(world: World, organisation) -> None:
    paid(organisation, world)
    payout.settle(world.bank)
    take_in(world)
    rows = LedgerTransfer.objects.count()
    assert take_in(world, NOON + timedelta(days=1)) == 0
    assert LedgerTransfer.objects.count() == rows


def test_a_report_of_many_pages_is_read_to_its_end(world: World, organisation, monkeypatch) -> None:
    for number in range(5):
        paid(organisation, world, 100_00 + number)
    payout.settle(world.bank)
    monkeypatch.setattr(settlements, "PAGE", 2)
    assert take_in(world) == 5


def test_payouts_of_an_absence_are_imported_however_long_it_was(world: World, organisation) -> None:
    paid(organisation, world)
    payout.settle(world.bank)
    take_in(world)
    for _ in range(3):
        world.bank.advance(seconds=4 * DAY)
        paid(organisation, world, 100_00)
        payout.settle(world.bank)
    assert take_in(world, NOON + timedelta(days=17)) == 3


def test_an_import_that_breaks_off_in_an_absence_goes_on_where_it_was(world, organisation, monkeypatch) -> None:
    paid(organisation, world)
    payout.settle(world.bank)
    take_in(world)
    for _ in range(3):
        world.bank.advance(seconds=4 * DAY)
        paid(organisation, world, 100_00)
        payout.settle(world.bank)
    honest = world.gateway.settlement_page

    def breaks_off(*, day: date, **asked) -> list[dict[str, object]]:
        if day >= NOON.date() + timedelta(days=8):
            raise Unavailable(Said(code="down"))
        return honest(day=day, **asked)

    monkeypatch.setattr(world.gateway, "settlement_page", breaks_off)
    later = NOON + timedelta(days=17)
    with pytest.raises(Unavailable):
        take_in(world, later)
    assert Settlement.objects.count() == 2
    monkeypatch.undo()
    assert take_in(world, later) == 2


def test_a_quiet_year_is_not_asked_for_day_by_day(world: World, organisation, monkeypatch) -> None:
    paid(organisation, world)
    payout.settle(world.bank)
    take_in(world)
    asked: list[date] = []
    monkeypatch.setattr(world.gateway, "settlement_page", lambda *, day, **_: asked.append(day) or [])
    take_in(world, NOON + timedelta(days=365))
    assert (len(asked), asked == sorted(asked)) == (settlements.MOST_DAYS + 1, True)


def test_of_a_report_that_breaks_off_nothing_is_kept_or_posted(world: World, organisation, monkeypatch) -> None:
    for number in range(5):
        paid(organisation, world, 100_00 + number)
    made = payout.settle(world.bank)
    monkeypatch.setattr(settlements, "PAGE", 2)
    honest = world.gateway.settlement_page

    def breaks_off(**asked) -> list[dict[str, object]]:
        if asked["skip"] >= 4:
            raise Unavailable(Said(code="down"))
        return honest(**asked)

    monkeypatch.setattr(world.gateway, "settlement_page", breaks_off)
    with pytest.raises(Unavailable):
        take_in(world)
    settlements.settle(now=NOON)
    assert (Settlement.objects.count(), ledger.balance_paise("bank")) == (0, 0)
    monkeypatch.undo()
    assert take_in(world) == 5
    assert ledger.balance_paise("bank") == made["amount"]


def test_a_row_that_two_pages_name_is_one(world: World, organisation, monkeypatch) -> None:
    for number in range(3):
        paid(organisation, world, 100_00 + number)
    made = payout.settle(world.bank)
    monkeypatch.setattr(settlements, "PAGE", 2)
    honest = world.gateway.settlement_page

    def shifted(*, skip: int, **asked) -> list[dict[str, object]]:
        return honest(skip=max(0, skip - 1), **asked)

    monkeypatch.setattr(world.gateway, "settlement_page", shifted)
    assert take_in(world) == 3
    assert ledger.balance_paise("bank") == made["amount"]


def test_rows_that_come_after_the_booking_are_asked_of_a_person(world: World, organisation) -> None:
    first, _ = paid(organisation, world), paid(organisation, world, 1_000_00)
    payout.settle(world.bank)
    held_back = world.bank.rows["recon"].pop(f"payment:{first.payment_id}")
    take_in(world)
    booked = Settlement.objects.get().amount_paise
    assert watching.look(now=NOON) == 0
    world.bank.rows["recon"][f"payment:{first.payment_id}"] = held_back
    take_in(world)
    assert (ledger.balance_paise("bank"), watching.look(now=NOON)) == (booked, 1)
    doubt = BillingException.objects.get(kind="payment_odd")
    assert doubt.title.endswith("got more rows after it was booked")
    assert doubt.amount_paise == held_back["credit"]


def test_what_is_not_settled_yet_is_missing_after_five_days_and_found_when_it_comes(world: World, organisation) -> None:
    payment = paid(organisation, world)
    settlements.settle(now=NOON + timedelta(days=4))
    assert outcomes() == {}
    settlements.settle(now=NOON + timedelta(days=6))
    assert outcomes() == {payment.payment_id: "missing"}
    assert settlements.unexplained_paise() == 0
    payout.settle(world.bank)
    assert take_in(world) == 1
    assert outcomes() == {payment.payment_id: "matched"}


def test_another_amount_is_named_with_its_difference(world: World, organisation) -> None:
    payment = paid(organisation, world)
    payout.settle(world.bank)
    world.bank.rows["recon"][f"payment:{payment.payment_id}"]["credit"] -= 1_00  # a fee nobody told us of
    take_in(world)
    row = SettlementRow.objects.get()
    assert (row.outcome, row.difference_paise) == ("amount_differs", -1_00)
    assert ledger.balance_paise("razorpay_clearing") == 0  # what came is what is booked


def test_money_we_do_not_know_goes_through_suspense(world: World, organisation) -> None:
    paid(organisation, world)
    stray = payer.new_payment(world.bank, amount=777_00, method="upi")
    payer.take(world.bank, stray)
    world.bank.events.clear()
    payout.settle(world.bank)
    take_in(world)
    assert outcomes()[stray["id"]] == "unknown_to_us"
    assert (ledger.balance_paise("suspense"), ledger.balance_paise("razorpay_clearing")) == (777_00, 0)


def clearing_and_suspense() -> tuple[int, int, int]:
    return (
        ledger.balance_paise("razorpay_clearing"), ledger.balance_paise("suspense"), settlements.unexplained_paise(),
    )  # fmt: skip


def settled_twice(*, now=NOON) -> None:
    """As the hourly import does, and the next one."""
    settlements.settle(now=now)
    settlements.settle(now=now + timedelta(hours=1))


def test_a_refund_that_is_settled_before_it_is_processed_leaves_suspense(world, organisation, finance, owner) -> None:
    payment = paid(organisation, world)
    refund = refunds.ask(payment_id=payment.pk, amount_paise=500_00, asked_by=finance, reason="r", now=NOON)
    refunds.approve(refund_id=refund.pk, decided_by=owner, now=NOON)
    refunds.work(refund_id=refund.pk, now=NOON, gateway=world.gateway)
    payout.settle(world.bank)
    take_in(world)
    assert clearing_and_suspense() == (0, -500_00, 0)
    payer.finish_refund(world.bank, world.bank.every("refund")[0]["id"])
    hear(world)
    assert settlements.unexplained_paise() == 0  # also before the next look
    settled_twice()
    assert set(outcomes().values()) == {"matched"}
    assert clearing_and_suspense() == (0, 0, 0)
    assert books_are_right()


def test_a_refund_made_there_whose_webhook_is_late_leaves_suspense(world: World, organisation) -> None:
    payment = paid(organisation, world)
    made = payer.refund(world.bank, payment.payment_id, {"amount": 1_500_00}, "")
    payer.finish_refund(world.bank, made["id"])
    payout.settle(world.bank)
    take_in(world)
    assert clearing_and_suspense() == (0, -1_500_00, 0)
    hear(world)
    settled_twice()
    assert clearing_and_suspense() == (0, 0, 0)


def test_a_dispute_deducted_at_its_opening_and_then_lost_leaves_suspense(world: World, organisation) -> None:
    payment = paid(organisation, world)
    dispute = payer.open_dispute(world.bank, payment.payment_id, amount=1_000_00)
    dispute["amount_deducted"] = 1_000_00
    hear(world)
    payout.settle(world.bank)
    take_in(world)
    assert clearing_and_suspense() == (0, 0, 0)  # the payer's claim, deducted already
    payer.end_dispute(world.bank, dispute["id"], outcome="lost")
    hear(world)
    settled_twice()
    assert outcomes()[dispute["id"]] == "matched"
    assert clearing_and_suspense() == (0, 0, 0)


def test_a_payment_credited_after_its_settlement_leaves_suspense_once(world: World, organisation) -> None:
    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=5_000_00, now=NOON)
    intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
    payer.pay_order(world.bank, intent.order_id)
    payout.settle(world.bank)
    take_in(world)
    assert clearing_and_suspense() == (0, 5_000_00, 0)
    hear(world)
    assert settlements.unexplained_paise() == 0
    settled_twice()
    assert clearing_and_suspense() == (0, 0, 0)
    assert LedgerTransfer.objects.filter(entry_key__startswith="settlement-row:payment:pay_").count() == 1


@pytest.mark.parametrize("is_known_by_now", [False, True])
def test_rows_booked_before_they_named_their_part_are_named_by_the_upgrade(
    world, organisation, is_known_by_now
) -> None:
    ours = paid(organisation, world)
    stray = payer.new_payment(world.bank, amount=777_00, method="upi")
    payer.take(world.bank, stray)
    refund = payer.refund(world.bank, ours.payment_id, {"amount": 500_00}, "")
    world.bank.events.clear()
    payout.settle(world.bank)
    take_in(world)
    parts = SettlementRow.objects.exclude(suspense_paise=0).order_by("entity_id")
    before = dict(parts.values_list("entity_id", "suspense_paise"))
    assert before == {stray["id"]: 777_00, refund["id"]: -500_00}
    SettlementRow.objects.update(suspense_paise=0)
    if is_known_by_now:  # whose the rest was cannot be told any more
        SettlementRow.objects.filter(entity_id=refund["id"]).update(outcome="matched")
    with connection.cursor() as cursor:
        cursor.execute(import_module("billing.migrations.0053_money_in_suspense").SUSPENDED)
    assert dict(parts.values_list("entity_id", "suspense_paise")) == ({} if is_known_by_now else before)


def booked_before_the_upgrade(world: World, organisation) -> tuple[str, str]:
    """A refund that was not known when its settlement was booked and is now, beside a stray payment: ids of both."""
    ours = paid(organisation, world)
    stray = payer.new_payment(world.bank, amount=777_00, method="upi")
    payer.take(world.bank, stray)
    made = payer.refund(world.bank, ours.payment_id, {"amount": 500_00}, "")
    payer.finish_refund(world.bank, made["id"])
    late = list(world.bank.events)
    world.bank.events.clear()
    payout.settle(world.bank)
    take_in(world)
    SettlementRow.objects.update(suspense_paise=0)
    world.bank.events.extend(late)
    hear(world)
    settled_twice()
    return made["id"], stray["id"]


def test_what_was_booked_before_rows_named_their_part_is_asked_about_and_mended_by_two(
    world: World, organisation
) -> None:
    refund_id, stray_id = booked_before_the_upgrade(world, organisation)
    assert outcomes()[refund_id] == "matched"
    assert clearing_and_suspense() == (-500_00, 277_00, -500_00)
    watching.look(now=NOON)
    question = BillingException.objects.get(reference__startswith=watching.IN_SUSPENSE)
    assert (question.organisation, question.amount_paise) == (None, 500_00)
    one, other = (User.objects.create_superuser(f"{name}@fleetcharge.example", "correct horse") for name in "ab")
    assert fixes.fix_for(question).deed is not None
    fixes.apply(exception_id=question.pk, actor=one, now=NOON)
    wish = Approval.objects.get(kind="settlement_mend")
    with pytest.raises(Conflict):
        fixes.apply(exception_id=question.pk, actor=other, now=NOON)  # it waits already
    with pytest.raises(ValueError, match="Another person"):
        approvals.approve(approval_id=wish.pk, decided_by=one, now=NOON)
    approvals.approve(approval_id=wish.pk, decided_by=other, now=NOON)
    assert clearing_and_suspense() == (0, 777_00, 0)
    watching.look(now=NOON)
    question.refresh_from_db()
    assert question.resolved_at == NOON
    with pytest.raises(Conflict):
        mending.ask_to_mend(settlement_id=Settlement.objects.get().settlement_id, asked_by=one, reason="r", now=NOON)
    applying.give_to(payment_id=stray_id, organisation_id=organisation.pk, now=NOON)
    settled_twice()
    assert clearing_and_suspense() == (0, 0, 0)
    assert books_are_right()


def test_a_settlement_whose_rows_name_their_part_is_not_asked_about(world: World, organisation) -> None:
    payment = paid(organisation, world)
    payer.take(world.bank, payer.new_payment(world.bank, amount=777_00, method="upi"))
    world.bank.events.clear()
    made = payer.refund(world.bank, payment.payment_id, {"amount": 500_00}, "")
    payer.finish_refund(world.bank, made["id"])
    payout.settle(world.bank)
    take_in(world)
    assert list(mending.unexplained(limit=9)) == []
    hear(world)
    settled_twice()
    assert list(mending.unexplained(limit=9)) == []


def test_a_row_that_came_after_the_booking_was_never_in_suspense(world: World, organisation) -> None:
    paid(organisation, world)
    stray = payer.new_payment(world.bank, amount=777_00, method="upi")
    payer.take(world.bank, stray)
    payout.settle(world.bank)
    late = world.bank.rows["recon"].pop(f"payment:{stray['id']}")
    take_in(world)
    world.bank.rows["recon"][f"payment:{stray['id']}"] = late
    take_in(world)
    assert SettlementRow.objects.get(entity_id=stray["id"]).suspense_paise == 0
    assert ledger.balance_paise("suspense") == 0


def test_what_the_gateway_holds_back_is_not_posted(world: World, organisation) -> None:
    payment = paid(organisation, world)
    payout.settle(world.bank)
    row = world.bank.rows["recon"][f"payment:{payment.payment_id}"]
    row["on_hold"] = True
    take_in(world)
    assert outcomes() == {payment.payment_id: "on_hold"}
    assert ledger.balance_paise("bank") == 0
    row["on_hold"] = False
    take_in(world)
    assert outcomes() == {payment.payment_id: "matched"}
    assert ledger.balance_paise("bank") == Settlement.objects.get().amount_paise > 0


@pytest.mark.parametrize("fee_holds_tax", [True, False])
def test_a_fee_with_or_without_its_tax_is_understood(world: World, organisation, fee_holds_tax: bool) -> None:
    payment = paid(organisation, world)
    payout.settle(world.bank)
    if not fee_holds_tax:
        world.bank.rows["recon"][f"payment:{payment.payment_id}"]["fee"] -= payment.tax_paise
    take_in(world)
    assert (ledger.balance_paise("gateway_fees"), ledger.balance_paise("gateway_gst_input")) == (100_00, 18_00)


def statement(*rows: tuple[str, str, str]) -> list[str]:
    return ["date,reference,amount", *(",".join(row) for row in rows)]


def test_the_bank_line_is_found_by_its_utr(world: World, organisation) -> None:
    paid(organisation, world)
    made = payout.settle(world.bank)
    take_in(world)
    rupees = f"{made['amount'] / 100:.2f}"
    lines = statement(("2026-11-21", made["utr"], rupees), ("2026-11-21", "OTHER1", '"12,000.50"'))
    assert bank.import_csv(lines, now=NOON) == 2
    settlement = Settlement.objects.get()
    assert (settlement.state, settlement.bank_line.reference) == ("matched", made["utr"])
    assert bank.import_csv(lines, now=NOON) == 0
    assert BankLine.objects.get(reference="OTHER1").amount_paise == 12_000_50


def test_the_bank_line_comes_first_or_with_another_amount_or_never(world: World, organisation) -> None:
    paid(organisation, world)
    first = payout.settle(world.bank)
    bank.import_csv(statement(("2026-11-21", first["utr"], "1.00")), now=NOON)
    take_in(world)
    assert Settlement.objects.get().state == "differs"
    paid(organisation, world)
    payout.settle(world.bank)
    take_in(world)
    settlements.settle(now=NOON + timedelta(days=4))
    assert sorted(Settlement.objects.values_list("state", flat=True)) == ["differs", "missing"]


@pytest.mark.parametrize(
    "row",
    [("21-11-2026", "UTR1", "5"), ("2026-11-21", "", "5"), ("2026-11-21", "UTR1", "five"), ("2026-11-21", "UTR1", "")],
)
def test_a_statement_that_cannot_be_read_is_refused_as_a_whole(db, row: tuple[str, str, str]) -> None:
    with pytest.raises(bank.UnreadableStatement, match="line 3"):
        bank.import_csv(statement(("2026-11-21", "GOOD", "5"), row), now=NOON)
    assert not BankLine.objects.exists()


def test_a_reference_with_another_amount_is_refused(db) -> None:
    bank.import_csv(statement(("2026-11-21", "UTR1", "5")), now=NOON)
    with pytest.raises(bank.UnreadableStatement, match="another amount"):
        bank.import_csv(statement(("2026-11-21", "UTR1", "6")), now=NOON)
    with pytest.raises(bank.UnreadableStatement, match="twice"):
        bank.import_csv(statement(("2026-11-21", "UTR2", "5"), ("2026-11-21", "UTR2", "6")), now=NOON)


def test_the_command_imports_a_file_and_says_what_is_wrong_with_it(db, tmp_path, capsys) -> None:
    file = tmp_path / "statement.csv"
    file.write_text("\n".join(statement(("2026-11-21", "UTR1", '"1,000.00"'))), encoding="utf-8-sig")
    call_command("import_bank", str(file))
    assert (capsys.readouterr().out, BankLine.objects.get().amount_paise) == ("1 new lines\n", 1_000_00)
    file.write_text("nothing,of,use\n1,2,3\n")
    with pytest.raises(CommandError, match="line 1: no column"):
        call_command("import_bank", str(file))
