"""Orders, the payments on them, refunds and disputes of the emulated gateway."""

import hashlib
import json
from typing import Any

from billing.gateways.emulator.bank import DAY, HOUR, Bank, Entity, Problem, paise

FEE_PERCENT, GST_PERCENT = 2, 18
OPEN = ("created", "authorized")
NOTICE_HOURS = 24


def create_order(bank: Bank, data: Entity) -> Entity:
    amount = paise(data)
    receipt = str(data.get("receipt") or "")
    if len(receipt) > 40:
        raise Problem("The receipt may not be greater than 40 characters.", field="receipt")
    if data.get("currency") != "INR":
        raise Problem("Currency is not supported", field="currency")
    if receipt and data.get("unique_receipt") and bank.every("order", receipt=receipt):
        raise Problem("Order with this receipt already exists", field="receipt")
    _is_told_in_time(bank, data.get("notification"))
    extra = {f"_{name}": data[name] for name in ("token", "notification", "method") if name in data}
    return bank.add(
        "order", "order", amount=amount, amount_paid=0, amount_due=amount, currency="INR", receipt=receipt or None,
        status="created", attempts=0, notes=data.get("notes") or [], customer_id=data.get("customer_id"), **extra,
    )  # fmt: skip


def _is_told_in_time(bank: Bank, notice: Any) -> None:
    """A debit is told to the payer a day ahead."""
    if isinstance(notice, dict) and int(notice.get("payment_after") or 0) < bank.now() + NOTICE_HOURS * HOUR:
        raise Problem("The payer has to be told 24 hours before the debit", field="notification.payment_after")


def orders(bank: Bank, query: dict[str, str]) -> list[Entity]:
    wanted = {"receipt": query["receipt"]} if "receipt" in query else {}
    return bank.every("order", **wanted)


def new_payment(bank: Bank, *, amount: int, method: str, **fields: Any) -> Entity:
    """A payment that somebody has begun."""
    number = bank.counter
    defaults = {
        "amount": amount, "currency": "INR", "status": "created", "order_id": None, "invoice_id": None,
        "international": False, "method": method, "amount_refunded": 0, "refund_status": None, "captured": False,
        "description": None, "card_id": None, "bank": None, "wallet": None,
        "vpa": "fleet@okemulator" if method == "upi" else None, "email": "finance@fleet.example",
        "contact": "+919999999999", "customer_id": None, "token_id": None, "notes": [], "fee": None, "tax": None,
        "error_code": None, "error_description": None, "error_source": None, "error_step": None, "error_reason": None,
        "acquirer_data": {"rrn": f"{300_000_000_000 + number}"},
    }  # fmt: skip
    return bank.add("payment", "pay", **{**defaults, **fields})


def take(bank: Bank, payment: Entity) -> None:
    """The money is there. The fee includes its GST."""
    base = payment["amount"] * FEE_PERCENT // 100
    tax = (base * GST_PERCENT + 50) // 100
    payment.update(status="captured", captured=True, fee=base + tax, tax=tax)
    order = bank.find("order", payment["order_id"])
    if order:
        order.update(status="paid", amount_paid=order["amount"], amount_due=0)
        bank.tell("payment.captured", payment=payment)
        bank.tell("order.paid", order=order, payment=payment)
    else:
        bank.tell("payment.captured", payment=payment)


def fail(bank: Bank, payment: Entity, *, reason: str, description: str = "The payment did not go through.") -> None:
    payment.update(
        status="failed", error_code="BAD_REQUEST_ERROR", error_description=description, error_source="customer",
        error_step="payment_authorization", error_reason=reason,
    )  # fmt: skip
    bank.tell("payment.failed", payment=payment)


def pay_order(bank: Bank, order_id: str, *, outcome: str = "captured", method: str = "upi") -> Entity:
    """What a payer does in the checkout: captured, authorized (a late one) or failed."""
    order = bank.get("order", order_id)
    if order["status"] == "paid":
        raise Problem("Payment already done for this order.", reason="order_already_paid")
    order.update(status="attempted", attempts=order["attempts"] + 1)
    payment = new_payment(bank, amount=order["amount"], method=method, order_id=order_id, notes=order["notes"])
    if outcome == "failed":
        fail(bank, payment, reason="payment_cancelled", description="The payer cancelled the payment.")
        return payment
    payment["status"] = "authorized"
    bank.tell("payment.authorized", payment=payment)
    if outcome == "captured":
        take(bank, payment)
    return payment


def capture(bank: Bank, payment_id: str, data: Entity) -> Entity:
    payment = bank.get("payment", payment_id)
    if payment["status"] != "authorized":
        raise Problem("This payment has already been captured", reason="payment_already_captured")
    if data.get("amount") != payment["amount"]:
        raise Problem("Capture amount must be equal to the amount authorized", field="amount")
    take(bank, payment)
    return payment


def payments_of_order(bank: Bank, order_id: str) -> list[Entity]:
    bank.get("order", order_id)
    return bank.every("payment", order_id=order_id)


# --- money back -----------------------------------------------------------------------------------------------------


def refund(bank: Bank, payment_id: str, data: Entity, key: str) -> Entity:
    """A repeat with the same key and body is the same refund; the same key with another body is refused."""
    digest = hashlib.sha256(json.dumps([payment_id, data], sort_keys=True).encode()).hexdigest()
    if key:
        if len(key) < 10:
            raise Problem("Idempotency key must have at least 10 characters", field="X-Refund-Idempotency")
        for known in bank.every("refund", _key=key):
            if known["_digest"] != digest:
                raise Problem("Different request body for the same idempotency key", reason="idempotency_conflict")
            return known
    payment = bank.get("payment", payment_id)
    amount = paise(data)
    left = payment["amount"] - payment["amount_refunded"]
    if payment["status"] not in {"captured", "refunded"} or amount > left:
        raise Problem(
            "The total refund amount is greater than the refund payment amount", field="amount",
            reason="input_validation_failed",
        )  # fmt: skip
    made = bank.add(
        "refund", "rfnd", amount=amount, currency="INR", payment_id=payment_id, notes=data.get("notes") or [],
        receipt=data.get("receipt"), acquirer_data={"arn": None}, status="pending", speed_requested="normal",
        speed_processed="normal", batch_id=None, _key=key, _digest=digest,
    )  # fmt: skip
    payment["amount_refunded"] += amount
    bank.tell("refund.created", refund=made, payment=payment)
    return made


def finish_refund(bank: Bank, refund_id: str, *, is_failed: bool = False) -> Entity:
    made = bank.get("refund", refund_id)
    payment = bank.get("payment", made["payment_id"])
    if made["status"] != "pending":
        return made
    if is_failed:
        made["status"] = "failed"
        payment["amount_refunded"] -= made["amount"]
    else:
        made.update(status="processed", acquirer_data={"arn": f"{10_000_000_000_000 + bank.counter}"})
        is_full = payment["amount_refunded"] == payment["amount"]
        payment.update(refund_status="full" if is_full else "partial", status="refunded" if is_full else "captured")
    bank.tell("refund.failed" if is_failed else "refund.processed", refund=made, payment=payment)
    return made


def open_dispute(bank: Bank, payment_id: str, *, amount: int | None = None) -> Entity:
    payment = bank.get("payment", payment_id)
    dispute = bank.add(
        "dispute", "disp", payment_id=payment_id, amount=amount or payment["amount"], currency="INR",
        amount_deducted=0, reason_code="unauthorized_transaction", respond_by=bank.now() + 7 * DAY, status="open",
        phase="chargeback", comments=None,
    )  # fmt: skip
    bank.tell("payment.dispute.created", payment=payment, dispute=dispute)
    return dispute


def end_dispute(bank: Bank, dispute_id: str, *, outcome: str) -> Entity:
    """`won`, `lost` (the amount is deducted from a settlement) or `closed`."""
    dispute = bank.get("dispute", dispute_id)
    dispute.update(status=outcome, amount_deducted=dispute["amount"] if outcome == "lost" else 0)
    bank.tell(f"payment.dispute.{outcome}", payment=bank.get("payment", dispute["payment_id"]), dispute=dispute)
    return dispute
