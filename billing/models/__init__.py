"""What was drawn, what it costs, who pays."""

import billing.invoicing.models  # noqa: F401 (Django looks for models here)
from billing.models.authorisations import AllowedSite, AuthorisationDecision, ChargingLimit, ChargingPolicy
from billing.models.ledger import LedgerAccount, LedgerTransfer
from billing.models.networks import OrderSettlement, PriceCheck
from billing.models.sessions import (
    CDR,
    BillingException,
    CDRAdjustment,
    ChargingSession,
    MeterValue,
    ReconciliationVerdict,
    SessionCorrection,
    SessionMessage,
)
from billing.models.wallets import Hold, Wallet

__all__ = [
    "CDR",
    "AllowedSite",
    "AuthorisationDecision",
    "BillingException",
    "CDRAdjustment",
    "ChargingLimit",
    "ChargingPolicy",
    "ChargingSession",
    "Hold",
    "LedgerAccount",
    "LedgerTransfer",
    "MeterValue",
    "OrderSettlement",
    "PriceCheck",
    "ReconciliationVerdict",
    "SessionCorrection",
    "SessionMessage",
    "Wallet",
]
