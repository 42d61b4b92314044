"""The rules of tax law that hold on a day."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from functools import cached_property

from billing.invoicing.models import TaxRule

Name = TaxRule.Name


class MissingRule(LookupError):
    """No row says what holds on that day: nothing is invoiced by a guess."""


class Rules:
    """All that hold on one day; those of other days (`at`) are read with them, once."""

    def __init__(self, on: date, rows: Sequence[TaxRule] | None = None) -> None:
        self.on = on
        self._rows = list(TaxRule.objects.order_by("valid_from")) if rows is None else rows
        self._values = {(row.name, row.subject): row.value for row in self._rows if _holds(row, on)}
        self._days: dict[date, Rules] = {on: self}

    def at(self, day: date) -> "Rules":
        if day not in self._days:
            self._days[day] = Rules(day, self._rows)
        return self._days[day]

    def value(self, name: str, subject: str = "") -> str:
        """Raises MissingRule."""
        try:
            return self._values[(name, subject)]
        except KeyError:
            raise MissingRule(f"No rule '{name}' {subject} holds on {self.on}.") from None

    def number(self, name: str, subject: str = "") -> int:
        return int(self.value(name, subject))

    @cached_property
    def sac_code(self) -> str:
        """Of charging."""
        return self.value(Name.SAC, "charging")

    @cached_property
    def charging_rate(self) -> Fraction:
        return Fraction(self.value(Name.RATE, self.sac_code))


def _holds(row: TaxRule, on: date) -> bool:
    return row.valid_from <= on and (row.valid_to is None or on <= row.valid_to)
