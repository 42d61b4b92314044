"""What was drawn, what it costs, who pays."""

import billing.approvals.models
import billing.invoicing.models
import billing.prices.models
import billing.utility.models  # noqa: F401 (Django looks for models here)
from billing.jobs.models import Job
from billing.limits.models import LimitUsage, SpendLimit
from billing.models.authorisations import AllowedSite, AuthorisationDecision, ChargingPolicy
from billing.models.cpo_bills import BillFormat, BillUpload, NetworkBill, NetworkBillRow
from billing.models.ledger import JournalCheckpoint, LedgerAccount, LedgerTransfer
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
from billing.models.verdicts import PastVerdict, RuleTerms, StationPoint, VerdictWork
from billing.models.wallets import Hold, Wallet
from billing.notices.models import Letter

__all__ = [
    "CDR",
    "AllowedSite",
    "AuthorisationDecision",
    "AutoTopUp",
    "BankLine",
    "BillFormat",
    "BillUpload",
    "BillingException",
    "CDRAdjustment",
    "ChargingPolicy",
    "ChargingSession",
    "GatewayEvent",
    "GatewayPayment",
    "Hold",
    "Job",
    "JournalCheckpoint",
    "LedgerAccount",
    "LedgerTransfer",
    "Letter",
    "LimitUsage",
    "Mandate",
    "MeterValue",
    "NetworkBill",
    "NetworkBillRow",
    "OrderSettlement",
    "PastVerdict",
    "PaymentDispute",
    "PaymentIntent",
    "PaymentReceiver",
    "PaymentRule",
    "PriceCheck",
    "ReconciliationVerdict",
    "Refund",
    "RuleTerms",
    "SessionCorrection",
    "SessionMessage",
    "Settlement",
    "SettlementRow",
    "SpendLimit",
    "StationPoint",
    "VerdictWork",
    "Wallet",
]
