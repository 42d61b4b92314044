"""What the emulated gateway pays out: one settlement per run, with a UTR and a row per payment, refund and dispute."""

from datetime import UTC, datetime
from typing import Any

from billing.gateways.emulator.bank import Bank, Entity


def settle(bank: Bank) -> Entity | None:
    """Everything not yet settled; None when there is nothing."""
    items = [*_payments(bank), *_refunds(bank), *_adjustments(bank)]
    if not items:
        return None
    made = bank.add(
        "settlement", "setl", amount=sum(item["credit"] - item["debit"] for item in items), status="processed",
        fees=sum(item["fee"] for item in items), tax=sum(item["tax"] for item in items),
        utr=f"RZRP{bank.now():011d}{bank.counter % 1000:03d}",
    )  # fmt: skip
    for item in items:
        row = {
            **item, "settled": True, "settled_at": bank.now(), "settlement_id": made["id"],
            "settlement_utr": made["utr"], "on_hold": False, "currency": "INR",
        }  # fmt: skip
        bank.rows.setdefault("recon", {})[f"{item['type']}:{item['entity_id']}"] = row
    bank.tell("settlement.processed", settlement=made)
    return made


def report(bank: Bank, query: dict[str, str]) -> list[Entity]:
    """`/v1/settlements/recon/combined`: by day of settlement; what is not settled yet is not in it."""
    wanted = tuple(int(query[name]) for name in ("year", "month", "day") if name in query)
    rows = [
        row for row in bank.rows.get("recon", {}).values()
        if (lambda day: (day.year, day.month, day.day))(datetime.fromtimestamp(row["settled_at"], UTC))[: len(wanted)]
        == wanted
    ]  # fmt: skip
    skip, count = int(query.get("skip", 0)), int(query.get("count", 10))
    return rows[skip : skip + count]


def _is_new(bank: Bank, kind: str, entity_id: str) -> bool:
    return f"{kind}:{entity_id}" not in bank.rows.get("recon", {})


def _row(kind: str, entity: Entity, **more: Any) -> Entity:
    return {
        "entity_id": entity["id"], "type": kind, "debit": 0, "credit": 0, "amount": entity["amount"], "fee": 0,
        "tax": 0, "created_at": entity["created_at"], "order_id": None, "order_receipt": None, "payment_id": None,
        "method": None, "dispute_id": None, **more,
    }  # fmt: skip


def _payments(bank: Bank) -> list[Entity]:
    found = []
    for payment in bank.every("payment")[::-1]:
        if payment["captured"] and _is_new(bank, "payment", payment["id"]):
            order = bank.find("order", payment["order_id"]) or {}
            found.append(
                _row(
                    "payment",
                    payment,
                    credit=payment["amount"] - payment["fee"],
                    fee=payment["fee"],
                    tax=payment["tax"],
                    method=payment["method"],
                    order_id=payment["order_id"],
                    order_receipt=order.get("receipt"),
                )
            )
    return found


def _refunds(bank: Bank) -> list[Entity]:
    """As the real one: deducted when it is asked for, also while the payer's bank still works on it."""
    made = [each for each in bank.every("refund")[::-1] if each["status"] in {"pending", "processed"}]
    new = [each for each in made if _is_new(bank, "refund", each["id"])]
    return [_row("refund", each, debit=each["amount"], payment_id=each["payment_id"]) for each in new]


def _adjustments(bank: Bank) -> list[Entity]:
    taken = [each for each in bank.every("dispute")[::-1] if each["amount_deducted"]]
    return [
        _row("adjustment", each, debit=each["amount_deducted"], payment_id=each["payment_id"], dispute_id=each["id"])
        for each in taken if _is_new(bank, "adjustment", each["id"])
    ]  # fmt: skip
