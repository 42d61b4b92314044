"""What billing asks of a payment gateway. Entities are Razorpay's JSON objects, amounts are paise."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Protocol

Entity = dict[str, Any]


class PaymentGateway(Protocol):
    """Each call raises Refused, NotFound, Unavailable or OutcomeUnknown (billing.gateways.errors)."""

    name: str

    # orders and payments
    def create_order(
        self, *, receipt: str, amount_paise: int, notes: Mapping[str, str], extra: Mapping[str, Any] | None = None
    ) -> Entity:
        """An order of its own for this receipt; a second one for the same receipt is refused."""

    def find_order(self, *, receipt: str) -> Entity | None: ...
    def order_payments(self, *, order_id: str) -> list[Entity]: ...
    def fetch_payment(self, *, payment_id: str) -> Entity: ...
    def capture(self, *, payment_id: str, amount_paise: int) -> Entity: ...

    # ways to be paid without an order
    def create_qr(
        self, *, name: str, amount_paise: int | None, close_by: int | None, notes: Mapping[str, str]
    ) -> Entity:
        """`amount_paise` None: any amount, any number of times."""

    def find_qr(self, *, reference: str) -> Entity | None: ...
    def qr_payments(self, *, qr_id: str) -> list[Entity]: ...
    def close_qr(self, *, qr_id: str) -> Entity: ...
    def create_virtual_account(
        self, *, name: str, notes: Mapping[str, str], allowed_payers: list[Mapping[str, str]]
    ) -> Entity:
        """A bank account number and IFSC for NEFT, RTGS and IMPS; only `allowed_payers` may pay, or anybody."""

    def find_virtual_account(self, *, reference: str) -> Entity | None: ...
    def virtual_account_payments(self, *, account_id: str) -> list[Entity]: ...
    def transfer_of(self, *, payment_id: str, method: str) -> Entity:
        """The bank or UPI transfer behind a payment; names its `virtual_account_id`."""

    # mandates
    def create_customer(self, *, name: str, email: str, contact: str, notes: Mapping[str, str]) -> Entity: ...
    def create_registration_link(self, *, data: Mapping[str, Any]) -> Entity: ...
    def find_registration_link(self, *, receipt: str) -> Entity | None: ...
    def fetch_token(self, *, customer_id: str, token_id: str) -> Entity: ...
    def tokens_of(self, *, customer_id: str) -> list[Entity]: ...
    def cancel_token(self, *, customer_id: str, token_id: str) -> Entity: ...
    def debit(
        self,
        *,
        order_id: str,
        customer_id: str,
        token_id: str,
        amount_paise: int,
        email: str,
        contact: str,
        description: str,
    ) -> Entity:
        """Ask for a recurring debit on an order; answers with `razorpay_payment_id`."""  # fmt: skip

    # money back, disputes, settlements
    def refund(self, *, payment_id: str, amount_paise: int, key: str, notes: Mapping[str, str]) -> Entity:
        """`key` (at least ten characters) makes a repeat with the same content harmless."""

    def payment_refunds(self, *, payment_id: str) -> list[Entity]: ...
    def fetch_dispute(self, *, dispute_id: str) -> Entity: ...
    def settlement_page(self, *, day: date, count: int, skip: int) -> list[Entity]: ...
    def is_checkout_signed(self, *, order_id: str, payment_id: str, presented: str) -> bool: ...
