"""Customers, mandates (tokens) and recurring debits of the emulated gateway, with the 25th hour."""

from billing.gateways.emulator.bank import HOUR, Bank, Entity, Problem, paise
from billing.gateways.emulator.payments import OPEN, fail, new_payment, take

APPROVAL_ABOVE_PAISE = 15_000_00
APPROVED_LATER_HOURS = 11  # the 36th hour
DAYS_OF_A_MONTH = 30


def create_customer(bank: Bank, data: Entity) -> Entity:
    known = bank.every("customer", email=data.get("email"), contact=data.get("contact"))
    if known and str(data.get("fail_existing", "1")) == "1":
        raise Problem("Customer already exists for the merchant", reason="customer_already_exists")
    if known:
        return known[0]
    return bank.add(
        "customer", "cust", name=data.get("name"), email=data.get("email"), contact=data.get("contact"), gstin=None,
        notes=data.get("notes") or [],
    )  # fmt: skip


def create_link(bank: Bank, data: Entity) -> Entity:
    """An authorisation link; the payer opens it and allows the mandate."""
    wanted = data.get("subscription_registration") or {}
    receipt = str(data.get("receipt") or "")
    if wanted.get("method") not in {"upi", "emandate", "nach"}:
        raise Problem("The selected method is invalid", field="subscription_registration.method")
    if receipt and bank.every("invoice", receipt=receipt):
        raise Problem("The receipt has already been taken", field="receipt")
    customer = create_customer(bank, {**(data.get("customer") or {}), "fail_existing": "0"})
    made = bank.add(
        "invoice", "inv", type="link", receipt=receipt or None, customer_id=customer["id"], customer_details=customer,
        status="issued", amount=data.get("amount", 0), currency="INR", expire_by=data.get("expire_by"),
        notes=data.get("notes") or [], payment_id=None, order_id=bank.new_id("order"), _wanted=wanted,
    )  # fmt: skip
    made["short_url"] = f"/mandates/{made['id']}"
    made["token_id"] = _new_token(bank, made)["id"]
    return made


def _new_token(bank: Bank, link: Entity) -> Entity:
    wanted = link["_wanted"]
    method = wanted["method"]
    return bank.add(
        "token", "token", token=bank.new_id("t").split("_")[1], method=method, recurring=True,
        vpa={"username": "fleet", "handle": "okemulator", "name": None} if method == "upi" else None,
        bank="HDFC" if method != "upi" else None, auth_type=wanted.get("auth_type"),
        recurring_details={"status": "initiated", "failure_reason": None}, mrn=None, used_at=None,
        max_amount=wanted.get("max_amount"), expired_at=wanted.get("expire_at"), customer_id=link["customer_id"],
        invoice_id=link["id"], notes=link["notes"], _link=link["id"],
        _frequency=wanted.get("frequency", "as_presented"),
    )  # fmt: skip


def links(bank: Bank, query: dict[str, str]) -> list[Entity]:
    return bank.every("invoice", **({"receipt": query["receipt"]} if "receipt" in query else {}))


def token(bank: Bank, customer_id: str, token_id: str) -> Entity:
    found = bank.get("token", token_id)
    if found["customer_id"] != customer_id:
        raise Problem("The id provided does not exist", field="id")
    return found


def set_state(bank: Bank, token_id: str, state: str, *, reason: str | None = None) -> Entity:
    """What the payer does in the UPI app: confirmed, rejected, paused, resumed, cancelled; or time: expired."""
    found = bank.get("token", token_id)
    status = "confirmed" if state == "resumed" else state
    found["recurring_details"] = {"status": status, "failure_reason": reason}
    link = bank.get("invoice", found["_link"])
    link["status"] = "paid" if status == "confirmed" else link["status"]
    bank.tell(f"token.{state}", token=found)
    return found


def cancel(bank: Bank, customer_id: str, token_id: str) -> Entity:
    token(bank, customer_id, token_id)
    set_state(bank, token_id, "cancelled")
    return {"status": "cancellation_initiated"}


def debit(bank: Bank, data: Entity) -> Entity:
    """createRecurring: taken now, told to the payer, debited in the 25th hour (bank mandates: the same here)."""
    order, amount = bank.get("order", str(data.get("order_id"))), paise(data)
    found = token(bank, str(data.get("customer_id")), str(data.get("token")))
    if order["status"] == "paid":
        raise Problem("Payment already done for this order.", reason="order_already_paid")
    if order["amount"] != amount:
        raise Problem("Amount does not match the order", field="amount")
    _may_be_debited(bank, found, amount)
    payment = new_payment(
        bank, amount=amount, method=found["method"], order_id=order["id"], customer_id=found["customer_id"],
        token_id=found["id"], email=data.get("email"), contact=data.get("contact"), recurring=True,
        _debit_at=bank.now() + bank.debit_after_s, _fails=found.pop("_next_fails", ""),
        _approved=amount <= APPROVAL_ABOVE_PAISE or found["method"] != "upi",
    )  # fmt: skip
    order.update(status="attempted", attempts=order["attempts"] + 1)
    bank.tell("order.notification.delivered", order=order, token=found)
    return {"razorpay_payment_id": payment["id"], "razorpay_order_id": order["id"], "razorpay_signature": ""}


def _may_be_debited(bank: Bank, found: Entity, amount: int) -> None:
    if found["recurring_details"]["status"] != "confirmed":
        raise Problem("The token is not in a state to be charged", field="token", reason="mandate_not_active")
    if found["expired_at"] and found["expired_at"] <= bank.now():
        raise Problem("The mandate has expired", field="token", reason="mandate_expired")
    if found["max_amount"] and amount > found["max_amount"]:
        raise Problem("The amount exceeds the mandate's maximum", field="amount", reason="mandate_max_amount_exceeded")
    of_token = bank.every("payment", token_id=found["id"])
    if any(payment["status"] in OPEN for payment in of_token):
        raise Problem("A debit of this mandate is still open", field="token", reason="debit_in_progress")
    recent = bank.now() - DAYS_OF_A_MONTH * 24 * HOUR
    if found["_frequency"] == "monthly" and any(
        payment["status"] == "captured" and payment["created_at"] > recent for payment in of_token
    ):
        raise Problem("One debit per cycle", field="token", reason="mandate_cycle_used")


def approve(bank: Bank, payment_id: str) -> Entity:
    """The payer agrees to one debit above the limit."""
    payment = bank.get("payment", payment_id)
    payment["_approved"] = True
    return payment


def fail_next_debit(bank: Bank, token_id: str, *, reason: str) -> None:
    """`insufficient_funds`, `payment_declined`, ..."""
    bank.get("token", token_id)["_next_fails"] = reason


def debits_fall_due(bank: Bank) -> int:
    """Debits whose hour has come are taken or fail; returns how many."""
    due = [each for each in bank.every("payment", status="created") if each.get("_debit_at", 1 << 40) <= bank.now()]
    return sum(_debit_now(bank, payment) for payment in reversed(due))


def _debit_now(bank: Bank, payment: Entity) -> bool:
    found = bank.get("token", payment["token_id"])
    if found["recurring_details"]["status"] != "confirmed":
        fail(bank, payment, reason="mandate_not_active", description="The mandate was paused or cancelled.")
    elif payment["_fails"]:
        fail(bank, payment, reason=payment["_fails"], description="The payer's bank refused the debit.")
    elif not payment["_approved"]:
        if bank.now() < payment["_debit_at"] + APPROVED_LATER_HOURS * HOUR:
            return False
        fail(bank, payment, reason="payment_not_approved", description="The payer did not approve the debit.")
    else:
        found["used_at"] = bank.now()
        take(bank, payment)
    return True
