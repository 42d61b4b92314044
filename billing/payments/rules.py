"""Limits and hours of recurring payments on a day, from dated rows; never a constant."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from billing.models import PaymentRule

INDIA = ZoneInfo("Asia/Kolkata")
Name = PaymentRule.Name


def value_of(name: str, *, kind: str, on: date) -> int | None:
    """The value in force on that day in India; None when there is no such rule for this kind of mandate."""
    rules = PaymentRule.objects.filter(name=name, kind=kind, valid_from__lte=on).order_by("-valid_from")
    return rules.values_list("value", flat=True).first()


def hours(name: str, *, kind: str, now: datetime, default: int) -> timedelta:
    value = value_of(name, kind=kind, on=day_of(now))
    return timedelta(hours=default if value is None else value)


def day_of(instant: datetime) -> date:
    return instant.astimezone(INDIA).date()
