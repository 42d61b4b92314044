"""QR codes and virtual accounts of the emulated gateway, and the money that arrives at them."""

from billing.gateways.emulator.bank import Bank, Entity, Problem, paise
from billing.gateways.emulator.payments import new_payment, take


def create_qr(bank: Bank, data: Entity) -> Entity:
    is_fixed = bool(data.get("fixed_amount"))
    if data.get("type") != "upi_qr":
        raise Problem("The type field is invalid", field="type")
    amount = paise(data, "payment_amount") if is_fixed else None
    close_by = data.get("close_by")
    if close_by is not None and close_by <= bank.now():
        raise Problem("close_by should be at least 2 minutes after the current time", field="close_by")
    made = bank.add(
        "qr_code", "qr", name=data.get("name"), usage=data.get("usage", "multiple_use"), type="upi_qr",
        payment_amount=amount, status="active", description=data.get("description"), fixed_amount=is_fixed,
        payments_amount_received=0, payments_count_received=0, notes=data.get("notes") or [],
        customer_id=data.get("customer_id"), close_by=close_by, closed_at=None, close_reason=None, image_url="",
    )  # fmt: skip
    made["image_content"] = f"upi://pay?pa={made['id'].lower()}@emulator&pn=FleetCharge&tr={made['id']}" + (
        f"&am={amount / 100:.2f}" if amount else ""
    )
    bank.tell("qr_code.created", qr_code=made)
    return made


def close_qr(bank: Bank, qr_id: str, *, reason: str = "on_demand") -> Entity:
    code = bank.get("qr_code", qr_id)
    if code["status"] != "active":
        raise Problem("The QR code is already closed", reason="qr_code_closed")
    code.update(status="closed", closed_at=bank.now(), close_reason=reason)
    bank.tell("qr_code.closed", qr_code=code)
    return code


def pay_qr(bank: Bank, qr_id: str, *, amount: int | None = None) -> Entity:
    """Somebody scans it; the payment has no order."""
    code = bank.get("qr_code", qr_id)
    if code["status"] != "active":
        raise Problem("The QR code is closed", reason="qr_code_closed")
    paid = code["payment_amount"] or amount or 0
    payment = new_payment(bank, amount=paid, method="upi", description="QRv2 Payment", notes=code["notes"], _qr=qr_id)
    code["payments_amount_received"] += paid
    code["payments_count_received"] += 1
    take(bank, payment)
    bank.tell("qr_code.credited", payment=payment, qr_code=code)
    if code["usage"] == "single_use":
        close_qr(bank, qr_id, reason="paid")
    return payment


def payments_of_qr(bank: Bank, qr_id: str) -> list[Entity]:
    bank.get("qr_code", qr_id)
    return bank.every("payment", _qr=qr_id)


def create_virtual_account(bank: Bank, data: Entity) -> Entity:
    if "bank_account" not in data.get("receivers", {}).get("types", []):
        raise Problem("The receivers field is required", field="receivers")
    number = f"2223{3_000_000_000_00 + bank.counter:014d}"[:16]
    receiver: Entity = {
        "id": bank.new_id("ba"), "entity": "bank_account", "ifsc": "RAZR0000001", "bank_name": None,
        "name": data.get("description") or "FleetCharge", "account_number": number, "notes": [],
    }  # fmt: skip
    made = bank.add(
        "virtual_account", "va", name="FleetCharge", description=data.get("description"), status="active",
        amount_expected=None, amount_paid=0, notes=data.get("notes") or [], customer_id=data.get("customer_id"),
        receivers=[receiver], allowed_payers=data.get("allowed_payers") or [], close_by=None, closed_at=None,
    )  # fmt: skip
    bank.tell("virtual_account.created", virtual_account=made)
    return made


def transfer(
    bank: Bank, account_id: str, *, amount: int, payer_account: str = "50100012345", payer_ifsc: str = "HDFC0000001"
) -> Entity | None:
    """NEFT, RTGS or IMPS from a bank account; None when the remitter is not allowed, and the money goes back."""
    account = bank.get("virtual_account", account_id)
    allowed = [payer.get("bank_account", {}).get("account_number") for payer in account["allowed_payers"]]
    if account["status"] != "active" or (allowed and payer_account not in allowed):
        return None
    payment = new_payment(bank, amount=amount, method="bank_transfer", notes=account["notes"], _va=account_id)
    behind = bank.add(
        "bank_transfer", "bt", payment_id=payment["id"], mode="NEFT", bank_reference=f"HDFCN{bank.counter:012d}",
        amount=amount, payer_bank_account={"ifsc": payer_ifsc, "account_number": payer_account, "name": "Payer"},
        virtual_account_id=account_id,
    )  # fmt: skip
    account["amount_paid"] += amount
    take(bank, payment)
    bank.tell("virtual_account.credited", payment=payment, virtual_account=account, bank_transfer=behind)
    return payment


def payments_of_account(bank: Bank, account_id: str) -> list[Entity]:
    bank.get("virtual_account", account_id)
    return bank.every("payment", _va=account_id)


def transfer_of(bank: Bank, payment_id: str) -> Entity:
    bank.get("payment", payment_id)
    found = bank.every("bank_transfer", payment_id=payment_id)
    if not found:
        raise Problem("The id provided does not exist")
    return found[0]
