"""When a debit may be taken and is over, counted from the moment in which the payer is told: the order is sent then."""

from datetime import datetime, timedelta

from billing.models import Mandate, PaymentRule
from billing.payments import rules

Name = PaymentRule.Name
AFTER_A_FAILURE = timedelta(hours=24)
MARGIN = timedelta(hours=24)  # on top of the hours of the scheme, before we give a debit up


def due_at(mandate: Mandate, *, now: datetime) -> datetime:
    return now + rules.hours(Name.DEBIT_AFTER, kind=mandate.kind, now=now, default=25)


def over_at(mandate: Mandate, *, now: datetime) -> datetime:
    return now + rules.hours(Name.DEBIT_UNTIL, kind=mandate.kind, now=now, default=36)


def next_allowed_at(mandate: Mandate, *, now: datetime) -> datetime:
    """The day of this debit; after failures later each time."""
    if not mandate.consecutive_failures:
        return due_at(mandate, now=now)
    return max(over_at(mandate, now=now), now + AFTER_A_FAILURE * mandate.consecutive_failures)
