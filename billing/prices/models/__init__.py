"""Rows of negotiated rates, plans and subscriptions, and of what regulators say."""

from billing.prices.models.benchmarks import CeilingCheck, PriceBenchmark
from billing.prices.models.plans import Plan, PlanVersion
from billing.prices.models.rates import NegotiatedRate
from billing.prices.models.subscriptions import AllowanceUse, Subscription, SubscriptionFee, SubscriptionTerm

__all__ = [
    "AllowanceUse", "CeilingCheck", "NegotiatedRate", "Plan", "PlanVersion", "PriceBenchmark", "Subscription",
    "SubscriptionFee", "SubscriptionTerm",
]  # fmt: skip
