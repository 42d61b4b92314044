"""From priced sessions to the lines of a document: few enough for the portal, and not a paisa lost. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

TAXES = {"CGST", "SGST", "IGST"}
WORDS = {
    "ENERGY": "energy", "TIME": "charging time", "PARKING_TIME": "idle time", "FLAT": "per session",
    "RESERVATION_TIME": "reserved time", "RESERVATION_FLAT": "reservation", "RESERVATION_ENERGY": "reservation",
    "MIN_PRICE": "minimum price", "MAX_PRICE": "price limit", "CORRECTION": "correction",
    "SUBSCRIPTION": "subscription",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One component of one session, or the sum of many alike. Not taxed; a correction may be below zero."""

    sac_code: str
    rate: Fraction
    site: str
    network: str
    component: str
    unit: str
    quantity: Decimal
    taxable_paise: int
    sessions: int = 1

    @property
    def key(self) -> tuple[str, Fraction, str, str, str, str]:
        return (self.sac_code, self.rate, self.network, self.site, self.component, self.unit)

    @property
    def description(self) -> str:
        where = ", ".join(name for name in (self.site, self.network) if name)
        return f"EV charging, {WORDS.get(self.component, self.component.lower())}{f': {where}' if where else ''}"


@dataclass(frozen=True)
class Priced:
    """A line of a rated record as it is stored: `rate` None where the tariff does not say."""

    component: str
    unit: str
    rate: Fraction | None
    quantity: Decimal
    paise: int


def priced_lines(explanation: Sequence[Mapping[str, Any]], taxable_paise: int) -> list[Priced]:
    """The components of a record, which add up to its taxable value; what a limit took away lowers the largest."""
    lines = [_read(line) for line in explanation if line["dimension"] not in TAXES]
    if not lines:
        return [Priced("ENERGY", "kWh", None, Decimal(0), taxable_paise)] if taxable_paise else []
    kept = [line for line in lines if line.paise >= 0] or lines[:1]
    return _topped(kept, taxable_paise)


def corrected_lines(before: Sequence[Priced], after: Sequence[Priced], taxable_paise: int) -> list[Priced]:
    """What a correction changes, component by component; one line where they go both ways, so that none is odd."""
    found: dict[tuple[str, str, Fraction | None], Priced] = {}
    for sign, lines in ((1, after), (-1, before)):
        for line in lines:
            key = (line.component, line.unit, line.rate)
            known = found.get(key) or replace(line, quantity=Decimal(0), paise=0)
            found[key] = replace(
                known, quantity=known.quantity + sign * line.quantity, paise=known.paise + sign * line.paise
            )
    changed = [line for line in found.values() if line.paise]
    is_plain = all((line.paise > 0) == (taxable_paise > 0) for line in changed)
    if changed and is_plain and sum(line.paise for line in changed) == taxable_paise:
        return [replace(line, quantity=abs(line.quantity)) for line in changed]
    rate = max(found.values(), key=lambda line: abs(line.paise)).rate if found else None
    return [Priced("CORRECTION", "session", rate, Decimal(1), taxable_paise)] if taxable_paise else []


def grouped(parts: Iterable[Part], *, max_items: int) -> list[Part]:
    """One line per (SAC, rate, network, site, component), in that order; sites, then networks, fold where too many."""
    lines = _sum(parts)
    if len(lines) > max_items:
        lines = _sum(replace(line, site="several sites") for line in lines)
    if len(lines) > max_items:
        lines = _sum(replace(line, network="several networks") for line in lines)
    return lines


def _sum(parts: Iterable[Part]) -> list[Part]:
    found: dict[Any, Part] = {}
    for part in parts:
        known = found.get(part.key)
        found[part.key] = part if known is None else replace(
            known, quantity=known.quantity + part.quantity, taxable_paise=known.taxable_paise + part.taxable_paise,
            sessions=known.sessions + part.sessions,
        )  # fmt: skip
    return [found[key] for key in sorted(found)]


def _read(line: Mapping[str, Any]) -> Priced:
    rate = Fraction(str(line["vat_percent"])) if line.get("vat_percent") is not None else None
    return Priced(line["dimension"], line["unit"], rate, Decimal(line["quantity"]), int(line["amount_paise"]))


def _topped(lines: list[Priced], total: int) -> list[Priced]:
    rest = total - sum(line.paise for line in lines)
    if not rest:
        return lines
    largest = max(range(len(lines)), key=lambda index: lines[index].paise)
    lines[largest] = replace(lines[largest], paise=lines[largest].paise + rest)
    return lines
