"""What was drawn, what it costs, who pays."""

from billing.models.ledger import LedgerAccount, LedgerTransfer
from billing.models.sessions import CDR, BillingException, ChargingSession, MeterValue, ReconciliationVerdict
from billing.models.wallets import Hold, Wallet

__all__ = [
    "CDR",
    "BillingException",
    "ChargingSession",
    "Hold",
    "LedgerAccount",
    "LedgerTransfer",
    "MeterValue",
    "ReconciliationVerdict",
    "Wallet",
]
