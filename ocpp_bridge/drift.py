"""What a charger should be set to, and where it is not: no Django, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase

DIFFERS, NOT_REPORTED, NOT_SUPPORTED = "differs", "not_reported", "not_supported"


@dataclass(frozen=True)
class Wish:
    """What chargers of a kind should be set to; a value of None takes the key out of what is wished."""

    vendor_pattern: str
    model_pattern: str
    priority: int
    values: Mapping[str, str | None]

    def fits(self, vendor: str, model: str) -> bool:
        return _fits(self.vendor_pattern, vendor) and _fits(self.model_pattern, model)


@dataclass(frozen=True)
class Reported:
    """A key as the charger says it; `value` None: it does not tell."""

    value: str | None
    is_readonly: bool = False
    is_unknown: bool = False


@dataclass(frozen=True)
class Difference:
    """One key that is not as it should be. `can_change`: it makes sense to ask the charger for it."""

    key: str
    wanted: str
    found: str | None
    kind: str
    can_change: bool


def expected(defaults: Mapping[str, str], wishes: Iterable[Wish], *, vendor: str, model: str) -> dict[str, str]:
    """The wished value of every key; among wishes that fit, the highest priority decides each key."""
    wanted: dict[str, str | None] = dict(defaults)
    for wish in sorted(wishes, key=lambda wish: wish.priority):
        if wish.fits(vendor, model):
            wanted.update({key: None if value is None else str(value) for key, value in wish.values.items()})
    return {key: value for key, value in wanted.items() if value is not None}


def differences(wanted: Mapping[str, str], reported: Mapping[str, Reported]) -> list[Difference]:
    """Where the two disagree, by key. A charger that lacks a key cannot be asked for it."""
    found = []
    for key, value in sorted(wanted.items()):
        row = reported.get(key)
        if row is None:
            found.append(Difference(key, value, None, NOT_REPORTED, can_change=True))
        elif row.is_unknown:
            found.append(Difference(key, value, None, NOT_SUPPORTED, can_change=False))
        elif row.value is None or not is_same(value, row.value):
            found.append(Difference(key, value, row.value, DIFFERS, can_change=not row.is_readonly))
    return found


def is_same(one: str, other: str) -> bool:
    """As chargers write values: 60 and 60.0, true and True, and lists in any order are the same."""
    if one.strip() == other.strip():
        return True
    numbers = _number(one), _number(other)
    if None not in numbers:
        return numbers[0] == numbers[1]
    if "," in one or "," in other:
        return _members(one) == _members(other)
    return one.strip().lower() == other.strip().lower()


def _fits(pattern: str, text: str) -> bool:
    return fnmatchcase(text.strip().lower(), pattern.strip().lower() or "*")


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _members(text: str) -> frozenset[str]:
    return frozenset(part.strip().lower() for part in text.split(",") if part.strip())
