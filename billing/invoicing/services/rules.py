"""The rules of tax law that hold on a day."""

from datetime import date
from fractions import Fraction

from django.db.models import Q

from billing.invoicing.models import TaxRule

Name = TaxRule.Name


class MissingRule(LookupError):
    """No row says what holds on that day: nothing is invoiced by a guess."""


class Rules:
    """All that hold on one day, read once."""

    def __init__(self, on: date) -> None:
        rows = TaxRule.objects.filter(valid_from__lte=on).filter(Q(valid_to=None) | Q(valid_to__gte=on))
        self.on = on
        self._values = {(row.name, row.subject): row.value for row in rows.order_by("valid_from")}

    def value(self, name: str, subject: str = "") -> str:
        """Raises MissingRule."""
        try:
            return self._values[(name, subject)]
        except KeyError:
            raise MissingRule(f"No rule '{name}' {subject} holds on {self.on}.") from None

    def number(self, name: str, subject: str = "") -> int:
        return int(self.value(name, subject))

    @property
    def sac_code(self) -> str:
        """Of charging."""
        return self.value(Name.SAC, "charging")

    @property
    def charging_rate(self) -> Fraction:
        return Fraction(self.value(Name.RATE, self.sac_code))
