"""Finance's desk: sessions with their verdict, the ledger, wallets, money with networks, the queue of decisions."""

from billing.admin import (
    authorisation,
    bill_uploads,
    exceptions,
    ledger,
    networks,
    reconciliation,
    sessions,
    verdicts,
    wallets,
)
from billing.approvals import admin as approvals
from billing.invoicing import admin as invoicing
from billing.jobs import admin as jobs
from billing.limits import admin as limits
from billing.notices import admin as notices
from billing.payments import admin as payments
from billing.prices import admin as prices
from billing.utility import admin as utility

__all__ = [
    "approvals", "authorisation", "bill_uploads", "exceptions", "invoicing", "jobs", "ledger", "limits", "networks",
    "notices", "payments", "prices", "reconciliation", "sessions", "utility", "verdicts", "wallets",
]  # fmt: skip
