"""What was drawn, what it costs, who pays."""

import billing.approvals.models
import billing.invoicing.models  # noqa: F401 (Django looks for models here)
from billing.models.authorisations import AllowedSite, AuthorisationDecision, ChargingLimit, ChargingPolicy
from billing.models.ledger import LedgerAccount, LedgerTransfer
from billing.models.mandates import AutoTopUp, Mandate, PaymentRule
from billing.models.networks import OrderSettlement, PriceCheck
from billing.models.payments import (
    GatewayEvent,
    GatewayPayment,
    PaymentDispute,
    PaymentIntent,
    PaymentReceiver,
    Refund,
)
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
from billing.models.settlements import BankLine, Settlement, SettlementRow
from billing.models.wallets import Hold, Wallet

__all__ = [
    "CDR",
    "AllowedSite",
    "AuthorisationDecision",
    "AutoTopUp",
    "BankLine",
    "BillingException",
    "CDRAdjustment",
    "ChargingLimit",
    "ChargingPolicy",
    "ChargingSession",
    "GatewayEvent",
    "GatewayPayment",
    "Hold",
    "LedgerAccount",
    "LedgerTransfer",
    "Mandate",
    "MeterValue",
    "OrderSettlement",
    "PaymentDispute",
    "PaymentIntent",
    "PaymentReceiver",
    "PaymentRule",
    "PriceCheck",
    "ReconciliationVerdict",
    "Refund",
    "SessionCorrection",
    "SessionMessage",
    "Settlement",
    "SettlementRow",
    "Wallet",
]
