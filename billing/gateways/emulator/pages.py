"""The payer's side of the emulated gateway in a browser: its checkout, a UPI code and a mandate, with buttons."""

import html
from collections.abc import Mapping

from billing.gateways.emulator import mandates, payments, receivers
from billing.gateways.emulator.bank import Bank, Entity, Problem
from billing.gateways.emulator.routes import Request
from billing.gateways.signing import signature

HTML_TYPE = b"text/html; charset=utf-8"
CHECKOUT = "v1/checkout/embedded"
BACK = ("callback_url", "cancel_url", "name", "description")
STYLE = """
:root { color-scheme: light dark; --bg: light-dark(#eef1f6, #090d15); --card: light-dark(#fff, #161e2d);
  --ink: light-dark(#0c1424, #e9edf5); --soft: light-dark(#535e73, #9fabc0); --line: light-dark(#dfe4ec, #2b3650);
  --deep: light-dark(#1d3fae, #6c8cff); --on: light-dark(#fff, #0a1020); }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center;
  padding: 20px; background: var(--bg); color: var(--ink); }
main { width: 100%; max-width: 400px; background: var(--card); border: 1px solid var(--line); border-radius: 16px;
  overflow: hidden; box-shadow: 0 12px 40px rgb(8 16 40 / .14); }
header { background: var(--deep); color: var(--on); padding: 18px 22px; }
header b { display: block; font-size: 13px; font-weight: 600; }
h1 { font-size: 26px; line-height: 1.2; margin: 2px 0 0; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
section { padding: 20px 22px; display: grid; gap: 12px; }
p { margin: 0; }
form { display: grid; gap: 9px; }
button { font: inherit; font-weight: 600; min-height: 46px; border-radius: 10px; border: 1px solid var(--line);
  background: transparent; color: inherit; cursor: pointer; }
button.go { background: var(--deep); color: var(--on); border-color: transparent; }
button:focus-visible { outline: 3px solid var(--deep); outline-offset: 2px; }
small { color: var(--soft); }
"""
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<title>{title}</title><style>{style}</style></head>
<body><main><header><b>{seller}</b><h1>{title}</h1></header><section><p>{text}</p>{form}
<small>Emulated gateway: no real money moves here.</small></section></main>{script}</body></html>"""
# The page leads back by itself; without a script its button does.
GO_BACK = "<script>document.forms[0].submit()</script>"
LABELS = {"pay": "Pay by UPI", "cancel": "Do not pay", "allow": "Allow", "refuse": "Refuse"}


def page(bank: Bank, request: Request, key_secret: str) -> tuple[int, bytes, bytes] | None:
    """The checkout, `/pay/<order or QR code>` and `/mandates/<link>`; None for everything else."""
    path = request.path.strip("/")
    kind, _, object_id = path.partition("/")
    is_checkout = path == CHECKOUT and request.method == "POST"
    if not is_checkout and kind not in {"pay", "mandates"}:
        return None
    with bank.lock:
        try:
            if is_checkout:
                text = _checkout(bank, request.data, key_secret)
            else:
                said = _act(bank, kind, object_id, request.data.get("do", "")) if request.method == "POST" else ""
                text = _shown(bank, kind, object_id, said)
        except Problem as problem:
            return problem.status, _html("Not possible", str(problem), []), HTML_TYPE
        bank.keep()
        return 200, text, HTML_TYPE


def _checkout(bank: Bank, data: Entity, key_secret: str) -> bytes:
    """A form with an order comes in; after the payment a form with its signature goes back to `callback_url`."""
    order_id, wish = str(data.get("order_id") or ""), str(data.get("do") or "")
    order = bank.get("order", order_id)
    if wish == "pay" and order["status"] != "paid":
        payments.pay_order(bank, order_id)
    if order["status"] == "paid":
        paid = next(each for each in payments.payments_of_order(bank, order_id) if each["status"] == "captured")
        signed = signature(f"{order_id}|{paid['id']}".encode(), key_secret)
        fields = {"razorpay_payment_id": paid["id"], "razorpay_order_id": order_id, "razorpay_signature": signed}
        return _lead_back(str(data.get("callback_url") or ""), "Paid", fields)
    if wish == "cancel":
        return _lead_back(str(data.get("cancel_url") or ""), "Not paid", {}, method="get")
    kept = {name: str(data.get(name) or "") for name in (*BACK, "order_id")}
    text = str(data.get("description") or f"Order {order_id}")
    seller = str(data.get("name") or "")
    return _html(f"₹{order['amount'] / 100:,.2f}", text, ["pay", "cancel"], kept, seller=seller)


def _lead_back(url: str, title: str, fields: Mapping[str, str], method: str = "post") -> bytes:
    if not url.startswith(("http://", "https://")):
        return _html(title, "You can close this page.", [])
    hidden = _hidden(fields)
    button = '<button class="go">Back to the shop</button>'
    form = f'<form method="{method}" action="{html.escape(url)}">{hidden}{button}</form>'
    values = {"title": title, "seller": "", "text": "Going back…", "form": form, "script": GO_BACK}
    return PAGE.format(style=STYLE, **values).encode()


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


def _html(
    title: str, text: str, wishes: list[str], kept: Mapping[str, str] | None = None, *, seller: str = ""
) -> bytes:
    buttons = "".join(
        f'<button name="do" value="{wish}"{" class=go" if wish in {"pay", "allow"} else ""}>{LABELS[wish]}</button>'
        for wish in wishes
    )
    form = f'<form method="post">{_hidden(kept or {})}{buttons}</form>' if buttons else ""
    return PAGE.format(
        style=STYLE, title=html.escape(title), seller=html.escape(seller), text=html.escape(text), form=form, script=""
    ).encode()


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )
