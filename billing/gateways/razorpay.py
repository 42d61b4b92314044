"""Razorpay through its own SDK; the same code talks to the real service and to the bundled emulator."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

import razorpay

from billing.gateways import signing
from billing.gateways.base import Entity
from billing.gateways.breaker import Breaker
from billing.gateways.errors import OutcomeUnknown, Refused, Said, Unavailable
from billing.gateways.session import GatewaySession

LIST_PAGE = 100
LOOK_BACK_PAGES = 5


class RazorpayGateway:
    """Thread-safe: each thread has its own SDK client and session. Nothing is ever sent twice from here."""

    name = "razorpay"

    def __init__(
        self, *, key_id: str, key_secret: str, base_url: str, timeout_s: float = 10.0, breaker: Breaker | None = None
    ) -> None:
        self._key, self._base_url, self._timeout_s = (key_id, key_secret), base_url, timeout_s
        self._local = threading.local()
        self.breaker = breaker or Breaker()

    # --- orders and payments --------------------------------------------------------------------------------------

    def create_order(
        self, *, receipt: str, amount_paise: int, notes: Mapping[str, str], extra: Mapping[str, Any] | None = None
    ) -> Entity:
        data = {
            "amount": amount_paise, "currency": "INR", "receipt": receipt, "unique_receipt": True,
            "payment_capture": 1, "notes": dict(notes), **(extra or {}),
        }  # fmt: skip
        return self._call(lambda client, **how: client.order.create(data=data, **how))

    def find_order(self, *, receipt: str) -> Entity | None:
        data = {"receipt": receipt, "count": 10}
        found = self._list(lambda client, **how: client.order.all(data=data, **how))
        return next((order for order in found if order.get("receipt") == receipt), None)

    def order_payments(self, *, order_id: str) -> list[Entity]:
        return self._list(lambda client, **how: client.order.payments(order_id, data={}, **how))

    def fetch_payment(self, *, payment_id: str) -> Entity:
        return self._call(lambda client, **how: client.payment.fetch(payment_id, data={}, **how))

    def capture(self, *, payment_id: str, amount_paise: int) -> Entity:
        data = {"currency": "INR"}  # fresh: the SDK writes the amount into it
        return self._call(lambda client, **how: client.payment.capture(payment_id, amount_paise, data=data, **how))

    # --- QR codes and virtual accounts ----------------------------------------------------------------------------

    def create_qr(
        self, *, name: str, amount_paise: int | None, close_by: int | None, notes: Mapping[str, str]
    ) -> Entity:
        data: Entity = {
            "type": "upi_qr", "name": name, "usage": "single_use" if amount_paise else "multiple_use",
            "fixed_amount": amount_paise is not None, "notes": dict(notes),
        }  # fmt: skip
        if amount_paise is not None:
            data["payment_amount"] = amount_paise
        if close_by is not None:
            data["close_by"] = close_by
        return self._call(lambda client, **how: client.qrcode.create(data=data, **how))

    def find_qr(self, *, reference: str) -> Entity | None:
        return self._find(reference, lambda client, data, **how: client.qrcode.all(data=data, **how))

    def qr_payments(self, *, qr_id: str) -> list[Entity]:
        data = {"count": LIST_PAGE}
        return self._list(lambda client, **how: client.qrcode.fetch_all_payments(qr_id, data=data, **how))

    def close_qr(self, *, qr_id: str) -> Entity:
        return self._call(lambda client, **how: client.qrcode.close(qr_id, **how))

    def create_virtual_account(
        self, *, name: str, notes: Mapping[str, str], allowed_payers: list[Mapping[str, str]]
    ) -> Entity:
        data: Entity = {"receivers": {"types": ["bank_account"]}, "description": name, "notes": dict(notes)}
        if allowed_payers:
            data["allowed_payers"] = [{"type": "bank_account", "bank_account": dict(payer)} for payer in allowed_payers]
        return self._call(lambda client, **how: client.virtual_account.create(data=data, **how))

    def find_virtual_account(self, *, reference: str) -> Entity | None:
        return self._find(reference, lambda client, data, **how: client.virtual_account.all(data=data, **how))

    def virtual_account_payments(self, *, account_id: str) -> list[Entity]:
        data = {"count": LIST_PAGE}
        return self._list(lambda client, **how: client.virtual_account.payments(account_id, data=data, **how))

    def transfer_of(self, *, payment_id: str, method: str) -> Entity:
        if method == "bank_transfer":
            return self._call(lambda client, **how: client.payment.bank_transfer(payment_id, data={}, **how))
        return self._call(lambda client, **how: client.payment.upi_transfer(payment_id, data={}, **how))

    # --- mandates -------------------------------------------------------------------------------------------------

    def create_customer(self, *, name: str, email: str, contact: str, notes: Mapping[str, str]) -> Entity:
        """The docs disagree on `fail_existing`: whether we get the one that exists or an error, we end with it."""
        data = {"name": name, "email": email, "contact": contact, "fail_existing": "0", "notes": dict(notes)}
        try:
            return self._call(lambda client, **how: client.customer.create(data=data, **how))
        except Refused as refusal:
            if "already exists" not in refusal.said.description.lower():
                raise
        pages = self._pages(lambda client, data, **how: client.customer.all(data=data, **how))
        found: Entity | None = next((each for page in pages for each in page if each.get("email") == email), None)
        if found is None:
            raise Unavailable(Said(description="the customer exists, but is not among those listed"))
        return found

    def create_registration_link(self, *, data: Mapping[str, Any]) -> Entity:
        fresh = dict(data)
        return self._call(lambda client, **how: client.registration_link.create(data=fresh, **how))

    def find_registration_link(self, *, receipt: str) -> Entity | None:
        data = {"receipt": receipt, "type": "link", "count": 10}
        found = self._list(lambda client, **how: client.invoice.all(data=data, **how))
        return next((link for link in found if link.get("receipt") == receipt), None)

    def fetch_token(self, *, customer_id: str, token_id: str) -> Entity:
        return self._call(lambda client, **how: client.token.fetch(customer_id, token_id, data={}, **how))

    def tokens_of(self, *, customer_id: str) -> list[Entity]:
        return self._list(lambda client, **how: client.token.all(customer_id, data={}, **how))

    def cancel_token(self, *, customer_id: str, token_id: str) -> Entity:
        return self._call(lambda client, **how: client.token.cancel(customer_id, token_id, data={}, **how))

    def debit(
        self, *, order_id: str, customer_id: str, token_id: str, amount_paise: int, email: str, contact: str,
        description: str,
    ) -> Entity:  # fmt: skip
        data = {
            "email": email, "contact": contact, "amount": amount_paise, "currency": "INR", "order_id": order_id,
            "customer_id": customer_id, "token": token_id, "recurring": "1", "description": description,
        }  # fmt: skip
        return self._call(lambda client, **how: client.payment.createRecurring(data=data, **how))

    # --- money back, disputes, settlements ------------------------------------------------------------------------

    def refund(self, *, payment_id: str, amount_paise: int, key: str, notes: Mapping[str, str]) -> Entity:
        data = {"amount": amount_paise, "receipt": key, "notes": dict(notes)}
        headers = {"X-Refund-Idempotency": key}
        return self._call(lambda client, **how: client.payment.refund(payment_id, data=data, headers=headers, **how))

    def payment_refunds(self, *, payment_id: str) -> list[Entity]:
        data = {"count": LIST_PAGE}
        return self._list(lambda client, **how: client.payment.fetch_multiple_refund(payment_id, data=data, **how))

    def fetch_dispute(self, *, dispute_id: str) -> Entity:
        return self._call(lambda client, **how: client.dispute.fetch(dispute_id, data={}, **how))

    def settlement_page(self, *, day: date, count: int, skip: int) -> list[Entity]:
        data = {"year": day.year, "month": day.month, "day": day.day, "count": count, "skip": skip}
        return self._list(lambda client, **how: client.settlement.report(data=data, **how))

    def is_checkout_signed(self, *, order_id: str, payment_id: str, presented: str) -> bool:
        return signing.is_checkout_signed(
            order_id=order_id, payment_id=payment_id, presented=presented, key_secret=self._key[1]
        )

    # --- how a call is made ---------------------------------------------------------------------------------------

    def _call(self, ask: Callable[..., Any]) -> Entity:
        """One call, once, within its time limit; the breaker learns from it."""
        if not self.breaker.may_try():
            raise Unavailable(Said(code="breaker_open", description="the gateway has failed and is left alone"))
        try:
            answer = ask(self._client(), timeout=self._session().timeout)
        except Refused:
            self.breaker.succeeded()  # it is well, it only says no
            raise
        except Unavailable as failure:
            self.breaker.rest(failure.said.retry_after_s) if failure.said.retry_after_s else self.breaker.failed()
            raise
        except OutcomeUnknown:
            self.breaker.failed()
            raise
        self.breaker.succeeded()
        return answer if isinstance(answer, dict) else {}  # a 204 is the text '{}' to the SDK

    def _list(self, ask: Callable[..., Any]) -> list[Entity]:
        items = self._call(ask).get("items")
        return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    def _find(self, reference: str, ask: Callable[..., Any]) -> Entity | None:
        """The newest few hundred, by the reference that we put into the notes (such lists have no filter for it)."""
        for page in self._pages(ask):
            for item in page:
                notes = item.get("notes")
                if isinstance(notes, dict) and notes.get("reference") == reference:
                    return item
        return None

    def _pages(self, ask: Callable[..., Any]) -> Iterator[list[Entity]]:
        for number in range(LOOK_BACK_PAGES):
            data = {"count": LIST_PAGE, "skip": number * LIST_PAGE}
            page = self._list(lambda client, data=data, **how: ask(client, data=data, **how))
            yield page
            if len(page) < LIST_PAGE:
                return

    def _client(self) -> Any:
        if getattr(self._local, "process", None) != os.getpid():  # a fork must not share its parent's sockets
            session = GatewaySession(timeout_s=self._timeout_s)
            session.trust_env = not self._base_url.startswith("http://127.")
            self._local.session, self._local.process = session, os.getpid()
            self._local.client = razorpay.Client(session=session, auth=self._key, base_url=self._base_url)
        return self._local.client

    def _session(self) -> GatewaySession:
        self._client()
        session: GatewaySession = self._local.session
        return session
