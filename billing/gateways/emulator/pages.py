"""The payer's side of the emulated gateway in a browser: a checkout and a mandate, with buttons."""

import html

from billing.gateways.emulator import mandates, payments, receivers
from billing.gateways.emulator.bank import Bank, Problem
from billing.gateways.emulator.routes import Request

HTML_TYPE = b"text/html; charset=utf-8"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:16px system-ui;max-width:28rem;margin:3rem auto;padding:0 1rem}}
button{{font:inherit;padding:.6rem 1rem;margin:.3rem .3rem 0 0}}</style>
<h1>{title}</h1><p>{text}</p>{form}<p><small>Emulated gateway: no real money moves here.</small></p></html>"""


def page(bank: Bank, request: Request) -> tuple[int, bytes, bytes] | None:
    """`/pay/<order or QR code>` and `/mandates/<link>`; None for everything else."""
    kind, _, object_id = request.path.strip("/").partition("/")
    if kind not in {"pay", "mandates"}:
        return None
    with bank.lock:
        try:
            said = _act(bank, kind, object_id, request.data.get("do", "")) if request.method == "POST" else ""
            text = _shown(bank, kind, object_id, said)
        except Problem as problem:
            return problem.status, _html("Not possible", str(problem), []), HTML_TYPE
        bank.keep()
        return 200, text, HTML_TYPE


def _act(bank: Bank, kind: str, object_id: str, wish: str) -> str:
    if kind == "mandates":
        token_id = bank.get("invoice", object_id)["token_id"]
        mandates.set_state(bank, token_id, "confirmed" if wish == "allow" else "rejected")
        return "Allowed." if wish == "allow" else "Refused."
    if object_id.startswith("qr_"):
        receivers.pay_qr(bank, object_id, amount=100_000)
        return "Paid."
    payments.pay_order(bank, object_id, outcome="captured" if wish == "pay" else "failed")
    return "Paid." if wish == "pay" else "Not paid."


def _shown(bank: Bank, kind: str, object_id: str, said: str) -> bytes:
    if kind == "mandates":
        link = bank.get("invoice", object_id)
        token = bank.get("token", link["token_id"])
        amount = (token["max_amount"] or 0) / 100
        state = token["recurring_details"]["status"]
        wishes = ["allow", "refuse"] if state == "initiated" else []
        return _html("Allow UPI AutoPay", said or f"Up to ₹{amount:,.2f} per debit. Now: {state}.", wishes)
    if object_id.startswith("qr_"):
        code = bank.get("qr_code", object_id)
        return _html("UPI QR code", said or f"Now: {code['status']}.", ["pay"] if code["status"] == "active" else [])
    order = bank.get("order", object_id)
    wishes = [] if order["status"] == "paid" else ["pay", "cancel"]
    return _html(f"Pay ₹{order['amount'] / 100:,.2f}", said or f"Order {order['id']}: {order['status']}.", wishes)


def _html(title: str, text: str, wishes: list[str]) -> bytes:
    buttons = "".join(f'<button name="do" value="{wish}">{wish.title()}</button>' for wish in wishes)
    form = f'<form method="post">{buttons}</form>' if buttons else ""
    return PAGE.format(title=html.escape(title), text=html.escape(text), form=form).encode()
