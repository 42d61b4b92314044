"""Prices at the desk: what is agreed, who subscribes, what regulators say."""

from billing.prices.admin import ceilings, plans, rates, subscriptions

__all__ = ["ceilings", "plans", "rates", "subscriptions"]
