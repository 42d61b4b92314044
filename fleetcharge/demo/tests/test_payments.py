"""The demo's gateway: what it does by itself, and that a restart forgets nothing and repeats no id."""

from pathlib import Path

from billing.gateways.emulator import mandates, payments
from billing.gateways.emulator.bank import Bank
from fleetcharge.demo.payments import DEBIT_AFTER_S, REFUND_AFTER_S, SETTLE_EVERY_S, Gateway


def gateway(tmp_path: Path) -> Gateway:
    made = Gateway(tmp_path, "http://127.0.0.1:1")
    made.bank.clock = lambda: 1_763_620_200.0
    return made


def order(bank: Bank, receipt: str) -> dict:
    return payments.create_order(bank, {"amount": 500_00, "currency": "INR", "receipt": receipt})


def test_refunds_end_and_money_is_settled_by_themselves(tmp_path: Path) -> None:
    demo = gateway(tmp_path)
    paid = payments.pay_order(demo.bank, order(demo.bank, "R1")["id"])
    refund = payments.refund(demo.bank, paid["id"], {"amount": 100_00}, "")
    demo.do_duties()
    assert (refund["status"], len(demo.bank.every("settlement"))) == ("pending", 1)
    assert sorted(row["type"] for row in demo.bank.rows["recon"].values()) == ["payment", "refund"]  # deducted at once
    payments.pay_order(demo.bank, order(demo.bank, "R2")["id"])
    demo.bank.advance(seconds=max(REFUND_AFTER_S, SETTLE_EVERY_S))
    demo.do_duties()
    assert (refund["status"], len(demo.bank.every("settlement"))) == ("processed", 2)


def test_a_debit_of_the_demo_does_not_take_a_day(tmp_path: Path) -> None:
    bank = gateway(tmp_path).bank
    wanted = {
        "subscription_registration": {"method": "upi", "max_amount": 500_00},
        "customer": {"email": "a@b.example"},
    }
    link = mandates.create_link(bank, wanted)
    mandates.set_state(bank, link["token_id"], "confirmed")
    asked = {"order_id": order(bank, "R1")["id"], "customer_id": link["customer_id"], "token": link["token_id"]}
    mandates.debit(bank, {**asked, "amount": 500_00})
    assert mandates.debits_fall_due(bank) == 0
    bank.advance(seconds=DEBIT_AFTER_S)
    assert mandates.debits_fall_due(bank) == 1


def test_a_restart_forgets_nothing_and_repeats_no_id(tmp_path: Path) -> None:
    first = gateway(tmp_path).bank
    orders = [order(first, f"R{number}")["id"] for number in range(3)]
    first.keep()
    lost = order(first, "R-lost")["id"]  # killed before it was kept
    second = gateway(tmp_path).bank
    assert [each["id"] for each in second.every("order")] == orders[::-1]
    assert order(second, "R-new")["id"] not in {*orders, lost}
