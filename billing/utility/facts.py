"""A bill before it is kept: its facts, what is wrong with them, and how people write rupees and kWh. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation

from billing.utility import allocation as a

KINDS = (a.ENERGY, a.DEMAND, a.PENALTY, a.FIXED, a.FUEL, a.POWER_FACTOR, a.DUTY, a.LATE, a.OTHER, a.ARREARS)
MAY_BE_CREDIT = {a.POWER_FACTOR, a.FUEL, a.OTHER, a.ARREARS}
LONGEST_DAYS, MOST = 100, 10**15


class BadBill(ValueError):
    """`column` names the field; the text says what is wrong with it."""

    def __init__(self, column: str, text: str) -> None:
        super().__init__(text)
        self.column = column


@dataclass(frozen=True)
class ChargeFacts:
    kind: str
    amount_paise: int
    slot: str = ""
    energy_wh: int | None = None
    apparent_vah: int | None = None


@dataclass(frozen=True)
class BillFacts:
    """`ends_on` is the last day covered; demands in VA, 0 where the bill says nothing."""

    number: str
    starts_on: date
    ends_on: date
    charges: tuple[ChargeFacts, ...] = field(default=())
    due_on: date | None = None
    recorded_va: int = 0
    billing_va: int = 0

    @property
    def arrears_paise(self) -> int:
        return sum(charge.amount_paise for charge in self.charges if charge.kind == a.ARREARS)

    @property
    def charges_paise(self) -> int:
        return sum(charge.amount_paise for charge in self.charges) - self.arrears_paise


def flaws(facts: BillFacts, slot_names: Sequence[str]) -> list[BadBill]:
    """Everything that is wrong with it, so that a person sees all of it at once."""
    found = []
    if not facts.number or len(facts.number) > 40:
        found.append(BadBill("bill_number", "needs 1 to 40 letters"))
    days = (facts.ends_on - facts.starts_on).days + 1
    if not 1 <= days <= LONGEST_DAYS:
        found.append(BadBill("to", f"covers {days} days, not 1 to {LONGEST_DAYS}"))
    if facts.due_on and facts.due_on < facts.starts_on:
        found.append(BadBill("due", "is before the period"))
    if not facts.charges:
        found.append(BadBill("energy", "has no charge"))
    for charge in facts.charges:
        name = f"{charge.kind} {charge.slot}".strip()
        found += [BadBill(name, text) for text in _flaws_of(charge, slot_names)]
    if facts.charges_paise < 0:
        found.append(BadBill("other", "the charges of the period are below zero"))
    return found


def _flaws_of(charge: ChargeFacts, slot_names: Sequence[str]) -> list[str]:
    wrong = {
        "is no kind of charge": charge.kind not in KINDS,
        f"there is no slot {charge.slot!r} at this supply": charge.slot and charge.slot not in slot_names,
        "is below zero": charge.amount_paise < 0 and charge.kind not in MAY_BE_CREDIT,
        "has energy below zero": min(charge.energy_wh or 0, charge.apparent_vah or 0) < 0,
    }
    return [text for text, is_so in wrong.items() if is_so]


def paise(text: str) -> int:
    """`1,23,456.78` or `₹ 12` in paise; ValueError for a fraction of one."""
    return _whole(text.replace("₹", ""), 100, "paise")


def watt_hours(text: str) -> int:
    """kWh, kVAh or kVA in thousandths; ValueError for less than one of them."""
    return _whole(text, 1_000, "thousandths")


def _whole(text: str, times: int, name: str) -> int:
    plain = text.replace(",", "").strip()
    try:
        value = Decimal(plain) * times
    except InvalidOperation as error:
        raise ValueError(f"{plain[:40]!r} is no number") from error
    if not value.is_finite() or abs(value) > MOST:
        raise ValueError(f"{plain[:40]!r} is no possible amount")
    if value != value.to_integral_value():
        raise ValueError(f"{plain[:40]} has fractions of {name}")
    return int(value)
