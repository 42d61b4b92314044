"""The addresses of the emulated gateway: what the SDK calls under /v1, and the levers under /_emulator."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from billing.gateways.emulator import mandates, payments, receivers, settlements
from billing.gateways.emulator.bank import Bank, Entity, Problem

LEVERS = "/_emulator/"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    data: Entity = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[..., "Entity | list[Entity] | None"]


def _routes() -> list[tuple[str, re.Pattern[str], Handler]]:
    table: list[tuple[str, str, Handler]] = [
        ("POST", "/v1/orders", lambda b, r: payments.create_order(b, r.data)),
        ("GET", "/v1/orders", lambda b, r: payments.orders(b, r.query)),
        ("GET", "/v1/orders/ID", lambda b, r, x: b.get("order", x)),
        ("GET", "/v1/orders/ID/payments", lambda b, r, x: payments.payments_of_order(b, x)),
        ("POST", "/v1/payments/qr_codes", lambda b, r: receivers.create_qr(b, r.data)),
        ("GET", "/v1/payments/qr_codes", lambda b, r: b.every("qr_code")),
        ("GET", "/v1/payments/qr_codes/ID/payments", lambda b, r, x: receivers.payments_of_qr(b, x)),
        ("POST", "/v1/payments/qr_codes/ID/close", lambda b, r, x: receivers.close_qr(b, x)),
        ("POST", "/v1/payments/create/recurring", lambda b, r: mandates.debit(b, r.data)),
        ("GET", "/v1/payments/ID", lambda b, r, x: b.get("payment", x)),
        ("POST", "/v1/payments/ID/capture", lambda b, r, x: payments.capture(b, x, r.data)),
        ("POST", "/v1/payments/ID/refund", lambda b, r, x: payments.refund(b, x, r.data, _key(r))),
        ("GET", "/v1/payments/ID/refunds", lambda b, r, x: b.every("refund", payment_id=x)),
        ("GET", "/v1/payments/ID/bank_transfer", lambda b, r, x: receivers.transfer_of(b, x)),
        ("GET", "/v1/payments/ID/upi_transfer", lambda b, r, x: receivers.transfer_of(b, x)),
        ("GET", "/v1/refunds/ID", lambda b, r, x: b.get("refund", x)),
        ("GET", "/v1/disputes/ID", lambda b, r, x: b.get("dispute", x)),
        ("POST", "/v1/virtual_accounts", lambda b, r: receivers.create_virtual_account(b, r.data)),
        ("GET", "/v1/virtual_accounts", lambda b, r: b.every("virtual_account")),
        ("GET", "/v1/virtual_accounts/ID/payments", lambda b, r, x: receivers.payments_of_account(b, x)),
        ("POST", "/v1/customers", lambda b, r: mandates.create_customer(b, r.data)),
        ("GET", "/v1/customers", lambda b, r: b.every("customer")),
        ("GET", "/v1/customers/ID/tokens", lambda b, r, x: b.every("token", customer_id=x)),
        ("GET", "/v1/customers/ID/tokens/ID", lambda b, r, x, y: mandates.token(b, x, y)),
        ("PUT", "/v1/customers/ID/tokens/ID/cancel", lambda b, r, x, y: mandates.cancel(b, x, y)),
        ("POST", "/v1/subscription_registration/auth_links", lambda b, r: mandates.create_link(b, r.data)),
        ("GET", "/v1/invoices", lambda b, r: mandates.links(b, r.query)),
        ("GET", "/v1/settlements/recon/combined", lambda b, r: settlements.report(b, r.query)),
        # what the payer, the payer's bank and time do
        ("POST", "/_emulator/orders/ID/pay", lambda b, r, x: payments.pay_order(b, x, **r.data)),
        ("POST", "/_emulator/qr/ID/pay", lambda b, r, x: receivers.pay_qr(b, x, **r.data)),
        ("POST", "/_emulator/accounts/ID/transfer", lambda b, r, x: receivers.transfer(b, x, **r.data)),
        ("POST", "/_emulator/tokens/ID/state", lambda b, r, x: mandates.set_state(b, x, **r.data)),
        ("POST", "/_emulator/tokens/ID/fail", lambda b, r, x: mandates.fail_next_debit(b, x, **r.data)),
        ("POST", "/_emulator/refunds/ID/finish", lambda b, r, x: payments.finish_refund(b, x, **r.data)),
        ("POST", "/_emulator/payments/ID/dispute", lambda b, r, x: payments.open_dispute(b, x, **r.data)),
        ("POST", "/_emulator/disputes/ID/end", lambda b, r, x: payments.end_dispute(b, x, **r.data)),
        ("POST", "/_emulator/settle", lambda b, r: settlements.settle(b)),
        ("POST", "/_emulator/advance", lambda b, r: _advance(b, **r.data)),
    ]  # fmt: skip
    return [(method, _pattern(path), handler) for method, path, handler in table]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("^" + re.escape(path).replace("ID", r"([A-Za-z0-9_]+)") + "$")


ROUTES = _routes()


def answer(bank: Bank, request: Request) -> tuple[int, Entity]:
    """Status and body; under the bank's lock, so that two requests never see each other half done."""
    with bank.lock:
        try:
            for method, pattern, handler in ROUTES:
                match = pattern.match(request.path)
                if match and method == request.method:
                    return 200, _body(handler(bank, request, *match.groups()))
            raise Problem("The requested URL was not found on the server.", status=404, reason="url_not_found")
        except Problem as problem:
            return problem.status, problem.body
        except (TypeError, ValueError) as error:
            return 400, Problem(f"The request cannot be read: {error}").body


def _body(result: "Entity | list[Entity] | None") -> Entity:
    if isinstance(result, list):
        return {"entity": "collection", "count": len(result), "items": [_shown(each) for each in result]}
    return _shown(result or {})


def _shown(entity: Entity) -> Entity:
    return {name: value for name, value in entity.items() if not name.startswith("_")}


def _key(request: Request) -> str:
    return request.headers.get("x-refund-idempotency", "")


def _advance(bank: Bank, *, seconds: int) -> Entity:
    bank.advance(seconds=seconds)
    return {"now": bank.now(), "debits": mandates.debits_fall_due(bank)}
