"""The real SDK against a real HTTP server: what comes back when the gateway is well, and when it is not."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from billing.gateways import signing
from billing.gateways.breaker import Breaker
from billing.gateways.emulator import payments
from billing.gateways.emulator.faults import Fault
from billing.gateways.errors import NotFound, OutcomeUnknown, Refused, Unavailable
from billing.gateways.razorpay import RazorpayGateway
from billing.tests.payments.conftest import World


def order(gateway: RazorpayGateway, receipt: str = "R1", amount: int = 500_00) -> dict:
    return gateway.create_order(receipt=receipt, amount_paise=amount, notes={"organisation": "1"})


def test_an_order_is_made_and_found_again_by_its_receipt(world: World) -> None:
    made = order(world.gateway)
    assert (made["amount"], made["receipt"], made["status"]) == (500_00, "R1", "created")
    assert world.gateway.find_order(receipt="R1") == made
    assert world.gateway.find_order(receipt="R2") is None
    assert world.gateway.order_payments(order_id=made["id"]) == []


def test_a_second_order_for_a_receipt_is_refused(world: World) -> None:
    order(world.gateway)
    with pytest.raises(Refused) as refusal:
        order(world.gateway)
    assert refusal.value.said.field == "receipt"
    assert len(world.bank.every("order")) == 1


def test_a_refusal_keeps_status_code_reason_and_field(world: World) -> None:
    with pytest.raises(Refused) as refusal:
        order(world.gateway, amount=5)
    said = refusal.value.said
    assert (said.status, said.code, said.field, said.reason) == (
        400, "BAD_REQUEST_ERROR", "amount", "input_validation_failed",
    )  # fmt: skip
    assert "1.00" in said.description


def test_what_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        world.gateway.fetch_payment(payment_id="pay_none")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["html", "error", "cut"])
def test_an_answer_nobody_can_read_leaves_the_outcome_unknown(world: World, kind: str, after: bool) -> None:
    world.emulator.faults.plan(Fault(kind, after=after))
    with pytest.raises(OutcomeUnknown):
        order(world.gateway)
    assert (world.gateway.find_order(receipt="R1") is not None) == after


@pytest.mark.parametrize("after", [False, True])
def test_a_slow_gateway_blocks_nobody_and_leaves_the_outcome_unknown(
    world: World, hasty: RazorpayGateway, after: bool
) -> None:
    world.emulator.faults.plan(Fault("timeout", after=after, hold_s=20))
    with pytest.raises(OutcomeUnknown) as failure:
        order(hasty)
    assert failure.value.said.code == "ReadTimeout"
    assert (world.gateway.find_order(receipt="R1") is not None) == after


def test_too_many_requests_have_done_nothing(world: World) -> None:
    world.emulator.faults.plan(Fault("busy", retry_after_s=7))
    with pytest.raises(Unavailable) as failure:
        order(world.gateway)
    assert (failure.value.said.status, failure.value.said.retry_after_s) == (429, 7)
    with pytest.raises(Unavailable, match="left alone"):  # we were asked to wait
        order(world.gateway)
    assert world.emulator.posts("/v1/orders") == 0


def test_wrong_keys_are_our_fault_and_not_the_payers(world: World) -> None:
    stranger = RazorpayGateway(key_id="rzp_wrong", key_secret="x", base_url=world.url)
    with pytest.raises(Unavailable) as failure:
        order(stranger)
    assert failure.value.said.status == 401


def test_nobody_there_means_nothing_was_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        nobody = RazorpayGateway(key_id="k", key_secret="s", base_url=url)
        with pytest.raises(Unavailable):
            order(nobody)


def test_a_post_is_never_sent_twice(world: World) -> None:
    world.emulator.faults.plan(Fault("error", times=10))
    with pytest.raises(OutcomeUnknown):
        order(world.gateway)
    assert world.emulator.faults.happened == 1


def test_nothing_is_printed(world: World, hasty: RazorpayGateway, capsys: pytest.CaptureFixture[str]) -> None:
    world.emulator.faults.plan(Fault("timeout", hold_s=20))
    with pytest.raises(OutcomeUnknown):
        order(hasty)
    assert capsys.readouterr().out == ""


def test_many_threads_capture_each_its_own_amount(world: World) -> None:
    """The SDK's default argument is shared by all calls of a process; ours is fresh each time."""
    made = [order(world.gateway, f"R{number}", 1_000 + number) for number in range(40)]
    late = [payments.pay_order(world.bank, each["id"], outcome="authorized") for each in made]

    def capture(payment: dict) -> int:
        return world.gateway.capture(payment_id=payment["id"], amount_paise=payment["amount"])["amount"]

    with ThreadPoolExecutor(8) as pool:
        captured = list(pool.map(capture, late))
    assert captured == [1_000 + number for number in range(40)]


def test_each_thread_has_its_own_session(world: World) -> None:
    order(world.gateway)
    mine, theirs = world.gateway._session(), []
    thread = threading.Thread(target=lambda: theirs.append(world.gateway._session()))
    thread.start()
    thread.join()
    assert theirs[0] is not mine
    assert world.gateway._session() is mine


def test_a_breaker_opens_lets_one_trial_through_and_closes() -> None:
    now = [0.0]
    breaker = Breaker(failures=2, rest_s=30, clock=lambda: now[0])
    breaker.failed()
    assert breaker.may_try()
    breaker.failed()
    assert not breaker.may_try()
    now[0] = 31
    assert [breaker.may_try(), breaker.may_try()] == [True, False]  # one trial, the others rest on
    breaker.succeeded()
    assert breaker.may_try() and not breaker.is_open


def test_a_gateway_that_fails_is_left_alone(world: World) -> None:
    gateway = RazorpayGateway(
        key_id=world.emulator.key_id, key_secret=world.emulator.key_secret, base_url=world.url,
        breaker=Breaker(failures=3),
    )  # fmt: skip
    world.emulator.faults.plan(Fault("html", times=3))
    for number in range(3):
        with pytest.raises(OutcomeUnknown):
            order(gateway, f"R{number}")
    with pytest.raises(Unavailable, match="left alone"):
        order(gateway, "R9")
    assert world.emulator.posts("/v1/orders") == 0


def test_a_refund_with_the_same_key_is_the_same_refund(world: World) -> None:
    paid = payments.pay_order(world.bank, order(world.gateway)["id"])
    once, again = (
        world.gateway.refund(payment_id=paid["id"], amount_paise=100_00, key="refund-000001", notes={}) for _ in "12"
    )
    assert once == again
    assert world.gateway.payment_refunds(payment_id=paid["id"]) == [once]
    with pytest.raises(Refused):
        world.gateway.refund(payment_id=paid["id"], amount_paise=101_00, key="refund-000001", notes={})


@pytest.mark.parametrize("presented", [None, "", b"", "ü" * 64, b"\xff\xfe", "0" * 64, "é"])
def test_a_forged_missing_or_foreign_signature_is_just_wrong(presented: str | bytes | None) -> None:
    assert signing.is_signed(b"{}", presented, ["secret"]) is False


def test_the_new_and_the_old_secret_both_sign_and_an_empty_one_never() -> None:
    raw = '{"name":"ಚಾರ್ಜ್"}'.encode()
    assert signing.is_signed(raw, signing.signature(raw, "old"), ["new", "old"])
    assert signing.is_signed(raw, signing.signature(raw, "new").encode(), ["new", "old"])
    assert not signing.is_signed(raw, signing.signature(raw, ""), [""])
    assert not signing.is_signed(raw + b" ", signing.signature(raw, "new"), ["new"])


def test_the_checkout_signature_is_over_order_and_payment(world: World) -> None:
    good = signing.signature(b"order_1|pay_1", world.emulator.key_secret)
    assert world.gateway.is_checkout_signed(order_id="order_1", payment_id="pay_1", presented=good)
    assert not world.gateway.is_checkout_signed(order_id="order_1", payment_id="pay_2", presented=good)
